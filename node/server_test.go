package node

import (
	"context"
	"testing"
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
