package clustertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
)

// testBroadcasts: from every node, to every kind of target, who should hear it does, once.
func testBroadcasts(t *testing.T, c *cluster) {
	all := c.crowd(t)
	join(t, all, "odd", "ace")
	join(t, all, "late", "def")
	want := make(map[string][]string) // by client
	for i, m := range c.nodes {
		ns := m.srv.Of("/")
		first, second := all[2*i], all[2*i+1] // are at this node
		s, ok := m.srv.Socket(first.ID())
		if !ok {
			t.Fatal("a client is not where it was to be")
		}
		for _, to := range []struct {
			name   string
			target node.Broadcast
			who    string
		}{
			{"all", ns.All(), "abcdef"},
			{"room", ns.To("odd"), "ace"},
			{"rooms", ns.To("odd", "late"), "acdef"},
			{"except", ns.Except("late"), "abc"},
			{"room, except", ns.To("odd").Except("late"), "ac"},
			{"local", ns.Local(), first.name + second.name},
			{"one", ns.To(all[5].ID()), "f"},
			{"nobody", ns.To("nowhere"), ""},
			{"others", s.Broadcast(), strings.ReplaceAll("abcdef", first.name, "")},
			{"others in a room", s.To("odd"), strings.ReplaceAll("ace", first.name, "")},
		} {
			text := m.srv.NodeID() + " " + to.name
			must(t, to.target.Emit(testContext(t), "said", text))
			for _, letter := range to.who {
				want[string(letter)] = append(want[string(letter)], text)
			}
		}
	}
	c.hush(t, all, want)
}

// hush waits until all have heard what they should, and looks for what they should not.
func (c *cluster) hush(t *testing.T, all []*person, want map[string][]string) {
	t.Helper()
	const end = "end"
	for _, p := range all {
		var got []string
		for len(got) < len(want[p.name]) {
			got = append(got, receive(t, p.heard))
		}
		same(t, p.name, got, want[p.name])
	}
	for _, m := range c.nodes {
		must(t, m.srv.Of("/").Emit(testContext(t), "said", end))
	}
	for _, p := range all {
		for range c.nodes {
			equal(t, receive(t, p.heard), end)
		}
	}
}

// testOrder: what clients of all nodes say in one room arrives once, in the order of
// each of them.
func testOrder(t *testing.T, c *cluster) {
	const each = 200
	all := c.crowd(t)
	join(t, all, "r", "abcdef")
	for i := range each {
		for _, p := range all[:5] {
			must(t, p.Emit(testContext(t), "say", "r", fmt.Sprint(p.name, i)))
		}
	}
	for _, p := range all {
		next := make(map[byte]int)
		for range 5 * each {
			text := receive(t, p.heard)
			from := text[0]
			if text[1:] != fmt.Sprint(next[from]) {
				t.Fatalf("%s hears %s, and the next of it is %d", p.name, text, next[from])
			}
			next[from]++
		}
	}
	c.hush(t, all, nil)
}

// testArguments: they arrive at other nodes as they were sent.
func testArguments(t *testing.T, c *cluster) {
	all := c.crowd(t)
	sent := []any{
		"ü😀<\u2028\x1e", nil, true, 1.5, json.Number("9007199254740993"), "",
		map[string]any{"nested": []any{client.Binary{1, 2, 0x1e}, client.Binary{}, "s"}},
		client.Binary("\x00"), strings.Repeat("long ", 20_000),
	}
	for _, p := range all {
		must(t, p.Emit(testContext(t), "tell", append([]any{p.name}, sent...)...))
		for _, other := range all {
			if other == p {
				continue
			}
			a := receive(t, other.told)
			equal(t, a.Len(), len(sent)+1)
			for i, want := range append([]any{p.name}, sent...) {
				got := reflect.New(reflect.TypeFor[any]())
				if _, ok := want.(json.Number); ok {
					got = reflect.New(reflect.TypeFor[json.Number]())
				}
				must(t, a.Bind(i, got.Interface()))
				if !reflect.DeepEqual(got.Elem().Interface(), want) {
					t.Errorf("%s has got %v, not %v", other.name, got.Elem(), want)
				}
			}
		}
	}
}

// testAcks: one node asks the clients of all, or other nodes.
func testAcks(t *testing.T, c *cluster) {
	all := c.crowd(t)
	join(t, all, "odd", "ace")
	ctx := testContext(t)
	for _, m := range c.nodes {
		ns := m.srv.Of("/")
		for _, to := range []struct {
			target node.Broadcast
			want   []string
		}{{ns.All(), []string{"a", "b", "c", "d", "e", "f"}}, {ns.To("odd"), []string{"a", "c", "e"}}, {ns.To("nowhere"), nil}} {
			var names []string
			for name, err := range node.CallAll[string](ctx, to.target, "name?") {
				must(t, err)
				names = append(names, name)
			}
			same(t, m.srv.NodeID(), names, to.want)
		}
		var nodes []string
		for id, err := range node.CallServers[string](ctx, ns, "who") {
			must(t, err)
			nodes = append(nodes, id)
		}
		want := slices.DeleteFunc([]string{"n0", "n1", "n2"}, func(id string) bool { return id == m.srv.NodeID() })
		same(t, m.srv.NodeID(), nodes, want)
	}
	for _, p := range all {
		got, err := client.Call[client.Tuple2[string, client.Binary]](ctx, p.Socket, "echo", p.name, []byte{7})
		if err != nil || got.A != p.name || string(got.B) != "\x07" {
			t.Error(got, err)
		}
	}
}

// testSockets: a node lists, moves and ends clients of others.
func testSockets(t *testing.T, c *cluster) {
	all := c.crowd(t)
	join(t, all, "odd", "ace")
	ctx := testContext(t)
	ns := c.nodes[0].srv.Of("/")
	list := func(target node.Broadcast) (names []string, sockets []node.RemoteSocket) {
		t.Helper()
		for s, err := range target.Sockets(ctx) {
			must(t, err)
			var name string
			must(t, s.Data(&name))
			names = append(names, name)
			sockets = append(sockets, s)
		}
		return names, sockets
	}
	names, sockets := list(ns.All())
	for i, s := range sockets {
		p := all[names[i][0]-'a']
		want := []string{p.ID()}
		if strings.Contains("ace", p.name) {
			want = append(want, "odd")
		}
		same(t, "rooms of "+p.name, s.Rooms(), want)
		equal(t, s.ID(), p.ID())
	}
	same(t, "all", names, []string{"a", "b", "c", "d", "e", "f"})

	must(t, ns.To("odd").Join(ctx, "moved"))
	must(t, ns.To(all[5].ID()).Join(ctx, "moved"))
	must(t, ns.To(all[2].ID()).Leave(ctx, "moved"))
	eventually(t, "moved", func() bool {
		names, _ := list(ns.To("moved"))
		slices.Sort(names)
		return strings.Join(names, "") == "aef"
	})
	must(t, ns.To("moved").Emit(ctx, "said", "to those who were moved"))
	want := []string{"to those who were moved"}
	c.hush(t, all, map[string][]string{"a": want, "e": want, "f": want})

	must(t, ns.In("odd").Disconnect(ctx, false))
	for _, i := range []int{0, 2, 4} {
		equal(t, receive(t, all[i].lost).Reason, client.ReasonServer)
	}
	eventually(t, "those in the room are gone", func() bool { names, _ := list(ns.All()); slices.Sort(names); return strings.Join(names, "") == "bdf" })
}

// testNamespaces: those of a pattern are one on all nodes, and apart from each other;
// who is refused hears why.
func testNamespaces(t *testing.T, c *cluster) {
	ctx := testContext(t)
	one := c.enter(t, c.nodes[0].url()+"/tenant/1", "a", client.Options{})
	same1 := c.enter(t, c.nodes[1].url()+"/tenant/1", "b", client.Options{})
	other := c.enter(t, c.nodes[1].url()+"/tenant/2", "c", client.Options{})
	for _, m := range c.nodes { // a client does not wait for long until its new namespace hears the other nodes
		must(t, m.srv.Ready(ctx))
	}
	for i, m := range c.nodes[:2] {
		ns, release, ok := m.srv.Hold(ctx, "/tenant/1")
		if !ok {
			t.Fatal("the namespace is not there")
		}
		text := fmt.Sprint("to tenant 1, ", i)
		must(t, ns.Emit(ctx, "said", text))
		release()
		equal(t, receive(t, one.heard), text)
		equal(t, receive(t, same1.heard), text)
	}
	ns, release, ok := c.nodes[1].srv.Hold(ctx, "/tenant/2")
	if !ok {
		t.Fatal("the namespace is not there")
	}
	must(t, ns.Emit(ctx, "said", "to tenant 2"))
	release()
	equal(t, receive(t, other.heard), "to tenant 2")

	for _, name := range []string{"/deny", "/unknown"} {
		_, err := client.Dial(ctx, c.nodes[2].url()+name, client.Options{Logger: quiet, Parser: c.Parser})
		var refused *client.ConnectError
		if !errors.As(err, &refused) {
			t.Fatal(name, err)
		}
		if name == "/deny" && (refused.Message != "nope" || string(refused.Data) != `{"code":7}`) || name == "/unknown" && refused.Message != "Invalid namespace" {
			t.Errorf("%+v", refused)
		}
	}
}

// testNoStickiness: each request of a client lands at another node. Every client has a
// room of its own: a message can be late at the other nodes, as it sometimes is by 40 ms
// between the masters of a Redis Cluster, and would come to the next one in the room.
func testNoStickiness(t *testing.T, c *cluster) {
	for i, mode := range [][]string{{client.Polling}, nil} {
		room := fmt.Sprint("r", i)
		trips := &http.Transport{DialContext: c.dial, DisableKeepAlives: true}
		o := c.balanced(mode...)
		o.RoundTripper = trips
		p := c.enter(t, "http://cluster", "a", o)
		p.call(t, "join", room)
		ctx := testContext(t)
		for i := range 30 {
			got, err := client.Call[int](ctx, p.Socket, "echo", i)
			if err != nil || got != i {
				t.Fatal(got, err)
			}
			text := fmt.Sprint("said ", i)
			must(t, c.nodes[i%3].srv.Of("/").To(room).Emit(ctx, "said", text))
			equal(t, receive(t, p.heard), text)
		}
		equal(t, len(p.lost), 0)
		p.Close()
	}
	var relayed uint64
	for _, m := range c.nodes {
		relayed += m.srv.Stats().Relayed
	}
	if relayed == 0 {
		t.Error("no request went through another node")
	}
}

// testNodeLoss stops the client's node twice while it sends and receives: it comes
// back on another one with its state, what it missed follows, and every item that
// it sends arrives at least once and in order.
func testNodeLoss(t *testing.T, c *cluster) {
	const items = 60
	o := c.balanced(client.WebSocket)
	o.Retries, o.AckTimeout = 1000, 5*time.Second
	p := c.enter(t, "http://cluster", "a", o)
	id := receive(t, p.ready)
	ctx := testContext(t)
	p.call(t, "join", "room")
	eventually(t, "the record is written", func() bool { return c.inUse().srv.Stats().RecordsPending == 0 })
	said := make(map[string]int) // by node
	say := func(m *member) {
		id := m.srv.NodeID()
		must(t, m.srv.Of("/").To("room").Emit(ctx, "said", fmt.Sprint(id, " ", said[id])))
		said[id]++
	}
	for i := range items {
		item := fmt.Sprint("item ", i)
		if i%2 == 0 {
			must(t, p.Emit(ctx, "item", item))
		} else if got, err := client.Call[string](ctx, p.Socket, "item", item); err != nil || got != item {
			t.Fatal(got, err)
		}
		if i != 20 && i != 40 {
			continue
		}
		m := c.inUse()
		say(m)
		m.stop()
		equal(t, receive(t, p.lost).Reason, client.ReasonTransportClose)
		other := c.nodes[(slices.Index(c.nodes, m)+1)%len(c.nodes)]
		for range 3 { // missed, or not, as it happens
			say(other)
		}
		equal(t, receive(t, p.ready), id)
		if !p.Recovered() || c.inUse() == m {
			t.Fatal("not recovered elsewhere")
		}
	}
	heard := make(map[string]int) // events of two nodes have no order
	for range 2 * 4 {
		text := receive(t, p.heard)
		id, _, _ := strings.Cut(text, " ")
		equal(t, text, fmt.Sprint(id, " ", heard[id]))
		heard[id]++
	}
	equal(t, fmt.Sprint(heard), fmt.Sprint(said))
	c.mu.Lock()
	defer c.mu.Unlock()
	unique := slices.Compact(slices.Clone(c.items))
	for i := range items {
		if i >= len(unique) || unique[i] != fmt.Sprint("item ", i) {
			t.Fatalf("received %q", c.items)
		}
	}
	equal(t, len(unique), items)
}

// testDrain: clients of a node that is drained are themselves again elsewhere.
func testDrain(t *testing.T, c *cluster) {
	p := c.enter(t, "http://cluster", "a", c.balanced(client.WebSocket))
	id := receive(t, p.ready)
	p.call(t, "join", "room")
	ctx := testContext(t)
	m := c.inUse()
	other := c.nodes[(slices.Index(c.nodes, m)+1)%len(c.nodes)]
	drained := make(chan error, 1)
	go func() { drained <- m.srv.Drain(ctx, 100) }()
	for i := range 20 {
		must(t, other.srv.Of("/").To("room").Emit(ctx, "said", fmt.Sprint(i)))
	}
	receive(t, p.lost)
	equal(t, receive(t, p.ready), id)
	must(t, receive(t, drained))
	if !p.Recovered() || c.inUse() == m {
		t.Error("not recovered elsewhere")
	}
	for i := range 20 {
		equal(t, receive(t, p.heard), fmt.Sprint(i))
	}
}
