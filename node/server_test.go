package node

import (
	"context"
	"slices"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

func TestEchoWithAck(t *testing.T) {
	srv := newServer(t, Config{})
	Handle(srv, "echo", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	On(srv, "say", func(ctx context.Context, s *Socket, text string) error {
		return s.Emit(ctx, "said", text)
	})
	p, _ := srv.join(t, "/")
	p.send(`4212["echo",1,{"a":[null,true]}]`)
	p.expect(`4312[1,{"a":[null,true]}]`)
	p.send(`42["say","hé<"]`)
	p.expect(`42["said","hé<"]`)
}

func TestBroadcastToRoom(t *testing.T) {
	srv := newServer(t, Config{})
	On(srv, "join", func(ctx context.Context, s *Socket, room string) error { return s.Join(ctx, room) })
	withSync(srv)
	a, _ := srv.join(t, "/")
	b, _ := srv.join(t, "/")
	a.send(`42["join","r"]`)
	a.sync("/")
	if err := srv.To("r").Emit(t.Context(), "news", 1); err != nil {
		t.Fatal(err)
	}
	a.expect(`42["news",1]`)
	b.sync("/")
}

// The nodes that a server tells of are those of its adapter.
func TestNodes(t *testing.T) {
	alone := newServer(t, Config{})
	hub := new(adapter.Hub)
	a := newServer(t, Config{NodeID: "a", Adapter: hub.Factory, Advertise: "http://a:1"})
	if got := append(alone.Nodes(), a.Nodes()...); len(got) > 0 { // a has not started
		t.Errorf("Nodes = %v without a directory", got)
	}
	b := newPlainServer(t, Config{NodeID: "b", Adapter: hub.Factory})
	for _, srv := range []*Server{a.Server, b} {
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := []adapter.NodeInfo{{ID: "a", Address: "http://a:1"}, {ID: "b"}}
	for _, srv := range []*Server{a.Server, b} {
		eventually(t, "both nodes", func() bool { return slices.Equal(srv.Nodes(), want) })
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.Nodes(); !slices.Equal(got, want[:1]) {
		t.Errorf("Nodes = %v after one has gone", got)
	}
}
