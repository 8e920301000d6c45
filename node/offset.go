package node

import (
	"bytes"
	"context"
	"fmt"
	"runtime"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// outgoing is an event on its way to sockets of a namespace with recovery.
type outgoing struct {
	payload    adapter.Payload
	offset     string       // "" for events with ack
	mark       adapter.Mark // zero for those that are not kept
	volatile   bool
	noCompress bool

	withAck *engine.Packet // set if it has one
	packet  *engine.Packet // for most; made on first use
	plain   *engine.Packet // without offset, for clients of protocol 3
}

// appendOffset appends the event in data with an offset as its last argument
// (SIO-Z-02).
func appendOffset(dst, data []byte, offset string) []byte {
	dst = append(dst, data[:len(data)-1]...)
	if len(bytes.TrimSpace(data[1:len(data)-1])) > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, offset...) // of the adapter's own making: nothing to escape
	return append(dst, '"', ']')
}

// offsetRoom is what an offset takes in a packet, for most adapters.
const offsetRoom = 64

// packetFor returns the packet with an offset, nil if it cannot be encoded.
func (ns *Namespace) packetFor(e *outgoing, offset string) *engine.Packet {
	q := socketio.Packet{Type: socketio.Event, Namespace: ns.name, Attachments: e.payload.Attachments}
	data := e.payload.Data
	if ns.srv.text {
		msg := make([]byte, 0, len(data)+len(ns.name)+offsetRoom)
		msg = socketio.AppendHeader(msg, q.Type, len(q.Attachments), q.Namespace, 0, false)
		if offset == "" {
			msg = append(msg, data...)
		} else {
			msg = appendOffset(msg, data, offset)
		}
		return engine.NewPacket(msg, false, q.Attachments, !e.noCompress)
	}
	if q.Data = data; offset != "" {
		q.Data = appendOffset(make([]byte, 0, len(data)+offsetRoom), data, offset)
	}
	msg, binary, rest, err := ns.srv.cfg.Parser.Encode(nil, &q)
	if err != nil { // it was encoded before
		ns.srv.log.Error("encoding a packet", "namespace", ns.name, "error", err)
		return nil
	}
	return engine.NewPacket(msg, binary, rest, !e.noCompress)
}

// sendOutgoing queues e for s, with its usual offset.
func (s *Socket) sendOutgoing(e *outgoing) bool {
	return s.sendPacket(s.packetOf(e), e.volatile)
}

func (s *Socket) sendPacket(p *engine.Packet, volatile bool) bool {
	return p != nil && s.send(p, volatile)
}

func (s *Socket) packetOf(e *outgoing) *engine.Packet {
	switch {
	case e.withAck != nil:
		return e.withAck
	case s.rec.pid == "":
		if e.plain == nil {
			e.plain = s.ns.packetFor(e, "")
		}
		return e.plain
	case e.packet == nil:
		e.packet = s.ns.packetFor(e, e.offset)
	}
	return e.packet
}

// broadcastKept is broadcast with recovery on.
func (ns *Namespace) broadcastKept(ctx context.Context, b *Broadcast, sc *scratch) error {
	plain, payload, err := ns.encode(sc.buf, sc.atts, sendOptions{noCompress: b.noCompress})
	if err != nil {
		return err
	}
	publishes := !b.local && ns.adapter != nil
	if publishes && payload.Size() > ns.srv.cfg.Limits.PublishBytes {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, payload.Size())
	}
	ns.started(ctx)
	m := &adapter.Message{Kind: adapter.Broadcast, Target: b.target(), Packet: payload, Local: !publishes}
	e := &outgoing{payload: payload, volatile: b.volatile, noCompress: b.noCompress, plain: plain}
	place := func() (adapter.Placed, error) {
		switch {
		case publishes:
			return ns.publish(ctx, m)
		case b.volatile:
			return adapter.Placed{}, nil
		}
		return ns.journal.Append(ctx, m)
	}
	err = ns.deliverPlaced(ctx, e, place, func() recipients { return b.recipients(ns) })
	if err != nil && publishes {
		return fmt.Errorf("node: publish: %w", err)
	}
	return nil
}

// deliverPlaced has an event placed in the journal and delivers it, in one step
// unless the broker decides on the order: then what it keeps comes back through
// receive.
func (ns *Namespace) deliverPlaced(ctx context.Context, e *outgoing, place func() (adapter.Placed, error), to func() recipients) error {
	var placed adapter.Placed
	var err error
	if ns.orders {
		detach(ctx)
		if placed, err = place(); placed.Returns {
			return err
		}
	}
	ns.showOutgoing(to, &e.payload)
	ns.order.Lock()
	defer ns.order.Unlock()
	if !ns.orders {
		placed, err = place()
	}
	e.mark, e.offset = placed.Mark, placed.Offset
	if e.offset == "" {
		e.offset = ns.journal.Here()
	}
	ns.deliverLocked(to(), e)
	return err
}

// receiveKept delivers an event without ack, of another node or one of this node
// that returns.
func (ns *Namespace) receiveKept(m *adapter.Message) (sent int) {
	to := func() recipients { return ns.recipients(m.Target.Rooms, m.Target.Except, "") }
	if m.Direct {
		to = func() recipients { return ns.only(m.Target.Rooms) }
	}
	if !m.Direct { // else emit has shown it
		ns.showOutgoing(to, &m.Packet)
	}
	ns.order.Lock()
	defer ns.order.Unlock()
	e := &outgoing{payload: m.Packet, offset: ns.journal.Advance(m), mark: m.Mark, volatile: m.Target.Volatile, noCompress: m.Target.NoCompress}
	return ns.deliverLocked(to(), e)
}

// only returns the socket whose id stands in ids, as a direct message has it.
func (ns *Namespace) only(ids []string) recipients {
	if len(ids) == 0 {
		return recipients{}
	}
	m := getMerger()
	if s := ns.index.socket(ids[0]); s != nil {
		m.add(s)
	}
	return recipients{list: m.list, merged: m}
}

// showOutgoing shows an event to the functions of OnAnyOutgoing.
func (ns *Namespace) showOutgoing(to func() recipients, payload *adapter.Payload) {
	h := ns.handlers()
	if len(h.outgoing) == 0 {
		return
	}
	r := to()
	defer r.release()
	for _, s := range r.list {
		if s != r.skip && s.ready() {
			s.outgoing(h, eventName(payload.Data), makeArgs(eventArgs(payload.Data), payload.Attachments))
		}
	}
}

// deliverLocked is deliver with recovery on. ns.order is held.
func (ns *Namespace) deliverLocked(r recipients, e *outgoing) (sent int) {
	defer r.release()
	for i, s := range r.list {
		if s == r.skip {
			continue
		}
		var taken bool
		switch {
		case s.rec.seam != nil:
			taken = s.meetLocked(e)
		case s.ready():
			taken = s.sendOutgoing(e)
		}
		if taken {
			sent++
		}
		if i%yieldEvery == yieldEvery-1 {
			runtime.Gosched()
		}
	}
	ns.srv.counters.delivered.Add(uint64(sent))
	return sent
}

// emitKept is emit of an event without ack with recovery on: it is kept, also for a
// socket that has left the room named by its id (SIO-Z-18).
func (s *Socket) emitKept(ctx context.Context, b *scratch, o sendOptions) error {
	ns := s.ns
	if ns.orders && !o.volatile {
		return s.emitOrdered(ctx, b, o)
	}
	ns.order.Lock()
	defer ns.order.Unlock()
	state := s.state.Load()
	if state >= stateLeaving {
		return ErrDisconnected
	}
	var placed adapter.Placed
	switch {
	case state != stateConnected: // its replay, if there is one, comes after this
		placed.Offset = s.rec.before
	case !o.volatile:
		placed, _ = ns.journal.Append(ctx, s.direct(b, o)) // not to be kept is no reason not to send
	}
	return s.sendPlacedLocked(b, o, placed)
}

// emitOrdered waits until the event has come back from the broker.
func (s *Socket) emitOrdered(ctx context.Context, b *scratch, o sendOptions) error {
	ns := s.ns
	var placed adapter.Placed
	switch state := s.state.Load(); {
	case state >= stateLeaving:
		return ErrDisconnected
	case state != stateConnected:
		placed.Offset = s.rec.before
	default:
		detach(ctx)
		placed, _ = ns.journal.Append(ctx, s.direct(b, o))
	}
	if placed.Returns {
		return nil
	}
	ns.order.Lock()
	defer ns.order.Unlock()
	return s.sendPlacedLocked(b, o, placed)
}

// direct is the event in b as the journal keeps it.
func (s *Socket) direct(b *scratch, o sendOptions) *adapter.Message {
	return &adapter.Message{
		Kind:   adapter.Broadcast,
		Target: adapter.Target{Rooms: s.rec.self, NoCompress: o.noCompress},
		Packet: adapter.Payload{Data: bytes.Clone(b.buf), Attachments: b.atts},
		Direct: true,
	}
}

// sendPlacedLocked sends the event in b to one socket.
func (s *Socket) sendPlacedLocked(b *scratch, o sendOptions, placed adapter.Placed) error {
	if placed.Offset == "" {
		placed.Offset = s.ns.journal.Here()
	}
	if m := s.rec.seam; m != nil {
		placed.Offset = m.offsetLocked(s.rec, placed.Offset)
	}
	if s.rec.pid != "" {
		b.buf = appendOffset(b.buf[:0], b.buf, placed.Offset)
	}
	return s.sendScratch(b, socketio.Event, o)
}
