//go:build faults

package faults

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy passes TCP connections on, and can be told to do it badly.
type proxy struct {
	addr, server string

	mu     sync.Mutex // guards the fields below
	cut    bool       // nothing passes, nobody is told: neither what is said on connections nor new ones
	delay  time.Duration
	conns  map[net.Conn]struct{}
	change chan struct{} // closed when the above changes
}

func newProxy(t testing.TB, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), server: server, conns: map[net.Conn]struct{}{}, change: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { p.accept(l, &wg) })
	t.Cleanup(func() {
		_ = l.Close()
		p.set(false, 0)
		p.reset()
		wg.Wait()
	})
	return p
}

func (p *proxy) accept(l net.Listener, wg *sync.WaitGroup) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() { p.serve(in, wg) })
	}
}

func (p *proxy) serve(in net.Conn, wg *sync.WaitGroup) {
	p.add(in)
	defer p.remove(in)
	p.wait() // a connection that is made while cut off hangs, as behind a firewall that drops
	out, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	p.add(out)
	defer p.remove(out)
	done := make(chan struct{})
	wg.Go(func() { defer close(done); p.pass(in, out, true) })
	p.pass(out, in, false)
	_, _ = in.Close(), out.Close()
	<-done
}

func (p *proxy) add(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = struct{}{}
}

func (p *proxy) remove(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close()
}

// pass copies until the end. What comes while cut off is swallowed for good: TCP
// would send it again, but the two ends of a connection that is never heard of
// again see no difference. Answers may be late.
func (p *proxy) pass(dst io.Writer, src net.Conn, answers bool) {
	defer func() { _ = src.Close() }()
	buf := make([]byte, 64<<10)
	lost := false
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		cut, delay := p.cut, p.delay
		p.mu.Unlock()
		lost = lost || cut
		if lost { // part of the conversation is missing: it cannot go on
			continue
		}
		if answers && delay > 0 {
			time.Sleep(delay)
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

// wait waits while cut off.
func (p *proxy) wait() {
	for {
		p.mu.Lock()
		cut, change := p.cut, p.change
		p.mu.Unlock()
		if !cut {
			return
		}
		<-change
	}
}

func (p *proxy) set(cut bool, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.delay = cut, delay
	close(p.change)
	p.change = make(chan struct{})
}

// reset closes the connections that exist.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close()
	}
}
