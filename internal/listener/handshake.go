package listener

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// secureConn is HTTP/1.1 under TLS. net/http takes it for a connection of its
// caller's, so that the framing of requests can be watched above TLS as well.
// HTTP/2, which has one framing only, goes to net/http as the *tls.Conn itself.
type secureConn struct {
	*tls.Conn
	raw   *conn
	guard *framing // nil once hijacked
}

// Read is that of [conn], above TLS.
func (c *secureConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.guard != nil && n > 0 {
		if bad := c.guard.next(p[:n]); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

func (c *secureConn) base() *conn { return c.raw }

func (c *secureConn) release() {
	c.guard = nil
	c.raw.release()
}

// shakeHands takes connections until the end of the listener and hands those on
// whose handshake is done.
func (a *acceptor) shakeHands() {
	for {
		c, err := a.next()
		if err != nil {
			return
		}
		a.wg.Go(func() { a.secure(c) }) // ends within ReadHeaderTimeout
	}
}

// secure does the handshake of a connection. While that lasts the connection is a
// fresh one, which Shutdown closes.
func (a *acceptor) secure(c *conn) {
	if !a.s.hold(c) {
		_ = c.Close()
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(a.s.cfg.ReadHeaderTimeout))
	tc := tls.Server(c, a.config)
	if err := tc.HandshakeContext(a.s.ctx); err != nil {
		a.s.handshakeFailed(c, err)
		return
	}
	_ = c.SetReadDeadline(time.Time{})
	var ready net.Conn = &secureConn{Conn: tc, raw: c, guard: new(framing)}
	if tc.ConnectionState().NegotiatedProtocol == "h2" {
		a.s.letGo(c) // net/http ends it in its own way
		ready = tc
	}
	select {
	case a.ready <- ready:
	case <-a.closed:
		a.s.letGo(c)
		_ = c.Close()
	}
}

// handshakeFailed ends a connection. Who speaks HTTP on this port is told so.
func (s *Server) handshakeFailed(c *conn, err error) {
	s.tlsErrors.Add(1)
	s.cfg.Logger.Debug("listener: TLS handshake", "remote", c.RemoteAddr().String(), "error", err)
	var notTLS tls.RecordHeaderError
	if errors.As(err, &notTLS) && notTLS.Conn != nil && looksLikeHTTP(string(notTLS.RecordHeader[:])) {
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"+
			"Content-Length: 24\r\n\r\nThis port speaks HTTPS.\n")
	}
	s.letGo(c)
	_ = c.Close()
}

func looksLikeHTTP(start string) bool {
	switch start {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// hold makes c a fresh connection; false if the server stops.
func (s *Server) hold(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	s.fresh[c] = struct{}{}
	return true
}

func (s *Server) letGo(c *conn) {
	s.mu.Lock()
	delete(s.fresh, c)
	s.mu.Unlock()
}
