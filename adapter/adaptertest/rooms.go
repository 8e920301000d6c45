package adaptertest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// selective returns the node's observer. The ability is optional: without it
// there is nothing to test.
func selective(t *testing.T, n *Node) (o adapter.RoomObserver, ok bool) {
	t.Helper()
	if o, ok = n.Adapter.(adapter.RoomObserver); !ok {
		t.Log("the adapter does not observe rooms")
	}
	return o, ok
}

func testSelectiveRooms(t *testing.T, c Cluster) {
	a, b, d := c.node(t, "nodeA"), c.node(t, "nodeB"), c.node(t, "nodeC")
	if _, ok := selective(t, d); !ok || c.Everywhere {
		return
	}
	b.Enter(t, "r1")
	const n = 50
	for i := range n {
		a.MustPublish(t, Event(fmt.Sprintf(`["e",%d]`, i), "r1"))
	}
	a.MustPublish(t, Event(`["end"]`))
	b.Await(t, n+1)
	d.Await(t, 1)
	if got := d.Stats().Received; got != 1 {
		t.Errorf("a node without a member received %d messages instead of 1", got)
	}
	if got := b.Stats().Received; got != n+1 {
		t.Errorf("the node of a member received %d messages instead of %d", got, n+1)
	}
}

func testRoomNames(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	names := []string{
		"röm", "a b", "#", "a#b", "*", "?", "[a]", `a\b`, "", "7", "\x00", "x" + b.IDTag(), // CLU-R-07
		"0123456789abcdef" + b.IDTag(), // a socket of b's
		"0123456789abcdefWXYZ",         // recovered from elsewhere
		"012345678901234567890123456.n1",
	}
	for _, room := range names {
		b.Enter(t, room)
	}
	for i, room := range names {
		a.MustPublish(t, Event(fmt.Sprintf(`["e","%02d"]`, i), room))
	}
	a.MustPublish(t, Event(`["end"]`))
	got := c.payloads(b.Await(t, len(names)+1))
	want := []string{}
	for i := range names {
		want = append(want, fmt.Sprintf(`["e","%02d"]`, i))
	}
	want = append(want, `["end"]`)
	if c.LooseRooms {
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// testJoinIsVisible: what is published after the confirmation arrives.
func testJoinIsVisible(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	const n = 200
	for i := range n {
		room := fmt.Sprint("room-", i)
		b.Enter(t, room)
		a.MustPublish(t, Event(fmt.Sprintf(`["e",%d]`, i), room))
	}
	for i, m := range c.sorted(b.Await(t, n)) {
		if want := fmt.Sprintf(`["e",%d]`, i); string(m.Packet.Data) != want {
			t.Fatalf("message %d is %s", i, m.Packet.Data)
		}
	}
}

func testRoomComesAndGoes(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	o, ok := selective(t, b)
	if !ok {
		return
	}
	const n = 50
	for i := range n {
		stays, goes := fmt.Sprint("stays-", i), fmt.Sprint("goes-", i)
		b.SetRoom(stays, true)
		for range 5 {
			o.RoomAdded(stays)
			o.RoomRemoved(stays)
		}
		b.Enter(t, stays)
		o.RoomAdded(goes)
		o.RoomRemoved(goes)
		a.MustPublish(t, Event(`["gone"]`, goes))
		a.MustPublish(t, Event(fmt.Sprintf(`["e",%d]`, i), stays))
	}
	a.MustPublish(t, Event(`["end"]`))
	seen := 0
	b.AwaitFunc(t, func(got []*adapter.Message) bool {
		seen = 0
		for _, m := range c.sorted(got) {
			if string(m.Packet.Data) == fmt.Sprintf(`["e",%d]`, seen) {
				seen++
			}
		}
		return seen == n
	})
}
