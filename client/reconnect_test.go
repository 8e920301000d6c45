package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestReconnect(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialScript(t, srv, Options{})
	attempts := make(chan int, 10)
	s.Client().OnReconnectAttempt(func(n int) { attempts <- n })
	p.Close() // without a close frame
	d := recv(t, rec.disconnects)
	equal(t, d.Reason, ReasonTransportClose) // SIO-X-04
	ctx := testContext(t)
	for i := range 3 {
		if err := s.Emit(ctx, "kept", i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Volatile().Emit(ctx, "dropped"); err != nil {
		t.Fatal(err)
	}
	p = srv.accept()
	p.want(`42["kept",0]`, `42["kept",1]`, `42["kept",2]`) // SIO-J-01, SIO-J-05
	equal(t, recv(t, attempts), 1)
	recv(t, rec.connects)
	if err := s.Emit(ctx, "next"); err != nil {
		t.Fatal(err)
	}
	p.want(`42["next"]`)
}

// Every way in which a connection ends by the server's doing, and its reason
// (SIO-X).
func TestReasons(t *testing.T) {
	for _, test := range []struct {
		name   string
		end    func(p *peer)
		reason string
	}{
		{"close frame", func(p *peer) {
			_ = p.WriteControl(websocket.CloseMessage, nil, time.Now().Add(time.Second))
			if _, _, err := p.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNoStatusReceived) {
				t.Errorf("close frame not answered: %v", err)
			}
		}, ReasonTransportClose},
		{"reset", func(p *peer) {
			_ = p.NetConn().(*net.TCPConn).SetLinger(0)
			p.Close()
		}, ReasonTransportClose},
		{"close packet", func(p *peer) { p.send("1") }, ReasonTransportClose},
		{"unknown packet type", func(p *peer) { p.send("9") }, ReasonTransportError},              // SIO-X-15
		{"empty packet", func(p *peer) { p.send("") }, ReasonTransportError},                      // SIO-X-15
		{"bad Socket.IO packet", func(p *peer) { p.send(`42["a"`) }, ReasonParseError},            // SIO-X-13
		{"eleven attachments", func(p *peer) { p.send(`4511-["a"]`) }, ReasonParseError},          // SIO-B-05
		{"unexpected attachment", func(p *peer) { p.send("\x00\x01") }, ReasonParseError},         // SIO-M-08
		{"text among attachments", func(p *peer) { p.send(`451-["a"]`, "40") }, ReasonParseError}, // SIO-M-09
		{"bad frame", func(p *peer) { _, _ = p.NetConn().Write([]byte{0xff, 0xff, 0xff}) }, ReasonTransportError},
		{"too large", func(p *peer) { p.send("4" + string(make([]byte, 2000))) }, ReasonTransportError},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newScript(t)
			_, rec, p := dialScript(t, srv, Options{MaxMessage: 1000})
			test.end(p)
			equal(t, recv(t, rec.disconnects).Reason, test.reason)
			srv.accept()
			recv(t, rec.connects)
		})
	}
}

func TestPingTimeout(t *testing.T) {
	const limit = 1500 * time.Millisecond // enough for what comes before the clock starts again
	for _, transport := range []string{WebSocket, Polling} {
		srv := newScript(t)
		srv.hello = `0{"sid":"S","upgrades":[],"pingInterval":1000,"pingTimeout":500,"maxPayload":100}`
		c, err := New(srv.URL, fast(Options{Transports: []string{transport}, Reconnect: ReconnectOptions{Disabled: true}}))
		if err != nil {
			t.Fatal(err)
		}
		s := c.Of("/")
		rec := record(s)
		s.Open()
		start := time.Now()
		if transport == WebSocket {
			p := srv.open()
			p.want("40")
			p.send(`40{"sid":"id1"}`)
			p.send("2")
			p.want("3") // the clock starts again here (EIO-B-08)
		} else {
			aside := map[string][]*poll{}
			srv.next("POST", aside).answer <- "ok"
			srv.next("GET", aside).answer <- "2\x1e" + `40{"sid":"id1"}`
			post := srv.next("POST", aside)
			equal(t, post.body, "3")
			post.answer <- "ok"
		}
		equal(t, recv(t, rec.disconnects).Reason, ReasonPingTimeout)
		if d := time.Since(start); d < limit {
			t.Errorf("after %v", d)
		}
		equal(t, s.Active(), false)
		c.Close()
	}
}

// A handler that takes long holds up neither pongs nor acks.
func TestSlowHandler(t *testing.T) {
	srv := newScript(t)
	release := make(chan struct{})
	s, rec, p := dialScript(t, srv, Options{}, func(s *Socket) {
		On(s, "slow", func(ctx context.Context, _ None) {
			n, err := Call[int](ctx, s, "ask")
			if n != 5 || err != nil {
				t.Error(n, err)
			}
			<-release
		})
	})
	p.send(`42["slow"]`, "2")
	got := map[string]bool{p.read(): true, p.read(): true}
	if !got["3"] || !got[`420["ask"]`] {
		t.Error(got)
	}
	p.send(`430[5]`, "2", `42["next"]`)
	p.want("3")
	rec.want(t, "slow[]")
	equal(t, len(rec.events), 0)
	close(release)
	rec.want(t, "next[]")
	equal(t, s.Connected(), true)
}

// A full queue of events stops the reader, and a disconnect frees it.
func TestReceiveQueue(t *testing.T) {
	srv := newScript(t)
	release := make(chan struct{})
	entered := make(chan struct{}, 100)
	s, _, p := dialScript(t, srv, Options{ReceiveQueue: 1000}, func(s *Socket) {
		On(s, "e", func(context.Context, None) {
			entered <- struct{}{}
			<-release
		})
	})
	for range 20 {
		p.send(`42["e"]`)
	}
	recv(t, entered)
	p.send("2")
	_ = p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, data, err := p.ReadMessage(); err == nil {
		t.Errorf("read %q although the queue is full", data)
	}
	close(release)
	for range 19 {
		recv(t, entered)
	}
	p.Close()
	srv.seeOff()
	s.Close()
}

func TestCloseWhileQueueIsFull(t *testing.T) {
	srv := newScript(t)
	entered := make(chan struct{}, 100)
	s, rec, p := dialScript(t, srv, Options{ReceiveQueue: 1000}, func(s *Socket) {
		On(s, "e", func(ctx context.Context, _ None) {
			entered <- struct{}{}
			<-ctx.Done()
		})
	})
	for range 20 {
		p.send(`42["e"]`)
	}
	recv(t, entered)
	srv.seeOff()
	s.Close()
	equal(t, recv(t, rec.disconnects).Reason, ReasonClient)
	equal(t, len(entered), 0)
}

func TestAttempts(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialScript(t, srv, Options{Reconnect: ReconnectOptions{Attempts: 3}})
	failed := make(chan error, 1)
	s.Client().OnReconnectFailed(func(err error) { failed <- err })
	srv.Close() // before the client looks for it again
	p.Close()
	recv(t, rec.disconnects)
	for range 3 {
		var e *TransportError
		if err := recv(t, rec.failures); !errors.As(err, &e) {
			t.Error(err)
		}
	}
	recv(t, failed)
	equal(t, s.Active(), false)
	if err := s.Emit(testContext(t), "kept"); err != nil {
		t.Error(err)
	}
}

// Connect gives up at the first failure, Open goes on.
func TestConnectAndOpen(t *testing.T) {
	srv := newScript(t)
	address := srv.Listener.Addr().String()
	srv.Close()
	o := fast(Options{Transports: []string{WebSocket}})
	down := true
	o.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		if down {
			return nil, errors.New("down")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	c, err := New("example.invalid", o)
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	s := c.Of("/")
	rec := record(s)
	if err := s.Connect(testContext(t)); err == nil {
		t.Error("no error")
	}
	equal(t, s.Active(), false)
	recv(t, rec.failures)
	s.Open()
	for range 3 {
		recv(t, rec.failures)
	}
	equal(t, s.Active(), true)
	s.Disconnect() // while it waits or dials
	equal(t, s.Active(), false)
}

// Drop closes properly, and what is emitted meanwhile is kept.
func TestDrop(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialScript(t, srv, Options{})
	s.Client().Drop()
	if got := p.read(); !strings.Contains(got, "close 1005") {
		t.Error(got)
	}
	if err := s.Emit(testContext(t), "kept"); err != nil {
		t.Fatal(err)
	}
	equal(t, recv(t, rec.disconnects).Reason, ReasonForcedClose) // SIO-X-14
	srv.accept().want(`42["kept"]`)
}

func TestQueueFull(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialScript(t, srv, Options{SendQueue: 100, Reconnect: ReconnectOptions{Delay: time.Hour}})
	p.Close()
	recv(t, rec.disconnects)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		err = s.Emit(testContext(t), "0123456789")
	}
	equal(t, err, ErrQueueFull)
	if n < 3 || n > 10 {
		t.Errorf("%d events", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Call[None](ctx, s, "x"); !errors.Is(err, ErrQueueFull) {
		t.Error(err)
	}
}

// Pending acks fail at a disconnect, those of events that wait stay (SIO-J-03).
func TestAcksAcrossReconnect(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialScript(t, srv, Options{})
	got := make(chan error, 10)
	done := func(_ Args, err error) { got <- err }
	ctx, cancel := context.WithCancel(context.Background())
	_ = s.EmitAck(context.Background(), "sent", done)
	p.want(`420["sent"]`)
	p.Close()
	recv(t, rec.disconnects)
	equal(t, recv(t, got), ErrDisconnected)
	_ = s.EmitAck(context.Background(), "kept", done)
	_ = s.EmitAck(ctx, "given up", done)
	cancel()
	if err := recv(t, got); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	p = srv.accept()
	p.want(`421["kept"]`)
	p.send(`431[]`)
	equal(t, recv(t, got), nil)
	_ = s.EmitAck(context.Background(), "closing", done)
	srv.seeOff()
	s.Close()
	equal(t, recv(t, got), ErrDisconnected)
}

func TestRecovery(t *testing.T) {
	srv := newScript(t)
	c, err := New(srv.URL, fast(Options{Transports: []string{WebSocket}, Auth: map[string]string{"a": "b"}}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	s := c.Of("/")
	rec := record(s)
	s.Open()
	p := srv.open()
	p.want(`40{"a":"b"}`)
	p.send(`40{"sid":"id","pid":"P"}`, `42["e",1,"offset1"]`, `42["e",2]`)
	recv(t, rec.connects)
	rec.want(t, `e[1,"offset1"]`, `e[2]`)
	p.Close()
	recv(t, rec.disconnects)
	p = srv.open()
	p.want(`40{"pid":"P","offset":"offset1","a":"b"}`)
	p.send(`42["missed","offset2"]`, `40{"sid":"id","pid":"P"}`)
	rec.want(t, `missed["offset2"]`)
	recv(t, rec.connects)
	equal(t, s.Recovered(), true)
	p.Close()
	p = srv.open()
	p.want(`40{"pid":"P","offset":"offset2","a":"b"}`)
	p.send(`40{"sid":"other","pid":"Q"}`)
	recv(t, rec.connects)
	equal(t, s.Recovered(), false)
	p.Close()
	srv.open().want(`40{"pid":"Q","offset":"offset2","a":"b"}`)
}

// TestRecoveryOfMuch: what a client has missed may be more than its queue takes, and
// comes before the answer to CONNECT. Of far too much nothing is lost in silence.
func TestRecoveryOfMuch(t *testing.T) {
	srv := newScript(t)
	const queue = 100
	c, err := New(srv.URL, fast(Options{Transports: []string{WebSocket}, ReceiveQueue: queue}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	s := c.Of("/")
	rec := record(s)
	s.Open()
	p := srv.open()
	p.want(`40`)
	p.send(`40{"sid":"id","pid":"P"}`, `42["e","offset1"]`)
	recv(t, rec.connects)
	rec.want(t, `e["offset1"]`)
	p.Close()
	p = srv.open()
	p.want(`40{"pid":"P","offset":"offset1"}`)
	var missed []string
	for i := range 20 {
		text := fmt.Sprintf(`["%s","o%d"]`, strings.Repeat("x", queue), i)
		p.send(`42["missed",` + text[1:])
		missed = append(missed, "missed"+text)
	}
	p.send(`40{"sid":"id","pid":"P"}`)
	rec.want(t, missed...)
	recv(t, rec.connects)
	p.Close()
	p = srv.open()
	p.want(`40{"pid":"P","offset":"o19"}`)
	for range 2 * heldFactor {
		_ = p.WriteMessage(websocket.TextMessage, []byte(`42["missed","`+strings.Repeat("x", queue)+`"]`)) // it may have gone
	}
	p = srv.open()
	p.want(`40`)
}

func TestBackoff(t *testing.T) {
	o := Options{}.withDefaults().Reconnect
	o.Jitter = 0
	for n, want := range []time.Duration{1, 2, 4, 5, 5} {
		equal(t, o.delay(n), want*time.Second)
	}
	equal(t, o.delay(1<<30), 5*time.Second)
	o.Jitter = 0.5
	for range 1000 {
		if d := o.delay(1); d < time.Second || d > 3*time.Second {
			t.Fatal(d)
		}
	}
}

func TestVolatile(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialScript(t, srv, Options{})
	ctx := testContext(t)
	for i := range 100 { // each finds an idle connection sooner or later
		if err := s.Volatile().Emit(ctx, "v", i); err != nil {
			t.Fatal(err)
		}
		_ = s.Emit(ctx, "e", i)
		if got := p.read(); got[:6] == `42["v"` {
			p.read()
		}
	}
}

// A socket that leaves before it is answered says so when it is, and one that
// comes back does not ask twice.
func TestChangeOfMind(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialScript(t, srv, Options{})
	chat := s.Client().Of("/chat")
	crec := record(chat)
	chat.Open()
	p.want("40/chat,")
	chat.Disconnect()
	p.send(`40/chat,{"sid":"id2"}`, `42/chat,["e"]`, `42["left"]`)
	p.want("41/chat,")
	rec.want(t, "left[]") // the event has come, too
	chat.Open()
	chat.Disconnect()
	chat.Open()
	p.want("40/chat,")
	p.send(`40/chat,{"sid":"id3"}`, `40/chat,{"sid":"id4"}`, `42["end"]`)
	equal(t, recv(t, crec.connects), "id3")
	rec.want(t, "end[]")
	equal(t, chat.ID(), "id3")
	equal(t, len(crec.connects)+len(crec.events)+len(crec.disconnects)+len(crec.failures), 0)
	_ = chat.Emit(testContext(t), "x")
	p.want(`42/chat,["x"]`)
}
