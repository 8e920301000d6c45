package redis

import (
	"slices"
	"sync"
	"time"
)

// positions is how far a node is: what it has delivered of each publisher. The
// node's own events count by the time they have a number.
type positions struct {
	own uint32 // name of this publisher

	mu     sync.Mutex // guards the fields below
	offset offset
	who    map[uint32]*publisher
	begun  bool   // the places are those of a node that hears the others
	clash  bool   // two publishers have one name
	text   string // of offset; empty when that has changed
	moves  uint64 // changes of places and publishers

	// base is the time of Redis at some time.
	base struct {
		ms int64
		at time.Time
	}
	loops    []loop // sent out, the oldest first
	returned uint64 // the last one that has come back
}

// publisher is what is known of one besides its place.
type publisher struct {
	uid   string
	heard time.Time // when anything was heard of it
	moved time.Time // when its number has grown

	arrived uint64 // the last event that has come
}

// loop is a tick whose message to ourselves is on its way.
type loop struct {
	n  uint64
	ms int64 // the time of the tick, by Redis
}

const maxLoops = 64

func newPositions(uid string) *positions {
	return &positions{own: nameOf(uid), who: map[uint32]*publisher{nameOf(uid): {uid: uid}}}
}

// raise notes that everything of a publisher up to n is delivered.
func (p *positions) raise(uid string, n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raiseLocked(uid, n, time.Now())
}

// arrive notes that event n has come to the node, and reports whether it is new.
// That it counts as delivered is said by raise.
func (p *positions) arrive(uid string, n uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.knownLocked(uid)
	if w == nil {
		return true
	}
	if n <= w.arrived {
		return false
	}
	w.arrived = n
	return true
}

func (p *positions) raiseLocked(uid string, n uint64, now time.Time) {
	w := p.knownLocked(uid)
	if w == nil {
		return
	}
	w.heard = now
	if name := nameOf(uid); n > p.offset.places.of(name) {
		p.offset.places = p.offset.places.raise(name, n)
		p.text = ""
		p.moves++
		w.moved = now
	}
}

// knownLocked returns a publisher, nil if there are too many or one has its name.
func (p *positions) knownLocked(uid string) *publisher {
	name := nameOf(uid)
	w := p.who[name]
	switch {
	case w == nil && len(p.who) < maxPublishers:
		w = &publisher{uid: uid, heard: time.Now()}
		p.who[name] = w
		p.moves++ // it may want to know of us
	case w == nil || w.uid != uid:
		p.clash, p.text = true, ""
		return nil
	}
	return w
}

// raiseTo is raise with the offset after it.
func (p *positions) raiseTo(uid string, n uint64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.raiseLocked(uid, n, time.Now())
	return p.textLocked()
}

// here is the present offset.
func (p *positions) here() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.textLocked()
}

// textLocked: an offset without a time, and that of a clash, mean nothing to
// anybody.
func (p *positions) textLocked() string {
	if p.text == "" {
		o := p.offset
		if p.clash {
			o.at = 0
		}
		p.text = o.String()
	}
	return p.text
}

// snapshot is the present offset in parts.
func (p *positions) snapshot() offset {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.offset
	o.places = slices.Clone(o.places)
	if p.clash {
		o.at = 0
	}
	return o
}

// raiseAll notes that everything up to places is delivered, of the publishers that
// are known and of those named.
func (p *positions) raiseAll(places vector, named map[uint32]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range places {
		uid := named[x.name]
		if w := p.who[x.name]; w != nil {
			uid = w.uid
		}
		if uid != "" {
			p.raiseLocked(uid, x.n, time.Now())
		}
	}
}

// of is how far the node is with a publisher.
func (p *positions) of(uid string) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offset.places.of(nameOf(uid))
}

// covers tells whether the node is as far as that.
func (p *positions) covers(places vector) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offset.places.covers(places)
}

// expect returns how far the publishers are that have kept something since a time
// of Redis.
func (p *positions) expect(since int64) (places vector) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, w := range p.who {
		if !w.moved.IsZero() && p.redisTimeLocked(w.moved) >= since {
			places = places.raise(name, p.offset.places.of(name))
		}
	}
	return places
}

// activity changes whenever a place does.
func (p *positions) activity() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moves
}

// prune forgets publishers that have not been heard of for age. Their events are
// older than what any reader begins with.
func (p *positions) prune(now time.Time, age time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, w := range p.who {
		if name == p.own || now.Sub(w.heard) < age {
			continue
		}
		delete(p.who, name)
		p.offset.places = slices.DeleteFunc(p.offset.places, func(x place) bool { return x.name == name })
		p.text = ""
	}
}

// confirmed notes that the tick of loop n is in the journal, at the time ms.
func (p *positions) confirmed(n uint64, ms int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base.ms, p.base.at = ms, now
	if len(p.loops) == maxLoops { // none has come back for long
		p.loops = p.loops[1:]
	}
	p.loops = append(p.loops, loop{n, ms})
	p.settleLocked()
}

// looped notes that the message of loop n has come back. Whatever had reached Redis
// before has been delivered.
func (p *positions) looped(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.returned = max(p.returned, n)
	p.settleLocked()
}

// begin lets offsets have a time.
func (p *positions) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = true
	p.settleLocked()
}

func (p *positions) settleLocked() {
	for p.begun && len(p.loops) > 0 && p.loops[0].n <= p.returned {
		if p.loops[0].ms > p.offset.at {
			p.offset.at, p.text = p.loops[0].ms, ""
		}
		p.loops = p.loops[1:]
	}
}

// redisTime is what the clock of Redis shows at a time, in milliseconds; 0 if that
// is not known. Clocks of nodes are not asked (HRD-77).
func (p *positions) redisTime(t time.Time) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.redisTimeLocked(t)
}

func (p *positions) redisTimeLocked(t time.Time) int64 {
	if p.base.at.IsZero() {
		return 0
	}
	return p.base.ms + t.Sub(p.base.at).Milliseconds()
}
