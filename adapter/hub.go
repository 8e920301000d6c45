package adapter

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/fanwire/fanwire/adapter/internal/queue"
)

// Hub connects the nodes of one process, for tests and programs without a
// broker. Every node gets the same [Hub.Factory]. The zero value is ready to use
// and may not be copied.
//
// Messages are handed over as they are, not encoded: a receiver shares the
// slices of the sender.
type Hub struct {
	// Selective makes the adapters implement [RoomObserver]: a broadcast to one
	// room then reaches only the nodes that observe it. Set it before the first
	// use of Factory.
	Selective bool
	// MaxQueue bounds the messages that wait for one node's namespace, and
	// MaxQueueBytes their payloads; the oldest are dropped. 0 means 100,000 and
	// 64 MiB (HRD-61).
	MaxQueue, MaxQueueBytes int
	// Memory is the journal of its nodes, if connection state recovery is on.
	Memory Memory

	mu        sync.Mutex
	last      uint64 // number of the last member
	members   map[string]map[string]*hubMember
	addresses map[string]string // of nodes, by their ids
	secret    []byte
}

// Factory is a [Factory].
func (h *Hub) Factory(host Host) (Adapter, error) {
	m := &hubMember{
		hub:  h,
		host: host,
		in:   queue.NewInbox[*Message](orDefault(h.MaxQueue, 100_000), orDefault(h.MaxQueueBytes, 64<<20)),
		done: make(chan struct{}),
	}
	if host.RecoveryWindow() > 0 {
		m.attach(&h.Memory, host)
	}
	if h.Selective {
		m.rooms = map[string]struct{}{}
		return selectiveMember{m}, nil
	}
	return m, nil
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// add gives m a name and makes it known.
func (h *Hub) add(m *hubMember) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	m.id = "hub-" + strconv.FormatUint(h.last, 10)
	ns := m.host.Namespace()
	if h.members == nil {
		h.members = map[string]map[string]*hubMember{}
	}
	if h.members[ns] == nil {
		h.members[ns] = map[string]*hubMember{}
	}
	h.members[ns][m.id] = m
	if m.log != nil {
		m.log.mu.Lock()
		m.beginLocked()
		m.log.mu.Unlock()
	}
}

func (h *Hub) remove(m *hubMember) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ns := m.host.Namespace()
	delete(h.members[ns], m.id)
	if len(h.members[ns]) == 0 {
		delete(h.members, ns)
	}
}

// publish queues msg for every member but its sender. It holds the lock
// meanwhile, so that all members see the messages in one order.
func (h *Hub) publish(from *hubMember, msg *Message) (placed Placed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if from.keeps(msg) {
		from.log.mu.Lock()
		defer from.log.mu.Unlock()
		placed = from.keepLocked(msg)
	}
	for _, m := range h.members[from.host.Namespace()] {
		if m != from && m.wants(msg) {
			if msg.Mark.Seq > 0 { // under the lock of the log
				m.queued = msg.Mark.Seq
			}
			m.put(msg)
		}
	}
	return placed
}

// respond queues msg for one member; an unknown one has gone, that is no error.
func (h *Hub) respond(ns, to string, msg *Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m := h.members[ns][to]; m != nil {
		m.put(msg)
	}
}

// hubMember is one namespace of one node.
type hubMember struct {
	memoryJournal // in use if its log is not nil

	hub  *Hub
	host Host
	in   *queue.Inbox[*Message]
	done chan struct{} // closed when the receive goroutine has ended
	id   string        // set by Start

	mu      sync.Mutex // guards the fields below
	started bool
	closed  bool
	rooms   map[string]struct{} // observed rooms; nil unless selective

	published, received, dropped  atomic.Uint64
	publishedBytes, receivedBytes atomic.Uint64
}

func (m *hubMember) Start(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if m.started {
		return fmt.Errorf("adapter: %s was started before", m.id)
	}
	m.started = true
	m.hub.add(m)
	go m.receive() // ends when Close closes the inbox, which waits for it
	return nil
}

func (m *hubMember) receive() {
	defer close(m.done)
	for {
		msg, ok := m.in.Get()
		if !ok {
			return
		}
		m.host.Receive(msg)
	}
}

func (m *hubMember) put(msg *Message) {
	size := msg.Packet.Size()
	m.received.Add(1)
	m.receivedBytes.Add(uint64(size))
	m.dropped.Add(uint64(m.in.Put(msg, size)))
}

// wants tells whether msg is for this member: a broadcast to a room that nobody
// here is in is not, if the member is selective. One that is answered concerns
// everybody: a node without a match answers 0 (CLU-R-29).
func (m *hubMember) wants(msg *Message) bool {
	if msg.Kind != Broadcast || msg.RequestID != "" || len(msg.Target.Rooms) != 1 {
		return true
	}
	room := msg.Target.Rooms[0]
	return m.observes(room) || m.host.HasRoom(room)
}

func (m *hubMember) observes(room string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.rooms[room]
	return ok || m.rooms == nil
}

func (m *hubMember) open() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.started && !m.closed
}

// sent counts msg and returns a copy that names the sender.
func (m *hubMember) sent(msg *Message) *Message {
	m.published.Add(1)
	m.publishedBytes.Add(uint64(msg.Packet.Size()))
	c := *msg
	c.From = m.id
	if len(c.Trace) > MaxTrace {
		c.Trace = ""
	}
	return &c
}

func (m *hubMember) Publish(_ context.Context, msg *Message) (Placed, error) {
	if !m.open() {
		return Placed{}, ErrClosed
	}
	return m.hub.publish(m, m.sent(msg)), nil
}

func (m *hubMember) Respond(_ context.Context, to string, msg *Message) error {
	if !m.open() {
		return ErrClosed
	}
	m.hub.respond(m.host.Namespace(), to, m.sent(msg))
	return nil
}

func (m *hubMember) ServerCount(ctx context.Context) (int, error) {
	if !m.open() {
		return 0, ErrClosed
	}
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	return len(m.hub.members[m.host.Namespace()]), ctx.Err()
}

// Close must not be called from within Receive, which it waits for.
func (m *hubMember) Close(context.Context) error {
	m.mu.Lock()
	started, again := m.started, m.closed
	m.closed = true
	m.mu.Unlock()
	if started && !again {
		m.hub.remove(m)
		m.in.Close()
	}
	if started {
		<-m.done
	}
	if m.log != nil && !again {
		m.detach()
	}
	return nil
}

func (m *hubMember) Stats() Stats {
	m.mu.Lock()
	rooms := len(m.rooms)
	m.mu.Unlock()
	st := Stats{
		Published:      m.published.Load(),
		PublishedBytes: m.publishedBytes.Load(),
		Received:       m.received.Load(),
		ReceivedBytes:  m.receivedBytes.Load(),
		ReceiveDropped: m.dropped.Load(),
		Subscriptions:  uint64(rooms),
	}
	if m.log != nil {
		m.addStats(&st)
	}
	return st
}

// selectiveMember is a hubMember that is told of rooms.
type selectiveMember struct{ *hubMember }

// RoomAdded takes effect at once.
func (m selectiveMember) RoomAdded(room string) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rooms[room] = struct{}{}
	return nil
}

func (m selectiveMember) RoomRemoved(room string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rooms, room)
}
