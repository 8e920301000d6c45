package ledger

import "sync"

// Room is a room, or whatever else messages are published to.
type Room struct {
	ledger *Ledger
	name   string

	mu      sync.Mutex // guards the fields below
	members []*Receiver
	nominal int
	streams []*Stream // of books that are open
}

// NewRoom makes a room with its members. They are not in it before Joining. Members
// must not be added later.
func (l *Ledger) NewRoom(name string, members []*Receiver) *Room {
	r := &Room{ledger: l, name: name, members: members}
	for i, m := range members {
		m.shard.mu.Lock()
		m.seats = append(m.seats, seat{room: r, index: int32(i)})
		m.shard.mu.Unlock()
	}
	return r
}

// Name of the room.
func (r *Room) Name() string { return r.name }

// change calls f for each open stream of the room with m's slot, before the seat changes
// as set says.
func (r *Room) change(m *Receiver, f func(st *Stream, s *slot, at *seat), set func(at *seat)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.shard.mu.Lock()
	defer m.shard.mu.Unlock()
	at := m.seatLocked(r)
	if at == nil {
		return
	}
	for _, st := range r.streams {
		f(st, &st.slots[at.index], at)
	}
	was := at.nominal
	set(at)
	if at.nominal != was {
		if at.nominal {
			r.nominal++
		} else {
			r.nominal--
		}
	}
}

// Joining says that m is about to ask to join, now in microseconds since the run's
// epoch. From now on it is a member, but not a firm one.
func (r *Room) Joining(m *Receiver, now int64) {
	r.change(m, func(st *Stream, s *slot, at *seat) {
		if !at.nominal {
			s.passAbsent(st.next.Load(), now)
		} else {
			s.pass(st.next.Load(), at.firm)
		}
	}, func(at *seat) { at.nominal, at.firm = true, false })
}

// Joined says that the server has let m in: it is firm.
func (r *Room) Joined(m *Receiver) {
	r.change(m, func(st *Stream, s *slot, at *seat) {
		if at.nominal && !at.firm {
			s.pass(st.next.Load(), false)
		}
	}, func(at *seat) { at.firm = at.nominal })
}

// Loose says that m's connection is lost or that it is about to ask to leave: it is not
// firm any more.
func (r *Room) Loose(m *Receiver) {
	r.change(m, func(st *Stream, s *slot, at *seat) {
		if at.nominal {
			s.pass(st.next.Load(), false)
		}
	}, func(at *seat) { at.firm = false })
}

// Left says that the server has let m go: it is no member.
func (r *Room) Left(m *Receiver) {
	r.change(m, func(st *Stream, s *slot, at *seat) {
		if at.nominal {
			s.pass(st.next.Load(), false)
		}
	}, func(at *seat) { at.nominal, at.firm = false, false })
}

// Nominal is how many members there are.
func (r *Room) Nominal() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.nominal
}
