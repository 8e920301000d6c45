package node

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// handingOver is two nodes on a hub whose clients join rooms by "join"; the records of
// live sessions are written a while after.
func handingOver(t *testing.T) (servers []*testServer) {
	t.Helper()
	hub := new(adapter.Hub)
	for range 2 {
		srv := newServer(t, recovering(Config{Adapter: hub.Factory}))
		Handle(srv, "join", func(ctx context.Context, s *Socket, room string) (None, error) {
			return None{}, s.Join(ctx, room)
		})
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		servers = append(servers, srv)
	}
	return servers
}

// A client that is back on another node has the rooms that it joined in the last
// moment, which the record does not name yet: the node that has or had it tells of
// them (HRD-71).
func TestHandOver(t *testing.T) {
	for _, test := range []struct {
		name string
		lose func(l *life, srv *testServer)
	}{
		{"connection open", func(*life, *testServer) {}},
		{"connection lost", func(l *life, _ *testServer) { l.ws.Close() }},
		{"end noticed", func(l *life, srv *testServer) { l.cut(srv.Of("/")) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			servers := handingOver(t)
			l := begin(t, servers[0], "/", nil)
			_ = servers[0].Emit(t.Context(), "first")
			l.want(`["first"]`)
			at := servers[0]
			for i, next := range []*testServer{servers[1], servers[0], servers[0], servers[1]} {
				room := fmt.Sprint("room", i)
				l.send(fmt.Sprintf(`421["join",%q]`, room))
				l.expect(`431[]`)
				test.lose(l, at)
				again := begin(t, next, "/", l)
				if again.id != l.id {
					t.Fatalf("visit %d: a new session", i)
				}
				for n := range i + 1 {
					_ = servers[1].To(fmt.Sprint("room", n)).Emit(t.Context(), "said", n)
					again.want(fmt.Sprintf(`["said",%d]`, n))
				}
				l, at = again, next
			}
		})
	}
}

// Drain closes a session when its record is written: its client is at another node
// at once (HRD-70). It does not wait for a broker that is away.
func TestDrainKeepsRecords(t *testing.T) {
	hub := new(adapter.Hub)
	srv, f := newFaulty(t, hub, Config{})
	other := newServer(t, recovering(Config{Adapter: hub.Factory}))
	proceed, saving := make(chan struct{}), make(chan struct{}, 100)
	f.saving = func() {
		saving <- struct{}{}
		<-proceed
	}
	l := begin(t, srv, "/", nil)
	recv(t, saving)
	drained := make(chan error, 1)
	go func() { drained <- srv.Drain(t.Context(), 0) }()
	records := &srv.Of("/").records
	eventually(t, "the drain waits for the record", func() bool {
		records.mu.Lock()
		defer records.mu.Unlock()
		j := records.jobs[l.pid]
		return j != nil && j.done != nil && srv.Len() == 1
	})
	close(proceed)
	if code := l.closed(); code != 1001 {
		t.Errorf("close code %d", code)
	}
	if next := begin(t, other, "/", l); next.id != l.id {
		t.Error("a new session")
	}
	if err := recv(t, drained); err != nil {
		t.Error(err)
	}

	srv, f = newFaulty(t, hub, Config{})
	f.save = errors.New("no broker")
	var crowd []*life
	for range 20 {
		crowd = append(crowd, begin(t, srv, "/", nil))
	}
	eventually(t, "it fails", func() bool { return srv.Of("/").records.isFailing() })
	go func() { drained <- srv.Drain(t.Context(), 0) }()
	for _, l := range crowd {
		l.closed()
	}
}
