// Package ledger keeps the account of a load test: which message is due at which
// receiver, and what became of it. Nothing is sampled: each delivery that is expected
// ends as delivered, lost or excused, and copies, overtaking and strays are counted one
// by one.
//
// A [Stream] is one publisher's messages to one room in one stage, numbered from 0. A
// [Receiver] is a client. For each stream of its rooms it has a [slot] of 16 bytes: the
// number that should come next. Only what does not come in order costs more: one bit for
// each message that was passed by, until it arrives.
//
// The receivers of a message are the members of the room at the moment when it gets its
// number. A member is firm from the answer to its join until it asks to leave or its
// connection is lost. What it should have got while it was firm, and did not get, is
// lost; what was sent while it was not, or was still under way when it ceased to be, is
// excused if it does not arrive. What was under way when it began to join is expected if
// it arrives.
//
// Locks, outermost first: Room, then Shard. A delivery takes the shard's alone.
package ledger

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/meter"
)

// Ledger is the account of one run.
type Ledger struct {
	shards  []*Shard
	grace   int64
	streams atomic.Pointer[[]*Stream] // grows; replaced under mu
	mu      sync.Mutex
	books   []*Book
}

// New makes a ledger whose receivers are spread over a number of shards. A message may
// be under way for grace: who joins meanwhile may get it or not.
func New(shards int, grace time.Duration) *Ledger {
	l := &Ledger{shards: make([]*Shard, max(1, shards)), grace: grace.Microseconds()}
	for i := range l.shards {
		l.shards[i] = new(Shard)
	}
	l.streams.Store(new([]*Stream))
	return l
}

// Tally counts deliveries.
type Tally struct {
	Delivered, Duplicated, OutOfOrder, Unexpected, Bytes int64

	early int64 // of Delivered, to those who have joined while the message was under way
}

func (t *Tally) add(o *Tally) {
	t.Delivered += o.Delivered
	t.Duplicated += o.Duplicated
	t.OutOfOrder += o.OutOfOrder
	t.Unexpected += o.Unexpected
	t.Bytes += o.Bytes
	t.early += o.early
}

// Latencies of deliveries, in microseconds. Each delivery is in exactly one of the first
// three, by whether publisher and receiver are on one node, and in Sent.
type Latencies struct {
	Same, Cross, Unknown meter.Histogram // from the slot in the schedule
	Sent                 meter.Histogram // from when it was really sent
}

func (l *Latencies) add(o *Latencies) {
	l.Same.Add(&o.Same)
	l.Cross.Add(&o.Cross)
	l.Unknown.Add(&o.Unknown)
	l.Sent.Add(&o.Sent)
}

func (l *Latencies) reset() {
	l.Same.Reset()
	l.Cross.Reset()
	l.Unknown.Reset()
	l.Sent.Reset()
}

// Shard is a group of receivers, with the lock that their deliveries take.
type Shard struct {
	mu    sync.Mutex
	pages []*page // by the number of the book; nil before its first delivery and after its end
	stray int64   // payloads that cannot be read or belong to no book that is open
	late  int64   // deliveries of books that were closed
	_     [64]byte
}

// page is a shard's part of a book.
type page struct {
	tally     Tally
	latencies *Latencies // of the time since the last look
	spare     *Latencies
}

// pageLocked returns the page of a book.
func (s *Shard) pageLocked(book int) *page {
	for len(s.pages) <= book {
		s.pages = append(s.pages, nil)
	}
	if s.pages[book] == nil {
		s.pages[book] = &page{latencies: new(Latencies)}
	}
	return s.pages[book]
}

// Strays is the number of messages that were nobody's: they cannot be read, or name
// streams that do not exist.
func (l *Ledger) Strays() (n int64) {
	for _, s := range l.shards {
		s.mu.Lock()
		n += s.stray
		s.mu.Unlock()
	}
	return n
}

// Late is the number of messages that came after their book was closed. They are in it
// as lost, unless they are copies.
func (l *Ledger) Late() (n int64) {
	for _, s := range l.shards {
		s.mu.Lock()
		n += s.late
		s.mu.Unlock()
	}
	return n
}

// Stray counts a message that no payload was found in.
func (r *Receiver) Stray() {
	r.shard.mu.Lock()
	r.shard.stray++
	r.shard.mu.Unlock()
}

// Unknown is the node of a publisher or receiver that is not known.
const Unknown = -1

// Receiver is a client.
type Receiver struct {
	ledger *Ledger
	shard  *Shard

	// Guarded by the shard's lock.
	seats []seat
	node  int32
}

// seat is a receiver's place in a room.
type seat struct {
	room    *Room
	index   int32 // in the room's members and in the slots of its streams
	nominal bool  // a member, as far as we have asked for it
	firm    bool
}

// NewReceiver makes the n-th receiver.
func (l *Ledger) NewReceiver(n int) *Receiver {
	return &Receiver{ledger: l, shard: l.shards[n%len(l.shards)], node: Unknown}
}

// SetNode says which node serves the receiver, as a number of the caller's choice.
func (r *Receiver) SetNode(node int32) {
	r.shard.mu.Lock()
	r.node = node
	r.shard.mu.Unlock()
}

func (r *Receiver) seatLocked(room *Room) *seat {
	for i := range r.seats {
		if r.seats[i].room == room {
			return &r.seats[i]
		}
	}
	return nil
}

// Received accounts for a message that has arrived, at now in microseconds since the
// run's epoch. size is that of the payload. It reports the stream if this delivery was
// the last that the message waited for and the stream wants to know (Stream.Limit).
func (r *Receiver) Received(h Header, now int64, size int) (finished *Stream) {
	streams := *r.ledger.streams.Load()
	if int(h.Stream) >= len(streams) {
		r.Stray()
		return nil
	}
	st := streams[h.Stream]
	sh := r.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if st.closed.Load() {
		sh.late++
		return nil
	}
	seat := r.seatLocked(st.room)
	p := sh.pageLocked(st.book.number)
	if seat == nil || h.Seq >= st.next.Load() {
		p.tally.Unexpected++
		return nil
	}
	s := &st.slots[seat.index]
	if h.Seq == s.next && seat.firm {
		s.next++
		s.seen = s.next
	} else if !s.receive(h.Seq, seat, &p.tally, h.Slot+h.Delay, r.ledger.grace) {
		return nil
	}
	p.tally.Delivered++
	p.tally.Bytes += int64(size)
	took := now - h.Slot
	switch publisher := st.node.Load(); {
	case publisher == Unknown || r.node == Unknown:
		p.latencies.Unknown.Record(took)
	case publisher == r.node:
		p.latencies.Same.Record(took)
	default:
		p.latencies.Cross.Record(took)
	}
	p.latencies.Sent.Record(took - h.Delay)
	if st.flight != nil && st.flight.arrived(h.Seq) {
		return st
	}
	return nil
}
