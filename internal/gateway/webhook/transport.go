package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

func checkURL(cfg config.Webhook) error {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil, u.Host == "", u.User != nil, u.Fragment != "", u.Scheme != "https" && u.Scheme != "http":
		return errURL // not err, which shows it
	case u.Scheme == "http" && !cfg.AllowHTTP:
		return errPlainURL
	}
	return nil
}

// idleTimeout is how long a connection is kept that nothing needs: less than the 5 s
// after which common servers (Node.js, uvicorn, Apache) close theirs. A request on a
// connection that is just being closed cannot be told from one that was handled.
const idleTimeout = 4 * time.Second

// newTransport is HTTP/1.1 only: there a connection that hangs harms one request, and
// is closed with it. Proxies of the environment are not used: the address that is
// dialed is the backend's.
func newTransport(cfg config.Webhook) (*http.Transport, error) {
	tlsConfig, err := tlsOf(cfg.TLS)
	dialer := &net.Dialer{Timeout: min(cfg.Timeout, 5*time.Second), KeepAlive: 15 * time.Second}
	if !cfg.AllowPrivate {
		dialer.ControlContext = refusePrivate
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    min(cfg.Timeout, 5*time.Second),
		Protocols:              &protocols,
		DisableCompression:     true,
		MaxIdleConns:           cfg.MaxConcurrent,
		MaxIdleConnsPerHost:    cfg.MaxConcurrent,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 32 << 10,
	}, err
}

func tlsOf(cfg config.HookTLS) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12} // HRD-80
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("tls.ca_file: no certificate in it")
		}
	}
	switch {
	case cfg.CertFile == "" && cfg.KeyFile == "":
	case cfg.CertFile == "" || cfg.KeyFile == "":
		return nil, errors.New("tls: cert_file and key_file need each other")
	default:
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file: %w", err)
		}
		c.GetClientCertificate = certificateOf(cfg, pair)
	}
	return c, nil
}

// certificateOf reads the certificate again for each connection, for it is renewed
// from time to time; while it cannot be read the last one that could counts.
func certificateOf(cfg config.HookTLS, first tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	var last atomic.Pointer[tls.Certificate]
	last.Store(&first)
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile); err == nil {
			last.Store(&pair)
		}
		return last.Load(), nil
	}
}

// refusePrivate looks at the address that is about to be dialed, when the name has
// been resolved: a name that means something else a moment later is of no use.
func refusePrivate(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !isPublic(at.Addr()) {
		return ErrAddress
	}
	return nil
}

// notPublic are networks that are no public addresses (IANA's registries of special
// ones), and tunnels that lead to IPv4 addresses.
var notPublic = func() (list []netip.Prefix) {
	for _, s := range []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/3",
		"::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
		"5f00::/16", "fc00::/7", "fe80::/9", "ff00::/8",
	} {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}()

// nat64 is how a network without IPv4 reaches an IPv4 address, which stands at the
// end (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// isPublic tells whether an address is neither of this machine, of a private network
// nor link-local, where metadata services are.
func isPublic(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	for _, p := range notPublic {
		if p.Contains(a) {
			return false
		}
	}
	return a.IsValid()
}
