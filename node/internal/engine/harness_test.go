package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/fanwire/fanwire/protocol/engineio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a receiver that notes what it is told, and may answer.
type recorder struct {
	s         *Session
	onMessage func(r *recorder, data []byte, binary, inline bool)

	mu       sync.Mutex
	messages []string
	reason   string
	cause    error
	closed   chan struct{}
	alarms   int
	changed  chan struct{}
}

func (r *recorder) Message(data []byte, binary, inline bool) {
	r.mu.Lock()
	r.messages = append(r.messages, string(data))
	r.mu.Unlock()
	r.note()
	if r.onMessage != nil {
		r.onMessage(r, data, binary, inline)
	}
}

func (r *recorder) note() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *recorder) Alarm() { r.mu.Lock(); r.alarms++; r.mu.Unlock(); r.note() }

func (r *recorder) Closed(reason string, cause error) {
	r.mu.Lock()
	r.reason, r.cause = reason, cause
	r.mu.Unlock()
	close(r.closed)
}

// waitClosed returns the reason of the session's end.
func (r *recorder) waitClosed(t *testing.T) string {
	t.Helper()
	select {
	case <-r.closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the session did not end")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reason
}

func (r *recorder) received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.messages...)
}

// echo sends every message back as it came.
func echo(r *recorder, data []byte, binary, _ bool) {
	r.s.Send(NewPacket(data, binary, nil, true), false)
}

// testServer is an engine under an HTTP server.
type testServer struct {
	*Server
	http      *httptest.Server
	onMessage func(r *recorder, data []byte, binary, inline bool)
	onOpen    func(s *Session)
	opened    chan *recorder
}

func (ts *testServer) Open(s *Session, _ *http.Request) Receiver {
	r := &recorder{s: s, onMessage: ts.onMessage, closed: make(chan struct{}), changed: make(chan struct{}, 1)}
	if ts.onOpen != nil {
		ts.onOpen(s)
	}
	ts.opened <- r
	return r
}

func testID() string { return rand.Text() + ".n1" }

func newTestServer(t testing.TB, cfg Config, onMessage func(r *recorder, data []byte, binary, inline bool)) *testServer {
	t.Helper()
	if cfg.NewID == nil {
		cfg.NewID = testID
	}
	ts := &testServer{onMessage: onMessage, opened: make(chan *recorder, 20000)}
	srv, err := NewServer(cfg, ts)
	if err != nil {
		t.Fatal(err)
	}
	ts.Server = srv
	ts.http = httptest.NewServer(srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		ts.http.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return ts
}

// session is the receiver of the session opened last.
func (ts *testServer) session(t testing.TB) *recorder {
	t.Helper()
	select {
	case r := <-ts.opened:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no session was opened")
		return nil
	}
}

// do makes a request to the engine and returns status and body.
func (ts *testServer) do(t testing.TB, method, query, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, ts.http.URL+"/socket.io/?"+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return res.StatusCode, err.Error()
	}
	return res.StatusCode, string(b)
}

// handshake opens a polling session and returns the query of its requests.
func (ts *testServer) handshake(t testing.TB, extra string) (query string) {
	t.Helper()
	status, body := ts.do(t, "GET", "EIO=4&transport=polling"+extra, "")
	if status != 200 || !strings.HasPrefix(body, "0{") {
		t.Fatalf("handshake: %d %q", status, body)
	}
	h, err := engineio.ParseHandshake([]byte(body[1:]))
	if err != nil {
		t.Fatal(err)
	}
	return "EIO=4&transport=polling&sid=" + h.SID
}

// dial opens a WebSocket with that query.
func (ts *testServer) dial(t testing.TB, query string) *websocket.Conn {
	t.Helper()
	c, res, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(ts.http.URL, "http")+"/socket.io/?"+query, nil)
	if err != nil {
		status := ""
		if res != nil {
			b, _ := io.ReadAll(res.Body)
			status = fmt.Sprintf("%d %q", res.StatusCode, b)
		}
		t.Fatalf("dial: %v %s", err, status)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

// open opens a WebSocket session and reads its open packet.
func (ts *testServer) open(t testing.TB) *websocket.Conn {
	t.Helper()
	c := ts.dial(t, "EIO=4&transport=websocket")
	if got := read(t, c); !strings.HasPrefix(got, "0{") {
		t.Fatalf("open packet: %q", got)
	}
	return c
}

// read returns the next message; for a binary one with the prefix "bin:". The
// end of the connection is "close:CODE".
func read(t testing.TB, c *websocket.Conn) string {
	t.Helper()
	op, data, err := c.ReadMessage()
	if err != nil {
		if ce, ok := err.(*websocket.CloseError); ok {
			return fmt.Sprintf("close:%d", ce.Code)
		}
		return "error:" + err.Error()
	}
	if op == websocket.BinaryMessage {
		return "bin:" + string(data)
	}
	return string(data)
}

func write(t testing.TB, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func expect(t testing.TB, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}
