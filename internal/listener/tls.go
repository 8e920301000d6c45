package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TLSConfig names the files of a [TLS]. CertFile and KeyFile are required.
type TLSConfig struct {
	// CertFile is the certificate with its chain, KeyFile its private key, PEM.
	CertFile, KeyFile string
	// ClientCAFile holds the authorities of client certificates, PEM. If it is set,
	// clients must have one.
	ClientCAFile string
	// MinVersion is the lowest version; 0 means TLS 1.2, which is also the lowest
	// possible (HRD-80).
	MinVersion uint16
	// HTTP2 is offered besides HTTP/1.1. Clients that want a WebSocket ask for
	// HTTP/1.1 by themselves.
	HTTP2 bool
	// Logger gets new certificates and files that cannot be used. Nil means
	// slog.Default().
	Logger *slog.Logger
}

// TLS is a certificate that is read again when its files change (HRD-80). A
// handshake looks at the files, at most once a second. A new certificate is for
// new connections; while the files do not fit together, or cannot be read, the one
// before stays. It is safe for concurrent use.
type TLS struct {
	cfg     TLSConfig
	every   time.Duration // between two looks at the files
	current atomic.Pointer[tlsState]

	mu      sync.Mutex // guards the fields below and reading; who cannot have it goes on
	looked  time.Time
	seen    string // what the files of current looked like
	refused string // what those looked like that could not be used
}

// tlsState is what one reading of the files gave.
type tlsState struct {
	config  *tls.Config
	only1   *tls.Config // the same without HTTP/2
	expires time.Time
}

// LoadTLS reads the files for the first time; here an error is the caller's.
func LoadTLS(cfg TLSConfig) (*TLS, error) {
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	if cfg.MinVersion < tls.VersionTLS12 {
		return nil, errors.New("listener: TLS before 1.2 is not offered")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	t := &TLS{cfg: cfg, every: time.Second, looked: time.Now()}
	t.seen = t.look()
	state, err := t.read()
	if err != nil {
		return nil, fmt.Errorf("listener: %w", err)
	}
	t.current.Store(state)
	return t, nil
}

// Expires is the end of the certificate that is in use. Like a handshake it looks at
// the files.
func (t *TLS) Expires() time.Time {
	t.refresh()
	return t.current.Load().expires
}

// config is what connections begin with; the certificate comes with the handshake.
func (t *TLS) config(http2 bool) *tls.Config {
	return &tls.Config{
		MinVersion: t.cfg.MinVersion,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			t.refresh()
			state := t.current.Load()
			if http2 {
				return state.config, nil
			}
			return state.only1, nil
		},
	}
}

// refresh reads the files if they have changed. One caller does; the others take
// what there is.
func (t *TLS) refresh() {
	if !t.mu.TryLock() {
		return
	}
	defer t.mu.Unlock()
	if time.Since(t.looked) < t.every {
		return
	}
	t.looked = time.Now()
	files := t.look() // before reading, so that what changes meanwhile is read again
	if files == t.seen {
		return
	}
	state, err := t.read()
	if err != nil {
		if files != t.refused { // once, though it is tried again each time
			t.refused = files
			t.cfg.Logger.Error("listener: new certificate not used, the old one stays", "error", err)
		}
		return
	}
	t.seen, t.refused = files, ""
	t.current.Store(state)
	t.cfg.Logger.Info("listener: new certificate", "file", t.cfg.CertFile, "expires", state.expires)
}

// look tells files from those that replaced them, without reading.
func (t *TLS) look() string {
	var b strings.Builder
	for _, name := range []string{t.cfg.CertFile, t.cfg.KeyFile, t.cfg.ClientCAFile} {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %d\n", info.ModTime().UnixNano(), info.Size())
		} else {
			b.WriteString("none\n")
		}
	}
	return b.String()
}

func (t *TLS) read() (*tlsState, error) {
	pair, err := tls.LoadX509KeyPair(t.cfg.CertFile, t.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", t.cfg.CertFile, err)
	}
	c := &tls.Config{
		MinVersion:   t.cfg.MinVersion,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"},
	}
	if t.cfg.ClientCAFile != "" {
		pem, err := os.ReadFile(t.cfg.ClientCAFile)
		if err != nil {
			return nil, fmt.Errorf("client authorities: %w", err)
		}
		c.ClientCAs = x509.NewCertPool()
		if !c.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("client authorities %s: no certificate in it", t.cfg.ClientCAFile)
		}
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	state := &tlsState{config: c, only1: c, expires: pair.Leaf.NotAfter}
	if t.cfg.HTTP2 {
		state.config = c.Clone()
		state.config.NextProtos = []string{"h2", "http/1.1"}
	}
	return state, nil
}
