package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// writeCertificate writes a self-signed one for this machine and returns a client
// that trusts it.
func writeCertificate(t *testing.T, files config.TLS) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		files.CertFile: {Type: "CERTIFICATE", Bytes: der},
		files.KeyFile:  {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool}
}

// Polling, the upgrade and WebSocket over TLS, with HTTP/2 beside; the nodes of the
// cluster have a port of their own.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	trust := writeCertificate(t, files)
	g := start(t, testConfig(withRules, func(c *config.Config) {
		c.Listen.TLS, c.Admin.TLS, c.Node.PeerAddress = files, files, "127.0.0.1:0"
	}))
	big := strings.Repeat("x", 300_000)
	for _, transports := range [][]string{{client.Polling}, {client.WebSocket}, nil} {
		heard := make(chan string, 10)
		s := g.dial("/", client.Options{TLS: trust, Transports: transports}, hears("say", heard))
		for _, text := range []string{"hello", big, "again"} {
			if err := s.Emit(t.Context(), "say", text); err != nil {
				t.Fatal(err)
			}
			if got := next(t, heard); got != text {
				t.Errorf("%v: %d bytes, want %d", transports, len(got), len(text))
			}
		}
		s.Close()
	}
	p := new(http.Protocols)
	p.SetHTTP2(true)
	tr := &http.Transport{TLSClientConfig: trust, Protocols: p}
	defer tr.CloseIdleConnections()
	overHTTP2 := http2Polling{tr: tr, t: t}
	heard := make(chan string, 10)
	s := g.dial("/", client.Options{TLS: trust, Transports: []string{client.Polling}, RoundTripper: overHTTP2}, hears("say", heard))
	if err := s.Emit(t.Context(), "say", big); err != nil {
		t.Fatal(err)
	}
	next(t, heard)
	if status, _ := get(t, g.url(peersRole)+"/socket.io/?EIO=4&transport=polling"); status != 404 {
		t.Error("a client on the port of nodes:", status)
	}
	if !strings.HasPrefix(g.url(adminRole), "https://") {
		t.Error(g.url(adminRole))
	}
}

// http2Polling tells if it is not HTTP/2.
type http2Polling struct {
	tr *http.Transport
	t  *testing.T
}

func (p http2Polling) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := p.tr.RoundTrip(r)
	if err == nil && res.ProtoMajor != 2 {
		p.t.Error("polling over", res.Proto)
	}
	return res, err
}

// A unix socket is a listener like the others.
func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	g := start(t, testConfig(withRules, func(c *config.Config) {
		c.Listen.Address, c.Listen.UnixMode = "unix:"+path, "0600"
	}))
	if got := g.url(clientsRole); got != "unix:"+path {
		t.Error(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	heard := make(chan string, 1)
	s, err := client.Dial(ctx, "http://gateway/", client.Options{
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}, hears("say", heard))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Emit(t.Context(), "say", "hello"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, heard); got != "hello" {
		t.Error(got)
	}
}

func TestBestAddress(t *testing.T) {
	list := func(texts ...string) (all []net.Addr) {
		for _, text := range texts {
			ip, n, err := net.ParseCIDR(text)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &net.IPNet{IP: ip, Mask: n.Mask})
		}
		return all
	}
	for want, from := range map[string][]net.Addr{
		"10.0.0.7":    list("127.0.0.1/8", "::1/128", "fe80::1/64", "2001:db8::1/64", "10.0.0.7/24", "10.1.0.7/24"),
		"2001:db8::1": list("127.0.0.1/8", "fe80::1/64", "2001:db8::1/64"),
		"127.0.0.1":   list("127.0.0.1/8", "169.254.0.1/16"),
	} {
		if got := best(from).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if best(nil).IsValid() {
		t.Error("an address of nothing")
	}
}

func TestShareOut(t *testing.T) {
	for _, possible := range []int{1, 64, 192, 768, 1 << 20} {
		c := shareOut(0, possible)
		if c.clients < 1 || c.admin < 1 || c.forwarded < 1 || possible > 8 && c.clients+c.forwarded > possible {
			t.Errorf("%d: %+v", possible, c)
		}
	}
	if c := shareOut(7, 1000); c.clients != 7 {
		t.Errorf("%+v", c)
	}
}
