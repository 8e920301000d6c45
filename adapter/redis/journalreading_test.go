package redis

import (
	"context"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// TestReadingGaps: which numbers of a publisher say that something was lost.
func TestReadingGaps(t *testing.T) {
	const begin = 10_000 // of the reading, a time of Redis
	event := func(n uint64) *journalEntry { return &journalEntry{n: n} }
	tick := func(n uint64) *journalEntry { return &journalEntry{n: n, isTick: true} }
	for _, tt := range []struct {
		name      string
		had       uint64 // of the publisher; 0: it was not heard of
		entries   []*journalEntry
		before    int  // as many of them were kept before the reading begins
		trimmed   bool // the stream begins after begin
		lost, gap bool
		events    int
	}{
		{name: "in order", had: 2, entries: []*journalEntry{event(3), tick(3), event(4)}, events: 2},
		{name: "had before", had: 4, entries: []*journalEntry{event(3), tick(3), event(4)}},
		{name: "an event is missing", had: 2, entries: []*journalEntry{event(4)}, lost: true, gap: true, events: 1},
		{name: "the last event is missing", had: 2, entries: []*journalEntry{event(3), tick(4)}, lost: true, gap: true, events: 1},
		{name: "quiet until now", entries: []*journalEntry{event(7), event(8)}, events: 2},
		{name: "quiet, and still there", entries: []*journalEntry{tick(6), event(7)}, events: 1},
		{name: "quiet, then one is missing", entries: []*journalEntry{event(7), event(9)}, lost: true, gap: true, events: 2},
		{name: "new", entries: []*journalEntry{tick(0), event(1)}, events: 1},
		{name: "new, and its first event is missing", entries: []*journalEntry{tick(0), event(2)}, lost: true, gap: true, events: 1},
		{name: "told by no tick", had: 2, entries: []*journalEntry{event(3), event(4), event(5)}, before: 2, events: 3},
		{name: "told by no tick, and one is missing", had: 2, entries: []*journalEntry{event(4), event(5)}, before: 1, lost: true, gap: true, events: 2},
		{name: "trimmed", had: 2, entries: []*journalEntry{event(3)}, trimmed: true, lost: true, events: 1},
		{name: "quiet or trimmed", entries: []*journalEntry{event(7)}, trimmed: true, lost: true, gap: true, events: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const publisher = "quiet"
			first := &journalEntry{id: entryID{ms: begin - 5000}, publisher: "other", name: nameOf("other"), n: 0, isTick: true}
			entries := []*journalEntry{first}
			if tt.trimmed {
				entries = nil
			}
			for i, e := range tt.entries {
				e.id = entryID{ms: begin + 1 + uint64(i)}
				if i < tt.before {
					e.id.ms -= 2500
				}
				e.publisher, e.name, e.head.Mark = publisher, nameOf(publisher), adapter.Mark{From: publisher, Seq: e.n}
				entries = append(entries, e)
			}
			j := &journal{cache: newStreamCache(journalCache, func(_ context.Context, from, to entryID, count int) (page []*journalEntry, _ error) {
				for _, e := range entries {
					if e.id.compare(from) >= 0 && e.id.compare(to) <= 0 && len(page) < count {
						page = append(page, e)
					}
				}
				return page, nil
			})}
			r := newReading(vector{}.raise(nameOf(publisher), tt.had))
			events := 0
			r.event = func(*journalEntry) { events++ }
			if err := r.read(t.Context(), j, begin, begin, lastID); err != nil {
				t.Fatal(err)
			}
			if r.lost != tt.lost || r.gap != tt.gap || events != tt.events {
				t.Errorf("lost %t, gap %t, %d events; want %t, %t, %d", r.lost, r.gap, events, tt.lost, tt.gap, tt.events)
			}
		})
	}
}
