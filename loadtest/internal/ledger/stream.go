package ledger

import (
	"sync/atomic"
	"time"
)

// Stream is one publisher's messages to a room in one stage.
type Stream struct {
	ID     uint32
	book   *Book
	room   *Room
	slots  []slot // by the index of the member; each guarded by its member's shard
	next   atomic.Uint32
	node   atomic.Int32 // of the publisher
	closed atomic.Bool  // the book is
	flight *flight      // nil without a limit; set before the first message

	// Guarded by the room's lock.
	expected int64

	marks []moment // of Book.Overdue, for who calls it
}

// moment is how many messages there were at a time, in µs of the run.
type moment struct {
	at  int64
	end uint32
}

// past notes how far the stream is now, and returns how far it was before.
func (st *Stream) past(now, before int64) (end uint32) {
	st.marks = append(st.marks, moment{now, st.next.Load()})
	n := 0
	for n < len(st.marks) && st.marks[n].at <= before {
		end = st.marks[n].end
		n++
	}
	st.marks = st.marks[max(0, n-1):]
	return end
}

// NewStream begins a stream in the book.
func (b *Book) NewStream(room *Room) *Stream {
	room.mu.Lock()
	defer room.mu.Unlock()
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	old := *b.ledger.streams.Load()
	st := &Stream{ID: uint32(len(old)), book: b, room: room, slots: make([]slot, len(room.members))}
	st.node.Store(Unknown)
	all := append(old, st) // readers see their own length
	b.ledger.streams.Store(&all)
	room.streams = append(room.streams, st)
	b.streams = append(b.streams, st)
	return st
}

// Room that the stream goes to.
func (st *Stream) Room() *Room { return st.room }

// SetNode says which node takes the publisher's messages.
func (st *Stream) SetNode(node int32) { st.node.Store(node) }

// Publish gives the next message its number and its receivers: the members at this
// moment. It must be sent now, or be reported to Uncertain.
func (st *Stream) Publish() (seq uint32) {
	r := st.room
	r.mu.Lock()
	defer r.mu.Unlock()
	seq = st.next.Load()
	st.expected += int64(r.nominal)
	if st.flight != nil {
		st.flight.sent(seq, r.nominal)
	}
	st.next.Store(seq + 1)
	return seq
}

// Uncertain says that nobody knows whether a message has been published: it is excused
// at those whom it does not reach.
func (st *Stream) Uncertain(seq uint32) {
	st.forMembers(func(s *slot, at *seat) { s.excuse(seq, at) })
}

// Interrupted says that the publisher's connection is lost, and with it perhaps
// messages that were under way: what has not arrived by now is excused.
func (st *Stream) Interrupted() {
	st.forMembers(func(s *slot, at *seat) {
		if at.nominal {
			s.pass(st.next.Load(), false)
		}
	})
}

func (st *Stream) forMembers(f func(s *slot, at *seat)) {
	r := st.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if st.closed.Load() {
		return
	}
	for i, m := range r.members {
		m.shard.mu.Lock()
		f(&st.slots[i], m.seatLocked(r))
		m.shard.mu.Unlock()
	}
}

// flight counts the messages of a stream that are under way.
type flight struct {
	left []atomic.Int32 // deliveries to come, by the sequence modulo the length
	at   []atomic.Int64 // when it was sent
}

// Limit makes Received tell when a message has reached all its receivers. No more than
// limit may be under way. It must be called before the first Publish.
func (st *Stream) Limit(limit int) {
	n := 1
	for n < 2*limit {
		n *= 2
	}
	st.flight = &flight{left: make([]atomic.Int32, n), at: make([]atomic.Int64, n)}
}

func (f *flight) sent(seq uint32, receivers int) {
	i := seq % uint32(len(f.left))
	f.at[i].Store(time.Now().UnixNano())
	f.left[i].Store(int32(max(1, receivers)))
}

func (f *flight) arrived(seq uint32) bool {
	return f.left[seq%uint32(len(f.left))].Add(-1) == 0
}

// Overdue gives up messages that have been under way for longer than limit and tells
// how many they were. Only streams with a limit have any.
func (st *Stream) Overdue(limit time.Duration) (n int) {
	if st.flight == nil {
		return 0
	}
	before := time.Now().Add(-limit).UnixNano()
	for i := range st.flight.left {
		left := &st.flight.left[i]
		if v := left.Load(); v > 0 && st.flight.at[i].Load() < before && left.CompareAndSwap(v, -1<<30) {
			n++
		}
	}
	return n
}
