package node

import (
	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node/internal/engine"
)

// seam is where what a recovering socket has missed and what arrives live meet
// (HRD-72). Live events wait in it until the client has got the former and its
// CONNECT; for a while after that it lets those pass that were not replayed. It is
// guarded by ns.order.
type seam struct {
	open    bool // the client is connected
	replay  adapter.Replay
	passed  bool // what has waited is sent
	held    []*outgoing
	size    int
	overrun bool // more than limit had to wait: the recovery fails
	limit   int
}

// heldOverhead is what an event that waits takes besides its payload, roughly.
const heldOverhead = 128

// meetLocked takes a live event for a socket that has a seam.
func (s *Socket) meetLocked(e *outgoing) (taken bool) {
	m := s.rec.seam
	switch {
	case m.open:
		return s.ready() && s.passLocked(m, e)
	case e.withAck != nil:
		return false // it is not connected yet, and not asked
	case e.volatile:
		s.client.srv.counters.volatileDropped.Add(1)
		return false
	case m.overrun:
		return false
	}
	m.size += e.payload.Size() + heldOverhead
	if m.size > m.limit {
		m.overrun, m.held = true, nil
		return false
	}
	m.held = append(m.held, e)
	return true
}

// passLocked sends a live event unless it was replayed.
func (s *Socket) passLocked(m *seam, e *outgoing) (sent bool) {
	if e.withAck != nil {
		return s.sendPacket(e.withAck, e.volatile)
	}
	if e.mark != (adapter.Mark{}) && m.replay.Saw(e.mark) {
		return false
	}
	if offset := m.offsetLocked(s.rec, e.offset); offset != e.offset {
		return s.sendPacket(s.ns.packetFor(e, offset), e.volatile)
	}
	return s.sendOutgoing(e)
}

// offsetLocked returns the offset that the client gets with an event. When the seam
// is over it has none any more. What has waited is behind what the journal knows to
// have arrived.
func (m *seam) offsetLocked(r *recoverable, offset string) string {
	if !m.open {
		return offset
	}
	if m.passed && m.replay.Over() {
		r.seam = nil
		return offset
	}
	return m.replay.Offset(offset)
}

// hold lets live events wait from now on, in half of the room that the client's
// output has: the other half may be full of what it has missed. It returns a channel that is closed when
// those of other nodes for the socket's id arrive; nil if they do.
func (s *Socket) hold() (confirmed <-chan struct{}) {
	limit := s.client.srv.limits.Load().Output
	if limit <= 0 {
		limit = engine.DefaultMaxQueue
	}
	s.ns.order.Lock()
	defer s.ns.order.Unlock()
	s.rec.seam = &seam{limit: limit / 2}
	return s.ns.index.add(s)
}

// drop undoes hold before the client is connected.
func (s *Socket) drop() {
	s.ns.order.Lock()
	defer s.ns.order.Unlock()
	if s.rec.seam != nil {
		s.rec.seam = nil
		s.ns.index.remove(s)
	}
}

// wanted returns what a session is sent of the events that were kept (SIO-Z-07).
func wanted(session *adapter.Session) func(m *adapter.Message) bool {
	rooms := make(map[string]struct{}, len(session.Rooms))
	for _, room := range session.Rooms {
		rooms[room] = struct{}{}
	}
	in := func(names []string) bool {
		for _, name := range names {
			if _, ok := rooms[name]; ok {
				return true
			}
		}
		return false
	}
	return func(m *adapter.Message) bool {
		switch {
		case m.Direct:
			return len(m.Target.Rooms) > 0 && m.Target.Rooms[0] == session.ID
		case m.Local && m.From != session.Owner:
			return false
		}
		for _, name := range m.Target.Except {
			if name == session.ID { // the sender, also if it has left its own room
				return false
			}
		}
		return !in(m.Target.Except) && (len(m.Target.Rooms) == 0 || in(m.Target.Rooms))
	}
}

// resend sends what the client has missed, as fast as it takes it. It returns an
// error if the session has ended.
func (s *Socket) resend(r adapter.Replay) error {
	n := 0
	defer func() { s.client.srv.counters.replayed.Add(uint64(n)) }()
	for m, offset := range r.Events() {
		e := &outgoing{payload: m.Packet, offset: offset, noCompress: m.Target.NoCompress}
		if !s.client.sess.AwaitRoom() || !s.sendOutgoing(e) {
			return ErrDisconnected
		}
		n++
	}
	if !s.client.sess.AwaitRoom() { // for what waits
		return ErrDisconnected
	}
	return nil
}
