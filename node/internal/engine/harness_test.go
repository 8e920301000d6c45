package engine

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/protocol/engineio"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// recorder is a receiver that notes what it is told, and may answer.
type recorder struct {
	s         *Session
	onMessage func(r *recorder, data []byte, binary, inline bool)
	quiet     bool // messages are not noted

	mu       sync.Mutex
	messages []string
	reason   string
	cause    error
	closed   chan struct{}
	ends     int // calls of Closed
	alarms   int
	changed  chan struct{}
}

func (r *recorder) Message(data []byte, binary, inline bool) {
	if !r.quiet {
		r.mu.Lock()
		r.messages = append(r.messages, string(data))
		r.mu.Unlock()
		r.note()
	}
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
	r.ends++
	first := r.ends == 1
	r.mu.Unlock()
	if first {
		close(r.closed)
	}
}

// patience bounds every wait: a minute, or twenty minutes of a bubble,
// whose clock is set to the year 2000.
func patience() time.Duration {
	if time.Now().Year() == 2000 {
		return 20 * time.Minute
	}
	return time.Minute
}

// recv takes the next value from c.
func recv[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience()):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// waitClosed returns the reason of the session's end.
func (r *recorder) waitClosed(t testing.TB) string {
	t.Helper()
	recv(t, r.closed)
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
	client    *http.Client
	dialer    websocket.Dialer
	onMessage func(r *recorder, data []byte, binary, inline bool)
	onOpen    func(s *Session)
	opened    chan *recorder
	quiet     bool // for recorders to come
}

func (ts *testServer) Open(s *Session, _ *http.Request) Receiver {
	r := &recorder{s: s, onMessage: ts.onMessage, quiet: ts.quiet, closed: make(chan struct{}), changed: make(chan struct{}, 1)}
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
	ts.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	t.Cleanup(func() { ts.stop(t) })
	return ts
}

// stop ends the server and everything that belongs to it.
func (ts *testServer) stop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := ts.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	ts.client.CloseIdleConnections()
	ts.http.Close()
}

// session is the receiver of the session opened last.
func (ts *testServer) session(t testing.TB) *recorder {
	t.Helper()
	return recv(t, ts.opened)
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
	res, err := ts.client.Do(req)
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
	c, res, err := ts.dialer.Dial("ws"+strings.TrimPrefix(ts.http.URL, "http")+"/socket.io/?"+query, nil)
	if err != nil {
		status := ""
		if res != nil {
			b, _ := io.ReadAll(res.Body)
			status = fmt.Sprintf("%d %q", res.StatusCode, b)
		}
		t.Fatalf("dial: %v %s", err, status)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience()))
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

// readAnswer reads a response from a connection: status and body.
func readAnswer(t testing.TB, nc net.Conn) string {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Sprint(res.StatusCode, " ", err)
	}
	return fmt.Sprint(res.StatusCode, " ", string(b))
}
