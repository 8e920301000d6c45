package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const testSecret = "0123456789abcdef0123456789abcdef"

// patience bounds every wait in tests. Nothing waits for it to pass.
const patience = time.Minute

// start is when the clocks of tests begin: on a whole second.
var start = time.Unix(1_800_000_000, 0).UTC()

// clock is a wall clock that is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: start} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) step(d time.Duration) {
	c.mu.Lock()
	c.at = c.at.Add(d)
	c.mu.Unlock()
}

// keys of the tests, made once: RSA ones take a while.
var (
	rsaKey     = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSA   = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey      = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ed25519Key = sync.OnceValue(func() ed25519.PrivateKey {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return must(k, err)
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// signer signs the text of a token, by hand: the tests share no code with what
// they test.
type signer func(text string) []byte

func hs256(secret string) signer {
	return func(text string) []byte {
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = io.WriteString(mac, text)
		return mac.Sum(nil)
	}
}

func rs256(k *rsa.PrivateKey) signer {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		return must(rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:]))
	}
}

func es256(k *ecdsa.PrivateKey) signer {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			panic(err)
		}
		sig := make([]byte, 64)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
		return sig
	}
}

func edDSA(k ed25519.PrivateKey) signer {
	return func(text string) []byte { return ed25519.Sign(k, []byte(text)) }
}

// forge makes a token of any header and claims.
func forge(header, claims string, sign signer) string {
	text := b64([]byte(header)) + "." + b64([]byte(claims))
	return text + "." + b64(sign(text))
}

// hs makes a token with the secret of the tests.
func hs(claims string) string { return forge(`{"alg":"HS256","typ":"JWT"}`, claims, hs256(testSecret)) }

// at is a number of seconds after start, as in a token.
func at(d time.Duration) string { return fmt.Sprint(start.Add(d).Unix()) }

// secretConfig is the defaults with a secret.
func secretConfig() config.JWT {
	return config.JWT{
		Secret: config.NewSecret(testSecret), Leeway: 30 * time.Second, Grace: 25 * time.Second,
		RoomsClaim: "rooms", MayJoinClaim: "may_join", MaySendClaim: "may_send", NamespaceClaim: "namespaces",
	}
}

// publicConfig is the same with a public key in a file.
func publicConfig(t testing.TB, public any) config.JWT {
	cfg := secretConfig()
	cfg.Secret = config.Secret{}
	cfg.PublicKeyFile = writeFile(t, publicPEM(public))
	return cfg
}

func publicPEM(public any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(public))})
}

func writeFile(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newVerifier(t testing.TB, cfg config.JWT, opts Options) *Verifier {
	t.Helper()
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = newClock().now
	}
	v, err := NewVerifier(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// webKeyOf is a public key as a JSON Web Key.
func webKeyOf(id string, public any) map[string]any {
	w := map[string]any{"kid": id, "use": "sig"}
	switch k := public.(type) {
	case *rsa.PublicKey:
		w["kty"], w["alg"] = "RSA", "RS256"
		w["n"], w["e"] = b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		point := must(k.Bytes())
		size := (len(point) - 1) / 2
		w["kty"], w["crv"], w["x"], w["y"] = "EC", k.Params().Name, b64(point[1:1+size]), b64(point[1+size:])
	case ed25519.PublicKey:
		w["kty"], w["crv"], w["x"] = "OKP", "Ed25519", b64(k)
	}
	return w
}

func keySetOf(keys ...map[string]any) []byte {
	return must(json.Marshal(map[string]any{"keys": keys}))
}

// wantCode checks an error, and that it tells nothing of the token.
func wantCode(t testing.TB, err error, code Code, token string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want %q", err, code)
		return
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 3 && strings.Contains(err.Error(), part) {
			t.Errorf("the error %q shows the token", err)
		}
	}
}
