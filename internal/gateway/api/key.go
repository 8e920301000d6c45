package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/template"
)

// scope is what a key may be good for.
type scope string

const (
	publish scope = "publish" // emit to clients and to servers
	manage  scope = "manage"  // change sockets, revoke tokens
	read    scope = "read"    // ask
	public  scope = ""        // needs no key
)

// minKey is the least number of bytes of a key (HRD-82).
const minKey = 32

// key lets a backend in. The key itself is not kept.
type key struct {
	name       string
	hash       [sha256.Size]byte
	scopes     []scope
	namespaces []template.Glob
	patterns   []string // of namespaces
}

func (k *key) may(s scope) bool { return slices.Contains(k.scopes, s) }

// in tells whether the key is good for a namespace.
func (k *key) in(namespace string) bool {
	return slices.ContainsFunc(k.namespaces, func(g template.Glob) bool { return g.Match(namespace) })
}

// state is what the configuration says. It does not change.
type state struct {
	keys    []*key
	limiter *rate.Limiter // of requests with a key
	strange *rate.Limiter // of requests without a valid one
	maxBody int64
	window  time.Duration
}

// newState reports all that is wrong with cfg. A limiter that goes on is not filled
// anew.
func newState(cfg config.API, old *state) (*state, error) {
	s := &state{maxBody: int64(cfg.MaxBody), window: cfg.IdempotencyWindow}
	if s.maxBody <= 0 {
		s.maxBody = 1 << 20
	}
	if s.window <= 0 {
		s.window = 10 * time.Minute
	}
	var errs []error
	for i, c := range cfg.Keys {
		k, err := newKey(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("api.keys[%d]: %w", i, err))
			continue
		}
		for _, other := range s.keys {
			if other.hash == k.hash || other.name == k.name {
				errs = append(errs, fmt.Errorf("api.keys[%d]: has the key or the name of another", i))
			}
		}
		s.keys = append(s.keys, k)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	limit, burst := rate.Limit(cfg.Rate), cfg.Burst
	if limit <= 0 {
		limit = rate.Inf
	}
	if burst <= 0 {
		burst = max(int(cfg.Rate), 1)
	}
	if old != nil && old.limiter.Limit() == limit && old.limiter.Burst() == burst {
		s.limiter, s.strange = old.limiter, old.strange
	} else {
		s.limiter, s.strange = rate.NewLimiter(limit, burst), rate.NewLimiter(10, 100)
	}
	return s, nil
}

func newKey(c config.APIKey) (*key, error) {
	var errs []error
	k := &key{name: c.Name, hash: sha256.Sum256([]byte(c.Key.Reveal())), patterns: c.Namespaces}
	if c.Name == "" {
		errs = append(errs, errors.New("name: is missing"))
	}
	if len(c.Key.Reveal()) < minKey {
		errs = append(errs, fmt.Errorf("key: is shorter than %d bytes", minKey))
	}
	for _, s := range c.Scopes {
		if !slices.Contains([]scope{publish, manage, read}, scope(s)) {
			errs = append(errs, fmt.Errorf("scopes: %q is none of publish, manage, read", s))
		}
		k.scopes = append(k.scopes, scope(s))
	}
	for i, pattern := range c.Namespaces {
		g, err := template.ParseGlob(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("namespaces[%d]: %w", i, err))
		}
		k.namespaces = append(k.namespaces, g)
	}
	return k, errors.Join(errs...)
}

// identify returns the key of a request. It compares hashes, all of them, so that
// the time tells nothing.
func (s *state) identify(r *http.Request) *key {
	values := r.Header["Authorization"]
	if len(values) != 1 {
		return nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil
	}
	var found *key
	hash := sha256.Sum256([]byte(token))
	for _, k := range s.keys {
		if subtle.ConstantTimeCompare(k.hash[:], hash[:]) == 1 {
			found = k
		}
	}
	return found
}
