package adaptertest

import (
	"context"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// Node is a recording host with a started adapter.
type Node struct {
	*Host
	adapter.Adapter
}

// Start makes the adapter of one namespace of a node, starts it, and closes it
// when the test ends.
func Start(t testing.TB, factory adapter.Factory, node, namespace string) *Node {
	t.Helper()
	n := New(t, factory, node, namespace)
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		t.Fatalf("%s: Start: %v", node, err)
	}
	return n
}

// New is Start without starting.
func New(t testing.TB, factory adapter.Factory, node, namespace string) *Node {
	t.Helper()
	h := NewHost(node, namespace)
	a, err := factory(h)
	if err != nil {
		t.Fatalf("%s: make the adapter: %v", node, err)
	}
	n := &Node{h, a}
	t.Cleanup(func() { n.MustClose(t) })
	return n
}

// MustClose closes the adapter.
func (n *Node) MustClose(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), Timeout)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Errorf("%s: Close: %v", n.node, err)
	}
}

// MustPublish publishes m.
func (n *Node) MustPublish(t testing.TB, m *adapter.Message) {
	t.Helper()
	if _, err := n.Publish(t.Context(), m); err != nil {
		t.Fatalf("%s: Publish(%s): %v", n.node, Text(m), err)
	}
}

// Enter puts a first local member into room and waits for the confirmation, as
// a node does in Join.
func (n *Node) Enter(t testing.TB, room string) {
	t.Helper()
	n.SetRoom(room, true)
	o, ok := n.Adapter.(adapter.RoomObserver)
	if !ok {
		return
	}
	confirmed := o.RoomAdded(room)
	if confirmed == nil {
		return
	}
	select {
	case <-confirmed:
	case <-time.After(Timeout):
		t.Fatalf("%s: room %q was not confirmed", n.node, room)
	}
}

// Exit takes the last local member out of room.
func (n *Node) Exit(room string) {
	n.SetRoom(room, false)
	if o, ok := n.Adapter.(adapter.RoomObserver); ok {
		o.RoomRemoved(room)
	}
}

// Stats returns the adapter's counters, zeros if it has none.
func (n *Node) Stats() adapter.Stats {
	if m, ok := n.Adapter.(adapter.Measurer); ok {
		return m.Stats()
	}
	return adapter.Stats{}
}

// Event makes a broadcast of one event. payload is the JSON array.
func Event(payload string, rooms ...string) *adapter.Message {
	return &adapter.Message{
		Kind:   adapter.Broadcast,
		Target: adapter.Target{Rooms: rooms},
		Packet: adapter.Payload{Data: []byte(payload)},
	}
}
