package redis

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

const (
	// repairAfter is how long what was read in the journal may take to arrive.
	repairAfter = 2 * time.Second
	// repairTimeout bounds one attempt to read what was missed.
	repairTimeout = 5 * time.Second
	// holdFor is how long kept events are held back at most while the
	// subscriptions are being restored, and maxHeld how many.
	holdFor = 5 * time.Second
	maxHeld = 10_000
	// After maxAttempts at reading, repairPause apart, things go on without.
	maxAttempts = 5
	repairPause = 500 * time.Millisecond
)

// eventsLost tells the node that its sockets lack something.
func (m *member) eventsLost() {
	if o, ok := m.host.(adapter.LossObserver); ok {
		o.EventsLost()
	}
}

// repairing is how a node gets from the journal what did not reach it: when its
// connection to Redis was lost, when its inbox was full, or when a publisher died
// between appending and publishing. So its clients lose nothing, and offsets
// stay true.
//
// From the loss of the connection until all is subscribed again, kept events that
// arrive are held back. Then everything after the node's position is read and
// handed over, and of what was held what was not among it. If the journal does not
// go back that far, the node is told ([adapter.LossObserver]).
type repairing struct {
	wanted atomic.Bool   // something is known to be missing
	begun  atomic.Uint64 // repairs that were begun
	done   atomic.Uint64 // the last of them that came to its end

	// Owned by the worker.
	lost    bool      // the connection was lost and not all is restored yet
	holding time.Time // until when events are held back meanwhile
	held    []incoming
	failed  int // attempts in a row
}

// wantRepair lets the worker look into the journal soon.
func (j *journal) wantRepair() {
	j.repairing.wanted.Store(true)
	j.member.notice(routeWake)
}

// overflowed notes that messages were dropped on their way to the worker.
func (j *journal) overflowed() { j.repairing.wanted.Store(true) }

// before is called by the worker with each message, before it is handled.
func (j *journal) before(kind routeKind) {
	r := &j.repairing
	switch {
	case kind == routeLost:
		r.lost, r.holding = true, time.Now().Add(holdFor)
	case kind == routeRestored:
		r.lost, r.holding = false, time.Time{}
		r.wanted.Store(true)
	case r.isHolding() && (time.Now().After(r.holding) || len(r.held) >= maxHeld):
		r.holding = time.Time{}
		r.wanted.Store(true)
	}
	if r.isHolding() || !r.wanted.CompareAndSwap(true, false) {
		return
	}
	if !j.repair() {
		if r.failed < maxAttempts {
			r.failed++
			r.holding = time.Now().Add(repairPause)
			return
		}
		j.member.eventsLost()
	}
	r.failed = 0
	held := r.held
	r.held = nil
	for _, in := range held {
		j.hand(in.msg)
	}
}

func (r *repairing) isHolding() bool { return !r.holding.IsZero() }

// receive takes an event with a mark from the worker.
func (j *journal) receive(in incoming) {
	if j.repairing.isHolding() {
		j.repairing.held = append(j.repairing.held, in)
		return
	}
	j.hand(in.msg)
}

// hand gives an event to the node unless it has had it.
func (j *journal) hand(m *adapter.Message) {
	if !j.pos.arrive(m.Mark.From, m.Mark.Seq) {
		j.member.c.ignored.Add(1)
		return
	}
	j.member.host.Receive(m)
	j.pos.raise(m.Mark.From, m.Mark.Seq)
}

// repair hands over what is in the journal and has not arrived. It reports whether
// it could read.
func (j *journal) repair() bool {
	n := j.repairing.begun.Add(1)
	if !j.readMissed() {
		return false
	}
	j.repairing.done.Store(n)
	return true
}

func (j *journal) readMissed() bool {
	ctx, cancel := context.WithTimeout(j.ctx, repairTimeout)
	defer cancel()
	here := j.pos.snapshot()
	if here.at == 0 {
		return true // nothing was promised to anybody
	}
	r := newReading(here.places)
	n := 0
	r.event = func(e *journalEntry) {
		if e.publisher == j.member.uid || e.head.Local || e.head.Direct || !concerns(j.member.host, e.head.Target) {
			return
		}
		if m, err := e.event(j.wire.namespace); err == nil {
			j.hand(m)
			n++
		}
	}
	err := r.read(ctx, j, here.at-journalSlack.Milliseconds(), here.at, lastID)
	j.pos.raiseAll(r.got, r.seen)
	if err != nil || r.lost {
		j.member.log.Warn("redis: not everything that was missed is in the journal", "recovered", n, "err", err)
		if r.gap {
			j.member.eventsLost()
		}
		return err == nil
	}
	if n > 0 {
		j.member.log.Info("redis: read what was missed in the journal", "recovered", n)
	}
	return true
}
