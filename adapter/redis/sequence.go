package redis

import (
	"time"
)

// Numbers (HRD-62): each member numbers what it publishes 1, 2, 3 ... in each
// sequence, which is a channel, or what takes the place of one (see
// protocol.sequence). The upper bits of a number are a generation: when there are
// more sequences than may be, all are forgotten and begin anew in the next one, so
// that what receivers know of them stays true.
const (
	generationBits = 40
	maxSequences   = 1 << 16 // of a member's own
	maxHeard       = 1 << 18 // that a member follows
)

// claimAges are the beats after which the last number of a sequence that was
// silent since is told to everybody. After the first, receivers know of a loss at
// the end; the second is for those that did not get the first.
var claimAges = [...]uint64{1, 4}

const claimRing = 5 // beats whose sequences are remembered

// claimWait is how long a message may be under way after its number was claimed:
// it may take another way than the claim.
const claimWait = 2 * time.Second

// sequence is the hash of a sequence's name, in parts: FNV-1a of 64 bits. All nodes
// must agree on it.
func sequenceID(parts ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range parts {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	return h
}

// numbers gives out those of one member. The member's lock guards it.
type numbers struct {
	generation uint64
	last       map[uint64]*lastNumber
	beat       uint64
	used       [claimRing][]uint64 // sequences by the beat of their last use; some were used later again
}

type lastNumber struct {
	n      uint64
	beat   uint64
	silent bool // it is not claimed
}

// next is the next number of a sequence. A silent one is that of a stream, of which
// nothing is missed at the end: readers come to it some time.
func (q *numbers) next(sequence uint64, silent bool) uint64 {
	e := q.last[sequence]
	if e == nil {
		if q.last == nil || len(q.last) >= maxSequences {
			q.forget()
		}
		e = &lastNumber{beat: q.beat + 1, silent: silent}
		q.last[sequence] = e
	}
	e.n++
	if e.beat != q.beat && !silent {
		e.beat = q.beat
		at := &q.used[q.beat%claimRing]
		*at = append(*at, sequence)
	}
	return q.generation<<generationBits | e.n
}

func (q *numbers) forget() {
	if q.last != nil {
		q.generation++
	}
	q.last = map[uint64]*lastNumber{}
	q.used = [claimRing][]uint64{}
}

// claims begins a new beat and returns the last numbers of sequences that are
// silent since a while.
func (q *numbers) claims() (list claimList) {
	q.beat++
	for _, age := range claimAges {
		if age > q.beat {
			continue
		}
		beat := q.beat - age
		for _, s := range q.used[beat%claimRing] {
			if e := q.last[s]; e.beat == beat {
				list.add(s, q.generation<<generationBits|e.n)
			}
		}
	}
	q.used[q.beat%claimRing] = nil
	return list
}

// allClaims returns the last numbers of all sequences.
func (q *numbers) allClaims() (list claimList) {
	for s, e := range q.last {
		if e.silent {
			continue
		}
		list.add(s, q.generation<<generationBits|e.n)
	}
	return list
}

// claimList holds claims in pieces that fit into a bulletin.
type claimList [][]byte

func (l *claimList) add(sequence, number uint64) {
	if n := len(*l); n == 0 || len((*l)[n-1]) >= maxClaims {
		*l = append(*l, nil)
	}
	last := &(*l)[len(*l)-1]
	*last = appendClaim(*last, sequence, number)
}

// heardKey is one sequence of one publisher.
type heardKey struct {
	publisher string
	sequence  uint64
}

// heard is how far it has come here.
type heard struct {
	last    uint64 // number
	counted uint64 // up to this one all that did not come count as missed
	// channel is that of the last message if it is one of a room, and era that of
	// its subscription: in a later era the numbers say nothing about what is missed.
	channel string
	era     uint32
}

// claim is a last number that a publisher told of.
type claim struct {
	key    heardKey
	number uint64
	at     time.Time
}

// gaps follows the sequences of other publishers. The worker of a member owns it.
type gaps struct {
	base    map[uint64]struct{} // sequences that are heard as long as the member lives
	known   map[heardKey]*heard
	pending []claim
	sweepAt int
	// current is the era in which a channel is subscribed; not ok if it is not.
	current func(channel string) (era uint32, ok bool)
	// lives tells whether a publisher may come back.
	lives func(publisher string) bool
}

func newGaps(base []uint64, current func(string) (uint32, bool), lives func(string) bool) *gaps {
	g := &gaps{base: map[uint64]struct{}{}, known: map[heardKey]*heard{}, sweepAt: 1024, current: current, lives: lives}
	for _, s := range base {
		g.base[s] = struct{}{}
	}
	return g
}

// note takes the number of a message that has arrived on a channel, which is empty
// for base ones. It returns how many before it never did, and whether it has come
// before.
func (g *gaps) note(key heardKey, number uint64, channel string, era uint32) (missed uint64, again bool) {
	e := g.known[key]
	if e == nil {
		g.sweep()
		g.known[key] = &heard{last: number, channel: channel, era: era}
		return 0, false
	}
	switch {
	case channel != "" && e.era != era:
		*e = heard{last: number, channel: channel, era: era}
		return 0, false
	case number <= e.last:
		return 0, true
	}
	missed = e.missing(number - 1)
	e.last = number
	return missed, false
}

// own takes the number of a message of the member itself, which has come back. It
// returns how many before it did not; the first was 1.
func (g *gaps) own(key heardKey, number uint64) (missed uint64) {
	e := g.known[key]
	if e == nil {
		e = new(heard)
		g.known[key] = e
	}
	if number > e.last {
		missed = e.missing(number - 1)
		e.last = number
	}
	return missed
}

// missing counts the numbers up to n that neither came nor were counted.
func (e *heard) missing(n uint64) uint64 {
	const mask = 1<<generationBits - 1
	from := max(e.last, e.counted)
	if n>>generationBits > from>>generationBits {
		from = n &^ mask // a new generation begins at 1
	}
	if n <= from {
		return 0
	}
	e.counted = n
	return n - from
}

// claim takes what a publisher says about its sequences.
func (g *gaps) claim(m *mark, now time.Time) {
	eachClaim(m.claims, func(sequence, number uint64) {
		key := heardKey{m.uid, sequence}
		e := g.known[key]
		switch {
		case e != nil && e.last < number && len(g.pending) < maxHeard:
			g.pending = append(g.pending, claim{key, number, now})
		case e == nil && g.isBase(sequence):
			g.known[key] = &heard{counted: number} // what is older may still come, or was before us
		}
	})
	if !m.full {
		return
	}
	for sequence := range g.base {
		if key := (heardKey{m.uid, sequence}); g.known[key] == nil {
			g.known[key] = &heard{}
		}
	}
}

func (g *gaps) isBase(sequence uint64) bool {
	_, ok := g.base[sequence]
	return ok
}

// due returns how many messages are missed that were claimed a while ago.
func (g *gaps) due(now time.Time) (missed uint64) {
	for len(g.pending) > 0 && now.Sub(g.pending[0].at) >= claimWait {
		c := g.pending[0]
		g.pending = g.pending[1:]
		e := g.known[c.key]
		if e == nil || e.last >= c.number {
			continue
		}
		if e.channel != "" {
			if era, ok := g.current(e.channel); !ok || era != e.era {
				delete(g.known, c.key)
				continue
			}
		}
		missed += e.missing(c.number)
	}
	return missed
}

// sweep makes room: it forgets channels that are not subscribed any more, and
// publishers that are gone. If there are too many all the same it forgets
// everything; a loss just then is not noticed.
func (g *gaps) sweep() {
	if len(g.known) < g.sweepAt {
		return
	}
	lives := map[string]bool{}
	for key, e := range g.known {
		alive, ok := lives[key.publisher]
		if !ok {
			alive = g.lives(key.publisher)
			lives[key.publisher] = alive
		}
		era, subscribed := e.era, true
		if e.channel != "" {
			era, subscribed = g.current(e.channel)
		}
		if !alive || !subscribed || era != e.era {
			delete(g.known, key)
		}
	}
	if len(g.known) >= maxHeard {
		clear(g.known)
	}
	g.sweepAt = max(1024, 2*len(g.known))
}

// baseSequences are those that a member hears as long as it runs.
func (a *member) baseSequences() (list []uint64) {
	for _, c := range a.protocol.base() {
		if id, kept := a.protocol.sequence(delivery{kind: c.kind, channel: c.name}); kept && !c.pattern {
			list = append(list, id)
		}
	}
	return list
}

// eraOf is hearing.eraOf.
func (a *member) eraOf(channel string) (era uint32, ok bool) {
	if l := a.started(); l != nil {
		return l.subs.eraOf(channel)
	}
	return 0, false
}

// knows is registry.knows.
func (a *member) knows(publisher string) bool {
	l := a.started()
	return l != nil && l.registry.knows(publisher)
}

// numberLocked numbers an item that is about to be pushed.
func (a *member) numberLocked(it *item) extras {
	if a.link == nil || a.closed {
		return extras{}
	}
	id, _ := a.protocol.sequence(delivery{channel: it.channel})
	it.from = a
	return extras{number: a.numbers.next(id, it.verb == verbXAdd)}
}

// marks tells how far the member has come, as far as that is news. It is called
// once a second.
func (a *member) marks() []mark {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.marksLocked(a.numbers.claims(), false)
}

// allMarks tells everything.
func (a *member) allMarks() []mark {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.marksLocked(a.numbers.allClaims(), true)
}

func (a *member) marksLocked(claims claimList, full bool) (list []mark) {
	for _, c := range claims {
		list = append(list, mark{uid: a.uid, claims: c})
	}
	if full {
		list = append(list, mark{uid: a.uid, full: true})
	}
	return list
}
