package servecmd

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// Health is the command `fanwire health`, for kong: the health check of an image without
// a shell. Make it with [NewHealth].
type Health struct {
	Flags   `embed:""`
	Ready   bool          `help:"Ask whether it should get new clients (/readyz), not just whether it lives (/healthz)."`
	Timeout time.Duration `help:"How long it may take." default:"3s" placeholder:"DURATION"`
}

// NewHealth returns the command with a flag for every setting.
func NewHealth() Health { return Health{Flags: NewFlags()} }

// Run asks the node that serves with the same configuration on this machine, and prints
// one line. Every other answer than 200, and none within the timeout, is an error.
// What is wrong with the configuration besides the addresses does not matter: a node
// goes on with what it has read before.
func (c *Health) Run(ctx context.Context, out io.Writer) error {
	if c.Timeout <= 0 {
		return errors.New("--timeout: must be more than 0")
	}
	cfg, unread := config.Peek(c.sources(nil))
	p, err := findPort(cfg)
	if err != nil {
		return aside(err, unread)
	}
	path := "/healthz"
	if c.Ready {
		path = "/readyz"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("no answer within %v", c.Timeout))
	defer cancel()
	if err := p.ask(ctx, path); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return aside(fmt.Errorf("%s%s: %w", p.name, path, err), unread)
	}
	_, err = fmt.Fprintf(out, "%s%s: ok\n", p.name, path)
	return err
}

// aside adds what could not be read of the configuration, which may be the reason, on
// the same line.
func aside(err, unread error) error {
	if unread == nil {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(strings.Fields(unread.Error()), " "))
}

// healthPort is a port of a node on this machine.
type healthPort struct {
	name    string   // for people
	network string   // tcp or unix
	dial    []string // addresses, the first that takes the connection counts
	tls     *config.TLS
}

// findPort prefers the admin listener, which says why a node is not ready. Where it is
// off, or asks for certificates of clients and the other does not, it is the one of
// clients.
func findPort(cfg *config.Config) (healthPort, error) {
	admin, clients := cfg.Admin.Address, cfg.Listen.Address
	if admin != "" && admin != "off" && (cfg.Admin.TLS.ClientCAFile == "" || cfg.Listen.TLS.ClientCAFile != "") {
		return portAt("admin.address", admin, &cfg.Admin.TLS)
	}
	return portAt("listen.address", clients, &cfg.Listen.TLS)
}

func portAt(setting, address string, files *config.TLS) (healthPort, error) {
	p := healthPort{name: "http://" + address, network: "tcp", dial: []string{address}}
	if files.CertFile != "" {
		p.tls, p.name = files, "https://"+address
	}
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		p.name, p.network, p.dial = address+" ", "unix", []string{path}
		return p, nil
	}
	host, port, err := net.SplitHostPort(address)
	switch {
	case err != nil:
		return p, fmt.Errorf("%s: %w", setting, err)
	case port == "0":
		return p, fmt.Errorf("%s: with port 0 nobody knows where the node listens", setting)
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		p.dial = []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
		p.name = strings.Replace(p.name, address, p.dial[0], 1)
	}
	return p, nil
}

// ask is nil for the answer 200.
func (p *healthPort) ask(ctx context.Context, path string) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.connect(ctx) },
	}
	scheme := "http"
	if p.tls != nil {
		scheme = "https"
		// It is this machine, and nothing is told: whose names the certificate has, and
		// whether it is still valid, is not the question here. Who asks for a certificate
		// gets the node's own.
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, GetClientCertificate: p.certificate}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost"+path, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req) // without the client's redirects and proxies
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status + causes(body))
	}
	return err
}

func (p *healthPort) certificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.tls.CertFile, p.tls.KeyFile)
	return &c, err
}

func (p *healthPort) connect(ctx context.Context) (net.Conn, error) {
	var errs []error
	for _, address := range p.dial {
		conn, err := new(net.Dialer).DialContext(ctx, p.network, address)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errs[0] // the others are tried for machines without the first kind of address
}

// causes is what an admin listener says about a node that is not ready.
func causes(body []byte) string {
	var answer struct{ Causes []string }
	if json.Unmarshal(body, &answer) != nil || len(answer.Causes) == 0 {
		return ""
	}
	return ": " + strings.Join(answer.Causes, "; ")
}
