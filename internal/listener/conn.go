package listener

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"
)

// netConn is a connection of TCP or of a unix socket.
type netConn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

// conn is an accepted connection. It counts for the caps until it is closed,
// whoever closes it. As long as net/http owns it, it watches the framing of
// requests (under TLS [secureConn] does) and the progress of answers; who hijacks
// it gets a plain connection, descriptor (SyscallConn) included.
type conn struct {
	netConn
	s      *Server
	guard  *framing // nil under TLS and once hijacked
	owned  bool     // by net/http
	fresh  bool     // known to connState only
	closed atomic.Bool

	// Guarded by the server's mutex.
	counts         netip.Addr // for which [addresses] count it
	hijacked, gone bool
	newer, older   *conn
}

// tracked is what net/http is given, but for HTTP/2.
type tracked interface {
	base() *conn
	release() // somebody else than net/http has taken it over; nobody reads or writes
}

// newConn wraps nc, for which a slot was acquired, and a place for an address if
// that is valid.
func newConn(nc net.Conn, s *Server, counts netip.Addr) *conn {
	c := &conn{netConn: nc.(netConn), s: s, owned: true, counts: counts}
	s.connOpened(c)
	if s.cfg.TLS == nil {
		c.guard = new(framing)
	}
	return c
}

// Read hides nothing, but ends a connection whose requests are framed in two
// ways (HRD-17). net/http answers such an error with 400.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.netConn.Read(p)
	if c.guard != nil && n > 0 {
		if bad := c.guard.next(p[:n]); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

// writePiece is what WriteTimeout must suffice for.
const writePiece = 64 << 10

// Write gives each piece WriteTimeout: a slow link is not a stopped reader.
func (c *conn) Write(p []byte) (n int, err error) {
	if !c.owned {
		return c.netConn.Write(p)
	}
	for err == nil && n < len(p) {
		_ = c.SetWriteDeadline(time.Now().Add(c.s.cfg.WriteTimeout))
		var m int
		m, err = c.netConn.Write(p[n:min(len(p), n+writePiece)])
		n += m
	}
	return n, err
}

// ReadFrom copies through Write, for net/http would wait without end in sendfile.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if tcp, ok := c.netConn.(*net.TCPConn); ok && !c.owned {
		return tcp.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

func (c *conn) base() *conn { return c }

func (c *conn) release() { c.guard, c.owned = nil, false }

// Close closes the connection and frees its slot once.
func (c *conn) Close() error {
	err := c.netConn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.s.connClosed(c)
	}
	return err
}
