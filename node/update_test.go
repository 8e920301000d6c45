package node

import (
	"context"
	"strings"
	"testing"
)

// What others see of a socket changes: its data, its transport.
func TestOnUpdate(t *testing.T) {
	srv := newServer(t, Config{})
	heard := make(chan string, 8)
	hear := func(name string) UpdateFunc {
		return func(_ context.Context, s *Socket) {
			n, _ := Data[int](s)
			heard <- name + " " + s.Transport() + " " + string(rune('0'+n))
		}
	}
	srv.OnUpdate(hear("root"))
	srv.Of("/chat").OnUpdate(hear("chat"))
	srv.Use(func(next ConnectFunc) ConnectFunc {
		return func(ctx context.Context, s *Socket) error {
			s.SetData(1) // nobody has seen it yet
			return next(ctx, s)
		}
	})
	srv.OnConnect(func(_ context.Context, s *Socket) error {
		s.SetData(2)
		return nil
	})
	p := srv.poll(t)
	p.connect(srv)
	if got := recv(t, heard); got != "root polling 2" {
		t.Error(got)
	}
	p.post(srv, "40/chat,")
	if got := p.get(srv); !strings.HasPrefix(got, "40/chat,") {
		t.Fatal(got)
	}
	w := p.upgrade(srv)
	if a, b := recv(t, heard), recv(t, heard); a+b != "root websocket 2chat websocket 0" {
		t.Error(a, b)
	}
	for s := range srv.LocalSockets() {
		s.SetData(3)
		if got := recv(t, heard); got != "root websocket 3" {
			t.Error(got)
		}
	}
	withSync(srv)
	w.sync("/")
	if len(heard) > 0 {
		t.Error(<-heard)
	}
}

// A panic in the function costs this client its session.
func TestOnUpdatePanic(t *testing.T) {
	srv := newServer(t, Config{})
	srv.OnUpdate(func(context.Context, *Socket) { panic("update") })
	p := srv.poll(t)
	p.connect(srv)
	w := p.upgrade(srv)
	if code := w.closed(); code != 1011 {
		t.Error(code)
	}
	if st := srv.Stats(); st.Panics["hook"] != 1 {
		t.Error(st.Panics)
	}
}

// All nodes call a client and its transport the same.
func TestClientID(t *testing.T) {
	c := newCluster(t, false, func(_ int, srv *Server) { srv.Of("/chat") })
	c.peers[0].connect("/chat", "")
	var other *Socket
	for s := range c.sockets[0].Peers() {
		other = s
	}
	id := c.sockets[0].ClientID()
	if len(id) != 12 || other.ClientID() != id || c.sockets[1].ClientID() == id {
		t.Errorf("%q %q %q", id, other.ClientID(), c.sockets[1].ClientID())
	}
	if sid := c.sockets[0].client.sess.ID(); strings.Contains(sid, id) || strings.Contains(id, sid[:6]) {
		t.Error("the session id can be seen")
	}
	for from := range c.nodes {
		seen := 0
		for rs, err := range c.nodes[from].In(c.sockets[0].ID()).Sockets(t.Context()) {
			if err != nil || rs.ClientID() != id || rs.Transport() != "websocket" {
				t.Error(err, rs.ClientID(), rs.Transport())
			}
			seen++
		}
		if seen != 1 {
			t.Error(seen)
		}
	}
	official := RemoteSocket{}
	official.info.Handshake = []byte(`{"headers":{}}`)
	if official.ClientID() != "" || official.Transport() != "" {
		t.Error("made up")
	}
}
