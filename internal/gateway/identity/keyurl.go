package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// How a key set is fetched.
const (
	fetchEvery   = 10 * time.Second // at most, for unknown keys (HRD-81)
	fetchAge     = 5 * time.Minute  // after which the keys are fetched again in any case
	fetchTimeout = 5 * time.Second
	maxWaiting   = 1000 // tokens that wait for a fetch
)

// keyURL is a key set at a URL. Its keys are kept until a fetch brings others,
// however long that takes. Tokens with a known key never wait.
type keyURL struct {
	// Static after construction.
	url    string
	host   string // for logs: a query may contain a secret
	client *http.Client
	log    *slog.Logger
	ctx    context.Context // ends with stop
	stop   context.CancelFunc
	wg     sync.WaitGroup // the fetch

	set     atomic.Pointer[fetchedKeys] // nil before the first
	waiting atomic.Int32

	mu    sync.Mutex // guards the fields below
	begun time.Time  // the last fetch
	fetch *fetch     // under way, or about to be; nil if none
}

type fetchedKeys struct {
	keys []key
	at   time.Time
}

type fetch struct {
	done chan struct{}
	err  error // read it when done is closed
}

// checkKeyURL tells what is wrong with the address of a key set.
func checkKeyURL(address string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("not a URL like https://issuer.example/keys.json")
	case u.Scheme == "http" && !allowHTTP && !loopback(u.Hostname()):
		return nil, errors.New("whoever is on the way could give keys of his own over http://: use https://, or set jwks_allow_http")
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func newKeyURL(u *url.URL, transport http.RoundTripper, log *slog.Logger) *keyURL {
	ctx, cancel := context.WithCancel(context.Background())
	return &keyURL{
		url:  u.String(),
		host: u.Host,
		client: &http.Client{
			Transport: transport,
			Timeout:   fetchTimeout,
			// The keys come from where the configuration says.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		log:  log,
		ctx:  ctx,
		stop: cancel,
	}
}

func keyTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true, // one request in minutes
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func (k *keyURL) close() {
	k.stop()
	k.wg.Wait()
}

// keys returns the keys that are known. If they are old, it has them fetched again,
// without waiting.
func (k *keyURL) keys() []key {
	set := k.set.Load()
	if set == nil {
		return nil
	}
	if time.Since(set.at) >= fetchAge {
		k.start()
	}
	return set.keys
}

// knows tells whether a key with this id is there.
func (k *keyURL) knows(alg, id string) bool {
	if id == "" {
		return false
	}
	for _, key := range k.keys() {
		if key.id == id && key.fits(alg, id) {
			return true
		}
	}
	return false
}

// refresh waits until the keys have been fetched once more. That begins at once, or
// when the last time is long enough ago.
func (k *keyURL) refresh(ctx context.Context) error {
	if k.waiting.Add(1) > maxWaiting {
		k.waiting.Add(-1)
		return errors.New("too many tokens wait for the key set")
	}
	defer k.waiting.Add(-1)
	f := k.start()
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// start returns the fetch that is under way, or a new one.
func (k *keyURL) start() *fetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetch != nil {
		return k.fetch
	}
	f := &fetch{done: make(chan struct{})}
	if err := k.ctx.Err(); err != nil {
		f.err = err
		close(f.done)
		return f
	}
	var pause time.Duration
	if !k.begun.IsZero() {
		pause = fetchEvery - time.Since(k.begun)
	}
	k.fetch = f
	k.wg.Go(func() { // ends by its time-outs, or with stop; close waits
		f.err = k.run(pause)
		k.mu.Lock()
		k.fetch = nil
		k.mu.Unlock()
		close(f.done)
	})
	return f
}

// run fetches the keys after a pause.
func (k *keyURL) run(pause time.Duration) error {
	if pause > 0 {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-k.ctx.Done():
			return k.ctx.Err()
		}
	}
	k.mu.Lock()
	k.begun = time.Now()
	k.mu.Unlock()
	keys, err := k.get()
	switch {
	case k.ctx.Err() != nil:
		return k.ctx.Err()
	case err != nil:
		old := k.set.Load()
		k.log.Error("fetching the keys for tokens; those that are known stay", "host", k.host, "known", old != nil, "error", err)
		if old != nil { // not before fetchAge has passed again, but for unknown keys
			k.set.Store(&fetchedKeys{old.keys, time.Now()})
		}
		return err
	}
	k.log.Debug("fetched the keys for tokens", "host", k.host, "keys", len(keys))
	k.set.Store(&fetchedKeys{keys, time.Now()})
	return nil
}

func (k *keyURL) get() ([]key, error) {
	req, err := http.NewRequestWithContext(k.ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, errors.New("not a proper URL")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := k.client.Do(req)
	var detail *url.Error
	switch {
	case errors.As(err, &detail):
		return nil, detail.Err // without the URL
	case err != nil:
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered with %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	return parseKeySet(data)
}
