package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// Times of a journal.
const (
	// journalMargin is how much longer events are kept than the host asks for: what
	// came before an offset is looked at as well, back to the last tick.
	journalMargin = 20 * time.Second
	// A tick follows what has happened within tickBusy, so that nodes that hold
	// none of the rooms know of it. If nothing happens there is one every tickIdle,
	// so that a place in a quiet journal stays valid.
	tickBusy = time.Second
	tickIdle = 15 * time.Second
	// journalSlack is how much earlier than its time a client's offset is looked
	// for: what had been appended by then was delivered by the time of the offset.
	journalSlack = 2 * time.Second
	// journalGrid is how far apart replays begin to read, and journalPast how far
	// back a new node looks for the numbers of others: further than any replay.
	journalGrid = 4 * time.Second
	journalPast = 10 * time.Second
	// journalCache is how many bytes of entries are held while clients recover.
	journalCache = 16 << 20
)

// journal keeps the events of one namespace in a stream that all nodes share
// (docs/decisions/0003-journal.md).
type journal struct {
	// Static after construction.
	member *member
	wire   wire
	key    string // of the stream
	shared string // channel of all members: how far each is
	keep   time.Duration
	pos    *positions
	cache  *streamCache[*journalEntry]
	wake   chan struct{}   // somebody waits for a tick
	ready  chan struct{}   // closed when offsets mean something, or will not soon
	looped chan struct{}   // a tick of our own has come back
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	ended  chan struct{} // closed when run has ended

	// Guarded by member.mu, as the order of what goes out.
	n       uint64 // of the last event
	average int    // bytes of an event

	mu      sync.Mutex // guards the fields below
	waiting []chan<- outcome

	// Owned by run.
	tickNumber uint64
	ticked     time.Time
	activity   uint64
	expires    time.Time // when PEXPIRE is due

	repairing repairing // owned by the member's worker
}

// journalNames are the key of the stream, and the channel of all members. That has
// the slot of K#N#, the channel of the sharded wire, so that both keep one order.
func journalNames(key, namespace string) (stream, members string) {
	name := key + "#" + namespace
	return "fanwire:journal:{" + name + "}", "fanwire#journal#{" + name + "#}"
}

func newJournal(m *member, namespace string) *journal {
	stream, shared := journalNames(m.cfg.Key, namespace)
	j := &journal{
		member:  m,
		wire:    wire{uid: m.uid, namespace: namespace},
		key:     stream,
		shared:  shared,
		keep:    m.host.RecoveryWindow() + journalMargin,
		pos:     newPositions(m.uid),
		wake:    make(chan struct{}, 1),
		ready:   make(chan struct{}),
		looped:  make(chan struct{}, 1),
		ended:   make(chan struct{}),
		average: 256,
	}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	j.cache = newStreamCache(journalCache, j.fetch)
	return j
}

// keeps tells whether m goes into the journal.
func keeps(m *adapter.Message) bool {
	return m.Kind == adapter.Broadcast && m.RequestID == "" && !m.Target.Volatile
}

// nextLocked numbers an event of n bytes.
func (j *journal) nextLocked(size int) uint64 {
	j.n++
	j.average += (size + entryOverhead - j.average) / 16
	return j.n
}

// maxEntriesLocked is how long the stream may be: as the configuration says, and
// so that it holds about as many bytes as it may if the events are as long as
// those of late. Whoever writes large events keeps it short (HRD-67).
func (j *journal) maxEntriesLocked() int {
	return max(1, min(j.member.cfg.JournalEntries, j.member.cfg.JournalBytes/max(j.average, 1)))
}

// itemLocked is the item that keeps an event: payload is the stamped broadcast.
func (j *journal) itemLocked(m *adapter.Message, payload []byte) item {
	return item{
		verb:    verbXAdd,
		channel: j.key,
		payload: payload,
		lane:    laneMessages,
		entry:   &entry{args: eventArgs(m, j.maxEntriesLocked(), j.member.host.NodeID()), keep: keepAlone},
	}
}

// start lets run begin as soon as subscribed is closed; it may be nil.
func (j *journal) start(subscribed <-chan struct{}) {
	go j.run(j.ctx, subscribed) // ends when stop cancels ctx; stop waits
}

// stop ends and awaits run.
func (j *journal) stop() {
	j.cancel()
	<-j.ended
}

// publish keeps an event and publishes it.
func (j *journal) publish(it item, m *adapter.Message) (adapter.Placed, error) {
	a := j.member
	payload, err := it.payload, error(nil)
	if !isArray(payload) {
		payload, err = j.wire.appendBroadcast(nil, m)
	}
	if err != nil {
		return adapter.Placed{Offset: j.pos.here()}, fmt.Errorf("redis: publish: %w", err)
	}
	shared := isArray(it.payload)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link != nil && a.link.slotted() {
		// Channels of several masters have no common order, which offsets need.
		it.channel = a.protocol.countChannel()
	}
	x := a.numberLocked(&it)
	x.kept, x.trace = j.nextLocked(len(payload)), traceOf(m)
	a.protocol.stamp(&it, x)
	add := j.itemLocked(m, it.payload)
	if shared {
		add.entry.keep = keepShared
	} else {
		add.payload = stampPayload(payload, extras{kept: x.kept})
	}
	it.since = time.Now()
	add.since = it.since
	err = errors.Join(a.pushLocked(add), a.pushLocked(it))
	return j.placed(x.kept), err
}

// isArray tells whether a broadcast is written as the classic wire does it.
func isArray(payload []byte) bool { return len(payload) > 0 && payload[0]>>4 == 0x9 }

// append keeps an event without publishing it.
func (j *journal) append(m *adapter.Message) (adapter.Placed, error) {
	a := j.member
	payload, err := j.wire.appendBroadcast(nil, m)
	switch {
	case err != nil:
		err = fmt.Errorf("redis: keep: %w", err)
	case len(payload) > a.cfg.MaxMessage:
		err = fmt.Errorf("redis: keep %d bytes: %w", len(payload), adapter.ErrTooLarge)
	}
	if err != nil {
		return adapter.Placed{Offset: j.pos.here()}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	n := j.nextLocked(len(payload))
	add := j.itemLocked(m, stampPayload(payload, extras{kept: n}))
	add.since = time.Now()
	err = a.pushLocked(add)
	return j.placed(n), err
}

// placed is the result for an event of this node.
func (j *journal) placed(n uint64) adapter.Placed {
	uid := j.member.uid
	return adapter.Placed{Offset: j.pos.raiseTo(uid, n), Mark: adapter.Mark{From: uid, Seq: n}}
}

// heard takes what a member says of its progress.
func (j *journal) heard(payload string) error {
	p, err := readProgress(payload)
	if err != nil {
		return err
	}
	switch {
	case j.repairing.isHolding():
		return nil
	case p.uid != j.member.uid:
		j.pos.raise(p.uid, p.n)
		return nil
	}
	j.pos.looped(p.tick)
	select {
	case j.looped <- struct{}{}:
	default:
	}
	return nil
}

// arrived takes an event with a number from the worker, also one that is not for
// this node.
func (j *journal) arrived(in incoming, err error) {
	uid := in.publisher()
	switch {
	case uid == "" || uid == j.member.uid || len(uid) > maxUID:
	case err == nil:
		in.msg.Mark = adapter.Mark{From: uid, Seq: in.extras.kept}
		j.receive(in)
	case errors.Is(err, errForeign) && !j.repairing.isHolding():
		j.pos.raise(uid, in.extras.kept)
	}
}

// publisher names who has numbered the event.
func (in *incoming) publisher() string {
	if in.extras.publisher != "" {
		return in.extras.publisher
	}
	return in.from
}

// fetch reads entries.
func (j *journal) fetch(ctx context.Context, from, to entryID, count int) ([]*journalEntry, error) {
	list, err := j.member.link.reader.XRangeN(ctx, j.key, from.String(), to.String(), int64(count)).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, fmt.Errorf("redis: read the journal: %w", err)
	}
	entries := make([]*journalEntry, len(list))
	for i, x := range list {
		entries[i] = readJournalEntry(x)
		if entries[i].publisher == "" {
			j.member.bad(j.key, x.ID, errWire)
		}
	}
	return entries, nil
}
