package redis

import (
	"cmp"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// badLogEvery is how often a namespace logs that something bad arrived (HRD-60).
const badLogEvery = time.Second

// offer implements subscriber. It is called by the link's reader and does as
// little as it can: what does not concern this node costs neither the worker's
// time nor its place in the queue (HRD-61).
func (a *member) offer(d delivery) {
	defer a.guard(d.channel)
	a.c.received.Add(1)
	a.c.receivedBytes.Add(uint64(len(d.payload)))
	limit := a.cfg.MaxReceive
	if d.kind == routeAnswer {
		limit = a.cfg.MaxAnswer
	}
	switch {
	case a.protocol.ignores(d):
		a.c.ignored.Add(1)
	case len(d.payload) > limit:
		a.bad(d.channel, d.payload, adapter.ErrTooLarge)
	default:
		dropped := a.in.Put(d, len(d.payload))
		a.c.receiveDropped.Add(uint64(dropped))
		if dropped > 0 && a.journal != nil {
			a.journal.overflowed()
		}
	}
}

// notice puts what is no message into the worker's queue.
func (a *member) notice(kind routeKind) {
	if a.journal != nil {
		a.in.Put(delivery{kind: kind}, 0)
	}
}

// work hands messages to the node, one after the other, until Close.
func (a *member) work() {
	defer close(a.done)
	for {
		d, ok := a.in.Get()
		if !ok {
			return
		}
		a.handle(d)
		if a.pacer != nil && !a.in.OverHalf() {
			a.pacer.Pace(len(d.payload))
		}
	}
}

// handle decodes one message and hands it over. Whatever it holds, the worker
// goes on (HRD-60).
func (a *member) handle(d delivery) {
	defer a.guard(d.channel)
	if a.journal != nil {
		a.journal.before(d.kind)
	}
	switch {
	case d.kind == routeBulletin:
		a.onMark(d.mark)
		return
	case d.kind >= routeJournal:
		a.onJournal(d)
		return
	}
	in, err := a.protocol.decode(d)
	foreign := errors.Is(err, errForeign)
	if err == nil {
		in.msg.Trace = shortTrace(in.extras.trace)
	}
	if (err == nil || foreign) && a.heardBefore(d, &in) {
		a.c.duplicates.Add(1)
		return
	}
	if a.journal != nil && in.extras.kept > 0 {
		if a.journal.arrived(in, err); err == nil {
			return
		}
	}
	switch {
	case err != nil && !foreign:
		a.bad(d.channel, d.payload, err)
	case foreign:
		a.c.ignored.Add(1)
	default:
		a.host.Receive(in.msg)
		if in.confirm.payload != nil {
			_ = a.push(in.confirm) // counted where it is dropped
		}
	}
}

func (a *member) onJournal(d delivery) {
	if a.journal == nil || d.kind != routeJournal {
		return
	}
	if err := a.journal.heard(d.payload); err != nil {
		a.bad(d.channel, d.payload, err)
	}
}

// heardBefore follows the numbers of other publishers (HRD-62). It tells whether
// the message has come before.
func (a *member) heardBefore(d delivery, in *incoming) bool {
	if in.extras.number == 0 || in.from == a.uid && d.placed == nil {
		return false
	}
	sequence, kept := a.protocol.sequence(d)
	if !kept {
		return false
	}
	if in.from == a.uid { // read in the stream
		a.c.ownMissed.Add(a.gaps.own(heardKey{in.from, sequence}, in.extras.number))
		return false
	}
	channel := ""
	if d.kind == routeRoom {
		channel = d.channel
	}
	key := heardKey{cmp.Or(in.extras.publisher, in.from), sequence}
	missed, again := a.gaps.note(key, in.extras.number, channel, d.era)
	a.miss(key.publisher, missed)
	return again
}

// onMark takes what a publisher tells of itself; nil if only time has passed.
func (a *member) onMark(m *mark) {
	now := time.Now()
	if m != nil {
		a.gaps.claim(m, now)
	}
	a.miss("", a.gaps.due(now))
	a.claimed.Store(len(a.gaps.pending) > 0)
}

// miss counts messages that never arrived.
func (a *member) miss(publisher string, n uint64) {
	if n == 0 {
		return
	}
	a.c.missed.Add(n)
	if a.missLog.allow(time.Now()) {
		a.log.Warn("redis: messages are missed", "publisher", publisher, "messages", n, "so far", a.c.missed.Load())
	}
}

// bad counts a message that is dropped (HRD-60).
func (a *member) bad(channel, payload string, err error) {
	a.c.bad.Add(1)
	if a.badLog.allow(time.Now()) {
		a.log.Warn("redis: bad message dropped", "channel", channel, "bytes", len(payload), "err", err, "so far", a.c.bad.Load())
	}
}

// guard turns a panic into a bad message (HRD-01).
func (a *member) guard(channel string) {
	p := recover()
	if p == nil {
		return
	}
	a.c.bad.Add(1)
	if a.badLog.allow(time.Now()) {
		a.log.Error("redis: panic while receiving", "channel", channel, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}

// logLimit lets one line pass in badLogEvery.
type logLimit struct{ last atomic.Int64 }

func (l *logLimit) allow(now time.Time) bool {
	last := l.last.Load()
	return now.UnixNano()-last >= int64(badLogEvery) && l.last.CompareAndSwap(last, now.UnixNano())
}
