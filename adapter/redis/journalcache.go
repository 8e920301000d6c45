package redis

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// entryID is the id of an entry of a stream: the time of Redis in milliseconds, and
// a number within it.
type entryID struct{ ms, seq uint64 }

// lastID is after all others.
var lastID = entryID{math.MaxUint64, math.MaxUint64}

func (id entryID) String() string {
	if id == lastID {
		return "+"
	}
	b := strconv.AppendUint(make([]byte, 0, 24), id.ms, 10)
	return string(strconv.AppendUint(append(b, '-'), id.seq, 10))
}

func (id entryID) compare(other entryID) int {
	return cmp.Or(cmp.Compare(id.ms, other.ms), cmp.Compare(id.seq, other.seq))
}

// next is the smallest id after id.
func (id entryID) next() entryID {
	if id.seq == math.MaxUint64 {
		return entryID{id.ms + 1, 0}
	}
	return entryID{id.ms, id.seq + 1}
}

// parseEntryID reads what Redis writes.
func parseEntryID(s string) (id entryID, ok bool) {
	ms, seq, ok := strings.Cut(s, "-")
	if !ok {
		return id, false
	}
	var errs [2]error
	id.ms, errs[0] = strconv.ParseUint(ms, 10, 64)
	id.seq, errs[1] = strconv.ParseUint(seq, 10, 64)
	return id, errors.Join(errs[:]...) == nil
}

// streamEntry is an entry of a stream, as its readers like to have it.
type streamEntry interface {
	entryID() entryID
	size() int // in bytes, about
}

// How much of a stream is read by one command, and how long what was read is
// kept after its last use.
const (
	cachePage = 1000
	cacheIdle = 10 * time.Second
)

// errStreamLost says that the stream is not what it was a moment ago: it was
// removed, or cut where it was read.
var errStreamLost = errors.New("entries of the stream have gone")

// streamCache holds the newest entries of a stream while clients recover, so that
// many that come back at once do not read it once each. It holds nothing before the
// first read, and forgets all when sweep finds that nobody has read for a while.
//
// What it holds has no gap: an entry is added only after one that was read again
// in the same command.
type streamCache[E streamEntry] struct {
	// fetch reads up to count entries with from <= id <= to, oldest first. It is
	// called by one reader at a time.
	fetch    func(ctx context.Context, from, to entryID, count int) ([]E, error)
	maxBytes int
	turn     chan struct{} // of capacity 1: whoever has put something in may fetch

	mu    sync.Mutex // guards the fields below
	since entryID    // nothing is missing from here on
	begin entryID    // where the reading began: before since if the stream began later
	pages []cachedPage[E]
	bytes int
	used  time.Time
}

// cachedPage is what one command has read. It does not change.
type cachedPage[E streamEntry] struct {
	entries []E // at least one
	bytes   int
}

func (p *cachedPage[E]) last() entryID { return p.entries[len(p.entries)-1].entryID() }

func newStreamCache[E streamEntry](maxBytes int, fetch func(context.Context, entryID, entryID, int) ([]E, error)) *streamCache[E] {
	return &streamCache[E]{fetch: fetch, maxBytes: maxBytes, turn: make(chan struct{}, 1)}
}

// read calls visit with the entries with from <= id <= to, in order and in parts. to
// is an entry that exists, or lastID for all there are. since tells from where on
// the stream was complete: if that is after from, older entries were trimmed, or
// never existed.
func (c *streamCache[E]) read(ctx context.Context, from, to entryID, visit func(entries []E)) (since entryID, err error) {
	since = lastID
	for cursor := from; cursor.compare(to) <= 0; {
		entries, complete, ok := c.cached(cursor, to)
		if !ok {
			if more, err := c.extend(ctx, cursor, to); err != nil {
				return since, err
			} else if more {
				continue
			}
			if to != lastID {
				return since, errStreamLost // where is it?
			}
			return minID(since, complete), nil
		}
		if since == lastID {
			since = complete
		} else if complete.compare(cursor) > 0 {
			return since, errStreamLost // between two parts
		}
		visit(entries)
		cursor = entries[len(entries)-1].entryID().next()
	}
	return since, nil
}

func minID(a, b entryID) entryID {
	if a.compare(b) < 0 {
		return a
	}
	return b
}

// cached returns some entries from cursor on, up to to.
func (c *streamCache[E]) cached(cursor, to entryID) (entries []E, since entryID, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = time.Now()
	if len(c.pages) == 0 || cursor.compare(c.begin) < 0 {
		return nil, c.since, false
	}
	i, _ := slices.BinarySearchFunc(c.pages, cursor, func(p cachedPage[E], id entryID) int { return p.last().compare(id) })
	if i == len(c.pages) {
		return nil, c.since, false
	}
	entries = c.pages[i].entries
	first, _ := searchEntries(entries, cursor)
	end, found := searchEntries(entries, to)
	if found {
		end++
	}
	if first >= end {
		return nil, c.since, false
	}
	return entries[first:end:end], c.since, true
}

func searchEntries[E streamEntry](entries []E, id entryID) (int, bool) {
	return slices.BinarySearchFunc(entries, id, func(e E, id entryID) int { return e.entryID().compare(id) })
}

// extend reads on, so that there are entries from cursor on; more is false if the
// stream ends before it.
func (c *streamCache[E]) extend(ctx context.Context, cursor, to entryID) (more bool, err error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if _, _, ok := c.cached(cursor, to); ok {
		return true, nil // another reader was faster
	}
	if end, ok := c.end(cursor); ok {
		return c.append(ctx, end)
	}
	return c.start(ctx, cursor)
}

// end returns the last entry, if what comes from cursor on follows it.
func (c *streamCache[E]) end(cursor entryID) (entryID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pages) == 0 || cursor.compare(c.begin) < 0 {
		return entryID{}, false
	}
	return c.pages[len(c.pages)-1].last(), true
}

// append adds what comes after the entry end, which has to be there still.
func (c *streamCache[E]) append(ctx context.Context, end entryID) (more bool, err error) {
	entries, err := c.fetch(ctx, end, lastID, cachePage+1)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(entries) == 0 || entries[0].entryID() != end {
		c.clear()
		return false, errStreamLost
	}
	if len(entries) == 1 {
		return false, nil
	}
	c.add(entries[1:])
	return true, nil
}

// start forgets what there is and begins at cursor.
func (c *streamCache[E]) start(ctx context.Context, cursor entryID) (more bool, err error) {
	entries, err := c.fetch(ctx, cursor, lastID, cachePage)
	if err != nil {
		return false, err
	}
	// Asked afterwards: if there is something older now, nothing of what was read
	// had been trimmed before.
	older, err := c.fetch(ctx, entryID{}, cursor, 1)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clear()
	c.begin, c.since = cursor, cursor
	if len(entries) == 0 {
		if len(older) == 0 {
			c.since = lastID
		}
		return false, nil
	}
	if len(older) == 0 {
		c.since = entries[0].entryID()
	}
	c.add(entries)
	return true, nil
}

func (c *streamCache[E]) add(entries []E) {
	p := cachedPage[E]{entries: entries}
	for _, e := range entries {
		p.bytes += e.size()
	}
	c.pages = append(c.pages, p)
	c.bytes += p.bytes
	for c.bytes > c.maxBytes && len(c.pages) > 1 {
		c.bytes -= c.pages[0].bytes
		c.begin = c.pages[0].last().next()
		c.since = c.begin
		c.pages[0] = cachedPage[E]{}
		c.pages = c.pages[1:]
	}
}

func (c *streamCache[E]) clear() { c.pages, c.bytes = nil, 0 }

// sweep forgets what nobody has asked for lately.
func (c *streamCache[E]) sweep(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.used) > cacheIdle {
		c.clear()
	}
}
