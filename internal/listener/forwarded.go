package listener

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// forwarded puts what a trusted proxy says of the client in place of what the
// connection says (HRD-16): RemoteAddr from X-Forwarded-For, read from the right
// up to the first address that is not a proxy of ours; Host from
// X-Forwarded-Host, which the same-origin rule compares (HRD-13); URL.Scheme from
// X-Forwarded-Proto, "http" or "https". From anybody else, and without these
// headers, the request stays as it is, with an empty URL.Scheme. It tells whether
// RemoteAddr is now that of a client.
func (s *Server) forwarded(r *http.Request) (named bool) {
	r.URL.Scheme = "" // of an absolute request target: the client's word
	if !s.trustedPeer(r.RemoteAddr) {
		return false
	}
	client, named := s.client(r.Header["X-Forwarded-For"])
	if named {
		r.RemoteAddr = net.JoinHostPort(client.String(), "0")
	}
	if host := last(r.Header["X-Forwarded-Host"]); host != "" {
		r.Host = host
	}
	switch strings.ToLower(last(r.Header["X-Forwarded-Proto"])) {
	case "http", "ws": // one proxy says ws and wss for WebSocket requests
		r.URL.Scheme = "http"
	case "https", "wss":
		r.URL.Scheme = "https"
	}
	return named
}

// trustedPeer is trusted for the address of a connection.
func (s *Server) trustedPeer(remote string) bool {
	if s.unix() {
		return s.cfg.TrustUnix
	}
	peer, err := netip.ParseAddrPort(remote)
	return err == nil && s.trusted(peer.Addr())
}

func (s *Server) trusted(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// client walks the lists from the right. An entry that is no address ends the
// walk: nothing left of it can be believed.
func (s *Server) client(lists []string) (client netip.Addr, ok bool) {
	for i := len(lists) - 1; i >= 0; i-- {
		rest := lists[i]
		for more := true; more; {
			var entry string
			rest, entry, more = cutLast(rest)
			a, err := parseAddr(strings.TrimSpace(entry))
			if err != nil {
				return client, ok
			}
			client, ok = a, true
			if !s.trusted(a) {
				return client, ok
			}
		}
	}
	return client, ok
}

// cutLast splits "a, b, c" into "a, b" and " c".
func cutLast(list string) (rest, entry string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

// parseAddr accepts an address with or without a port.
func parseAddr(s string) (netip.Addr, error) {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), nil
	}
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	return a.Unmap().WithZone(""), err
}

// last is the entry that the nearest proxy added.
func last(lists []string) string {
	if len(lists) == 0 {
		return ""
	}
	_, entry, _ := cutLast(lists[len(lists)-1])
	return strings.TrimSpace(entry)
}
