package loadtest

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/node"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds every wait. Nothing waits for it to pass.
const patience = 30 * time.Second

func start(t testing.TB, hub *adapter.Hub, id string) string {
	t.Helper()
	srv, err := node.New(node.Config{Adapter: hub.Factory, NodeID: id, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	Mount(srv.Of("/loadtest"))
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return web.URL
}

// peer is a client and what it has got.
type peer struct {
	*client.Socket
	t    testing.TB
	msgs chan []any
}

func dial(t testing.TB, url string) *peer {
	t.Helper()
	p := &peer{t: t, msgs: make(chan []any, 100)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := client.Dial(ctx, url+"/loadtest", client.Options{Transports: []string{client.WebSocket}}, func(s *client.Socket) {
		client.On(s, Message, func(_ context.Context, a client.Args) { p.msgs <- values(t, a) })
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Socket = s
	t.Cleanup(func() { s.Close() })
	return p
}

func values(t testing.TB, a client.Args) []any {
	list := make([]any, a.Len())
	for i := range list {
		if err := a.Bind(i, &list[i]); err != nil {
			t.Error(err)
		}
	}
	return list
}

// ask sends an event and returns its ack.
func (p *peer) ask(event string, args ...any) []any {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	a, err := client.Call[client.Args](ctx, p.Socket, event, args...)
	if err != nil {
		p.t.Fatalf("%s: %v", event, err)
	}
	return values(p.t, a)
}

// gets waits for the next message.
func (p *peer) gets(want ...any) {
	p.t.Helper()
	select {
	case got := <-p.msgs:
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			p.t.Errorf("%v, want %v", got, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("no message, want %v", want)
	}
}

func TestEvents(t *testing.T) {
	hub := new(adapter.Hub)
	a, b := dial(t, start(t, hub, "n1")), dial(t, start(t, hub, "n2"))
	for _, args := range [][]any{{}, {nil}, {"a\u2028<b>", 1.5, map[string]any{"x": []any{true}}}, {"t", client.Binary{1, 2}, []any{client.Binary{3}}}} {
		got := a.ask("echo", args...)
		if len(got)+len(args) > 0 && !reflect.DeepEqual(got, args) {
			t.Errorf("%v, want %v", got, args)
		}
	}
	for _, room := range []string{"r", "ré \"x\"\\"} {
		for _, p := range []*peer{a, b} {
			if got := p.ask("join", room); len(got) != 0 {
				t.Error(got)
			}
		}
		a.ask("say", room, "hello", client.Binary{7, 8}) // the publisher gets it too
		a.gets("hello", client.Binary{7, 8})
		b.gets("hello", client.Binary{7, 8})
		b.ask("leave", room)
		a.ask("say", room, "second")
		a.gets("second")
		a.ask("all", map[string]any{"to": "all"}, client.Binary{9})
		a.gets(map[string]any{"to": "all"}, client.Binary{9})
		b.gets(map[string]any{"to": "all"}, client.Binary{9}) // and not the second
	}
	a.ask("say", "nobody is here", "x")
	a.ask("all")
	a.gets()
	b.gets()
}

// Without a room nothing happens, and there is no ack.
func TestBadRooms(t *testing.T) {
	p := dial(t, start(t, new(adapter.Hub), "n1"))
	bad := [][]any{{"join"}, {"join", 7}, {"join", nil}, {"join", client.Binary{1}}, {"leave", map[string]any{}}, {"say"}, {"say", "", "x"}, {"say", true, "x"}}
	answered := make(chan string, len(bad))
	for _, event := range bad {
		go func() { // ends with the socket
			if _, err := client.Call[client.Args](t.Context(), p.Socket, event[0].(string), event[1:]...); err == nil {
				answered <- event[0].(string)
			}
		}()
	}
	p.ask("echo") // what came before it is handled
	select {
	case event := <-answered:
		t.Error(event, "was acked")
	default:
	}
	p.Close()
}

func BenchmarkSay(b *testing.B) {
	p := dial(b, start(b, new(adapter.Hub), "n1"))
	p.ask("join", "r")
	payload := string(make([]byte, 128))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Emit(b.Context(), "say", "r", payload); err != nil {
			b.Fatal(err)
		}
		<-p.msgs
	}
}
