package identity

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// maxTokenSize bounds a token, in bytes.
const maxTokenSize = 8 << 10

// minSecret is the shortest secret of the HS algorithms, in bytes (HRD-81).
const minSecret = 32

// algorithms are those that can be configured. None of them is "none".
var algorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA"}

// Options are what a [Verifier] works with besides its configuration.
type Options struct {
	// Revocations are asked about each token, if not nil.
	Revocations *Revocations
	// Logger hears of keys that cannot be read; [slog.Default] if nil.
	Logger *slog.Logger
	// Now is the wall clock, [time.Now] if nil.
	Now func() time.Time
	// Transport fetches key sets, if not nil.
	Transport http.RoundTripper
}

// Verifier checks tokens (HRD-81). All methods are safe for concurrent use.
type Verifier struct {
	opts Options

	changing sync.Mutex // Reload and Close, one at a time
	setup    atomic.Pointer[setup]
}

// setup is what one configuration makes of a Verifier. It does not change.
type setup struct {
	cfg     config.JWT
	algs    []string
	parser  *jwt.Parser
	secrets []key
	files   []*keyFile
	remote  *keyURL // nil if there is no URL
}

// NewVerifier reads the files of keys that the configuration names; a URL is asked
// when it is needed first, or by [Verifier.Fetch]. The error names every setting
// that is wrong, and none of their values. Without any key all tokens are invalid.
func NewVerifier(cfg config.JWT, opts Options) (*Verifier, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Transport == nil {
		opts.Transport = keyTransport()
	}
	v := &Verifier{opts: opts}
	s, err := v.build(cfg, nil)
	if err != nil {
		return nil, err
	}
	v.setup.Store(s)
	return v, nil
}

// Reload changes the configuration. Tokens are checked by the old one or by the new
// one; with an error the old one stays. Keys that were fetched are kept if the URL
// is the same.
func (v *Verifier) Reload(cfg config.JWT) error {
	v.changing.Lock()
	defer v.changing.Unlock()
	old := v.setup.Load()
	s, err := v.build(cfg, old.remote)
	if err != nil {
		return err
	}
	v.setup.Store(s)
	if old.remote != nil && old.remote != s.remote {
		old.remote.close()
	}
	return nil
}

// Close ends what fetches keys, and waits for it. Tokens that wait for keys get
// [ErrUnavailable].
func (v *Verifier) Close() {
	v.changing.Lock()
	defer v.changing.Unlock()
	if r := v.setup.Load().remote; r != nil {
		r.close()
	}
}

// Fetch fetches the key set at the configured URL, if there is one, so that the
// first clients need not wait.
func (v *Verifier) Fetch(ctx context.Context) error {
	r := v.setup.Load().remote
	if r == nil {
		return nil
	}
	if err := r.refresh(ctx); err != nil {
		return fmt.Errorf("identity: fetching keys from %s: %w", r.host, err)
	}
	return nil
}

// Enabled tells whether there is a key at all.
func (v *Verifier) Enabled() bool {
	s := v.setup.Load()
	return len(s.secrets) > 0 || len(s.files) > 0 || s.remote != nil
}

// Grace is how long after its token has expired a client is closed.
func (v *Verifier) Grace() time.Duration { return v.setup.Load().cfg.Grace }

// Verify checks a token and returns what it gives. The error is an [*Error]. It
// blocks only for a token whose key has to be fetched first: until ctx ends, or for
// some 15 s at most.
func (v *Verifier) Verify(ctx context.Context, token string) (Grant, error) {
	s := v.setup.Load()
	c, err := s.open(ctx, token)
	if err != nil {
		return Grant{}, err
	}
	if err := c.check(&s.cfg, v.opts.Now()); err != nil {
		return Grant{}, err
	}
	g, err := c.grant(&s.cfg)
	if err != nil {
		return Grant{}, err
	}
	if r := v.opts.Revocations; r != nil && r.Revoked(g.Client) {
		return Grant{}, ErrRevoked
	}
	return g, nil
}

// open returns the claims of a token whose signature is right.
func (s *setup) open(ctx context.Context, token string) (*claims, error) {
	switch {
	case token == "":
		return nil, ErrMissing
	case len(token) > maxTokenSize:
		return nil, invalid(fmt.Sprintf("more than %d bytes", maxTokenSize))
	}
	h, err := readHeader(token)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(s.algs, h.alg) {
		return nil, invalid("alg is not one of those that are accepted")
	}
	c, err := s.parse(token, h)
	if err == nil || s.remote == nil || strings.HasPrefix(h.alg, "HS") || s.remote.knows(h.alg, h.id) {
		return c, err
	}
	if err := s.remote.refresh(ctx); err != nil {
		return nil, &Error{Unavailable, "the keys cannot be fetched"}
	}
	return s.parse(token, h)
}

// parse checks the signature with the keys that are known.
func (s *setup) parse(token string, h header) (*claims, error) {
	c := new(claims)
	_, err := s.parser.ParseWithClaims(token, c, func(*jwt.Token) (any, error) {
		set := jwt.VerificationKeySet{Keys: s.candidates(h)}
		if len(set.Keys) == 0 {
			return nil, errNoKey
		}
		return set, nil
	})
	// The texts of the errors may contain some of the token.
	switch {
	case err == nil:
		return c, nil
	case errors.Is(err, errNoKey):
		return nil, invalid("there is no key for its alg and kid")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return nil, invalid("the signature is wrong")
	}
	return nil, invalid("not a JSON Web Token")
}

var errNoKey = errors.New("no key")

// candidates returns the keys that fit, some at most.
func (s *setup) candidates(h header) (list []jwt.VerificationKey) {
	add := func(keys []key) {
		for i := range keys {
			if len(list) < maxTries && keys[i].fits(h.alg, h.id) {
				list = append(list, keys[i].public)
			}
		}
	}
	add(s.secrets)
	for _, f := range s.files {
		add(f.keys())
	}
	if s.remote != nil {
		add(s.remote.keys())
	}
	return list
}

// header is what a token says of its signature. Nothing else in there counts: not
// where keys might be found, nor keys that it brings.
type header struct{ alg, id string }

func readHeader(token string) (h header, err error) {
	if strings.ContainsAny(token, "\r\n") { // which base64 would skip
		return h, invalid("not a JSON Web Token")
	}
	first, _, _ := strings.Cut(token, ".")
	data, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil {
		return h, invalid("not a JSON Web Token")
	}
	all, err := members(data)
	if err != nil {
		return h, invalid("the header is " + err.Error())
	}
	if _, ok := all["crit"]; ok {
		return h, invalid("the header asks for an extension")
	}
	if raw := all["alg"]; len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &h.alg) != nil {
		return h, invalid("alg is not a text")
	}
	if raw, ok := all["kid"]; ok && (raw[0] != '"' || json.Unmarshal(raw, &h.id) != nil) {
		return h, invalid("kid is not a text")
	}
	return h, nil
}

// read returns what claims give that were checked before.
func (v *Verifier) read(raw []byte) (Grant, error) {
	c := new(claims)
	if err := c.UnmarshalJSON(raw); err != nil {
		return Grant{}, invalid("the claims are " + err.Error())
	}
	return c.grant(&v.setup.Load().cfg)
}
