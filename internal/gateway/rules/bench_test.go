package rules

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/node"
)

// relayCases are events, and what a handler by hand would do with them.
var relayCases = []struct {
	name  string
	relay config.Relay
	rooms func(a node.Args) []string
}{
	{"fixed", config.Relay{To: []string{"lobby"}, Members: true}, func(node.Args) []string { return []string{"lobby"} }},
	{"argument", config.Relay{To: []string{"room-{args.0}"}, Members: true}, func(a node.Args) []string {
		var room string
		_ = a.Bind(0, &room)
		return []string{"room-" + room}
	}},
	{"field", config.Relay{To: []string{"room-{args.1.room}"}, Members: true}, func(a node.Args) []string {
		var in struct{ Room string }
		_ = a.Bind(1, &in)
		return []string{"room-" + in.Room}
	}},
}

// relayBench is a client in the rooms of the cases, and its event.
func relayBench(b testing.TB, rl config.Relay) (g *gateway, s *node.Socket, e node.Event) {
	set := one(config.Namespace{Auth: []string{"jwt"}, Join: []string{"lobby", "room-a"}, Routes: []config.Route{
		{Events: []string{"other", "x.*"}, Ignore: true},
		relayTo("say", rl),
	}})
	g = start(b, set, Options{Verifier: verifier{"t": {Client: identity.Client{User: "ann", MaySend: []string{"x.*", "say"}}}}}, node.Config{})
	p := g.enter(b, "/", tokenOf("t"))
	s, ok := g.srv.Socket(p.ID())
	if !ok {
		b.Fatal("no socket")
	}
	args, err := node.NewArgs("a", json.RawMessage(`{"text":"some hundred bytes of text, as people write them in a chat when they have something to say","room":"a"}`))
	if err != nil {
		b.Fatal(err)
	}
	return g, s, node.Event{Name: "say", Args: args}
}

func noNext(context.Context, *node.Socket, node.Event) error { return nil }

// What a relay costs besides a handler that does the same by hand.
func BenchmarkRelay(b *testing.B) {
	for _, bc := range relayCases {
		g, s, e := relayBench(b, bc.relay)
		ctx := s.Context()
		b.Run(bc.name+"/by=hand", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := s.To(bc.rooms(e.Args)...).Emit(ctx, e.Name, e.Args); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(bc.name+"/by=rules", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := g.event(ctx, s, e, noNext); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An event that no route is for, and one that is refused for its rate.
func BenchmarkNoRoute(b *testing.B) {
	g := start(b, routes(config.Route{Events: []string{"a", "b*"}, Ignore: true, Rate: 1}), Options{}, node.Config{})
	p := g.enter(b, "/", nil)
	s, _ := g.srv.Socket(p.ID())
	for _, name := range []string{"unmatched", "ba"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = g.event(s.Context(), s, node.Event{Name: name}, noNext)
			}
		})
	}
}

// A relay allocates no more than a handler by hand.
func TestRelayAllocates(t *testing.T) {
	for _, bc := range relayCases {
		g, s, e := relayBench(t, bc.relay)
		ctx := s.Context()
		var hand, rules float64
		for range 20 { // what others allocate meanwhile counts as well
			hand = testing.AllocsPerRun(1000, func() { _ = s.To(bc.rooms(e.Args)...).Emit(ctx, e.Name, e.Args) })
			if rules = testing.AllocsPerRun(1000, func() { _ = g.event(ctx, s, e, noNext) }); rules <= hand {
				break
			}
		}
		if rules > hand {
			t.Errorf("%s: %v allocations, %v by hand", bc.name, rules, hand)
		}
	}
}
