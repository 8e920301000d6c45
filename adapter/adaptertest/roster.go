package adaptertest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// testRoster: the nodes of a namespace know each other by the names that answers
// bear. The ability is optional.
func testRoster(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	if _, ok := a.Adapter.(adapter.Roster); !ok {
		t.Skip("the adapter does not know the nodes by name")
	}
	fd := c.Factory(t)
	d := Start(t, fd, "nodeC", "/")
	Start(t, fd, "nodeC", "/other")
	awaitPeers(t, a, "nodeB", "nodeC")
	awaitPeers(t, d, "nodeA", "nodeB")
	a.MustPublish(t, &adapter.Message{Kind: adapter.FetchIDs, RequestID: "1"})
	for _, n := range []*Node{b, d} {
		m := n.Await(t, 1)[0]
		if err := n.Respond(t.Context(), m.From, &adapter.Message{Kind: adapter.FetchIDsReply, RequestID: m.RequestID, Names: []string{n.node}}); err != nil {
			t.Fatal(err)
		}
	}
	named, _, _ := a.Adapter.(adapter.Roster).Peers(t.Context())
	for _, m := range a.Await(t, 2) {
		if !slices.Contains(named, adapter.Peer{Name: m.From, Node: m.Names[0]}) {
			t.Errorf("the answer of %s is from %q; peers are %v", m.Names[0], m.From, named)
		}
	}
	d.MustClose(t)
	awaitPeers(t, a, "nodeB")
	again := c.node(t, "nodeC")
	awaitPeers(t, a, "nodeB", "nodeC")
	awaitPeers(t, again, "nodeA", "nodeB")
}

// awaitPeers waits until n knows these nodes and no others.
func awaitPeers(t *testing.T, n *Node, want ...string) {
	t.Helper()
	Eventually(t, n.node+" knows its peers", func() bool {
		named, unnamed, err := n.Adapter.(adapter.Roster).Peers(t.Context())
		if err != nil {
			t.Fatalf("%s: Peers: %v", n.node, err)
		}
		var nodes []string
		for _, p := range named {
			nodes = append(nodes, p.Node)
		}
		slices.Sort(nodes)
		return unnamed == 0 && slices.Equal(nodes, want)
	})
}

// testDirectory: nodes know each other's addresses and share a secret. The ability
// is optional.
func testDirectory(t *testing.T, c Cluster) {
	a := c.node(t, "nodeA")
	da, ok := a.Adapter.(adapter.Directory)
	if !ok {
		t.Skip("the adapter has no directory")
	}
	da.Announce("http://10.0.0.1:3000")
	fb := c.Factory(t)
	b := Start(t, fb, "nodeB", "/")
	db := b.Adapter.(adapter.Directory)
	other := Start(t, fb, "nodeB", "/other").Adapter.(adapter.Directory)
	Eventually(t, "nodeB knows nodeA", func() bool {
		return db.Address("nodeA") == "http://10.0.0.1:3000" && other.Address("nodeA") == "http://10.0.0.1:3000"
	})
	db.Announce("http://10.0.0.2:3000")
	Eventually(t, "nodeA knows nodeB", func() bool { return da.Address("nodeB") == "http://10.0.0.2:3000" })
	if got := da.Address("nodeC"); got != "" {
		t.Errorf("address of an unknown node: %q", got)
	}
	want := []adapter.NodeInfo{{ID: "nodeA", Address: "http://10.0.0.1:3000"}, {ID: "nodeB", Address: "http://10.0.0.2:3000"}}
	for _, d := range []adapter.Directory{da, db, other} {
		if got := d.Nodes(); !slices.Equal(got, want) {
			t.Errorf("nodes are %v", got)
		}
	}
	sa, err := da.Secret(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	sb, err := db.Secret(t.Context(), nil)
	if err != nil || len(sa) != 32 || !bytes.Equal(sa, sb) || bytes.Equal(sa, make([]byte, 32)) {
		t.Errorf("secrets %x, %x, %v", sa, sb, err)
	}
	a.MustClose(t)
	Eventually(t, "nodeA is gone", func() bool { return len(db.Nodes()) == 1 && db.Address("nodeA") == "" })
}
