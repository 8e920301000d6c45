package client

import (
	"context"
	"errors"
	"testing"
	"time"
)

// never is an ack timeout that no test waits for.
const never = time.Hour

// dialRetrying is dialScript for a client with retries.
func dialRetrying(t *testing.T, srv *script, retries int, ackTimeout time.Duration) (*Socket, *recorder, *peer) {
	t.Helper()
	return dialScript(t, srv, Options{Retries: retries, AckTimeout: ackTimeout})
}

// outcomes collects what EmitAck tells.
type outcomes chan error

func (o outcomes) emit(t *testing.T, s *Socket, ctx context.Context, event string) {
	t.Helper()
	if err := s.EmitAck(ctx, event, func(_ Args, err error) { o <- err }); err != nil {
		t.Error(err)
	}
}

// One event is in flight at a time, with an ack id even if nobody asked for one.
func TestRetriesOneAtATime(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialRetrying(t, srv, 2, never)
	ctx := testContext(t)
	outgoing := 0
	s.OnAnyOutgoing(func(string, Args) { outgoing++ })
	done := make(outcomes, 10)
	_ = s.Emit(ctx, "a", 1)
	done.emit(t, s, ctx, "b")
	called := make(chan int, 1)
	go func() {
		n, err := Call[int](ctx, s, "c", []byte{1})
		if err != nil {
			t.Error(err)
		}
		called <- n
	}()
	p.want(`420["a",1]`)
	p.send("2") // nothing else before the answer
	p.want("3")
	p.send(`430["whatever"]`, `430[]`)
	p.want(`421["b"]`)
	p.send(`430[]`, `431[]`)
	equal(t, recv(t, done), nil)
	p.want(`451-2["c",{"_placeholder":true,"num":0}]`, "\x00\x01")
	eventually(t, "an idle connection", s.client.current().Writable) // the writer may look for more
	_ = s.Volatile().Emit(ctx, "now")
	p.send(`432[5]`)
	equal(t, recv(t, called), 5)
	p.want(`42["now"]`)
	equal(t, outgoing, 4)
}

// Without an ack in time an event is sent again, each time with a new id, and in
// the end given up for the next one.
func TestRetriesTimeOut(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialRetrying(t, srv, 2, 20*time.Millisecond)
	ctx := testContext(t)
	done := make(outcomes, 10)
	done.emit(t, s, ctx, "a")
	_ = s.Emit(ctx, "b")
	p.want(`420["a"]`, `421["a"]`, `422["a"]`)
	equal(t, recv(t, done), ErrTimeout)
	p.want(`423["b"]`, `424["b"]`, `425["b"]`)
	if _, err := Call[None](context.Background(), s, "c"); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	p.want(`426["c"]`, `427["c"]`, `428["c"]`)
}

// A connection that is lost ends a try. Time without one does not count.
func TestRetriesAcrossReconnect(t *testing.T) {
	srv := newScript(t)
	s, rec, p := dialRetrying(t, srv, 1, never)
	ctx := testContext(t)
	done := make(outcomes, 10)
	for _, event := range []string{"a", "b", "c"} {
		done.emit(t, s, ctx, event)
	}
	p.want(`420["a"]`)
	p.Close()
	recv(t, rec.disconnects)
	p = srv.accept()
	p.want(`421["a"]`)
	p.Close()
	recv(t, rec.disconnects)
	equal(t, recv(t, done), ErrDisconnected)
	p = srv.accept()
	p.want(`422["b"]`)
	p.send(`432[]`)
	equal(t, recv(t, done), nil)
	p.want(`423["c"]`)

	// Disconnect is such a loss, too, and Open goes on.
	s.Disconnect()
	p.want("41")
	p.read() // the end
	s.Open()
	p = srv.accept()
	p.want(`424["c"]`)
	p.send(`434[]`)
	equal(t, recv(t, done), nil)
}

// What waits for a connection is sent after the next connect, in order.
func TestRetriesOffline(t *testing.T) {
	srv := newScript(t)
	c, err := New(srv.URL, fast(Options{Transports: []string{WebSocket}, Retries: 3, AckTimeout: never, SendQueue: 1000}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	s := c.Of("/")
	ctx := testContext(t)
	done := make(outcomes, 10)
	_ = s.Emit(ctx, "a")
	done.emit(t, s, ctx, "b")
	_ = s.Volatile().Emit(ctx, "dropped")
	short, cancel := context.WithCancel(ctx)
	done.emit(t, s, short, "given up")
	cancel()
	equal(t, recv(t, done), context.Canceled)
	n := 2
	for err == nil {
		if err = s.Emit(ctx, "more"); err == nil {
			n++
		}
	}
	equal(t, err, ErrQueueFull)
	s.Open()
	p := srv.accept()
	p.want(`420["a"]`)
	waited := make(chan error, 1)
	go func() { waited <- s.Emit(ctx, "last") }() // with a connection it waits for room
	p.send(`430[]`)
	p.want(`421["b"]`)
	p.send(`431[]`)
	equal(t, recv(t, done), nil)
	equal(t, recv(t, waited), nil)
	for i := 2; i < n; i++ {
		got := p.read()
		if got[len(got)-len(`["more"]`):] != `["more"]` {
			t.Fatal(got)
		}
		p.send("43" + got[2:3] + `[]`)
	}
	if got := p.read(); got[len(got)-len(`["last"]`):] != `["last"]` {
		t.Error(got)
	}
}

// Giving up the event in flight lets the next one go, and a late ack of it changes
// nothing.
func TestRetriesGivenUp(t *testing.T) {
	srv := newScript(t)
	s, _, p := dialRetrying(t, srv, 9, never)
	ctx, cancel := context.WithCancel(testContext(t))
	done := make(outcomes, 10)
	done.emit(t, s, ctx, "a")
	done.emit(t, s, testContext(t), "b")
	p.want(`420["a"]`)
	cancel()
	equal(t, recv(t, done), context.Canceled)
	p.want(`421["b"]`)
	p.send(`430[]`, `431[]`)
	equal(t, recv(t, done), nil)
	if err := s.Emit(testContext(t), "connect"); err == nil {
		t.Error("a reserved name")
	}
	if err := s.Emit(testContext(t), "bad", make(chan int)); err == nil {
		t.Error("a value that does not encode")
	}

	// Close fails what waits, in flight or not, and who waits for room.
	for range 3 {
		done.emit(t, s, testContext(t), "c")
	}
	p.want(`422["c"]`)
	srv.seeOff()
	s.Close()
	for range 3 {
		equal(t, recv(t, done), ErrDisconnected)
	}
	equal(t, s.Emit(testContext(t), "d"), ErrClosed)
}
