package redis_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// proxy passes TCP connections on to a server, until it is told to let those
// that exist hang.
type proxy struct {
	addr string

	mu     sync.Mutex // guards the fields below
	frozen map[net.Conn]bool
	conns  []net.Conn
	isShut bool // no connection lasts
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String(), frozen: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() { p.accept(l, server, &wg) })
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		wg.Wait()
	})
	return p
}

func (p *proxy) accept(l net.Listener, server string, wg *sync.WaitGroup) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", server)
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		if p.isShut {
			in.Close()
			out.Close()
		}
		p.mu.Unlock()
		wg.Go(func() { p.pass(in, out, in) })
		wg.Go(func() { p.pass(out, in, in) })
	}
}

// pass copies until the end; what a frozen connection says is swallowed.
func (p *proxy) pass(dst io.WriteCloser, src io.Reader, key net.Conn) {
	defer dst.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		frozen := p.frozen[key]
		p.mu.Unlock()
		if frozen {
			continue
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

// freeze lets the connections hang that exist now.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		p.frozen[c] = true
	}
}

// shut ends all connections, also new ones until open is called.
func (p *proxy) shut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isShut = true
	for _, c := range p.conns {
		c.Close()
	}
}

func (p *proxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.isShut = false
}
