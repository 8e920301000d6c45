package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/listener"
)

// port is something to listen on.
type port struct {
	role    string
	address string
	server  *listener.Server
}

// ports are the listeners of the gateway, that of clients first.
type ports []port

const (
	clientsRole = "clients"
	adminRole   = "admin"
	off         = "off"
)

// makePorts makes the listeners that are configured; they do not listen yet.
func (g *Gateway) makePorts(cfg *config.Config, conns connections) error {
	proxies, unix, err := trustedProxies(cfg.Listen.TrustedProxies)
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(orText(cfg.Listen.UnixMode, "0660"), 8, 9)
	if err != nil {
		return fmt.Errorf("listen.unix_mode: %q are no permissions", cfg.Listen.UnixMode)
	}
	clients := listener.Config{
		Handler:        http.HandlerFunc(g.serveClients),
		MaxConns:       conns.clients,
		MaxPerAddress:  cfg.Listen.MaxPerAddress,
		TrustedProxies: proxies,
		TrustUnix:      unix,
		UnixMode:       fs.FileMode(mode),
		Exempt:         g.isNode,
		Shed:           true,
		Logger:         g.log,
	}
	if err := g.addPort(clientsRole, cfg.Listen.Address, clients, &cfg.Listen.TLS, cfg.Listen.HTTP2); err != nil {
		return err
	}
	if err := g.addPeers(cfg, conns); err != nil {
		return err
	}
	if !adminOn(cfg) {
		return nil
	}
	return g.addPort(adminRole, cfg.Admin.Address, listener.Config{
		Handler:  g.newAdmin(cfg),
		MaxConns: conns.admin,
		UnixMode: fs.FileMode(mode),
		Logger:   g.log,
	}, &cfg.Admin.TLS, true)
}

func adminOn(cfg *config.Config) bool { return cfg.Admin.Address != off && cfg.Admin.Address != "" }

func (g *Gateway) addPort(role, address string, lc listener.Config, files *config.TLS, http2 bool) error {
	var err error
	if lc.TLS, err = loadTLS(files, http2, g.log); err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	server, err := listener.New(lc)
	if err != nil {
		return err
	}
	g.ports = append(g.ports, port{role, address, server})
	return nil
}

// loadTLS returns nil if no certificate is configured.
func loadTLS(files *config.TLS, http2 bool, log *slog.Logger) (*listener.TLS, error) {
	if files.CertFile == "" && files.KeyFile == "" {
		return nil, nil
	}
	c := listener.TLSConfig{
		CertFile:     files.CertFile,
		KeyFile:      files.KeyFile,
		ClientCAFile: files.ClientCAFile,
		HTTP2:        http2,
		Logger:       log,
	}
	switch files.MinVersion {
	case "", "1.2":
	case "1.3":
		c.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("tls.min_version: %q is neither 1.2 nor 1.3", files.MinVersion)
	}
	return listener.LoadTLS(c)
}

// trustedProxies reads addresses and networks; "unix" stands for whoever connects
// to the unix socket.
func trustedProxies(list []string) (proxies []netip.Prefix, unix bool, err error) {
	for _, text := range list {
		if text == "unix" {
			unix = true
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, addrErr := netip.ParseAddr(text)
			if addrErr != nil {
				return nil, false, fmt.Errorf("listen.trusted_proxies: %q is neither an address nor a network", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		proxies = append(proxies, p.Masked())
	}
	return proxies, unix, nil
}

// start listens on all ports, or on those that systemd hands over.
func (p ports) start(_ *config.Config) error {
	given, err := activated()
	if err != nil {
		return err
	}
	for i := range p {
		if ln := given.take(p[i].role); ln != nil {
			p[i].server.StartOn(ln)
			continue
		}
		if err := p[i].server.Start(p[i].address); err != nil {
			return fmt.Errorf("%s: %w", p[i].role, err)
		}
	}
	return given.none()
}

// find returns the server of a role, nil if there is none.
func (p ports) find(role string) *listener.Server {
	for i := range p {
		if p[i].role == role {
			return p[i].server
		}
	}
	return nil
}

func (p ports) endpoints() []Endpoint {
	var list []Endpoint
	for i := range p {
		if p[i].server.Addr() != nil {
			list = append(list, Endpoint{p[i].role, p[i].server.URL()})
		}
	}
	return list
}

// shutdown ends all at once.
func (p ports) shutdown(ctx context.Context) error {
	ended := make(chan error, len(p))
	for i := range p {
		go func() { ended <- p[i].server.Shutdown(ctx) }() // ends with ctx
	}
	var errs []error
	for range p {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// tcpAddr is the address of a server, nil for a unix socket.
func tcpAddr(s *listener.Server) *net.TCPAddr {
	if s == nil {
		return nil
	}
	a, _ := s.Addr().(*net.TCPAddr)
	return a
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
