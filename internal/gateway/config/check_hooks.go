package config

import (
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (k *checker) webhooks() {
	used := make(map[string]bool)
	for _, ns := range k.c.Namespaces {
		used[ns.Webhook] = true
		for _, r := range ns.Routes {
			used[r.Webhook] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.c.Webhooks)) {
		at := join("webhooks", keyText(name))
		if !plainName.MatchString(name) {
			k.bad(at, "must have a name of 1 to 64 of A-Z, a-z, 0-9, _ and -")
		}
		if !used[name] {
			k.warn(at, "is used by no namespace and no route")
		}
		k.webhook(at, k.c.Webhooks[name])
	}
}

func (k *checker) webhook(at string, w Webhook) {
	if w.URL == "" {
		k.bad(at+".url", "is needed")
	} else if u := k.url(at+".url", w.URL, "https", "http"); u != nil {
		if u.Scheme == "http" && !w.AllowHTTP {
			k.bad(at+".url", "begins with http://, which needs allow_http")
		}
		if isPrivate(u.Hostname()) && !w.AllowPrivate {
			k.bad(at+".url", "is on this machine or in a private network, which needs allow_private")
		}
		if u.Scheme == "http" && (w.TLS.CAFile != "" || w.TLS.CertFile != "" || w.TLS.KeyFile != "") {
			k.bad(at+".tls", "is set, but the URL begins with http://")
		}
	}
	if !w.Secret.IsSet() {
		k.bad(at+".secret", "is needed: requests are signed with it")
	}
	k.signingSecret(at+".secret", w.Secret)
	k.signingSecret(at+".previous_secret", w.PreviousSecret)
	if w.PreviousSecret.IsSet() && w.PreviousSecret.Equal(w.Secret) {
		k.bad(at+".previous_secret", "is the same as secret")
	}
	between(k, at+".timeout", w.Timeout, 100*time.Millisecond, 5*time.Minute)
	between(k, at+".retries", w.Retries, 0, 10)
	between(k, at+".max_concurrent", w.MaxConcurrent, 1, 10_000)
	between(k, at+".max_waiting", w.MaxWaiting, 0, 1_000_000)
	between(k, at+".circuit_failures", w.CircuitFailures, 1, 1_000_000)
	between(k, at+".circuit_pause", w.CircuitPause, 100*time.Millisecond, time.Hour)
	k.tokens(at+".headers", w.Headers)
	k.clientTLS(at+".tls", w.TLS.CAFile, w.TLS.CertFile, w.TLS.KeyFile)
}

// signingSecret checks a secret of Standard Webhooks: 24 bytes at least, base64 after
// the prefix whsec_.
func (k *checker) signingSecret(path string, s Secret) {
	const least = 24
	encoded, ok := strings.CutPrefix(s.Reveal(), "whsec_")
	if !ok {
		k.secret(path, s, least)
		return
	}
	switch key, err := base64.StdEncoding.DecodeString(encoded); {
	case err != nil:
		k.bad(path, "must be base64 after whsec_")
	case len(key) < least:
		k.bad(path, "must have %d bytes at least", least)
	}
}

func (k *checker) api() {
	a := k.c.API
	names := make(map[string]bool)
	for i, key := range a.Keys {
		at := index("api.keys", i)
		switch {
		case !plainName.MatchString(key.Name):
			k.bad(at+".name", "must be 1 to 64 of A-Z, a-z, 0-9, _ and -")
		case names[key.Name]:
			k.bad(at+".name", "is that of another key already")
		}
		names[key.Name] = true
		if !key.Key.IsSet() {
			k.bad(at+".key", "is needed")
		}
		k.secret(at+".key", key.Key, 32)
		for j, other := range a.Keys[:i] {
			if key.Key.IsSet() && key.Key.Equal(other.Key) {
				k.bad(at+".key", "is that of api.keys[%d] already", j)
			}
		}
		if len(key.Scopes) == 0 {
			k.bad(at+".scopes", "must name one at least")
		}
		k.someOf(at+".scopes", key.Scopes, "publish", "manage", "read")
		k.patterns(at+".namespaces", key.Namespaces)
	}
	if len(a.Keys) > maxList {
		k.bad("api.keys", "has more than %d", maxList)
	}
	between(k, "api.rate", a.Rate, 0, 1e9)
	if a.Rate > 0 {
		between(k, "api.burst", a.Burst, 1, 1e9)
	}
	between(k, "api.max_body", a.MaxBody, 1<<10, 64<<20)
	orZero(k, "api.idempotency_window", a.IdempotencyWindow, time.Second, day)
}
