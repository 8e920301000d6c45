package client

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var quiet = slog.New(slog.DiscardHandler)

// timeout is how long a test waits for what must come.
const timeout = time.Minute

// script is a server whose answers a test writes frame by frame. It speaks to
// one client at a time.
type script struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	requests []*http.Request

	opened []*websocket.Conn
	over   chan struct{}
	leave  sync.Once

	ws      chan *websocket.Conn // a WebSocket was opened
	polls   chan *poll           // a GET or POST of a session
	hello   string               // handshake; default defaultHello
	deflate bool
	deny    func(w http.ResponseWriter, r *http.Request) bool
}

// poll is a request to be answered.
type poll struct {
	method, body string
	answer       chan string
}

const defaultHello = `0{"sid":"S","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100}`

func newScript(t *testing.T) *script {
	s := &script{t: t, ws: make(chan *websocket.Conn, 10), polls: make(chan *poll, 10), hello: defaultHello, over: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() {
		close(s.over)
		s.Close()
	})
	return s
}

func (s *script) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.mu.Unlock()
	if s.deny != nil && s.deny(w, r) {
		return
	}
	if websocket.IsWebSocketUpgrade(r) {
		u := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }, EnableCompression: s.deflate}
		conn, err := u.Upgrade(w, r, http.Header{"Set-Cookie": {"ws=1; Path=/"}})
		if err != nil {
			return
		}
		if r.URL.Query().Get("sid") == "" {
			_ = conn.WriteMessage(websocket.TextMessage, []byte(s.hello))
		}
		s.ws <- conn
		return
	}
	if r.URL.Query().Get("sid") == "" {
		http.SetCookie(w, &http.Cookie{Name: "io", Value: "S"})
		_, _ = io.WriteString(w, s.hello)
		return
	}
	body, _ := io.ReadAll(r.Body)
	p := &poll{method: r.Method, body: string(body), answer: make(chan string, 1)}
	select {
	case s.polls <- p:
	case <-r.Context().Done():
		return
	}
	select {
	case a := <-p.answer:
		if a == "abort" {
			panic(http.ErrAbortHandler) // closes the connection without an answer
		}
		if status, err := strconv.Atoi(a); err == nil && len(a) == 3 {
			w.WriteHeader(status)
			return
		}
		_, _ = io.WriteString(w, a)
	case <-r.Context().Done():
	}
}

// atEnd has a client closed when the test has ended, and answered.
func (s *script) atEnd(closeClient func()) {
	s.t.Cleanup(closeClient)
	s.t.Cleanup(s.seeOff)
}

// seeOff answers everything from now on, so that who closes does not wait for
// CloseTimeout. The test reads nothing any more.
func (s *script) seeOff() {
	s.leave.Do(func() {
		for _, conn := range s.opened {
			go discard(conn)
		}
		go s.answerAll()
	})
}

func (s *script) answerAll() {
	for {
		select {
		case conn := <-s.ws:
			go discard(conn)
		case p := <-s.polls:
			p.answer <- map[string]string{"GET": "6", "POST": "ok"}[p.method]
		case <-s.over:
			return
		}
	}
}

// discard reads until the end, which gorilla answers.
func discard(conn *websocket.Conn) {
	defer conn.Close()
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return
		}
	}
}

// request returns the nth request that came, from the end if n is negative.
func (s *script) request(n int) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 0 {
		n += len(s.requests)
	}
	return s.requests[n]
}

// next is the next request with the method; others are put aside in order.
func (s *script) next(method string, aside map[string][]*poll) *poll {
	s.t.Helper()
	if list := aside[method]; len(list) > 0 {
		aside[method] = list[1:]
		return list[0]
	}
	for {
		p := recv(s.t, s.polls)
		if p.method == method {
			return p
		}
		aside[p.method] = append(aside[p.method], p)
	}
}

// peer is the server's end of a WebSocket.
type peer struct {
	*websocket.Conn
	t *testing.T
}

// accept waits for a WebSocket and joins it to the namespace "/".
func (s *script) accept() *peer {
	s.t.Helper()
	p := s.open()
	p.want("40")
	p.send(`40{"sid":"id1"}`)
	return p
}

// open waits for a WebSocket.
func (s *script) open() *peer {
	s.t.Helper()
	conn := recv(s.t, s.ws)
	s.opened = append(s.opened, conn)
	s.t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(timeout))
	return &peer{conn, s.t}
}

func (p *peer) send(frames ...string) {
	p.t.Helper()
	for _, f := range frames {
		kind, data := websocket.TextMessage, []byte(f)
		if strings.HasPrefix(f, "\x00") {
			kind, data = websocket.BinaryMessage, data[1:]
		}
		if err := p.WriteMessage(kind, data); err != nil {
			p.t.Errorf("send %q: %v", f, err)
		}
	}
}

// want reads frames and compares; binary ones begin with a zero byte here.
func (p *peer) want(frames ...string) {
	p.t.Helper()
	for _, f := range frames {
		if got := p.read(); got != f {
			p.t.Fatalf("got %q, want %q", got, f)
		}
	}
}

func (p *peer) read() string {
	p.t.Helper()
	kind, data, err := p.ReadMessage()
	if err != nil {
		return err.Error()
	}
	if kind == websocket.BinaryMessage {
		return "\x00" + string(data)
	}
	return string(data)
}

func recv[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(timeout):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// fast are options for tests: no warnings, quick reconnection.
func fast(o Options) Options {
	o.Logger = quiet
	if o.CloseTimeout == 0 {
		o.CloseTimeout = 5 * time.Second // what is sent last gets through though the machine stands still for a while
	}
	o.Reconnect.Delay, o.Reconnect.DelayMax = time.Millisecond, 5*time.Millisecond
	return o
}

// recorder collects what happens to a socket.
type recorder struct {
	events      chan string // name and arguments
	connects    chan string // ids
	disconnects chan Disconnect
	failures    chan error
}

func record(s *Socket) *recorder {
	r := &recorder{make(chan string, 1000), make(chan string, 100), make(chan Disconnect, 100), make(chan error, 100)}
	s.OnAny(func(_ context.Context, event string, a Args) { r.events <- event + a.String() })
	s.OnConnect(func(context.Context) { r.connects <- s.ID() })
	s.OnDisconnect(func(_ context.Context, d Disconnect) { r.disconnects <- d })
	s.OnConnectError(func(_ context.Context, err error) { r.failures <- err })
	return r
}

func (r *recorder) want(t *testing.T, events ...string) {
	t.Helper()
	for _, e := range events {
		if got := recv(t, r.events); got != e {
			t.Fatalf("event %s, want %s", got, e)
		}
	}
}

// dialScript connects to the script over WebSocket while accept plays the server.
func dialScript(t *testing.T, srv *script, o Options, setup ...func(*Socket)) (*Socket, *recorder, *peer) {
	t.Helper()
	if len(o.Transports) == 0 {
		o.Transports = []string{WebSocket}
	}
	var rec *recorder
	type result struct {
		s   *Socket
		err error
	}
	done := make(chan result, 1)
	setup = append([]func(*Socket){func(s *Socket) { rec = record(s) }}, setup...)
	go func() {
		s, err := Dial(testContext(t), srv.URL, fast(o), setup...)
		done <- result{s, err}
	}()
	p := srv.accept()
	r := recv(t, done)
	if r.err != nil {
		t.Fatal(r.err)
	}
	srv.atEnd(r.s.Close)
	if id := recv(t, rec.connects); id != "id1" {
		t.Fatalf("id %q", id)
	}
	return r.s, rec, p
}

// eventually waits until check is true.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(timeout); !check(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
