package redis

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/fanwire/fanwire/adapter"
)

// keptEntry is an entry as it is held for clients that come back.
type keptEntry struct {
	placedEntry
	once  sync.Once
	event *adapter.Message // nil if it is none that is kept
	hole  bool
}

func (e *keptEntry) entryID() entryID { return e.id }

// read decodes the entry for its namespace, once for all clients.
func (e *keptEntry) read(w clusterWire) {
	e.once.Do(func() {
		in, err := w.decodeEntry(e.clusterEntry)
		e.hole = in.extras.hole
		if err != nil || !keeps(in.msg) {
			return
		}
		in.msg.Mark = e.id.mark()
		if in.msg.Local {
			in.msg.From = in.extras.local
		}
		e.event = in.msg
	})
}

// Replay implements [adapter.Journal]. The entry that the offset names has to be
// there: if it was trimmed, others after it may have been too (CLU-X-14).
func (a *streams) Replay(ctx context.Context, offset string, wants func(*adapter.Message) bool) (adapter.Replay, error) {
	from, ok := parseEntryID(offset)
	l, s, j := a.started(), a.stream.Load(), a.kept
	switch {
	case !ok:
		return nil, adapter.ErrLost
	case l == nil || s == nil:
		return nil, adapter.ErrClosed
	}
	j.markHole()
	if err := l.out.drain(ctx); err != nil { // what was published before is in the stream, or lost
		return nil, fmt.Errorf("redis: replay: %w", err)
	}
	r := &streamReplay{journal: j, from: from, until: from}
	r.wire = clusterWire{uid: a.wire.wire.uid, namespace: a.wire.wire.namespace}
	if _, err := s.cache.read(ctx, from, lastID, func(entries []*keptEntry) { r.add(entries, wants) }); err != nil {
		return nil, fmt.Errorf("redis: replay: %w", err)
	}
	if !r.found || r.hole {
		return nil, adapter.ErrLost
	}
	j.replayed.Add(uint64(len(r.events)))
	return r, nil
}

// streamReplay is an [adapter.Replay].
type streamReplay struct {
	journal *streamJournal
	wire    clusterWire
	from    entryID
	until   entryID // all up to it was read
	events  []*adapter.Message
	found   bool // the entry at from is there
	hole    bool // something is missing after it
}

func (r *streamReplay) add(entries []*keptEntry, wants func(*adapter.Message) bool) {
	for _, e := range entries {
		r.until = e.id
		if e.id == r.from {
			r.found = true
			continue
		}
		if e.namespace != r.wire.namespace {
			continue
		}
		e.read(r.wire)
		r.hole = r.hole || e.hole
		if e.event != nil && wants(e.event) {
			r.events = append(r.events, e.event)
		}
	}
}

// Events implements [adapter.Replay].
func (r *streamReplay) Events() iter.Seq2[*adapter.Message, string] {
	return func(yield func(*adapter.Message, string) bool) {
		for _, m := range r.events {
			if !yield(m, idOfMark(m.Mark).String()) {
				return
			}
		}
	}
}

// Saw implements [adapter.Replay].
func (r *streamReplay) Saw(mark adapter.Mark) bool {
	return mark != adapter.Mark{} && mark.Seq <= r.until.mark().Seq
}

// Offset implements [adapter.Replay].
func (r *streamReplay) Offset(offset string) string {
	if id, ok := parseEntryID(offset); ok && id.compare(r.until) >= 0 {
		return offset
	}
	return r.until.String()
}

// Over implements [adapter.Replay].
func (r *streamReplay) Over() bool {
	return r.journal.here().compare(r.until) >= 0
}
