package listener

import (
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	minBackoff = 5 * time.Millisecond
	maxBackoff = time.Second

	// maxRefusing is how many refused connections may wait for their request at
	// once. They use descriptors of the reserve.
	maxRefusing = 32
	// refuseTimeout is how long one of them may take.
	refuseTimeout = time.Second
)

// acceptor takes connections from ln as long as there are slots and memory, and
// turns the others away. It outlives every error but the end of ln: a process
// without free descriptors must serve the clients it has (HRD-74).
type acceptor struct {
	net.Listener
	s        *Server
	closed   chan struct{}
	once     sync.Once
	refusing chan struct{}  // a token for each goroutine of refuse
	wg       sync.WaitGroup // those goroutines, handshakes, and that of watchMemory

	// With TLS.
	config *tls.Config
	busy   *tls.Config   // for those who are refused
	ready  chan net.Conn // connections whose handshake is done
}

func newAcceptor(ln net.Listener, s *Server) *acceptor {
	a := &acceptor{
		Listener: ln,
		s:        s,
		closed:   make(chan struct{}),
		refusing: make(chan struct{}, maxRefusing),
	}
	if t := s.cfg.TLS; t != nil {
		a.config, a.busy = t.config(true), t.config(false)
		a.ready = make(chan net.Conn)
	}
	return a
}

// Accept returns the next connection that has a slot and, with TLS, has done its
// handshake. It is called from one goroutine.
func (a *acceptor) Accept() (net.Conn, error) {
	if a.ready == nil {
		c, err := a.next()
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	select {
	case c := <-a.ready:
		return c, nil
	case <-a.closed:
		return nil, net.ErrClosed
	}
}

// next returns the next connection that has a slot. It is called from one
// goroutine.
func (a *acceptor) next() (*conn, error) {
	var pause time.Duration
	for {
		nc, err := a.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil, err
			}
			pause = min(max(2*pause, minBackoff), maxBackoff)
			a.s.acceptErrors.Add(1)
			a.s.warn("listener: accept failed", "error", err, "retry_in", pause)
			if !a.sleep(pause) {
				return nil, net.ErrClosed
			}
			continue
		}
		pause = 0
		if c := a.admit(nc); c != nil {
			return c, nil
		}
		a.turnAway(nc)
	}
}

// admit takes a connection if it may be taken.
func (a *acceptor) admit(nc net.Conn) *conn {
	s := a.s
	counts := s.countable(nc)
	if counts.IsValid() && !s.perAddress.acquire(counts) {
		s.tooMany.Add(1)
		s.warn("listener: connection refused: its address has too many", "remote", counts.String())
		return nil
	}
	short := s.short.Load()
	if !short && s.slots.acquire() {
		return newConn(nc, s, counts)
	}
	if counts.IsValid() {
		s.perAddress.release(counts)
	}
	s.refused.Add(1)
	s.warn("listener: connection refused", "open", s.slots.Used(), "memory_short", short)
	return nil
}

// sleep waits for d; it returns false at once when the acceptor is closed.
func (a *acceptor) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.closed:
		return false
	}
}

// Close ends Accept. Connections that are being refused finish.
func (a *acceptor) Close() error {
	var err error
	a.once.Do(func() {
		close(a.closed)
		err = a.Listener.Close()
	})
	return err
}

// wait waits for the acceptor's goroutines, refuseTimeout at most.
func (a *acceptor) wait() { a.wg.Wait() }

// turnAway answers a connection that is refused. Where the request is here
// already, or too many wait for theirs, that happens at once; otherwise a goroutine
// waits for the request, for an answer that comes before the question confuses
// clients. With TLS an answer costs a handshake: beyond maxRefusing there is none.
func (a *acceptor) turnAway(nc net.Conn) {
	if a.config == nil && readWaiting(nc) { // with TLS what waits is a handshake
		answerBusy(nc)
		_ = nc.Close()
		return
	}
	select {
	case a.refusing <- struct{}{}:
		a.wg.Go(func() {
			if a.config != nil {
				refuse(tls.Server(nc, a.busy))
			} else {
				refuse(nc)
			}
			<-a.refusing
		})
	default:
		if a.config == nil {
			answerBusy(nc)
		}
		_ = nc.Close()
	}
}

// refuse waits for the request, answers, and lets the peer close first: closing
// with unread bytes would reset the connection and could take the answer away.
func refuse(nc net.Conn) {
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(refuseTimeout))
	var buf [4096]byte
	if _, err := nc.Read(buf[:]); err != nil {
		return
	}
	answerBusy(nc)
	if cw, ok := nc.(interface{ CloseWrite() error }); ok {
		_ = cw.CloseWrite()
	}
	for {
		if _, err := nc.Read(buf[:]); err != nil {
			return
		}
	}
}

// readWaiting takes what has arrived on nc without waiting, and tells whether
// that was anything.
func readWaiting(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	some := false
	_ = rc.Read(func(fd uintptr) bool {
		var buf [4096]byte
		for range 8 { // headers, and the start of a body
			if readFD(fd, buf[:]) <= 0 {
				break
			}
			some = true
		}
		return true
	})
	return some
}

// busy holds the answers of refused connections, one for each Retry-After.
var busy = func() (answers [5][]byte) {
	for i := range answers {
		answers[i] = []byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: " + strconv.Itoa(i+1) +
			"\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
	return answers
}()

// answerBusy writes to a connection whose send buffer is empty, so it does not
// wait.
func answerBusy(nc net.Conn) {
	_, _ = nc.Write(busy[rand.IntN(len(busy))])
}

// Unavailable refuses a request cheaply, the way connections are refused: 503,
// Retry-After of 1 to 5 s so that the refused do not come back all at once, and
// the end of the connection.
func Unavailable(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(1+rand.IntN(5)))
	h.Set("Connection", "close")
	w.WriteHeader(http.StatusServiceUnavailable)
}
