package redis

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// replay reads what a client has missed since it had the offset text.
func (j *journal) replay(ctx context.Context, text string, wants func(*adapter.Message) bool) (*replay, error) {
	had, ok := parseOffset(text)
	if !ok {
		return nil, adapter.ErrLost
	}
	begin := had.at - journalSlack.Milliseconds()
	expected := j.pos.expect(begin)
	end, err := j.barrier(ctx)
	if err != nil {
		return nil, err
	}
	r := newReading(had.places)
	r.event = func(e *journalEntry) {
		if r.lost || !wants(&e.head) {
			return
		}
		m, err := e.event(j.wire.namespace)
		if err != nil {
			r.lost = true
			j.member.bad(j.key, e.id.String(), err)
			return
		}
		r.events = append(r.events, m)
	}
	err = r.read(ctx, j, begin, had.at, end)
	switch {
	case errors.Is(err, errStreamLost):
		return nil, adapter.ErrLost
	case err != nil:
		return nil, err
	}
	if r.lost || !r.got.covers(expected) {
		return nil, adapter.ErrLost
	}
	j.member.c.replayed.Add(uint64(len(r.events)))
	return &replay{journal: j, had: had, ahead: r.got, events: r.events, began: time.Now()}, nil
}

// reading goes through a journal from an offset on.
type reading struct {
	had vector // the offset's
	// event is called for each event that is not covered by the offset, when all is
	// read.
	event  func(*journalEntry)
	events []*adapter.Message
	found
}

// found is what a reading has found.
type found struct {
	got     vector            // of each publisher everything up to here was seen, or had before
	seen    map[uint32]string // the publishers of whom there was an entry, by name
	entries []*journalEntry   // events that are not covered
	later   bool              // of one of them the first entry that was seen is not its first
	early   bool              // what seems to be missing may have been kept before the reading began
	lost    bool              // there are, or may be, events that cannot be read
	gap     bool              // there are
}

func newReading(had vector) *reading { return &reading{had: had} }

// read reads the entries from begin, a time of Redis, up to end.
//
// What a publisher kept shortly before may be unknown to the offset although that is
// newer: events for rooms that the node did not hold are told by ticks, and who has
// died sends none any more. So a gap in front of the first entry of a publisher is
// one only if a longer look back does not fill it.
func (r *reading) read(ctx context.Context, j *journal, begin, at int64, end entryID) error {
	begun := entryID{ms: uint64(max(begin, 0))}
	from := begun
	for range 2 {
		r.found = found{got: slices.Clone(r.had), seen: make(map[uint32]string)}
		if err := r.readFrom(ctx, j, from, begun, at, end); err != nil {
			return err
		}
		if !r.early {
			break
		}
		from.ms -= min(from.ms, uint64(journalPast.Milliseconds()))
	}
	for _, e := range r.entries {
		r.event(e)
	}
	return nil
}

func (r *reading) readFrom(ctx context.Context, j *journal, from, begun entryID, at int64, end entryID) error {
	// Clients of the same few seconds begin at the same entry, so that the first of
	// them reads for all.
	from.ms -= from.ms % uint64(journalGrid.Milliseconds())
	var first *journalEntry
	since, err := j.cache.read(ctx, from, end, func(entries []*journalEntry) {
		if first == nil {
			first = entries[0]
		}
		for _, e := range entries {
			r.take(e)
		}
	})
	if err != nil {
		return err
	}
	// Nothing is missing in front if the stream reaches back to begin, or is no
	// older than the offset because it was the first of its kind.
	whole := since.compare(begun) <= 0 || first != nil && first.isFirst && int64(first.id.ms) <= at
	r.lost = r.lost || !whole
	r.gap = r.gap || r.later && !whole
	return nil
}

// take looks at one entry. The numbers of a publisher have no gap, or something was
// lost. One that was quiet may not have been heard of: its numbers begin with what
// is seen of it first, since what came before the offset is not missed. Whose own
// beginning is seen, the tick with number 0, has no such excuse.
func (r *reading) take(e *journalEntry) {
	if e.publisher == "" {
		return // by its number, if it had one, it is missed
	}
	got := r.got.of(e.name)
	_, seen := r.seen[e.name]
	r.seen[e.name] = e.publisher
	if e.n <= got {
		return
	}
	switch {
	case !e.isTick && e.n == got+1:
	case got == 0 && !seen:
		r.later = true
	case !seen:
		r.early, r.lost, r.gap = true, true, true
	default:
		r.lost, r.gap = true, true
	}
	r.got = r.got.raise(e.name, e.n)
	if !e.isTick {
		r.entries = append(r.entries, e)
	}
}

// replay implements [adapter.Replay].
type replay struct {
	// Static after construction.
	journal *journal
	had     offset
	ahead   vector // what the client has got with the events
	events  []*adapter.Message

	// Owned by whoever holds the node's lock.
	began  time.Time
	asked  time.Time // when a repair was asked for
	repair uint64    // the number of the last one then
	fixed  bool      // a later one has been made
	over   bool
	merged struct{ from, to string } // the last result of Offset
}

// Events implements [adapter.Replay].
func (r *replay) Events() iter.Seq2[*adapter.Message, string] {
	return func(yield func(*adapter.Message, string) bool) {
		now := offset{at: r.had.at, places: slices.Clone(r.had.places)}
		for _, m := range r.events {
			now.places = now.places.raise(nameOf(m.Mark.From), m.Mark.Seq)
			if !yield(m, now.String()) {
				return
			}
		}
	}
}

// Saw implements [adapter.Replay].
func (r *replay) Saw(mark adapter.Mark) bool {
	return !r.over && mark.Seq > 0 && mark.Seq <= r.ahead.of(nameOf(mark.From))
}

// Offset implements [adapter.Replay].
func (r *replay) Offset(text string) string {
	switch {
	case r.over:
		return text
	case r.merged.from == text:
		return r.merged.to
	}
	o, ok := parseOffset(text)
	if !ok {
		return text
	}
	if r.over = o.places.covers(r.ahead); r.over {
		return text
	}
	o.places = o.places.merge(r.ahead)
	r.merged.from, r.merged.to = text, o.String()
	return r.merged.to
}

// Over implements [adapter.Replay]. It is over with the first event whose offset
// stands for everything: events that were buffered may have older ones than the
// node has now.
//
// Events that were in the journal and never come, since their publisher died
// between the two, or before this node began, would keep it from being over: after a
// while the journal is asked to hand them to all. Then nothing is left to come, and
// the offsets made from then on stand for everything.
func (r *replay) Over() bool {
	repairing := &r.journal.repairing
	switch {
	case r.over:
	case r.fixed:
		r.over = true
	case !r.asked.IsZero() && repairing.done.Load() > r.repair:
		r.fixed = true
	case time.Since(r.began) > repairAfter && time.Since(r.asked) > repairAfter && !r.journal.pos.covers(r.ahead):
		r.asked, r.repair = time.Now(), repairing.begun.Load()
		r.journal.wantRepair()
	}
	return r.over
}
