package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// tape is a tracer that writes down what ended. Its traceparents are the names of
// spans with those above them.
type tape struct {
	none bool // follows nothing

	mu    sync.Mutex
	ended []string
}

type tapeKey struct{}

type tapeSpan struct {
	t    *tape
	path string
}

func (t *tape) Start(ctx context.Context, s SpanInfo) (context.Context, Span) {
	if t.none {
		return ctx, nil
	}
	path := s.Kind.String()
	if s.Namespace != "" {
		path += " " + s.Namespace
	}
	if s.Event != "" {
		path += " " + s.Event
	}
	if above := t.Inject(ctx); above != "" {
		path = above + " > " + path
	}
	return context.WithValue(ctx, tapeKey{}, path), tapeSpan{t, path}
}

func (t *tape) Inject(ctx context.Context) string {
	path, _ := ctx.Value(tapeKey{}).(string)
	return path
}

func (t *tape) Extract(ctx context.Context, traceparent string) context.Context {
	if strings.HasPrefix(traceparent, "bad") {
		return ctx
	}
	return context.WithValue(ctx, tapeKey{}, traceparent)
}

func (s tapeSpan) End(recipients int, err error) {
	line := s.path
	if recipients >= 0 {
		line += fmt.Sprintf(" (%d)", recipients)
	}
	if err != nil {
		line += ": " + err.Error()
	}
	s.t.mu.Lock()
	s.t.ended = append(s.t.ended, line)
	s.t.mu.Unlock()
}

// spans takes what has ended.
func (t *tape) spans() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.ended)
}

// expect waits for spans, in any order, and forgets them.
func (t *tape) expect(tb testing.TB, want ...string) {
	tb.Helper()
	for end := time.Now().Add(patience); len(t.spans()) < len(want) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	got := t.spans()
	if !slices.Equal(sorted(got), sorted(want)) {
		tb.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	t.mu.Lock()
	t.ended = nil
	t.mu.Unlock()
}

// traced starts two nodes with a tracer each.
func traced(t *testing.T, cfg Config) (a, b *testServer, onA, onB *tape) {
	onA, onB = new(tape), new(tape)
	cfg.Adapter = new(adapter.Hub).Factory
	cfg.Tracer = onA
	a = newServer(t, cfg)
	cfg.Tracer = onB
	b = newServer(t, cfg)
	for _, s := range []*testServer{a, b} {
		if err := s.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return a, b, onA, onB
}

// TestTrace follows what clients do from node to node.
func TestTrace(t *testing.T) {
	for name, cfg := range map[string]Config{"plain": {}, "recovery": {Recovery: new(Recovery)}} {
		t.Run(name, func(t *testing.T) { testTrace(t, cfg) })
	}
}

func testTrace(t *testing.T, cfg Config) {
	a, b, onA, onB := traced(t, cfg)
	for _, s := range []*testServer{a, b} {
		s.Use(func(next ConnectFunc) ConnectFunc {
			return func(ctx context.Context, s *Socket) error {
				if s.client.srv.cfg.Tracer.Inject(ctx) == "" {
					t.Error("a middleware does not get the span")
				}
				return next(ctx, s)
			}
		})
		OnServer(s, "told", func(ctx context.Context, ns *Namespace, _ None) error {
			return ns.To("nobody").Emit(ctx, "relayed") // belongs to it as well
		})
	}
	On(a, "news", func(ctx context.Context, s *Socket, _ None) error { return s.Broadcast().Emit(ctx, "news", 1) })
	On(a, "move", func(ctx context.Context, s *Socket, _ None) error { return s.Namespace().Join(ctx, "r") })
	On(a, "tell", func(ctx context.Context, s *Socket, _ None) error { return s.Namespace().ServerEmit(ctx, "told") })
	On(a, "fail", func(context.Context, *Socket, None) error { return errors.New("no luck") })
	On(a, "later", func(ctx context.Context, s *Socket, _ None) error { return a.Emit(ctx, "later") }, Concurrent())

	p, _ := a.join(t, "/")
	onA.expect(t, "handshake", "handshake > connect /")
	q, _ := b.join(t, "/")
	onB.expect(t, "handshake", "handshake > connect /")

	p.send(`42["news"]`)
	if got := q.read(); !strings.HasPrefix(got, `42["news",1`) {
		t.Errorf("got %s", got)
	}
	onA.expect(t, "event / news", "event / news > publish / news")
	onB.expect(t, "event / news > publish / news > deliver / news (1)")

	p.send(`42["move"]`)
	onA.expect(t, "event / move", "event / move > publish /")
	onB.expect(t, "event / move > publish / > deliver / (1)")

	p.send(`42["tell"]`)
	onA.expect(t, "event / tell", "event / tell > publish / told",
		"event / tell > publish / told > deliver / told > publish / relayed > deliver / relayed (0)")
	onB.expect(t, "event / tell > publish / told > deliver / told",
		"event / tell > publish / told > deliver / told > publish / relayed")

	p.send(`42["fail"]`)
	onA.expect(t, "event / fail: no luck")
	p.send(`42["later"]`)
	onA.expect(t, "event / later", "event / later > publish / later")
	onB.expect(t, "event / later > publish / later > deliver / later (1)")
}

// TestTraceWrapped: middlewares of events and catch-all functions run in the span.
func TestTraceWrapped(t *testing.T) {
	on := new(tape)
	srv := newPlainServer(t, Config{Tracer: on})
	var seen []string
	srv.OnAny(func(ctx context.Context, _ *Socket, event string, _ Args) { seen = append(seen, on.Inject(ctx)) })
	srv.UseEvent(func(next EventFunc) EventFunc {
		return func(ctx context.Context, s *Socket, e Event) error {
			seen = append(seen, on.Inject(ctx))
			return next(ctx, s, e)
		}
	})
	On(srv, "e", func(ctx context.Context, _ *Socket, _ None) error {
		seen = append(seen, on.Inject(ctx))
		return Reply(ctx)
	})
	f := srv.open()
	f.receive("0")
	on.expect(t, "connect /")
	f.receive(`21["e"]`)
	on.expect(t, "event / e")
	if want := []string{"event / e", "event / e", "event / e"}; !slices.Equal(seen, want) {
		t.Errorf("got %q", seen)
	}
	if f.texts != 2 {
		t.Errorf("no ack: %d texts", f.texts)
	}
}

// TestTraceFailures: panics and refusals end their spans.
func TestTraceFailures(t *testing.T) {
	on := new(tape)
	srv := newServer(t, Config{Tracer: on})
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(context.Context, *Socket) error { return errors.New("secret reason") }
	})
	ns := srv.Of("/in")
	On(ns, "panic", func(context.Context, *Socket, None) error { panic("!") })
	p := srv.dial(t)
	p.send("40")
	p.expect(`44{"message":"secret reason"}`)
	on.expect(t, "handshake", "handshake > connect /: refused, or gone")
	p.connect("/in", "")
	on.expect(t, "handshake > connect /in")
	p.send(`42/in,["panic"]`)
	on.expect(t, "event /in panic: panic")

	get(t, srv, "?EIO=4&transport=odd")
	on.expect(t, "handshake: refused with code 0")
	get(t, srv, "?EIO=4&transport=polling&sid=unknown") // belongs to no handshake
	on.expect(t)
}

// get sends a request and passes over the answer.
func get(t *testing.T, srv *testServer, query string) {
	t.Helper()
	res, err := srv.http.Client().Get(srv.http.URL + "/socket.io/" + query)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// TestTraceOfStrangers: what comes from the broker makes a span only if the tracer
// understands it, and never fails.
func TestTraceOfStrangers(t *testing.T) {
	_, b, _, onB := traced(t, Config{})
	p, _ := b.join(t, "/")
	onB.expect(t, "handshake", "handshake > connect /")
	for _, trace := range []string{"", "bad", "good"} {
		b.receive(&adapter.Message{Kind: adapter.Broadcast, Packet: adapter.Payload{Data: []byte(`["e"]`)}, Trace: trace})
		p.expect(`42["e"]`)
	}
	onB.expect(t, "good > deliver / e (1)")
}

// TestNotFollowed: a tracer that follows nothing adds nothing to messages.
func TestNotFollowed(t *testing.T) {
	a, b, onA, onB := traced(t, Config{})
	onA.none = true
	On(a, "e", func(ctx context.Context, _ *Socket, _ None) error { return a.Emit(ctx, "e") })
	p, _ := a.join(t, "/")
	q, _ := b.join(t, "/")
	p.send(`42["e"]`)
	q.expect(`42["e"]`)
	onA.expect(t)
	onB.expect(t, "handshake", "handshake > connect /")
}

// BenchmarkDispatchTraced is BenchmarkDispatch with a tracer that follows nothing.
func BenchmarkDispatchTraced(b *testing.B) {
	srv := newPlainServer(b, Config{Tracer: &tape{none: true}})
	Handle(srv, "raw", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	f := srv.open()
	f.receive("0")
	text := []byte(`21["raw","` + strings.Repeat("x", 128) + `"]`)
	b.ReportAllocs()
	for b.Loop() {
		f.c.Message(text, false, true)
	}
}
