package adaptertest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// keeper is a node with recovery on, as far as its journal is concerned: it holds
// the lock that [adapter.Journal] speaks of, delivers, and has clients.
type keeper struct {
	*Node
	journal adapter.Journal

	order   sync.Mutex // held around what gives an offset, and the delivery; guards the fields below
	log     []deliveredEvent
	changed chan struct{} // closed and replaced when log grows
	clients map[*modelClient]bool
}

// deliveredEvent is an event with the offset that a socket of the room gets.
type deliveredEvent struct{ data, offset string }

func startKeeper(t *testing.T, factory adapter.Factory, id string) *keeper {
	t.Helper()
	h := NewHost(id, "/")
	h.Window = journalWindow
	k := &keeper{changed: make(chan struct{}), clients: map[*modelClient]bool{}}
	h.OnReceive = k.receive
	a, err := factory(h)
	if err != nil {
		t.Fatalf("%s: make the adapter: %v", id, err)
	}
	k.Node = &Node{h, a}
	var ok bool
	if k.journal, ok = a.(adapter.Journal); !ok {
		t.Fatal("the adapter is no journal")
	}
	t.Cleanup(func() { k.MustClose(t) })
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	defer cancel()
	if err := k.Start(ctx); err != nil {
		t.Fatalf("%s: Start: %v", id, err)
	}
	return k
}

// emit publishes m and delivers it.
func (k *keeper) emit(t testing.TB, m *adapter.Message) {
	t.Helper()
	if err := k.send(t.Context(), m, k.Publish); err != nil {
		t.Fatalf("%s: Publish(%s): %v", k.NodeID(), Text(m), err)
	}
}

// append keeps m and delivers it.
func (k *keeper) append(t testing.TB, m *adapter.Message) {
	t.Helper()
	if err := k.send(t.Context(), m, k.journal.Append); err != nil {
		t.Fatalf("%s: Append(%s): %v", k.NodeID(), Text(m), err)
	}
}

func (k *keeper) send(ctx context.Context, m *adapter.Message, by func(context.Context, *adapter.Message) (adapter.Placed, error)) error {
	if k.journal.Orders() {
		placed, err := by(ctx, m)
		if !placed.Returns {
			k.order.Lock()
			defer k.order.Unlock()
			k.deliver(m, placed.Offset, placed.Mark)
		}
		return err
	}
	k.order.Lock()
	defer k.order.Unlock()
	placed, err := by(ctx, m)
	k.deliver(m, placed.Offset, placed.Mark)
	return err
}

// receive is what the adapter calls.
func (k *keeper) receive(m *adapter.Message) {
	if m.Kind != adapter.Broadcast || m.RequestID != "" {
		return
	}
	k.order.Lock()
	defer k.order.Unlock()
	k.deliver(m, k.journal.Advance(m), m.Mark)
}

// deliver hands an event to the sockets. The caller holds the lock.
func (k *keeper) deliver(m *adapter.Message, offset string, mark adapter.Mark) {
	k.log = append(k.log, deliveredEvent{string(m.Packet.Data), offset})
	close(k.changed)
	k.changed = make(chan struct{})
	for c := range k.clients {
		if wantedBy(c.id, k.NodeID(), c.rooms...)(m) {
			c.live(m, offset, mark)
		}
	}
}

// delivered returns what the node has delivered.
func (k *keeper) delivered() []deliveredEvent {
	k.order.Lock()
	defer k.order.Unlock()
	return slices.Clone(k.log)
}

// awaitDelivered waits until the node has delivered n events.
func (k *keeper) awaitDelivered(t testing.TB, n int) {
	t.Helper()
	deadline := time.After(Timeout)
	for {
		k.order.Lock()
		got, changed := len(k.log), k.changed
		k.order.Unlock()
		if got >= n {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s: %d of %d events were delivered", k.NodeID(), got, n)
		}
	}
}

// modelClient is a client with its socket, which moves from node to node. Its
// fields are guarded by the lock of the node that has it.
type modelClient struct {
	id, pid string
	rooms   []string

	epoch   int
	offset  string // of the last event that the client has got
	got     []string
	wire    []deliveredEvent // sent, and lost if the connection is cut now
	buffer  []bufferedEvent  // live events while the socket is made
	waiting bool             // the socket is being made
	seam    adapter.Replay
}

type bufferedEvent struct {
	m      *adapter.Message
	offset string
	mark   adapter.Mark
}

// live takes an event that arrives live.
func (c *modelClient) live(m *adapter.Message, offset string, mark adapter.Mark) {
	if c.waiting {
		c.buffer = append(c.buffer, bufferedEvent{m, offset, mark})
		return
	}
	if c.seam != nil {
		if c.seam.Saw(mark) {
			return
		}
		offset = c.seam.Offset(offset)
		if c.seam.Over() {
			c.seam = nil
		}
	}
	c.send(m, offset)
}

func (c *modelClient) send(m *adapter.Message, offset string) {
	c.wire = append(c.wire, deliveredEvent{string(m.Packet.Data), offset})
}

// take lets the client get n of the events that are on their way.
func (c *modelClient) take(n int) {
	n = min(n, len(c.wire))
	for _, e := range c.wire[:n] {
		c.got = append(c.got, e.data)
		c.offset = e.offset
	}
	c.wire = c.wire[n:]
}

// record is what the node saves of the session.
func (c *modelClient) record(owner, offset string) *adapter.Session {
	return &adapter.Session{
		PID: c.pid, ID: c.id, Rooms: c.rooms, Offset: offset,
		Owner: owner, Epoch: string(rune('0' + c.epoch)),
	}
}

// connect makes a new session.
func (k *keeper) connect(t testing.TB, c *modelClient) {
	t.Helper()
	for _, r := range c.rooms {
		k.Enter(t, r)
	}
	k.order.Lock()
	here := k.journal.Here()
	k.clients[c] = true
	k.order.Unlock()
	if err := k.journal.SaveSession(t.Context(), c.record(k.NodeID(), here), journalWindow, true); err != nil {
		t.Fatalf("%s: SaveSession: %v", k.NodeID(), err)
	}
}

// cut ends the connection after the client has got n more events. What it has not
// got is lost with it.
func (k *keeper) cut(c *modelClient, n int) {
	k.order.Lock()
	defer k.order.Unlock()
	c.take(n)
	c.wire = nil
	delete(k.clients, c)
}

// recover restores the session of a client that is cut.
func (k *keeper) recover(ctx context.Context, t testing.TB, c *modelClient) error {
	t.Helper()
	s, err := k.journal.TakeSession(ctx, c.pid)
	if err != nil {
		return err
	}
	k.order.Lock()
	c.waiting, c.seam, c.buffer = true, nil, nil
	c.epoch++
	k.clients[c] = true
	k.order.Unlock()
	for _, r := range s.Rooms {
		k.Enter(t, r)
	}
	offset := c.offset
	if offset == "" {
		offset = s.Offset
	}
	r, err := k.journal.Replay(ctx, offset, wantedBy(s.ID, s.Owner, s.Rooms...))
	if err != nil {
		k.order.Lock()
		delete(k.clients, c)
		k.order.Unlock()
		return err
	}
	k.order.Lock()
	for m, o := range r.Events() {
		c.send(m, o)
	}
	c.waiting, c.seam = false, r
	for _, b := range c.buffer {
		c.live(b.m, b.offset, b.mark)
	}
	c.buffer = nil
	k.order.Unlock()
	// Not where it is now: the client may be cut before it has got any of it.
	return k.journal.SaveSession(ctx, c.record(k.NodeID(), offset), journalWindow, true)
}
