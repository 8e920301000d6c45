package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

func TestIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.0.1": true, "100.128.0.1": true, "192.0.1.1": true,
		"2606:4700:4700::1111": true, "2a00::1": true, "64:ff9b::8.8.8.8": true, "::ffff:8.8.8.8": true,

		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.1.1": false, "169.254.169.254": false, "169.254.170.2": false, "100.64.0.1": false,
		"100.100.100.200": false, "192.0.0.192": false, "198.18.0.1": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::": false, "::1": false, "::127.0.0.1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false,
		"64:ff9b::127.0.0.1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "2001:0:1::1": false,
		"fc00::1": false, "fd00:ec2::254": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "ff02::1": false, "2001:db8::1": false,
	} {
		if got := isPublic(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address at all")
	}
}

// An address that is not allowed is not dialed, by whatever name.
func TestPrivateAddressesAreRefused(t *testing.T) {
	b := newBackend(t, says(`{}`))
	port := b.URL[strings.LastIndexByte(b.URL, ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]"} {
		h := b.hook(t, func(c *config.Webhook) { c.URL, c.AllowPrivate = "http://"+host+port, false })
		_, err := h.Call(context.Background(), connectedRequest())
		if !errors.Is(err, ErrAddress) {
			t.Errorf("%s: %v", host, err)
		}
		if s := h.Stats(); s.Retries != 0 || s.Circuit != Closed {
			t.Errorf("%s: %+v", host, s)
		}
	}
	if n := b.connections(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// Requests share connections: one after the other one, many at a time as many.
func TestConnectionsAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // net/http gives a connection up whose goroutine takes 50 ms to say that it has written
		b, h, end := inBubble(t, inTurn(status(404, "no"), status(500, "failed"), says(`{}`)), func(c *config.Webhook) { c.MaxConcurrent = 8 })
		defer end()
		for range 50 {
			_, _ = h.Call(context.Background(), eventRequest())
		}
		if n := b.connections(); n != 1 {
			t.Errorf("%d connections for one request at a time", n)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					if _, err := h.Call(context.Background(), eventRequest()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if n := b.connections(); n > 16 { // a connection may be dialed that another request does without
			t.Errorf("%d connections for 8 requests at a time", n)
		}
	})
}

// writePEM writes a certificate and its key to files.
func writePEM(t *testing.T, certificate []byte, key *ecdsa.PrivateKey) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: certificate}, keyFile: {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func copyOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "copy.pem")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// newCertificate signs itself, for 127.0.0.1, as server and as client.
func newCertificate(t *testing.T) (der []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{{127, 0, 0, 1}}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

func TestTLS(t *testing.T) {
	der, key := newCertificate(t)
	certFile, keyFile := writePEM(t, der, key)
	pool := x509.NewCertPool()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(certificate)
	start := func(version uint16) *backend {
		b := unstarted(says(`{}`))
		b.TLS = &tls.Config{
			Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
			ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: version, MaxVersion: version,
		}
		b.Config.ErrorLog = log.New(io.Discard, "", 0)
		b.StartTLS()
		t.Cleanup(b.Close)
		return b
	}
	b := start(tls.VersionTLS13)
	for _, test := range []struct {
		name string
		tls  config.HookTLS
		ok   bool
	}{
		{"own authority and certificate", config.HookTLS{CAFile: certFile, CertFile: certFile, KeyFile: keyFile}, true},
		{"authorities of the system", config.HookTLS{CertFile: certFile, KeyFile: keyFile}, false},
		{"no certificate", config.HookTLS{CAFile: certFile}, false},
	} {
		h := b.hook(t, func(c *config.Webhook) { c.AllowHTTP, c.TLS, c.Retries = false, test.tls, 0 })
		if _, err := h.Call(context.Background(), eventRequest()); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	mine, mineKey := copyOf(t, certFile), copyOf(t, keyFile)
	h := b.hook(t, func(c *config.Webhook) {
		c.TLS, c.Retries = config.HookTLS{CAFile: certFile, CertFile: mine, KeyFile: mineKey}, 0
	})
	call := func() error {
		h.transport.CloseIdleConnections()
		_, err := h.Call(context.Background(), eventRequest())
		return err
	}
	if err := os.Remove(mineKey); err != nil || call() != nil {
		t.Error("without its files for a moment:", err)
	}
	other, otherKey := newCertificate(t)
	otherFile, otherKeyFile := writePEM(t, other, otherKey)
	if err := errors.Join(os.Rename(otherFile, mine), os.Rename(otherKeyFile, mineKey)); err != nil || call() == nil {
		t.Error("a new certificate is not read:", err)
	}
	h = start(tls.VersionTLS11).hook(t, func(c *config.Webhook) {
		c.TLS = config.HookTLS{CAFile: certFile, CertFile: certFile, KeyFile: keyFile}
	})
	if _, err := h.Call(context.Background(), eventRequest()); err == nil {
		t.Error("TLS 1.1 is spoken") // HRD-80
	}
}

// A proxy of the environment does not come between.
func TestNoProxy(t *testing.T) {
	b := newBackend(t, says(`{}`))
	h := b.hook(t, nil)
	if h.transport.Proxy != nil {
		t.Error("there is one")
	}
}
