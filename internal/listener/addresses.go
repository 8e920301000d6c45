package listener

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// addresses counts what each address has open (HRD-14). An IPv6 client has a whole
// network of 64 bits, which counts as one address. Nil counts nothing.
type addresses struct {
	limit int

	mu   sync.Mutex // guards the field below
	open map[netip.Addr]int
}

func newAddresses(limit int) *addresses {
	if limit <= 0 {
		return nil
	}
	return &addresses{limit: limit, open: map[netip.Addr]int{}}
}

// site is the address that stands for a.
func site(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// acquire counts one more of a [site], unless that has all it may have.
func (l *addresses) acquire(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.open[a]
	if n >= l.limit {
		return false
	}
	l.open[a] = n + 1
	return true
}

func (l *addresses) release(a netip.Addr) {
	if !a.IsValid() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.open[a]; n > 1 {
		l.open[a] = n - 1
	} else {
		delete(l.open, a)
	}
}

// peerOf is the address of a TCP connection, not valid for others.
func peerOf(nc net.Conn) netip.Addr {
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}

// countable is the site for which a new connection counts; not valid for the
// connections of trusted proxies, where each request counts for its client.
func (s *Server) countable(nc net.Conn) netip.Addr {
	if s.perAddress == nil {
		return netip.Addr{}
	}
	peer := peerOf(nc)
	if !peer.IsValid() || s.trusted(peer) || s.cfg.Exempt != nil && s.cfg.Exempt(peer.Unmap()) {
		return netip.Addr{}
	}
	return site(peer)
}

// connKey finds the connection of a request, where somebody needs it.
type connKey struct{}

func withConn(ctx context.Context, nc net.Conn) context.Context {
	if t, ok := nc.(tracked); ok {
		return context.WithValue(ctx, connKey{}, t.base())
	}
	return ctx
}

// countClient counts a request that a proxy brings for its client, until the
// function that it returns is called, after the handler; one that was hijacked
// counts until its connection ends. It returns false for one too many.
func (s *Server) countClient(r *http.Request) (done func(), ok bool) {
	client, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return func() {}, true
	}
	a := site(client.Addr())
	if !s.perAddress.acquire(a) {
		return nil, false
	}
	c, _ := r.Context().Value(connKey{}).(*conn)
	return func() {
		if c == nil || !s.keepFor(c, a) {
			s.perAddress.release(a)
		}
	}, true
}

// keepFor makes a hijacked connection count for a until it is closed; false if it
// is not hijacked, or closed already.
func (s *Server) keepFor(c *conn, a netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.gone || !c.hijacked {
		return false
	}
	c.counts = a
	return true
}
