package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/listener"
)

// peersRole is the port for the other nodes alone.
const peersRole = "peers"

// servePeers passes on what nodes hand on to each other, and nothing else.
func (g *Gateway) servePeers(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Fanwire-Hop") == "" {
		http.NotFound(w, r)
		return
	}
	g.node.ServeHTTP(w, r)
}

// advertise tells the other nodes where they reach this one, unless that is
// configured, or there are none.
func (g *Gateway) advertise(cfg *config.Config) error {
	if cfg.Node.Advertise != "" || g.broker.embedded != nil || cfg.Redis.Adapter == "none" {
		return nil
	}
	port := tcpAddr(g.ports.find(peersRole))
	if port == nil && cfg.Listen.TLS.CertFile == "" {
		port = tcpAddr(g.ports.find(clientsRole))
	}
	if port == nil {
		g.log.Warn("other nodes cannot hand requests on to this one: set node.advertise or node.peer_address, or use a sticky balancer")
		return nil
	}
	host := port.IP.String()
	if port.IP.IsUnspecified() {
		if host = machineAddress(cfg.Redis.Addresses); host == "" {
			g.log.Warn("this machine has no address: other nodes cannot hand requests on to this one; set node.advertise")
			return nil
		}
	}
	address := "http://" + net.JoinHostPort(host, strconv.Itoa(port.Port))
	g.log.Info("other nodes reach this one here", "address", address)
	return g.node.Advertise(address)
}

// machineAddress is the address from which this machine reaches Redis, for there the
// other nodes are as well; where Redis is on this machine, that of its first
// interface. It is empty if there is none.
func machineAddress(redis []string) string {
	for _, address := range redis {
		if u, err := url.Parse(address); err == nil && u.Host != "" {
			address = u.Host
		}
		if a := towards(address); a.IsValid() && !a.IsLoopback() {
			return a.String()
		}
	}
	if list, err := net.InterfaceAddrs(); err == nil {
		if a := best(list); a.IsValid() {
			return a.String()
		}
	}
	return ""
}

// towards is the local address of a way to another one. Nothing is sent but what it
// takes to look its name up, for 2 s at most.
func towards(address string) netip.Addr {
	c, err := (&net.Dialer{Timeout: 2 * time.Second}).Dial("udp", address)
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

// best prefers IPv4 to IPv6, and both to the addresses of this machine alone.
func best(list []net.Addr) netip.Addr {
	var found netip.Addr
	for _, entry := range list {
		n, ok := entry.(*net.IPNet)
		if !ok {
			continue
		}
		a, ok := netip.AddrFromSlice(n.IP)
		if a = a.Unmap(); !ok || a.IsLinkLocalUnicast() {
			continue
		}
		if !found.IsValid() || worth(a) > worth(found) {
			found = a
		}
	}
	return found
}

func worth(a netip.Addr) int {
	switch {
	case a.IsLoopback():
		return 0
	case a.Is6():
		return 1
	}
	return 2
}

// isNode tells whether an address is that of a node of the cluster. Nodes bring the
// requests of many clients, who were counted where they came in.
func (g *Gateway) isNode(a netip.Addr) bool {
	for _, n := range g.node.Nodes() {
		u, err := url.Parse(n.Address)
		if err != nil {
			continue
		}
		if host, err := netip.ParseAddr(u.Hostname()); err == nil && host.Unmap() == a {
			return true
		}
	}
	return false
}

// addPeers makes the port for the other nodes, if one is configured.
func (g *Gateway) addPeers(cfg *config.Config, conns connections) error {
	if cfg.Node.PeerAddress == "" {
		return nil
	}
	return g.addPort(peersRole, cfg.Node.PeerAddress, listener.Config{
		Handler:  http.HandlerFunc(g.servePeers),
		MaxConns: conns.forwarded,
		Logger:   g.log,
	}, &config.TLS{}, false)
}
