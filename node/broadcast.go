package node

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Broadcast selects sockets of a namespace, on all nodes, and says how they are
// reached. It is a value: each method returns a new one, so that a Broadcast can
// be kept and shared.
//
// Without rooms it means all sockets of the namespace, else those in any of the
// rooms; without those in any of the excepted rooms. Every socket is in the room
// named by its id. A socket gets an event once, in however many rooms it is.
type Broadcast struct {
	ns         *Namespace // or
	pattern    *Pattern
	rooms      []string
	except     []string
	sender     *Socket // excepted by its id
	local      bool
	volatile   bool
	noCompress bool
}

// To adds rooms. To and In are the same.
func (b Broadcast) To(rooms ...string) Broadcast {
	b.rooms = append(b.rooms[:len(b.rooms):len(b.rooms)], rooms...)
	return b
}

// In adds rooms. To and In are the same.
func (b Broadcast) In(rooms ...string) Broadcast { return b.To(rooms...) }

// Except adds rooms whose members are left out.
func (b Broadcast) Except(rooms ...string) Broadcast {
	b.except = append(b.except[:len(b.except):len(b.except)], rooms...)
	return b
}

// Volatile drops events for clients to which they cannot be sent at once
// (SIO-V-08).
func (b Broadcast) Volatile() Broadcast {
	b.volatile = true
	return b
}

// Compress says whether events are compressed where the transport compresses;
// they are by default.
func (b Broadcast) Compress(on bool) Broadcast {
	b.noCompress = !on
	return b
}

// Local leaves out the sockets of other nodes.
func (b Broadcast) Local() Broadcast {
	b.local = true
	return b
}

// Emit sends an event to the selected sockets; values are as in [Socket.Emit]. It
// does not block: a client that does not keep up is closed (HRD-51). Events that
// one goroutine emits reach each client in that order. An error says that the
// event was sent to nobody, or, if it is one of the adapter's (see
// [adapter.ErrBacklog]), not to other nodes.
func (b Broadcast) Emit(ctx context.Context, event string, values ...any) error {
	sc := getScratch()
	defer sc.put()
	if err := sc.appendEvent(event, values); err != nil {
		return err
	}
	var first error
	for ns := range b.namespaces {
		if err := ns.broadcast(ctx, &b, sc); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// namespaces yields what the broadcast concerns: one, or the children of a
// pattern.
func (b *Broadcast) namespaces(yield func(*Namespace) bool) {
	if b.pattern == nil {
		yield(b.ns)
		return
	}
	for _, ns := range b.pattern.Namespaces() {
		if !yield(ns) {
			return
		}
	}
}

// target is the selection as other nodes need it.
func (b *Broadcast) target() adapter.Target {
	t := adapter.Target{Rooms: b.rooms, Except: b.except, Volatile: b.volatile, NoCompress: b.noCompress}
	if b.sender != nil {
		t.Except = append(t.Except[:len(t.Except):len(t.Except)], b.sender.id)
	}
	return t
}

// caster gives a namespace or pattern the methods that begin a broadcast.
type caster struct{ all Broadcast }

// To selects the sockets in any of rooms; see [Broadcast].
func (c *caster) To(rooms ...string) Broadcast { return c.all.To(rooms...) }

// In is To.
func (c *caster) In(rooms ...string) Broadcast { return c.all.To(rooms...) }

// Except selects all sockets but those in any of rooms.
func (c *caster) Except(rooms ...string) Broadcast { return c.all.Except(rooms...) }

// Volatile selects all sockets; see [Broadcast.Volatile].
func (c *caster) Volatile() Broadcast { return c.all.Volatile() }

// Compress selects all sockets; see [Broadcast.Compress].
func (c *caster) Compress(on bool) Broadcast { return c.all.Compress(on) }

// Local selects all sockets of this node.
func (c *caster) Local() Broadcast { return c.all.Local() }

// All selects all sockets.
func (c *caster) All() Broadcast { return c.all }

// Emit sends an event to all sockets; see [Broadcast.Emit].
func (c *caster) Emit(ctx context.Context, event string, values ...any) error {
	return c.all.Emit(ctx, event, values...)
}

// To selects the sockets in any of rooms, but not s.
func (s *Socket) To(rooms ...string) Broadcast { return s.Broadcast().To(rooms...) }

// In is To.
func (s *Socket) In(rooms ...string) Broadcast { return s.Broadcast().To(rooms...) }

// Except selects all sockets but s and those in any of rooms.
func (s *Socket) Except(rooms ...string) Broadcast { return s.Broadcast().Except(rooms...) }

// Local selects the other sockets of this node.
func (s *Socket) Local() Broadcast { return s.Broadcast().Local() }

// Broadcast selects all sockets of the namespace but s (SIO-R-04).
func (s *Socket) Broadcast() Broadcast { return Broadcast{ns: s.ns, sender: s} }

// broadcast publishes the event in sc and delivers it here. If publishing fails,
// the own clients get it all the same (SIO-K-01).
func (ns *Namespace) broadcast(ctx context.Context, b *Broadcast, sc *scratch) error {
	if ns.journal != nil {
		return ns.broadcastKept(ctx, b, sc)
	}
	p, payload, err := ns.encode(sc.buf, sc.atts, sendOptions{noCompress: b.noCompress})
	if err != nil {
		return err
	}
	if !b.local && ns.adapter != nil {
		if payload.Size() > ns.srv.cfg.Limits.PublishBytes {
			return fmt.Errorf("%w: %d bytes", ErrTooLarge, payload.Size())
		}
		ns.started(ctx)
		if _, err = ns.publish(ctx, &adapter.Message{Kind: adapter.Broadcast, Target: b.target(), Packet: payload}); err != nil {
			err = fmt.Errorf("node: publish: %w", err)
		}
	}
	ns.deliver(b.recipients(ns), p, &payload, b.volatile)
	return err
}

// encode makes the one packet of a broadcast and its payload, which shares the
// packet's bytes where the parser allows it. data is copied, atts is kept.
func (ns *Namespace) encode(data []byte, atts [][]byte, o sendOptions) (*engine.Packet, adapter.Payload, error) {
	payload := adapter.Payload{Attachments: atts}
	q := packets.Get().(*socketio.Packet)
	*q = socketio.Packet{Type: socketio.Event, Namespace: ns.name, ID: o.ack, HasID: o.asks, Data: data, Attachments: atts}
	msg, binary, rest, err := ns.srv.cfg.Parser.Encode(make([]byte, 0, len(data)+len(ns.name)+24), q)
	*q = socketio.Packet{}
	packets.Put(q)
	if err != nil {
		return nil, payload, encodeError(err)
	}
	if ns.srv.text {
		payload.Data = msg[len(msg)-len(data) : len(msg) : len(msg)]
	} else {
		payload.Data = bytes.Clone(data)
	}
	return engine.NewPacket(msg, binary, rest, !o.noCompress), payload, nil
}

// yieldEvery is how many sockets a broadcast serves before it lets others run
// (HRD-76).
const yieldEvery = 1000

// deliver sends p to the recipients, of which it reports how many took it.
func (ns *Namespace) deliver(r recipients, p *engine.Packet, payload *adapter.Payload, volatile bool) (sent int) {
	defer r.release()
	h := ns.handlers()
	for i, s := range r.list {
		if s == r.skip || !s.ready() {
			continue
		}
		if len(h.outgoing) > 0 {
			s.outgoing(h, eventName(payload.Data), makeArgs(eventArgs(payload.Data), payload.Attachments))
		}
		if s.send(p, volatile) {
			sent++
		}
		if i%yieldEvery == yieldEvery-1 {
			runtime.Gosched()
		}
	}
	ns.srv.counters.delivered.Add(uint64(sent))
	return sent
}

// deliverAsking delivers an event whose acks are awaited, which is not kept.
func (ns *Namespace) deliverAsking(r recipients, p *engine.Packet, payload *adapter.Payload, volatile bool) (sent int) {
	if ns.journal == nil {
		return ns.deliver(r, p, payload, volatile)
	}
	ns.showOutgoing(func() recipients { return recipients{list: r.list, skip: r.skip} }, payload)
	ns.order.Lock()
	defer ns.order.Unlock()
	return ns.deliverLocked(r, &outgoing{withAck: p, volatile: volatile})
}

// recipients are the sockets of this node that a broadcast concerns. Those that
// are not connected are among them.
type recipients struct {
	list   []*Socket
	skip   *Socket
	merged *merger // list is its own, to be given back
}

func (r *recipients) release() {
	if r.merged != nil {
		r.merged.put()
	}
}

// recipients returns those of this node in one of the broadcast's namespaces.
func (b *Broadcast) recipients(ns *Namespace) recipients {
	if b.sender == nil {
		return ns.recipients(b.rooms, b.except, "")
	}
	return ns.recipients(b.rooms, b.except, b.sender.id)
}

// recipients returns those in any of rooms, everybody if there are none, without
// those in except or in the room called sender (SIO-R-03, SIO-R-04). In the usual
// cases it copies nothing.
func (ns *Namespace) recipients(rooms, except []string, sender string) recipients {
	x := &ns.index
	if len(except) == 0 && len(rooms) <= 1 && (sender == "" || x.members(sender) == nil) {
		if r, ok := x.oneRoom(rooms); ok {
			if sender != "" {
				r.skip = x.socket(sender)
			}
			return r
		}
	}
	m := getMerger()
	for _, room := range except {
		m.exclude(x, room)
	}
	if sender != "" {
		m.exclude(x, sender)
		if s := x.socket(sender); s != nil { // also if it has left its own room
			m.seen[s] = struct{}{}
		}
	}
	if len(rooms) == 0 {
		m.addAll(x.everybody())
	}
	for _, room := range rooms {
		m.addAll(x.members(room))
		if own := x.own(room); own != nil {
			m.add(own)
		}
	}
	return recipients{list: m.list, merged: m}
}

// oneRoom returns who is in a room, or everybody if there is none; not ok if the
// room is named by a socket's id and others are in it too.
func (x *index) oneRoom(rooms []string) (r recipients, ok bool) {
	if len(rooms) == 0 {
		return recipients{list: x.everybody()}, true
	}
	r.list = x.members(rooms[0])
	own := x.own(rooms[0])
	if own == nil {
		return r, true
	}
	if len(r.list) > 0 {
		return r, false
	}
	r.merged = getMerger()
	r.merged.add(own)
	r.list = r.merged.list
	return r, true
}

// merger unites rooms.
type merger struct {
	seen map[*Socket]struct{} // added or excluded
	list []*Socket
}

var mergers = sync.Pool{New: func() any { return &merger{seen: map[*Socket]struct{}{}} }}

func getMerger() *merger { return mergers.Get().(*merger) }

func (m *merger) put() {
	if len(m.seen) > 10_000 {
		return
	}
	clear(m.seen)
	clear(m.list)
	m.list = m.list[:0]
	mergers.Put(m)
}

func (m *merger) exclude(x *index, room string) {
	for _, s := range x.members(room) {
		m.seen[s] = struct{}{}
	}
	if s := x.own(room); s != nil {
		m.seen[s] = struct{}{}
	}
}

func (m *merger) addAll(list []*Socket) {
	for _, s := range list {
		m.add(s)
	}
}

func (m *merger) add(s *Socket) {
	if _, ok := m.seen[s]; !ok {
		m.seen[s] = struct{}{}
		m.list = append(m.list, s)
	}
}

// eventName returns the name in an event's JSON array.
func eventName(data []byte) string {
	for raw := range socketio.SplitArgs(data[1 : len(data)-1]) {
		name, err := decodeString(makeArgs(raw, nil))
		if err != nil {
			return string(raw) // a number (SIO-D-08)
		}
		return name
	}
	return ""
}
