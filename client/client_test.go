package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEvents(t *testing.T) {
	srv := newScript(t)
	type pair struct{ A, B int }
	got := make(chan any, 10)
	s, rec, p := dialScript(t, srv, Options{}, func(s *Socket) {
		On(s, "text", func(_ context.Context, v string) { got <- v })
		On(s, "object", func(_ context.Context, v pair) { got <- v })
		On(s, "two", func(_ context.Context, v Tuple2[int, string]) { got <- v })
		On(s, "binary", func(_ context.Context, v Binary) { got <- string(v) })
		On(s, "none", func(context.Context, None) { got <- "none" })
		On(s, "missing", func(_ context.Context, v *pair) { got <- v })
		On(s, "1", func(_ context.Context, v Args) { got <- v.String() })
	})
	for frame, want := range map[string]any{
		`42["text","é"]`:          "é",
		`42["object",{"a":1}]`:    pair{A: 1},
		`42["two",1,"x",true]`:    Tuple2[int, string]{A: 1, B: "x"},
		`42["none",1]`:            "none",
		`42["missing"]`:           (*pair)(nil),
		`42[1,[ 2 ]]`:             "[[ 2 ]]",
		`b` + `NDJbIng` + `iXQ==`: nil, // base64 text: a binary message without a header, see below
	} {
		if want == nil {
			continue
		}
		p.send(frame)
		if v := recv(t, got); v != want {
			t.Errorf("%s: %#v", frame, v)
		}
		recv(t, rec.events)
	}
	p.send(`451-["binary",{"_placeholder":true,"num":0}]`, "\x00\x01\x02")
	equal(t, recv(t, got), any("\x01\x02"))
	p.send(`451-["binary",{"_placeholder":true,"num":0}]`, "bAQI=") // EIO-K-11
	equal(t, recv(t, got), any("\x01\x02"))

	ctx := testContext(t)
	for _, err := range []error{
		s.Emit(ctx, "a"),
		s.Emit(ctx, "b", 1, "x", nil, pair{1, 2}),
		s.Emit(ctx, "c", []byte{1, 2}, map[string]any{"k": Binary{3}}),
		s.Emit(ctx, "<", None{}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	p.want(`42["a"]`, `42["b",1,"x",null,{"A":1,"B":2}]`,
		`452-["c",{"_placeholder":true,"num":0},{"k":{"_placeholder":true,"num":1}}]`, "\x00\x01\x02", "\x00\x03", `42["<"]`)
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if err := s.Emit(ctx, name); err == nil || !strings.Contains(err.Error(), "reserved event name") {
			t.Error(err) // SIO-D-07, SIO-V-12
		}
	}
	if err := s.Emit(ctx, "x", make(chan int)); err == nil {
		t.Error("a channel was encoded") // SIO-V-14
	}
}

func TestHandlersOrderAndRemoval(t *testing.T) {
	srv := newScript(t)
	got := make(chan string, 10)
	var remove func()
	_, _, p := dialScript(t, srv, Options{}, func(s *Socket) {
		remove = On(s, "e", func(_ context.Context, v string) { got <- "1" + v })
		On(s, "e", func(_ context.Context, v string) { got <- "2" + v })
		stop := s.OnAny(func(context.Context, string, Args) { got <- "removed" })
		s.OnAny(func(_ context.Context, event string, a Args) { got <- "any" + a.String() })
		stop()
	})
	p.send(`42["e","x"]`)
	for _, want := range []string{`any["x"]`, "1x", "2x"} {
		equal(t, recv(t, got), want)
	}
	remove()
	p.send(`42["e","y"]`)
	for _, want := range []string{`any["y"]`, "2y"} {
		equal(t, recv(t, got), want)
	}
}

func TestConnectError(t *testing.T) {
	srv := newScript(t)
	errs := make(chan error, 1)
	go func() {
		_, err := Dial(testContext(t), srv.URL+"/deny", fast(Options{Transports: []string{WebSocket}, Auth: map[string]string{"token": "<x>"}}))
		errs <- err
	}()
	p := srv.open()
	p.want(`40/deny,{"token":"<x>"}`)
	p.send(`44/deny,{"message":"nope","data":{"code":7}}`)
	if got := p.read(); !strings.Contains(got, "close 1005") {
		t.Errorf("connection not closed (SIO-X-20): %s", got)
	}
	var refused *ConnectError
	if err := recv(t, errs); !errors.As(err, &refused) || refused.Message != "nope" || string(refused.Data) != `{"code":7}` {
		t.Errorf("%#v", err)
	}
}

// A server of Socket.IO 2 answers without a sid (SIO-L-03).
func TestOldServer(t *testing.T) {
	srv := newScript(t)
	errs := make(chan error, 1)
	go func() {
		_, err := Dial(testContext(t), srv.URL, fast(Options{Transports: []string{WebSocket}}))
		errs <- err
	}()
	p := srv.open()
	p.want("40")
	p.send("40")
	p.read() // the end
	equal(t, recv(t, errs), errVersion)
}

func TestHandshakeRefused(t *testing.T) {
	for _, test := range []struct {
		transport, contentType, body string
		status, code                 int
		message, detail              string
	}{
		{Polling, "application/json", `{"code":4,"message":"Forbidden"}`, 403, 4, "xhr poll error", "Forbidden"},
		{Polling, "text/html", `<h1>Bad gateway</h1>`, 502, -1, "xhr poll error", "<h1>Bad gateway</h1>"},
		{WebSocket, "text/html", `Forbidden`, 400, -1, "websocket error", "Forbidden"},
	} {
		srv := newScript(t)
		srv.deny = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", test.contentType)
			w.WriteHeader(test.status)
			_, _ = w.Write([]byte(test.body))
			return true
		}
		_, err := Dial(testContext(t), srv.URL, fast(Options{Transports: []string{test.transport}}))
		var e *TransportError
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		equal(t, *e, TransportError{Message: test.message, Status: test.status, Code: test.code, Detail: test.detail})
	}
}

func TestHandshakeNonsense(t *testing.T) {
	for _, hello := range []string{"", "4hello", "xyz", "0{", `0{"sid":""}`, "bAAAA"} {
		for _, transport := range []string{Polling, WebSocket} {
			srv := newScript(t)
			srv.hello = hello
			_, err := Dial(testContext(t), srv.URL, fast(Options{Transports: []string{transport}}))
			var e *TransportError
			if !errors.As(err, &e) || e.Err == nil {
				t.Errorf("%q over %s: %v", hello, transport, err)
			}
			srv.CloseClientConnections()
		}
	}
}

func TestUnreachable(t *testing.T) {
	srv := newScript(t)
	address := srv.URL
	srv.Close()
	for _, transport := range []string{Polling, WebSocket} {
		_, err := Dial(testContext(t), address, fast(Options{Transports: []string{transport}}))
		var e *TransportError
		if !errors.As(err, &e) || strings.Contains(err.Error(), "EIO=4") {
			t.Error(err)
		}
	}
}

// A server that accepts and is silent.
func TestConnectTimeout(t *testing.T) {
	srv := newScript(t)
	block := make(chan struct{})
	t.Cleanup(func() { close(block) })
	srv.deny = func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-block:
		case <-r.Context().Done():
		}
		return true
	}
	for _, transport := range []string{Polling, WebSocket} {
		o := fast(Options{Transports: []string{transport}, ConnectTimeout: 20 * time.Millisecond})
		_, err := Dial(testContext(t), srv.URL, o)
		var e *TransportError
		if !errors.As(err, &e) || e.Message != "timeout" {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		if _, err := Dial(ctx, srv.URL, fast(Options{Transports: []string{transport}})); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
	}
}

func TestRequestDetails(t *testing.T) {
	srv := newScript(t)
	jar, _ := cookiejar.New(nil)
	u, _ := url.Parse(srv.URL)
	jar.SetCookies(u, []*http.Cookie{{Name: "mine", Value: "1"}})
	o := Options{
		Path: "custom/path", Jar: jar, Header: http.Header{"X-Test": {"a", "b"}, "Host": {"other.example"}},
		Query: url.Values{"q": {"1"}, "transport": {"bad"}, "sid": {"bad"}},
	}
	u.User = url.UserPassword("me", "secret")
	srv.URL = u.String() + "/?u=2"
	u.User = nil
	_, _, _ = dialScript(t, srv, o)
	r := srv.request(0)
	equal(t, r.URL.Path, "/custom/path/")
	equal(t, r.URL.RawQuery, "EIO=4&q=1&transport=websocket&u=2")
	equal(t, strings.Join(r.Header["X-Test"], ","), "a,b")
	name, password, _ := r.BasicAuth()
	equal(t, name+":"+password, "me:secret")
	equal(t, r.Host, "other.example")
	equal(t, r.Header.Get("Cookie"), "mine=1")
	if cookies := jar.Cookies(u); len(cookies) != 2 {
		t.Errorf("cookies %v", cookies)
	}
}

func TestBadOptions(t *testing.T) {
	for address, o := range map[string]Options{
		"http://h/a":  {Transports: []string{"carrier pigeon"}},
		"http://h/b":  {Reconnect: ReconnectOptions{Attempts: -1, Jitter: 2}},
		"http://h/c":  {Auth: "text"},
		"http://h/d":  {Auth: map[string]any{"b": Binary{1}}},
		"ftp://h/":    {},
		"http:///x":   {},
		"http://[::1": {},
	} {
		if _, err := New(address, o); err == nil {
			t.Errorf("%s: no error", address)
		}
	}
	c, err := New("localhost:3000", Options{})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, c.Of("").Namespace(), "/")
	equal(t, c.Of("x"), c.Of("/x"))
	equal(t, c.base.String(), "http://localhost:3000/socket.io/")
	c.Close()
	c.Close()
	equal(t, c.Of("/x").Connect(testContext(t)), ErrClosed)
	equal(t, c.Of("/x").Emit(testContext(t), "e"), ErrClosed)
}

func TestNamespaces(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialScript(t, srv, Options{})
	chat := s.Client().Of("/chat")
	crec := record(chat)
	errs := make(chan error, 1)
	go func() { errs <- chat.Connect(testContext(t)) }()
	p.want("40/chat,")
	p.send(`42/chat,["before"]`, `42["root"]`, `42/other,["x"]`, `43/other,0[]`, `41/other,`, `40/chat,{"sid":"id2"}`, `42/chat,["after"]`)
	equal(t, recv(t, errs), nil)
	crec.want(t, "before[]", "after[]") // SIO-J-02
	equal(t, recv(t, crec.connects), "id2")
	rec.want(t, "root[]")
	if err := chat.Emit(testContext(t), "e", 1); err != nil {
		t.Fatal(err)
	}
	p.want(`42/chat,["e",1]`)

	s.Disconnect()
	p.want("41")
	equal(t, recv(t, rec.disconnects).Reason, ReasonClient)
	p.send(`42["late"]`, `42/chat,["still"]`, `41/chat,`)
	crec.want(t, "still[]")
	equal(t, recv(t, crec.disconnects).Reason, ReasonServer)
	if got := p.read(); !strings.Contains(got, "close 1005") {
		t.Errorf("connection not closed (SIO-X-20): %s", got)
	}
	equal(t, chat.Active(), false)
	equal(t, len(rec.events), 0)

	go func() { errs <- s.Connect(testContext(t)) }() // a connection of its own, at once
	srv.accept()
	equal(t, recv(t, errs), nil)
	equal(t, chat.Connected(), false)
}

func TestAuthFunc(t *testing.T) {
	srv := newScript(t)
	c, err := New(srv.URL, fast(Options{Transports: []string{WebSocket}}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	s := c.Of("/")
	n := 0
	s.SetAuthFunc(func(context.Context) (any, error) {
		if n++; n == 3 {
			return nil, errors.New("no token")
		}
		return map[string]int{"n": n}, nil
	})
	rec := record(s)
	s.Open()
	p := srv.open()
	p.want(`40{"n":1}`)
	p.send(`40{"sid":"a"}`)
	recv(t, rec.connects)
	p.Close()
	p = srv.open()
	p.want(`40{"n":2}`)
	p.send(`40{"sid":"a"}`)
	recv(t, rec.connects)
	p.Close()
	if err := recv(t, rec.failures); !strings.Contains(err.Error(), "no token") {
		t.Error(err)
	}
	equal(t, s.Active(), false)
	if got := srv.open().read(); !strings.Contains(got, "close 1005") {
		t.Error(got)
	}
	if s.SetAuth(1) == nil {
		t.Error("no error")
	}
	equal(t, s.SetAuth(map[string]int{"fixed": 1}), nil)
	s.Open()
	srv.open().want(`40{"fixed":1}`)
}

func TestOnAnyOutgoing(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialScript(t, srv, Options{})
	var seen []string
	remove := s.OnAnyOutgoing(func(event string, a Args) { seen = append(seen, event+a.String()) })
	ctx := testContext(t)
	_ = s.Emit(ctx, "a", 1, Binary{1})
	_ = s.Emit(ctx, "b,]")
	_ = s.EmitAck(ctx, "c", func(Args, error) {}, "x")
	remove()
	_ = s.Emit(ctx, "d")
	p.want(`451-["a",1,{"_placeholder":true,"num":0}]`, "\x00\x01", `42["b,]"]`, `420["c","x"]`, `42["d"]`)
	equal(t, strings.Join(seen, " "), `a[1,{"_placeholder":true,"num":0}] b,][] c["x"]`)
}

// What is emitted has been copied when Emit returns.
func TestEmitCopies(t *testing.T) {
	srv := newScript(t)
	srv.hello = defaultHello
	s, rec, p := dialScript(t, srv, Options{})
	p.Close()
	recv(t, rec.disconnects)
	b := []byte{1}
	_ = s.Emit(testContext(t), "e", b)
	b[0] = 2
	srv.accept().want(`451-["e",{"_placeholder":true,"num":0}]`, "\x00\x01")
}

func TestWebSocketPing(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialScript(t, srv, Options{})
	pong := make(chan string, 1)
	p.SetPongHandler(func(data string) error {
		pong <- data
		return nil
	})
	if err := p.WriteControl(websocket.PingMessage, []byte("data"), time.Time{}); err != nil {
		t.Fatal(err)
	}
	p.send("2") // the answer to this one ends the read
	p.want("3")
	equal(t, recv(t, pong), "data")
	equal(t, s.Connected(), true)
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"client: connection refused: nope":                 &ConnectError{Message: "nope"},
		`client: xhr poll error: status 400: "no session"`: &TransportError{Message: "xhr poll error", Status: 400, Detail: "no session"},
		"client: websocket error: client: closed":          &TransportError{Message: "websocket error", Err: ErrClosed},
		`client: event "e": client: closed`:                &HandlerError{"e", ErrClosed},
		"client: ack 1":                                    &AckError{1},
		"client: disconnected: ping timeout":               Disconnect{Reason: ReasonPingTimeout}.asError(),
	} {
		equal(t, err.Error(), want)
	}
	equal(t, errors.Is(&TransportError{Err: ErrClosed}, ErrClosed), true)
	equal(t, errors.Is(&HandlerError{Err: ErrClosed}, ErrClosed), true)
}
