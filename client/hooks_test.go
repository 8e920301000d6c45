package client

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A Client tells of its connection in the order of the official manager.
func TestHooks(t *testing.T) {
	srv := newScript(t)
	var refuse atomic.Bool
	srv.deny = func(w http.ResponseWriter, _ *http.Request) bool {
		if refuse.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
		return refuse.Load()
	}
	c, err := New(srv.URL, fast(Options{Transports: []string{WebSocket}, Reconnect: ReconnectOptions{Attempts: 2}}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	told := make(chan string, 100)
	tell := func(format string, a ...any) { told <- fmt.Sprintf(format, a...) }
	c.OnOpen(func() { tell("open") })
	c.OnClose(func(d Disconnect) { tell("close %s", d.Reason) })
	c.OnTransportError(func(error) { tell("error") })
	c.OnReconnectAttempt(func(n int) { tell("attempt %d", n) })
	c.OnReconnect(func(n int) { tell("reconnect %d", n) })
	c.OnReconnectError(func(error) { tell("reconnect error") })
	c.OnReconnectFailed(func(error) { tell("failed") })
	c.OnPing(func() { tell("ping") })
	remove := c.OnOpen(func() { tell("removed") })
	remove()
	want := func(events ...string) {
		t.Helper()
		for _, e := range events {
			if got := recv(t, told); got != e {
				t.Fatalf("got %s, want %s", got, e)
			}
		}
	}
	s := c.Of("/")
	s.Open()
	p := srv.accept()
	want("open")
	p.send("2")
	want("ping")
	p.Close()
	p = srv.accept()
	want("close transport close", "attempt 1", "open", "reconnect 1")
	refuse.Store(true)
	c.Drop()
	p.read() // the end
	want("close forced close", "attempt 1", "error", "reconnect error", "attempt 2", "error", "reconnect error", "failed")
	equal(t, s.Active(), false)
	if err := c.SetReconnect(ReconnectOptions{Jitter: 2}); err == nil {
		t.Error("jitter above 1")
	}
	if err := c.SetReconnect(ReconnectOptions{Attempts: 1, Delay: time.Millisecond}); err != nil {
		t.Error(err)
	}
	s.Open()
	want("error", "attempt 1", "error", "reconnect error", "failed")
}

// OnPacket hears of both directions.
func TestOnPacket(t *testing.T) {
	srv := newScript(t)
	packets := make(chan string, 100)
	c, err := New(srv.URL, fast(Options{Transports: []string{WebSocket}}))
	if err != nil {
		t.Fatal(err)
	}
	srv.atEnd(c.Close)
	c.OnPacket(func(p EnginePacket) { packets <- fmt.Sprintf("%v %v %s", p.Sent, p.Binary, p.Data) })
	c.Of("/").Open()
	p := srv.accept()
	equal(t, recv(t, packets), "true false 40")
	equal(t, recv(t, packets), `false false 40{"sid":"id1"}`)
	p.send(`451-["b",{"_placeholder":true,"num":0}]`, "\x00abc")
	recv(t, packets)
	equal(t, recv(t, packets), "false true abc")
}

// Handlers that are put in front, and those for one event.
func TestPrependAndOnce(t *testing.T) {
	srv := newScript(t)
	order := make(chan string, 100)
	s, _, p := dialScript(t, srv, Options{}, func(s *Socket) {
		s.OnAny(func(_ context.Context, event string, _ Args) { order <- "second " + event })
		s.PrependAny(func(_ context.Context, event string, _ Args) { order <- "first " + event })
		Once(s, "e", func(_ context.Context, n int) { order <- fmt.Sprint("once ", n) })
		s.OnAnyOutgoing(func(event string, _ Args) { order <- "second out " + event })
		remove := s.PrependAnyOutgoing(func(event string, _ Args) { order <- "never" })
		remove()
		s.PrependAnyOutgoing(func(event string, _ Args) { order <- "first out " + event })
	})
	p.send(`42["e",1]`, `42["e",2]`)
	var got []string
	for range 5 {
		got = append(got, recv(t, order))
	}
	equal(t, strings.Join(got, ", "), "first e, second e, once 1, first e, second e")
	_ = s.Emit(testContext(t), "x")
	equal(t, recv(t, order)+", "+recv(t, order), "first out x, second out x")
}
