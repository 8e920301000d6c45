package node

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// A node without clients of a dynamic namespace emits to it and asks about it, and
// keeps nothing of it afterwards.
func TestHold(t *testing.T) {
	var hub adapter.Hub
	var servers []*testServer
	for range 2 {
		srv := newServer(t, Config{Adapter: hub.Factory})
		srv.OfFunc(func(_ context.Context, name string, auth json.RawMessage) bool {
			return strings.HasPrefix(name, "/f/") && auth == nil
		})
		servers = append(servers, srv)
	}
	p, id := servers[1].join(t, "/f/1")
	servers[1].ready(t)
	srv := servers[0]
	ns, release, ok := srv.Hold(t.Context(), "f/1")
	if !ok || ns.Name() != "/f/1" {
		t.Fatal("not held")
	}
	_, again, ok := srv.Hold(t.Context(), "/f/1")
	if !ok {
		t.Fatal("not held twice")
	}
	again()
	again() // counts once
	srv.ready(t)
	if err := ns.Emit(t.Context(), "hi"); err != nil {
		t.Fatal(err)
	}
	p.expect(`42/f/1,["hi"]`)
	var found []string
	for s, err := range ns.Sockets(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, s.ID())
	}
	if !slices.Equal(found, []string{id}) {
		t.Errorf("found %v, want %s", found, id)
	}
	if _, ok := srv.Lookup("/f/1"); !ok {
		t.Error("freed while it is held")
	}
	release()
	if _, ok := srv.Lookup("/f/1"); ok {
		t.Error("not freed")
	}
}

// Clients and holds keep a namespace together; a refused name makes none.
func TestHoldWithClients(t *testing.T) {
	srv := newServer(t, Config{})
	srv.OfPattern("/p/{id}")
	p, _ := srv.join(t, "/p/7")
	ns, release, ok := srv.Hold(t.Context(), "/p/7")
	if !ok || ns.PathValue("id") != "7" || ns.Len() != 1 {
		t.Fatal("not the client's namespace")
	}
	p.ws.Close()
	eventually(t, "empty", func() bool { return ns.Len() == 0 })
	if again, _ := srv.Lookup("/p/7"); again != ns {
		t.Error("the last client took the namespace with it")
	}
	release()
	eventually(t, "freed", func() bool { _, ok := srv.Lookup("/p/7"); return !ok })
	if root, release, ok := srv.Hold(t.Context(), "/"); !ok || root != srv.Of("/") {
		t.Error("the root")
	} else {
		release()
	}
	srv.Of("/static")
	_, release, ok = srv.Hold(t.Context(), "/static")
	release()
	if _, there := srv.Lookup("/static"); !ok || !there {
		t.Error("a hold took a namespace of Of with it")
	}
	for _, name := range []string{"/p", "/x/1", "/p/a,b", "/p/\x00", "/p/\xff", "/p/" + strings.Repeat("x", 300)} {
		if _, release, ok := srv.Hold(t.Context(), name); ok {
			t.Errorf("%.20q is held", name)
		} else {
			release()
		}
	}
	if n := len(srv.Namespaces()); n != 2 {
		t.Errorf("%d namespaces", n)
	}
}

// A hold that is let go after Shutdown closes nothing twice.
func TestHoldBeyondShutdown(t *testing.T) {
	var closes atomic.Int64
	var hub adapter.Hub
	srv := newServer(t, Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
		a, err := hub.Factory(h)
		return closeCounter{a, &closes}, err
	}})
	srv.OfPattern("/p/{id}")
	srv.start()
	_, release, ok := srv.Hold(t.Context(), "/p/1")
	if !ok {
		t.Fatal("not held")
	}
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	release()
	if err := srv.Shutdown(t.Context()); err != nil { // waits for what release has begun
		t.Fatal(err)
	}
	if n := closes.Load(); n != 2 {
		t.Errorf("%d adapters of 2 were closed", n)
	}
}

type closeCounter struct {
	adapter.Adapter
	closes *atomic.Int64
}

func (a closeCounter) Close(ctx context.Context) error {
	a.closes.Add(1)
	return a.Adapter.Close(ctx)
}
