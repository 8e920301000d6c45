package listener

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// conn is an accepted connection. It counts for the cap until it is closed,
// whoever closes it. As long as net/http owns it, it watches the framing of
// requests and the progress of answers; who hijacks it gets a plain TCP
// connection, descriptor (SyscallConn) included.
type conn struct {
	*net.TCPConn
	s      *Server
	guard  *framing // nil once hijacked
	fresh  bool     // known to connState only
	closed atomic.Bool
}

// newConn wraps nc, for which a slot was acquired.
func newConn(nc net.Conn, s *Server) net.Conn {
	s.connOpened()
	return &conn{TCPConn: nc.(*net.TCPConn), s: s, guard: new(framing)}
}

// Read hides nothing, but ends a connection whose requests are framed in two
// ways (HRD-17). net/http answers such an error with 400.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
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
	if c.guard == nil {
		return c.TCPConn.Write(p)
	}
	for err == nil && n < len(p) {
		_ = c.SetWriteDeadline(time.Now().Add(c.s.cfg.WriteTimeout))
		var m int
		m, err = c.TCPConn.Write(p[n:min(len(p), n+writePiece)])
		n += m
	}
	return n, err
}

// ReadFrom copies through Write, for net/http would wait without end in sendfile.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	if c.guard == nil {
		return c.TCPConn.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

// release is called when somebody else than net/http takes the connection over;
// nobody reads or writes at that moment.
func (c *conn) release() { c.guard = nil }

// Close closes the connection and frees its slot once.
func (c *conn) Close() error {
	err := c.TCPConn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.s.connClosed()
	}
	return err
}
