package identity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// keyServer answers requests for key sets, without a network.
type keyServer struct {
	mu     sync.Mutex
	answer func(*http.Request) (int, []byte, error)
	calls  int
}

func (k *keyServer) RoundTrip(r *http.Request) (*http.Response, error) {
	k.mu.Lock()
	k.calls++
	answer := k.answer
	k.mu.Unlock()
	status, body, err := answer(r)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Location": {"https://other.example/"}},
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, nil
}

func (k *keyServer) set(answer func(*http.Request) (int, []byte, error)) {
	k.mu.Lock()
	k.answer = answer
	k.mu.Unlock()
}

func (k *keyServer) give(set []byte) {
	k.set(func(*http.Request) (int, []byte, error) { return 200, set, nil })
}

// hang answers when the client has given up.
func (k *keyServer) hang() {
	k.set(func(r *http.Request) (int, []byte, error) {
		<-r.Context().Done()
		return 0, nil, r.Context().Err()
	})
}

func (k *keyServer) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.calls
}

func urlConfig() config.JWT {
	cfg := secretConfig()
	cfg.Secret = config.Secret{}
	cfg.JWKSURL = "https://issuer.example/keys"
	return cfg
}

// withKeyURL runs f in a bubble with a verifier that knows the key "a", an EC one;
// "b" is an Ed25519 key that the server does not have yet.
func withKeyURL(t *testing.T, f func(t *testing.T, v *Verifier, server *keyServer)) {
	synctest.Test(t, func(t *testing.T) {
		server := new(keyServer)
		server.give(keySetOf(webKeyOf("a", ecKey().Public())))
		v := newVerifier(t, urlConfig(), Options{Transport: server, Now: func() time.Time { return start }})
		if err := v.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fetchEvery) // synctest's time: the next fetch is free
		f(t, v, server)
	})
}

var (
	tokenA = sync.OnceValue(func() string {
		return forge(`{"alg":"ES256","kid":"a"}`, `{"exp":`+at(time.Hour)+`}`, es256(ecKey()))
	})
	tokenB = sync.OnceValue(func() string {
		return forge(`{"alg":"EdDSA","kid":"b"}`, `{"exp":`+at(time.Hour)+`}`, edDSA(ed25519Key()))
	})
)

// took runs f and tells how long it took, in the bubble's time.
func took(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

func TestKeyURLIsNotAskedForKnownKeys(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		for range 100 {
			if _, err := v.Verify(t.Context(), tokenA()); err != nil {
				t.Fatal(err)
			}
		}
		if n := server.count(); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// While the server hangs, known keys go on, and all unknown ones share one request.
func TestKeyURLThatHangs(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		server.hang()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				var err error
				d := took(func() { _, err = v.Verify(t.Context(), tokenB()) })
				wantCode(t, err, Unavailable, tokenB())
				if d != fetchTimeout {
					t.Errorf("it took %v", d)
				}
			})
		}
		synctest.Wait()
		d := took(func() {
			if _, err := v.Verify(t.Context(), tokenA()); err != nil {
				t.Errorf("a known key: %v", err)
			}
		})
		if d != 0 {
			t.Errorf("a known key took %v", d)
		}
		wg.Wait()
		if n := server.count(); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestKeyURLWaitEndsWithItsContext(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		server.hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var err error
		if d := took(func() { _, err = v.Verify(ctx, tokenB()) }); d != time.Second {
			t.Errorf("it took %v", d)
		}
		wantCode(t, err, Unavailable, tokenB())
	})
}

func TestKeyURLWaitEndsWithClose(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		server.hang()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := v.Verify(t.Context(), tokenB())
			wantCode(t, err, Unavailable, tokenB())
		})
		synctest.Wait()
		if d := took(v.Close); d != 0 {
			t.Errorf("closing took %v", d)
		}
		wg.Wait()
	})
}

// Whoever sends tokens with keys that nobody has makes one request in 10 s.
func TestKeyURLRate(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		before := server.count()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				for end := time.Now().Add(time.Minute); time.Now().Before(end); {
					_, err := v.Verify(t.Context(), tokenB())
					wantCode(t, err, Invalid, tokenB())
				}
			})
		}
		wg.Wait()
		if n := server.count() - before; n > 8 {
			t.Errorf("%d requests in a minute", n)
		}
	})
}

// The waiting room is bounded.
func TestKeyURLManyWait(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		server.hang()
		var wg sync.WaitGroup
		for range maxWaiting {
			wg.Go(func() { _, _ = v.Verify(t.Context(), tokenB()) })
		}
		synctest.Wait()
		d := took(func() {
			_, err := v.Verify(t.Context(), tokenB())
			wantCode(t, err, Unavailable, tokenB())
		})
		if d != 0 {
			t.Errorf("one more waits %v", d)
		}
		wg.Wait()
	})
}

// A token with a new key gets in although somebody has just used up the request.
func TestKeyURLRotation(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		_, err := v.Verify(t.Context(), tokenB())
		wantCode(t, err, Invalid, tokenB())
		server.give(keySetOf(webKeyOf("b", ed25519Key().Public())))
		d := took(func() { _, err = v.Verify(t.Context(), tokenB()) })
		if err != nil || d != fetchEvery {
			t.Errorf("after %v: %v", d, err)
		}
		time.Sleep(fetchEvery)
		_, err = v.Verify(t.Context(), tokenA()) // not published any more
		wantCode(t, err, Invalid, tokenA())
	})
}

// Without a kid, or with a key without one, a wrong signature may mean a new key.
func TestKeyURLRotationWithoutKid(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		token := forge(`{"alg":"EdDSA"}`, `{"exp":`+at(time.Hour)+`}`, edDSA(ed25519Key()))
		fresh := webKeyOf("", ed25519Key().Public())
		delete(fresh, "kid")
		server.give(keySetOf(fresh))
		if _, err := v.Verify(t.Context(), token); err != nil {
			t.Error(err)
		}
		if _, err := v.Verify(t.Context(), tokenB()); err != nil {
			t.Error(err)
		}
	})
}

// Keys stay while the server fails, in whichever way, and are there again after.
func TestKeyURLThatFails(t *testing.T) {
	for name, answer := range map[string]func(*http.Request) (int, []byte, error){
		"refused": func(*http.Request) (int, []byte, error) { return 0, nil, errors.New("connection refused") },
		"500": func(*http.Request) (int, []byte, error) {
			return 500, keySetOf(webKeyOf("b", ed25519Key().Public())), nil
		},
		"redirect":  func(*http.Request) (int, []byte, error) { return 302, nil, nil },
		"empty":     func(*http.Request) (int, []byte, error) { return 200, nil, nil },
		"no JSON":   func(*http.Request) (int, []byte, error) { return 200, []byte("<html>"), nil },
		"no keys":   func(*http.Request) (int, []byte, error) { return 200, keySetOf(), nil },
		"too large": func(*http.Request) (int, []byte, error) { return 200, bytes.Repeat([]byte(" "), maxKeySet+1), nil },
	} {
		t.Run(name, func(t *testing.T) {
			withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
				server.set(answer)
				for range 3 {
					_, err := v.Verify(t.Context(), tokenB())
					wantCode(t, err, Unavailable, tokenB())
					time.Sleep(2 * fetchAge)
					if _, err := v.Verify(t.Context(), tokenA()); err != nil {
						t.Errorf("a known key: %v", err)
					}
					synctest.Wait()
				}
				server.give(keySetOf(webKeyOf("a", ecKey().Public()), webKeyOf("b", ed25519Key().Public())))
				for _, token := range []string{tokenA(), tokenB()} {
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Errorf("after that: %v", err)
					}
				}
			})
		})
	}
}

// Old keys are fetched again beside the work, so that those taken back are noticed.
func TestKeyURLAge(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		server.give(keySetOf(webKeyOf("b", ed25519Key().Public())))
		time.Sleep(fetchAge)
		if _, err := v.Verify(t.Context(), tokenA()); err != nil { // it does not wait
			t.Error(err)
		}
		synctest.Wait()
		_, err := v.Verify(t.Context(), tokenA())
		wantCode(t, err, Invalid, tokenA())
	})
}

// A fetch that has never succeeded is no reason to call a token invalid.
func TestKeyURLNeverThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := new(keyServer)
		server.set(func(*http.Request) (int, []byte, error) { return 503, nil, nil })
		v := newVerifier(t, urlConfig(), Options{Transport: server})
		if err := v.Fetch(t.Context()); err == nil || strings.Contains(err.Error(), "/keys") {
			t.Errorf("got %v", err)
		}
		_, err := v.Verify(t.Context(), tokenA())
		wantCode(t, err, Unavailable, tokenA())
		if _, err := v.Verify(t.Context(), hs(`{"exp":`+at(time.Hour)+`}`)); CodeOf(err) != Invalid {
			t.Errorf("an HS token: %v", err) // needs no keys to be refused
		}
	})
}

// A set cannot make a secret of a public key, nor bring one.
func TestKeyURLGivesNoSecrets(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		oct := map[string]any{"kty": "oct", "alg": "HS256", "kid": "b", "k": b64([]byte(testSecret))}
		odd := webKeyOf("b", ecKey().Public())
		odd["alg"] = "HS256"
		server.give(keySetOf(oct, odd, webKeyOf("a", ecKey().Public())))
		if err := v.Fetch(t.Context()); err != nil {
			t.Fatal(err)
		}
		token := forge(`{"alg":"HS256","kid":"b"}`, `{"exp":`+at(time.Hour)+`}`, hs256(testSecret))
		_, err := v.Verify(t.Context(), token)
		wantCode(t, err, Invalid, token)
	})
}

func TestReloadKeepsFetchedKeys(t *testing.T) {
	withKeyURL(t, func(t *testing.T, v *Verifier, server *keyServer) {
		server.hang()
		cfg := urlConfig()
		cfg.Grace = time.Minute
		if err := v.Reload(cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), tokenA()); err != nil {
			t.Errorf("after a reload: %v", err)
		}
		if err := v.Reload(secretConfig()); err != nil {
			t.Fatal(err)
		}
		_, err := v.Verify(t.Context(), tokenA())
		wantCode(t, err, Invalid, tokenA())
	})
}

func TestCheckKeyURL(t *testing.T) {
	for address, want := range map[string]bool{
		"https://issuer.example/keys":  true,
		"http://127.0.0.1:8080/keys":   true,
		"http://[::1]/keys":            true,
		"http://localhost/keys":        true,
		"http://issuer.example/keys":   false,
		"http://127.0.0.1.example/":    false,
		"http://localhost.example/":    false,
		"file:///etc/passwd":           false,
		"ftp://issuer.example/":        false,
		"issuer.example/keys":          false,
		"https:///keys":                false,
		"https://issuer.example/%zz\n": false,
	} {
		if _, err := checkKeyURL(address, false); (err == nil) != want {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := checkKeyURL("http://issuer.example/keys", true); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

// Over real HTTP: what the server says is read, and a redirect is not followed.
func TestKeyURLOverHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(keySetOf(webKeyOf("a", ecKey().Public())))
	})
	mux.Handle("/moved", http.RedirectHandler("/keys", http.StatusFound))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	cfg := urlConfig()
	for path, want := range map[string]bool{"/keys": true, "/moved": false} {
		cfg.JWKSURL = srv.URL + path
		v := newVerifier(t, cfg, Options{})
		if _, err := v.Verify(t.Context(), tokenA()); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}
