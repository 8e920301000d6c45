package listener

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// certificate is a self-signed one for 127.0.0.1, which is its own authority.
func certificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// tlsFiles writes certificates where a TLS reads them.
type tlsFiles struct {
	cert, key string
	writes    int
}

func newTLSFiles(t *testing.T, name string) *tlsFiles {
	dir := t.TempDir()
	f := &tlsFiles{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	f.write(t, name)
	return f
}

func (f *tlsFiles) write(t *testing.T, name string) {
	t.Helper()
	cert, key := certificate(t, name)
	f.put(t, f.cert, cert)
	f.put(t, f.key, key)
}

// put writes a file that looks new, however coarse the clock of files is.
func (f *tlsFiles) put(t *testing.T, name string, data []byte) {
	t.Helper()
	f.writes++
	at := time.Now().Add(time.Duration(f.writes) * time.Second)
	if err := errors.Join(os.WriteFile(name, data, 0o600), os.Chtimes(name, at, at)); err != nil {
		t.Fatal(err)
	}
}

func (f *tlsFiles) load(t *testing.T, change func(*TLSConfig)) *TLS {
	t.Helper()
	cfg := TLSConfig{CertFile: f.cert, KeyFile: f.key, Logger: quiet()}
	if change != nil {
		change(&cfg)
	}
	loaded, err := LoadTLS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	loaded.every = 0
	return loaded
}

// trusting is a client that trusts whatever is in the file now.
func (f *tlsFiles) trusting(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := os.ReadFile(f.cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return &tls.Config{RootCAs: pool}
}

func dialTLS(t *testing.T, s *Server, cfg *tls.Config) (*tls.Conn, error) {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: cfg}
	c, err := d.DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*tls.Conn), nil
}

// over tells which protocol and what of TLS the handler saw.
func over(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil {
		_, _ = io.WriteString(w, "no TLS")
		return
	}
	_, _ = io.WriteString(w, r.Proto)
}

func get(t *testing.T, cfg *tls.Config, http2 bool, url string) (*http.Response, string) {
	t.Helper()
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetHTTP2(http2)
	tr := &http.Transport{TLSClientConfig: cfg, Protocols: p}
	defer tr.CloseIdleConnections()
	res, err := (&http.Client{Transport: tr, Timeout: patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// HRD-80: HTTP/1.1 and, where it is wanted, HTTP/2; the handler sees TLS.
func TestTLS(t *testing.T) {
	f := newTLSFiles(t, "a")
	for _, http2 := range []bool{false, true} {
		s := startServer(t, Config{Handler: http.HandlerFunc(over), TLS: f.load(t, func(c *TLSConfig) { c.HTTP2 = http2 })})
		if !strings.HasPrefix(s.URL(), "https://127.0.0.1:") {
			t.Error(s.URL())
		}
		if _, body := get(t, f.trusting(t), false, s.URL()); body != "HTTP/1.1" {
			t.Errorf("http2 %v: HTTP/1.1 is %q", http2, body)
		}
		if http2 {
			if _, body := get(t, f.trusting(t), true, s.URL()); body != "HTTP/2.0" {
				t.Errorf("HTTP/2 is %q", body)
			}
		}
		eventually(t, "no connection left", func() bool { return s.Stats().Open == 0 })
		old := f.trusting(t)
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		if _, err := dialTLS(t, s, old); err == nil {
			t.Error("TLS 1.1")
		}
		eventually(t, "the failure is counted", func() bool { return s.Stats().TLSErrors == 1 })
	}
}

// Two framings are refused under TLS too (HRD-17), and HTTP is told where it is.
func TestTLSRefusals(t *testing.T) {
	f := newTLSFiles(t, "a")
	s := startServer(t, Config{TLS: f.load(t, nil)})
	c, err := dialTLS(t, s, f.trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na")
	if res, _ := answer(t, c); res.StatusCode != http.StatusBadRequest {
		t.Error(res.Status)
	}
	plain := dial(t, s)
	send(t, plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, body := answer(t, plain); res.StatusCode != http.StatusBadRequest || !strings.Contains(body, "HTTPS") {
		t.Error(res.Status, body)
	}
	for _, junk := range []string{"\x16\x03\x01\xff\xff", "\x16\x03\x01\x00\x05hello", "x", strings.Repeat("\x00", 1000)} {
		c := dial(t, s)
		send(t, c, junk)
		_ = c.(*net.TCPConn).CloseWrite()
		ended(t, c)
	}
	eventually(t, "no connection left", func() bool { return s.Stats().Open <= 1 })
}

// Who is silent in the handshake is closed like who is silent in the headers, and
// does not hold the stop up.
func TestTLSSilence(t *testing.T) {
	f := newTLSFiles(t, "a")
	s := startServer(t, Config{ReadHeaderTimeout: 100 * time.Millisecond, TLS: f.load(t, nil)})
	ended(t, dial(t, s))
	slow := newServer(t, Config{ReadHeaderTimeout: time.Hour, TLS: f.load(t, nil)})
	if err := slow.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	dial(t, slow)
	eventually(t, "it is there", func() bool { return slow.Stats().Open == 1 })
	begun := time.Now()
	shutdown(t, slow)
	if took := time.Since(begun); took > patience/2 {
		t.Error("the stop took", took)
	}
}

// Over the cap the answer comes over TLS as well.
func TestTLSRefusesOverTheCap(t *testing.T) {
	f := newTLSFiles(t, "a")
	s := startServer(t, Config{MaxConns: 1, TLS: f.load(t, func(c *TLSConfig) { c.HTTP2 = true })})
	dial(t, s)
	eventually(t, "the slot is taken", func() bool { return s.Stats().Open == 1 })
	if res, _ := get(t, f.trusting(t), false, s.URL()); res.StatusCode != http.StatusServiceUnavailable {
		t.Error(res.Status)
	}
}

// A hijacked connection under TLS is the caller's, both ways.
func TestTLSHijack(t *testing.T) {
	f := newTLSFiles(t, "a")
	s := startServer(t, Config{TLS: f.load(t, nil), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			defer c.Close()
			line, _ := rw.ReadString('\n')
			_, _ = io.WriteString(c, line)
		}()
	})})
	c, err := dialTLS(t, s, f.trusting(t))
	if err != nil {
		t.Fatal(err)
	}
	// What follows looks like a request in two framings, and is none.
	send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	send(t, c, "Content-Length: 1, Content-Length: 2\n")
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, "Content-Length") {
		t.Error(line, err)
	}
}

// logged collects what a logger writes.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// HRD-80: a new certificate is taken without a restart, old connections stay, and
// a broken one changes nothing but the log.
func TestTLSReload(t *testing.T) {
	f := newTLSFiles(t, "first")
	var log logged
	certs := f.load(t, func(c *TLSConfig) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s := startServer(t, Config{TLS: certs})
	first := f.trusting(t)
	name := func(cfg *tls.Config) string {
		t.Helper()
		c, err := dialTLS(t, s, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return c.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	old, err := dialTLS(t, s, first)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(f.cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "nonsense", string(cert[:len(cert)/2])} {
		f.put(t, f.cert, []byte(bad))
		for range 3 {
			if got := name(first); got != "first" {
				t.Errorf("%q: %s", bad, got)
			}
		}
	}
	if n := log.count("the old one stays"); n != 3 {
		t.Errorf("3 broken files are said %d times", n)
	}
	f.write(t, "second")
	name(f.trusting(t))
	if got := name(f.trusting(t)); got != "second" || log.count("new certificate\"") != 1 {
		t.Error(got, log.text.String())
	}
	if expires := s.Stats().CertificateExpires; expires.Before(time.Now()) || expires != certs.Expires() {
		t.Error(expires)
	}
	send(t, old, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if res, _ := answer(t, old); res.StatusCode != http.StatusOK {
		t.Error(res.Status)
	}
}

// Client certificates, where authorities are named.
func TestTLSClientCertificates(t *testing.T) {
	f, own := newTLSFiles(t, "server"), newTLSFiles(t, "client")
	s := startServer(t, Config{
		Handler: http.HandlerFunc(over),
		TLS:     f.load(t, func(c *TLSConfig) { c.ClientCAFile = own.cert }),
	})
	with := f.trusting(t)
	pair, err := tls.LoadX509KeyPair(own.cert, own.key)
	if err != nil {
		t.Fatal(err)
	}
	with.Certificates = []tls.Certificate{pair}
	if _, body := get(t, with, false, s.URL()); body != "HTTP/1.1" {
		t.Error(body)
	}
	tr := &http.Transport{TLSClientConfig: f.trusting(t)}
	defer tr.CloseIdleConnections()
	if res, err := (&http.Client{Transport: tr, Timeout: patience}).Get(s.URL()); err == nil {
		t.Error("without a certificate:", res.Status)
	}
}

func TestLoadTLSErrors(t *testing.T) {
	f := newTLSFiles(t, "a")
	for want, cfg := range map[string]TLSConfig{
		"no such file":       {CertFile: f.cert + "x", KeyFile: f.key},
		"before 1.2":         {CertFile: f.cert, KeyFile: f.key, MinVersion: tls.VersionTLS11},
		"client authorities": {CertFile: f.cert, KeyFile: f.key, ClientCAFile: f.key},
	} {
		if _, err := LoadTLS(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// HTTP/2 requests that are under way end before Shutdown does.
func TestTLSShutdownHTTP2(t *testing.T) {
	f := newTLSFiles(t, "a")
	began, end := make(chan struct{}), make(chan struct{})
	s := newServer(t, Config{
		TLS: f.load(t, func(c *TLSConfig) { c.HTTP2 = true }),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(began)
			<-end
			_, _ = io.WriteString(w, "done")
		}),
	})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	body := make(chan string, 1)
	go func() {
		_, text := get(t, f.trusting(t), true, s.URL())
		body <- text
	}()
	<-began
	go func() {
		<-s.served
		close(end)
	}()
	shutdown(t, s)
	if got := <-body; got != "done" {
		t.Error(got)
	}
}
