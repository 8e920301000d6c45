package node

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds every wait in tests. Nothing waits for it to pass.
const patience = time.Minute

// testServer is a Server over real HTTP on the loopback.
type testServer struct {
	*Server
	http *httptest.Server
}

// newServer starts a server and sees to its end.
func newServer(t testing.TB, cfg Config) *testServer {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{srv, httptest.NewServer(srv)}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		ts.http.Close()
	})
	return ts
}

// ready waits for the adapters of the namespaces that there are: who is in one is in
// after startWait also without, and hears nobody.
func (ts *testServer) ready(t testing.TB) {
	t.Helper()
	if err := ts.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// peer is a client that speaks the wire, one frame at a time.
type peer struct {
	t  testing.TB
	ws *websocket.Conn
	mu sync.Mutex // one writer at a time
}

// dial opens a session over WebSocket and takes the handshake packet.
func (ts *testServer) dial(t testing.TB, query ...string) *peer {
	t.Helper()
	url := "ws" + strings.TrimPrefix(ts.http.URL, "http") + "/socket.io/?EIO=4&transport=websocket"
	url += strings.Join(query, "")
	ws, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ws.Close() })
	p := &peer{t: t, ws: ws}
	if open := p.read(); !strings.HasPrefix(open, `0{"sid":"`) {
		t.Fatalf("no handshake: %s", open)
	}
	return p
}

// join opens a session and connects to a namespace.
func (ts *testServer) join(t testing.TB, ns string) (p *peer, id string) {
	t.Helper()
	p = ts.dial(t)
	return p, p.connect(ns, "")
}

// read returns the next frame, a binary one as "bin:" and its bytes. Pings are
// answered.
func (p *peer) read() string {
	p.t.Helper()
	for {
		_ = p.ws.SetReadDeadline(time.Now().Add(patience))
		kind, data, err := p.ws.ReadMessage()
		if err != nil {
			p.t.Fatalf("read: %v", err)
		}
		if kind == websocket.BinaryMessage {
			return "bin:" + string(data)
		}
		if string(data) != "2" {
			return string(data)
		}
		p.send("3")
	}
}

func (p *peer) send(frames ...string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range frames {
		kind := websocket.TextMessage
		if data, ok := strings.CutPrefix(f, "bin:"); ok {
			kind, f = websocket.BinaryMessage, data
		}
		if err := p.ws.WriteMessage(kind, []byte(f)); err != nil {
			p.t.Fatalf("send: %v", err)
		}
	}
}

// expect reads frames and compares them.
func (p *peer) expect(frames ...string) {
	p.t.Helper()
	for _, want := range frames {
		if got := p.read(); got != want {
			p.t.Fatalf("got  %q\nwant %q", got, want)
		}
	}
}

// prefix is the namespace as it stands in packets.
func prefix(ns string) string {
	if ns == "/" {
		return ""
	}
	return ns + ","
}

// connect joins a namespace and returns the id.
func (p *peer) connect(ns, auth string) string {
	p.t.Helper()
	p.send("40" + prefix(ns) + auth)
	return p.connected(ns)
}

// connected reads the answer to a CONNECT.
func (p *peer) connected(ns string) string {
	p.t.Helper()
	got := p.read()
	data, ok := strings.CutPrefix(got, "40"+prefix(ns))
	var answer struct{ SID string }
	if !ok || json.Unmarshal([]byte(data), &answer) != nil || len(answer.SID) != 20 {
		p.t.Fatalf("CONNECT to %s: got %q", ns, got)
	}
	return answer.SID
}

// closed waits for the end of the session and returns the close code.
func (p *peer) closed() int {
	p.t.Helper()
	for {
		_ = p.ws.SetReadDeadline(time.Now().Add(patience))
		if _, _, err := p.ws.ReadMessage(); err != nil {
			if ce, ok := err.(*websocket.CloseError); ok {
				return ce.Code
			}
			p.t.Fatalf("session does not end: %v", err)
		}
	}
}

// sync makes sure that what the server sent before has arrived: nothing else
// comes before the answer to an event that has a handler by echo.
func (p *peer) sync(ns string) {
	p.t.Helper()
	p.send("42" + prefix(ns) + `999["sync"]`)
	p.expect("43" + prefix(ns) + "999[]")
}

// withSync registers the handler of sync.
func withSync(ns Handlers) {
	Handle(ns, "sync", func(context.Context, *Socket, None) (None, error) { return None{}, nil })
}

// recv takes the next value from a channel.
func recv[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// expiring is a context whose deadline passes when expire is called, not by the clock.
type expiring struct {
	context.Context
	done   chan struct{}
	expire func()
}

func newExpiring(t *testing.T) expiring {
	done := make(chan struct{})
	c := expiring{t.Context(), done, sync.OnceFunc(func() { close(done) })}
	t.Cleanup(c.expire)
	return c
}

func (c expiring) Done() <-chan struct{} { return c.done }

func (c expiring) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func sorted[S ~[]E, E interface{ ~string | ~int }](s S) S {
	slices.Sort(s)
	return s
}
