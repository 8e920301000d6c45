package servecmd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// startNode starts a node and returns where each role listens: host:port.
func startNode(t *testing.T, change func(*config.Config)) map[string]string {
	t.Helper()
	cfg := config.Defaults()
	cfg.Listen.Address, cfg.Admin.Address = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Drain.Delay, cfg.Drain.Spread = 0, 0
	change(cfg)
	g, err := gateway.New(cfg, gateway.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := make(map[string]string)
	for _, e := range g.Endpoints() {
		u, err := url.Parse(e.URL)
		if err != nil {
			t.Fatal(err)
		}
		at[e.Role] = u.Host
	}
	return at
}

// ask runs `fanwire health` and compares its one line.
func ask(t *testing.T, wantErr bool, want string, args ...string) {
	t.Helper()
	out, err := run(t, append([]string{"health", "--timeout=1m"}, args...)...)
	line := strings.TrimSuffix(out, "\n")
	if err != nil {
		line = err.Error()
	}
	if wantErr != (err != nil) || err != nil && out != "" || !strings.Contains(line, want) || strings.Contains(line, "\n") {
		t.Errorf("%v: %q, error %v, want %q", args, out, err, want)
	}
}

func TestHealth(t *testing.T) {
	at := startNode(t, func(*config.Config) {})
	admin, clients := at["admin"], at["clients"]
	_, port, err := net.SplitHostPort(admin)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, false, "http://"+admin+"/healthz: ok", "--admin.address="+admin)
	// In an image all interfaces are listened on; what is asked is this machine.
	ask(t, false, "http://127.0.0.1:"+port+"/healthz: ok", "--admin.address=:"+port)
	ask(t, false, "http://127.0.0.1:"+port+"/healthz: ok", "--admin.address=[::]:"+port)
	ask(t, false, "http://"+clients+"/healthz: ok", "--admin.address=off", "--listen.address="+clients)

	// The file and the environment are those of the node.
	ask(t, false, admin+"/healthz: ok", "--config="+write(t, "admin: {address: \""+admin+"\"}\n"))
	t.Setenv("FANWIRE_ADMIN_ADDRESS", admin)
	ask(t, false, admin+"/healthz: ok")
	// A proxy is not for this machine.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	ask(t, false, admin+"/healthz: ok")
	// The node goes on with what it has read, whatever the file has become since.
	broken := write(t, "redis: {mode: odd, nonsense: 1}\nadmin: {address: \""+admin+"\"}\n")
	ask(t, false, admin+"/healthz: ok", "--config="+broken)
	ask(t, true, "connection refused (1 problem in the configuration: "+broken+":1: redis.nonsense", "--config="+broken, "--admin.address=127.0.0.1:1")
}

func TestHealthReady(t *testing.T) {
	at := startNode(t, func(c *config.Config) { c.Redis.Addresses = []string{"127.0.0.1:1"} })
	ask(t, false, "/healthz: ok", "--admin.address="+at["admin"])
	ask(t, true, "/readyz: 503 Service Unavailable: ", "--ready", "--admin.address="+at["admin"])
	ask(t, true, "/readyz: 503 Service Unavailable", "--ready", "--admin.address=off", "--listen.address="+at["clients"])
}

func TestHealthUnix(t *testing.T) {
	path := "unix:" + filepath.Join(t.TempDir(), "admin")
	startNode(t, func(c *config.Config) { c.Admin.Address = path })
	ask(t, false, path+" /healthz: ok", "--admin.address="+path)
}

// With certificates for other names, and for clients too.
func TestHealthTLS(t *testing.T) {
	dir := t.TempDir()
	files := config.TLS{CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	writePair(t, files)
	strict := files
	strict.ClientCAFile = files.CertFile
	flags := func(section string, of config.TLS, address string) []string {
		return []string{
			"--" + section + ".address=" + address,
			"--" + section + ".tls.cert_file=" + of.CertFile,
			"--" + section + ".tls.key_file=" + of.KeyFile,
			"--" + section + ".tls.client_ca_file=" + of.ClientCAFile,
		}
	}
	at := startNode(t, func(c *config.Config) { c.Listen.TLS, c.Admin.TLS = files, strict })
	ask(t, false, "https://"+at["clients"]+"/healthz: ok", append(flags("listen", files, at["clients"]), flags("admin", strict, at["admin"])...)...)
	// Where both want one, the node's own is tried.
	both := startNode(t, func(c *config.Config) { c.Listen.TLS, c.Admin.TLS = strict, strict })
	ask(t, false, "https://"+both["admin"]+"/healthz: ok", append(flags("listen", strict, both["clients"]), flags("admin", strict, both["admin"])...)...)
}

func TestHealthWithoutAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ask(t, true, "/healthz: no answer within 20ms", "--timeout=20ms", "--admin.address="+silent.Addr().String())
	ask(t, true, "port 0", "--admin.address=127.0.0.1:0")
	ask(t, true, "--timeout", "--timeout=0s")
}

// writePair writes a certificate for a name that this machine does not have, which can
// also stand for a client and its own authority.
func writePair(t *testing.T, files config.TLS) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		DNSNames:     []string{"node.example"},
		IsCA:         true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		files.CertFile: {Type: "CERTIFICATE", Bytes: cert},
		files.KeyFile:  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
