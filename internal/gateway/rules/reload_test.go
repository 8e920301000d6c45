package rules

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/node"
)

func (g *gateway) reload(t testing.TB, s Settings) {
	t.Helper()
	table, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	g.Replace(table)
}

// While rules come and go clients stay, and each of their events arrives once and in
// order.
func TestReloadUnderLoad(t *testing.T) {
	const clients, events = 4, 2000
	variants := []Settings{}
	for i := range 3 {
		s := routes(relayTo("say", config.Relay{}), config.Route{Events: []string{"other"}, Ignore: true, Rate: 1})
		for j := range i {
			s.Namespaces = append(s.Namespaces, config.Namespace{Name: fmt.Sprintf("/n%d/{x}", j)}, config.Namespace{Name: fmt.Sprint("/e", j)})
		}
		variants = append(variants, s)
	}
	g := start(t, variants[0], Options{}, node.Config{})
	hearer := g.enter(t, "/", nil)
	var senders []*guest
	for range clients {
		senders = append(senders, g.enter(t, "/", nil))
	}
	stop := make(chan struct{})
	var wg, reloading sync.WaitGroup
	reloading.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				g.reload(t, variants[i%len(variants)])
			}
		}
	})
	for i, p := range senders {
		wg.Go(func() {
			for n := range events {
				p.emit("say", i, n)
			}
		})
	}
	next := make([]int, clients)
	for range clients * events {
		got := <-hearer.heard
		var from, n int
		if _, err := fmt.Sscanf(got, `["say",%d,%d]`, &from, &n); err != nil || n != next[from] {
			t.Fatalf("heard %s, want %d", got, next[from])
		}
		next[from]++
	}
	wg.Wait()
	close(stop)
	reloading.Wait()
	eventually(t, "counted", func() bool { return g.Stats().Relayed == clients*events })
	if st := g.Stats(); st.Unmatched != 0 {
		t.Errorf("%+v", st)
	}
}

// New names and patterns are there after a reload, once: also a name that a pattern
// had before. What is gone refuses new clients and keeps those that are in it.
func TestReloadNamespaces(t *testing.T) {
	say := []config.Route{relayTo("say", config.Relay{Self: true})}
	g := start(t, Settings{Namespaces: []config.Namespace{{Name: "/old", Routes: say}}}, Options{}, node.Config{})
	old := g.enter(t, "/old", nil)
	for _, name := range []string{"/a/1", "/a/2", "/new"} {
		if got := g.refused(t, name, nil); got != "Invalid namespace " {
			t.Error(got)
		}
	}
	g.reload(t, Settings{Namespaces: []config.Namespace{{Name: "/a/{id}", Routes: say}, {Name: "/new", Routes: say}}})
	a1 := g.enter(t, "/a/1", nil)
	a1.answers(`{"ok":true}`, "say", 1)
	g.enter(t, "/new", nil).answers(`{"ok":true}`, "say", 1)
	if got := g.refused(t, "/old", nil); got != "Invalid namespace " {
		t.Error(got)
	}
	old.emit("say", "nobody")
	eventually(t, "counted", func() bool { return g.Stats().Unmatched == 1 })
	old.hearsNothing(g.srv.Of("/old"))

	twice := []config.Route{relayTo("say", config.Relay{Self: true, Event: "said"})}
	g.reload(t, Settings{Namespaces: []config.Namespace{{Name: "/a/1", Routes: twice}, {Name: "/a/{id}", Routes: say}, {Name: "/old", Routes: twice}}})
	ns, _ := g.srv.Lookup("/a/1")
	a1.hears(`["say",1]`)
	a1.answers(`{"ok":true}`, "say", 2)
	a1.hears(`["said",2]`)
	a1.hearsNothing(ns)
	a2 := g.enter(t, "/a/2", nil)
	a2.answers(`{"ok":true}`, "say", 3)
	a2.hears(`["say",3]`)
	old.answers(`{"ok":true}`, "say", 4)
	old.hears(`["said",4]`)
	g.enter(t, "/a/1", nil).answers(`{"ok":true}`, "say", 5)
	a1.hears(`["said",5]`)
	a1.hearsNothing(ns)

	// The pattern before the name: the first that fits counts.
	g.reload(t, Settings{Namespaces: []config.Namespace{{Name: "/a/{id}", Routes: say}, {Name: "/a/1", Routes: twice}}})
	a1.answers(`{"ok":true}`, "say", 6)
	a1.hears(`["say",6]`)
}

// A node emits to a dynamic namespace in which only other nodes have clients.
func TestOpen(t *testing.T) {
	list, _ := cluster(t, 2, Settings{Namespaces: []config.Namespace{{Name: "/t/{id}"}, {Name: "/fix"}}}, Options{})
	p := list[1].enter(t, "/t/7", nil)
	ns, release, err := list[0].Open("/t/7")
	if err != nil {
		t.Fatal(err)
	}
	ready(t, list) // neither waits for long until its new namespace hears the other node
	if err := ns.Emit(t.Context(), "hi"); err != nil {
		t.Fatal(err)
	}
	p.hears(`["hi"]`)
	found := 0
	for s, err := range ns.Sockets(t.Context()) {
		if err != nil || s.ID() != p.ID() {
			t.Error(s, err)
		}
		found++
	}
	if found != 1 {
		t.Errorf("found %d sockets", found)
	}
	release()
	if again, release, err := list[0].Open("/t/7"); err != nil || again != ns {
		t.Error("was not kept for a while")
	} else {
		release()
	}
	if n := list[0].Stats().HeldNamespaces; n != 1 {
		t.Errorf("%d are held", n)
	}
	for _, name := range []string{"/", "/x", "/t", "/t/a,b", "/t/\x00", "t/7", ""} {
		if _, _, err := list[0].Open(name); err == nil {
			t.Errorf("%q was opened", name)
		}
	}
	if _, release, err := list[0].Open("/fix"); err != nil {
		t.Error(err)
	} else {
		release()
	}
}

// What is kept for backends goes when it was not used for a while, and not before.
func TestHoldsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := node.New(node.Config{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		table, _ := Compile(Settings{Namespaces: []config.Namespace{{Name: "/t/{id}"}}})
		r := New(srv, table, Options{Logger: quiet()})
		there := func(name string, want bool) {
			t.Helper()
			synctest.Wait()
			if _, ok := srv.Lookup(name); ok != want {
				t.Errorf("%s there: %v", name, ok)
			}
		}
		_, one, _ := r.Open("/t/1")
		_, two, _ := r.Open("/t/1")
		one()
		one()
		pass(2 * lingerTime)
		there("/t/1", true) // in use
		two()
		pass(lingerTime - 1)
		_, three, _ := r.Open("/t/1")
		three()
		pass(lingerTime - 1)
		there("/t/1", true)
		pass(2)
		there("/t/1", false)

		for i := range lingerMax + 10 {
			_, release, err := r.Open(fmt.Sprint("/t/", i))
			if err != nil {
				t.Fatal(err)
			}
			release()
		}
		if n := len(srv.Namespaces()); n > lingerMax+1 {
			t.Errorf("%d namespaces are kept", n)
		}
		_, last, _ := r.Open("/t/last")
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
		there("/t/0", false)
		there("/t/last", true)
		last()
		there("/t/last", false)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
