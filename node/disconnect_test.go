package node

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// ends records how sockets end.
type ends struct {
	t    *testing.T
	seen chan Disconnect
}

// follow checks what section 8 says of the two handlers: rooms are there in the
// first, gone in the second, and nothing can be sent or joined any more.
func follow(t *testing.T, ns Handlers) *ends {
	e := &ends{t, make(chan Disconnect, 100)}
	var disconnecting sync.Map // ids
	ns.reg().OnConnect(func(ctx context.Context, s *Socket) error { return s.Join(ctx, "r") })
	ns.reg().OnDisconnecting(func(ctx context.Context, s *Socket, d Disconnect) {
		disconnecting.Store(s.ID(), true)
		if rooms := s.Rooms(); len(rooms) != 2 || rooms[0] != s.ID() || rooms[1] != "r" {
			t.Errorf("disconnecting: rooms %v", rooms)
		}
		if s.Connected() || !errors.Is(s.Emit(ctx, "x"), ErrDisconnected) {
			t.Error("disconnecting: still connected")
		}
	})
	ns.reg().OnDisconnect(func(ctx context.Context, s *Socket, d Disconnect) {
		if _, ok := disconnecting.Load(s.ID()); !ok {
			t.Error("no disconnecting before disconnect")
		}
		if rooms := s.Rooms(); len(rooms) != 0 {
			t.Errorf("disconnect: rooms %v", rooms)
		}
		if !errors.Is(s.Join(ctx, "again"), ErrDisconnected) || s.Namespace().index.has("again") {
			t.Error("joined after the end")
		}
		if s.Context().Err() == nil || ctx.Err() != nil {
			t.Error("contexts")
		}
		e.seen <- d
	})
	return e
}

func (e *ends) expect(reason DisconnectReason) Disconnect {
	e.t.Helper()
	d := recv(e.t, e.seen)
	if d.Reason != reason {
		e.t.Fatalf("reason %q (%v), want %q", d.Reason, d.Cause, reason)
	}
	return d
}

// The rows of section 8 that a WebSocket client or the server can cause.
func TestDisconnectReasons(t *testing.T) {
	srv := newServer(t, Config{MaxPayload: 1000})
	e := follow(t, srv)
	other := srv.Of("/other")
	sockets := make(chan *Socket, 1)
	srv.OnConnect(func(_ context.Context, s *Socket) error { sockets <- s; return nil })
	withSync(srv)
	for _, test := range []struct {
		id     string
		reason DisconnectReason
		do     func(p *peer, s *Socket)
		cause  bool
	}{
		{"X-01", ReasonClientDisconnect, func(p *peer, s *Socket) { p.send("41") }, false},
		{"X-02", ReasonServerDisconnect, func(p *peer, s *Socket) { s.Disconnect(false); p.expect("41") }, false},
		{"X-03", ReasonServerDisconnect, func(p *peer, s *Socket) { s.Disconnect(true); p.expect("41"); p.closed() }, false},
		{"X-04", ReasonTransportClose, func(p *peer, s *Socket) { p.ws.Close() }, false},
		{"X-05", ReasonTransportError, func(p *peer, s *Socket) { p.send(strings.Repeat("x", 1001)); p.closed() }, true},
		{"X-07", ReasonParseError, func(p *peer, s *Socket) { p.send("9"); p.closed() }, true},
		{"X-08", ReasonForcedClose, func(p *peer, s *Socket) { p.send("42{}"); p.closed() }, true},
		{"X-09", ReasonForcedClose, func(p *peer, s *Socket) { s.CloseSession(errors.New("why")); p.closed() }, true},
		{"X-10", ReasonForcedClose, func(p *peer, s *Socket) { p.send("42/none,[1]"); p.closed() }, true},
	} {
		p, _ := srv.join(t, "/")
		test.do(p, recv(t, sockets))
		if d := e.expect(test.reason); test.cause && d.Cause == nil {
			t.Errorf("%s: cause %v", test.id, d.Cause)
		}
		p.ws.Close()
	}
	if other.Len() != 0 || srv.Len() != 0 || srv.index.has("r") {
		t.Error("something is left")
	}
}

// disconnect(true) tells every namespace, then ends the session (SIO-X-18), in
// the order in which they connected.
func TestDisconnectAll(t *testing.T) {
	srv := newServer(t, Config{})
	srv.Of("/b")
	srv.Of("/admin")
	On(srv, "bye", func(_ context.Context, s *Socket, _ None) error { s.Disconnect(true); return nil })
	p, _ := srv.join(t, "/")
	p.connect("/admin", "")
	p.connect("/b", "")
	p.send(`42["bye"]`)
	p.expect("41", "41/admin,", "41/b,")
	if code := p.closed(); code != 1005 {
		t.Errorf("close code %d", code)
	}
}

// What the client has sent before it learned of the end does not cost it its
// other namespaces.
func TestLateEventsAfterKick(t *testing.T) {
	srv := newServer(t, Config{})
	sockets := make(chan *Socket, 1)
	srv.Of("/a").OnConnect(func(_ context.Context, s *Socket) error { sockets <- s; return nil })
	withSync(srv)
	p, _ := srv.join(t, "/")
	p.connect("/a", "")
	recv(t, sockets).Disconnect(false)
	p.send(`42/a,["late"]`, `43/a,1[]`, `41/a,`)
	p.expect("41/a,")
	p.sync("/")
	p.connect("/a", "")
	recv(t, sockets).Disconnect(false)
	p.expect("41/a,")
	p.sync("/")
}

// Events that came before a DISCONNECT are handled before the end, and nothing is
// sent after it (SIO-X-23).
func TestEventsBeforeDisconnect(t *testing.T) {
	srv := newServer(t, Config{})
	order := make(chan string, 10)
	block := make(chan struct{})
	On(srv, "e", func(ctx context.Context, s *Socket, text string) error {
		<-block
		order <- text
		if ctx.Err() != nil {
			t.Error("context ended early")
		}
		return s.Emit(ctx, "ghost")
	})
	srv.OnDisconnect(func(context.Context, *Socket, Disconnect) { order <- "end" })
	srv.Of("/b")
	withSync(srv.Of("/b"))
	p, _ := srv.join(t, "/")
	p.connect("/b", "")
	p.send(`42["e","1"]`, `42["e","2"]`, "41", "40")
	p.connected("/")
	close(block)
	for _, want := range []string{"1", "2", "end"} {
		if got := recv(t, order); got != want {
			t.Fatal(got, want)
		}
	}
	p.sync("/b")
}

// The server's own decision ends what waits.
func TestKickDropsEvents(t *testing.T) {
	srv := newServer(t, Config{})
	n := make(chan int, 10)
	On(srv, "e", func(ctx context.Context, s *Socket, i int) error {
		n <- i
		<-ctx.Done()
		return context.Cause(ctx)
	})
	ended := make(chan struct{}, 2)
	srv.OnDisconnect(func(context.Context, *Socket, Disconnect) { ended <- struct{}{} })
	withSync(srv.Of("/b"))
	p, id := srv.join(t, "/")
	p.connect("/b", "")
	p.send(`42["e",1]`, `42["e",2]`)
	recv(t, n)
	p.sync("/b") // the second one waits now
	s, _ := srv.Socket(id)
	s.Disconnect(false)
	recv(t, ended)
	s.Disconnect(false) // no more
	if len(n) > 0 {
		t.Error("second event was handled")
	}
}

// The contexts that handlers derive from theirs end with the socket.
func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newPlainServer(t, Config{})
		f := srv.open()
		f.receive("0")
		s := f.c.sockets[0]
		early, cancel := context.WithTimeout(s.Context(), time.Hour)
		defer cancel()
		fired := make(chan error, 1)
		context.AfterFunc(s.Context(), func() { fired <- context.Cause(s.Context()) })
		type key struct{}
		if v := context.WithValue(s.Context(), key{}, 1).Value(key{}); v != 1 {
			t.Error(v)
		}
		if _, ok := s.Context().Deadline(); ok || s.Context().Err() != nil || s.Context().Value(key{}) != nil {
			t.Error("fresh context")
		}
		f.end("transport close")
		<-early.Done()
		if err := <-fired; !errors.Is(err, ErrDisconnected) {
			t.Error(err)
		}
		if early.Err() != context.Canceled || s.Context().Err() != context.Canceled {
			t.Error(early.Err(), s.Context().Err())
		}
		f2 := srv.open()
		f2.receive("0")
		s2 := f2.c.sockets[0]
		f2.end("transport close")
		<-s2.Context().Done() // asked for after the end
	})
}

// Shutdown tells every socket, waits for handlers, and sends no DISCONNECT
// (SIO-X-21).
func TestShutdown(t *testing.T) {
	srv := newServer(t, Config{})
	e := follow(t, srv)
	running := make(chan struct{}, 1)
	On(srv, "wait", func(ctx context.Context, _ *Socket, _ None) error {
		running <- struct{}{}
		<-ctx.Done()
		return nil
	})
	withSync(srv)
	a, _ := srv.join(t, "/")
	b, _ := srv.join(t, "/")
	b.sync("/") // it is in its room
	poll, err := http.Get(srv.http.URL + "/socket.io/?EIO=4&transport=polling")
	if err != nil || poll.StatusCode != 200 {
		t.Fatal(poll, err)
	}
	poll.Body.Close()
	a.send(`42["wait"]`)
	recv(t, running)
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.expect(ReasonServerShutdown)
	e.expect(ReasonServerShutdown)
	for _, p := range []*peer{a, b} {
		_, data, err := p.ws.ReadMessage()
		if !websocket.IsCloseError(err, websocket.CloseGoingAway, websocket.CloseNoStatusReceived) {
			t.Errorf("got %q, %v", data, err)
		}
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error("second Shutdown:", err)
	}
	if err := srv.Ready(t.Context()); !errors.Is(err, ErrServerClosed) {
		t.Error("Ready:", err)
	}
}

func TestShutdownTimesOut(t *testing.T) {
	srv := newServer(t, Config{})
	running, release := make(chan struct{}), make(chan struct{})
	On(srv, "hang", func(context.Context, *Socket, None) error {
		close(running)
		<-release
		return nil
	})
	p, _ := srv.join(t, "/")
	p.send(`42["hang"]`)
	recv(t, running)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := srv.Shutdown(ctx); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
}

func TestNewReportsEverything(t *testing.T) {
	_, err := New(Config{
		Path:           "x",
		NodeID:         "a.b",
		PingInterval:   -1,
		ConnectTimeout: -1,
		Transports:     []string{"pigeon"},
		CORS:           CORS{Origins: []string{"*"}, Credentials: true},
		Limits:         Limits{Rooms: -1, Namespaces: -1},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Path", "NodeID", "PingInterval", "ConnectTimeout", "pigeon", "credentials", "Namespaces"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing about %s in:\n%v", want, err)
		}
	}
}
