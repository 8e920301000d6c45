package webhook

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/config"
)

// secret is of no use elsewhere.
const secret = "0123456789abcdef0123456789abcdef"

// received is a request as a backend got it.
type received struct {
	header http.Header
	body   []byte
}

// member returns a member of the body as text.
func (r received) member(t *testing.T, name string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return string(m[name])
}

// backend answers with what a test says and keeps the requests.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	got   []received
	conns int
}

func (b *backend) requests() []received {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.got
}

func (b *backend) connections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns
}

// forget drops the requests so far.
func (b *backend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = nil
}

func newBackend(t testing.TB, answer http.HandlerFunc) *backend {
	b := unstarted(answer)
	b.Start()
	t.Cleanup(b.Close)
	return b
}

func unstarted(answer http.HandlerFunc) *backend {
	b := new(backend)
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.got = append(b.got, received{r.Header, body})
		b.mu.Unlock()
		answer(w, r)
	}))
	b.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			b.mu.Lock()
			b.conns++
			b.mu.Unlock()
		}
	}
	return b
}

// says answers with JSON.
func says(text string) http.HandlerFunc { return status(200, text) }

func status(code int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, text)
	}
}

// inTurn answers with one after the other, and the last from then on.
func inTurn(answers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		f := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		mu.Unlock()
		f(w, r)
	}
}

// hook returns a hook that may call this machine.
func (b *backend) hook(t testing.TB, change func(c *config.Webhook)) *Hook {
	c := config.Webhook{
		URL: b.URL + "/hook", Secret: config.NewSecret(secret), AllowHTTP: true, AllowPrivate: true,
		Retries: 2, MaxWaiting: 1000, CircuitFailures: 10,
	}
	if change != nil {
		change(&c)
	}
	h, err := New("test", c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func connectRequest() Request {
	return Request{
		Type: Connect, Node: "n1", Namespace: "/", Socket: "s",
		Handshake: &Handshake{Address: "192.0.2.7"},
	}
}

func eventRequest() Request {
	return Request{Type: Event, Node: "n1", Namespace: "/", Socket: "s", Event: "say"}
}

// pipes is a network in memory, on which the clock of a synctest bubble goes on.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble makes a backend and a hook on a network in memory. The test must run in
// a bubble and call end at its end.
func inBubble(t *testing.T, answer http.HandlerFunc, change func(c *config.Webhook)) (b *backend, h *Hook, end func()) {
	t.Helper()
	b = unstarted(answer)
	h, end = b.startInBubble(t, change)
	return b, h, end
}

func (b *backend) startInBubble(t *testing.T, change func(c *config.Webhook)) (h *Hook, end func()) {
	t.Helper()
	network := newPipes()
	_ = b.Listener.Close()
	b.Listener = network
	b.Start()
	h = b.hook(t, change)
	h.transport.DialContext = network.dial
	return h, func() {
		h.Close()
		b.Close()
	}
}

// took is how long f takes, by the clock of the bubble.
func took(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}
