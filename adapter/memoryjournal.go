package adapter

import (
	"context"
	"iter"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// memoryJournal is the [Journal] of one namespace of one node over a [Memory].
//
// All events of the namespace are numbered in one row. What other nodes send comes
// through one queue in that order; what the node sends itself it delivers at once,
// ahead of the queue. So two numbers say what it has delivered: everything of
// others up to heard, everything of its own up to own.
type memoryJournal struct {
	// Static after attach.
	memory *Memory
	log    *memoryLog
	host   Host

	pos    position // guarded by log.mu
	queued uint64   // number of the last event put into the node's queue; guarded by log.mu

	replayed atomic.Uint64
}

// position is what a node, or a client that moved from node to node, has got.
type position struct {
	name       uint64 // of the journal whose events own counts
	heard, own uint64
}

func (j *memoryJournal) attach(s *Memory, host Host) {
	j.memory, j.host = s, host
	j.log = s.acquire(host)
	j.log.mu.Lock()
	defer j.log.mu.Unlock()
	j.log.names++
	j.pos.name = j.log.names
	j.beginLocked()
}

// beginLocked notes that the node hears everything from now on.
func (j *memoryJournal) beginLocked() {
	j.pos.heard = j.log.lastLocked()
	j.pos.own = j.pos.heard
}

func (j *memoryJournal) detach() { j.memory.release(j.log) }

// keeps tells whether an event is to be kept.
func (j *memoryJournal) keeps(m *Message) bool {
	return j.log != nil && m.Kind == Broadcast && m.RequestID == "" && !m.Target.Volatile
}

// keepLocked keeps m as an event of this node, which the node delivers next.
func (j *memoryJournal) keepLocked(m *Message) Placed {
	nothing := j.pos.heard >= j.queued
	j.pos.own = j.log.appendLocked(m, j.pos.name)
	if nothing { // of others is on its way
		j.pos.heard = j.pos.own
	}
	return Placed{Offset: j.pos.String(), Mark: m.Mark}
}

// Orders implements Journal.
func (j *memoryJournal) Orders() bool { return false }

// Append implements Journal.
func (j *memoryJournal) Append(_ context.Context, m *Message) (Placed, error) {
	return j.keep(m), nil
}

// keep keeps a copy of m.
func (j *memoryJournal) keep(m *Message) Placed {
	c := *m
	c.From = j.host.NodeID()
	j.log.mu.Lock()
	defer j.log.mu.Unlock()
	return j.keepLocked(&c)
}

// Advance implements Journal. Whatever the node has sent before m was numbered is
// delivered: it holds its lock for that.
func (j *memoryJournal) Advance(m *Message) (offset string) {
	j.log.mu.Lock()
	defer j.log.mu.Unlock()
	j.pos.heard = max(j.pos.heard, m.Mark.Seq)
	j.pos.own = max(j.pos.own, j.pos.heard)
	return j.pos.String()
}

// Here implements Journal.
func (j *memoryJournal) Here() string {
	j.log.mu.Lock()
	defer j.log.mu.Unlock()
	if j.pos.heard >= j.queued {
		j.beginLocked()
	}
	return j.pos.String()
}

// Merge implements Journal. Both positions are of the one client: where they are not
// those of one node, the later one has everything up to a point.
func (j *memoryJournal) Merge(a, b string) (string, error) {
	p, okA := parsePosition(a)
	q, okB := parsePosition(b)
	if !okA || !okB {
		return "", ErrLost
	}
	return p.union(q).String(), nil
}

// Replay implements Journal.
func (j *memoryJournal) Replay(_ context.Context, offset string, wants func(m *Message) bool) (Replay, error) {
	from, ok := parsePosition(offset)
	if !ok {
		return nil, ErrLost
	}
	events, last, ok := j.log.after(min(from.heard, from.own))
	if !ok || max(from.heard, from.own) > last {
		return nil, ErrLost
	}
	r := &memoryReplay{journal: j, from: from, last: last}
	for _, e := range events {
		seq := e.m.Mark.Seq
		got := from.heard
		if e.by == from.name {
			got = from.own
		}
		if seq > got && wants(e.m) {
			r.events = append(r.events, e.m)
		}
	}
	j.replayed.Add(uint64(len(r.events)))
	return r, nil
}

// SaveSession implements Journal.
func (j *memoryJournal) SaveSession(_ context.Context, s *Session, ttl time.Duration, fresh bool) error {
	return j.log.save(s, ttl, fresh)
}

// TouchSessions implements Journal.
func (j *memoryJournal) TouchSessions(_ context.Context, pids []string, ttl time.Duration) error {
	j.log.touch(pids, ttl)
	return nil
}

// TakeSession implements Journal.
func (j *memoryJournal) TakeSession(_ context.Context, pid string) (*Session, error) {
	return j.log.take(pid)
}

// DropSession implements Journal.
func (j *memoryJournal) DropSession(_ context.Context, s *Session) error {
	j.log.drop(s)
	return nil
}

// addStats adds what the journal has counted. Kept is of all nodes together.
func (j *memoryJournal) addStats(st *Stats) {
	st.Replayed = j.replayed.Load()
	j.log.mu.Lock()
	st.Kept, st.KeptBytes = j.log.kept, j.log.keptBytes
	j.log.mu.Unlock()
}

// memoryReplay is what was kept between a client's position and the end of the
// log, and the seam after it. Everything up to last the client has got then, or
// does not want.
type memoryReplay struct {
	journal *memoryJournal
	from    position
	last    uint64
	events  []*Message
}

// Events implements Replay.
func (r *memoryReplay) Events() iter.Seq2[*Message, string] {
	return func(yield func(*Message, string) bool) {
		for _, m := range r.events {
			at := r.from.merge(m.Mark.Seq)
			if !yield(m, at.String()) {
				return
			}
		}
	}
}

// Saw implements Replay.
func (r *memoryReplay) Saw(mark Mark) bool { return mark.Seq != 0 && mark.Seq <= r.last }

// Offset implements Replay.
func (r *memoryReplay) Offset(offset string) string {
	p, ok := parsePosition(offset)
	if !ok {
		return offset
	}
	return p.merge(r.last).String()
}

// Over implements Replay.
func (r *memoryReplay) Over() bool {
	j := r.journal
	j.log.mu.Lock()
	defer j.log.mu.Unlock()
	return j.pos.heard >= r.last || j.pos.heard >= j.queued
}

// merge adds everything up to n.
func (p position) merge(n uint64) position {
	p.heard, p.own = max(p.heard, n), max(p.own, n)
	return p
}

// union has what p and q have, but for what two nodes have sent ahead of others:
// then of one of them.
func (p position) union(q position) position {
	if q.own > p.own {
		p, q = q, p
	}
	return p.merge(q.heard)
}

// String is the position as an offset: one number if both are the same, which is
// the usual case.
func (p position) String() string {
	var text [48]byte
	b := strconv.AppendUint(text[:0], p.heard, 36)
	if p.own != p.heard {
		b = strconv.AppendUint(append(b, '.'), p.own, 36)
		b = strconv.AppendUint(append(b, '.'), p.name, 36)
	}
	return string(b)
}

func parsePosition(offset string) (p position, ok bool) {
	var numbers [3]uint64
	parts := strings.SplitN(offset, ".", 4)
	if len(parts) != 1 && len(parts) != 3 {
		return p, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 36, 64)
		if err != nil {
			return p, false
		}
		numbers[i] = n
	}
	if len(parts) == 1 {
		return position{heard: numbers[0], own: numbers[0]}, true
	}
	return position{heard: numbers[0], own: numbers[1], name: numbers[2]}, true
}

// memoryAlone is the journal of a node that has no others.
type memoryAlone struct{ memoryJournal }

// Close implements io.Closer: the namespace does not use the journal any more.
func (j *memoryAlone) Close() error {
	j.detach()
	return nil
}

// Stats implements Measurer.
func (j *memoryAlone) Stats() (st Stats) {
	j.addStats(&st)
	return st
}
