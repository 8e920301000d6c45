package redis

import (
	"context"
	"sync"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/internal/queue"
)

// lane is one of the two queues on the way out. Order is kept within each.
type lane uint8

const (
	laneMessages lane = iota // events and requests
	laneAnswers              // answers to requests: few, possibly huge (HRD-60)
	lanes
)

// verb is the command that hands an item to Redis.
type verb uint8

const (
	verbPublish verb = iota
	verbSPublish
	verbXAdd
)

// verbNames are ready to be arguments of go-redis.
var verbNames = [...]any{verbPublish: "publish", verbSPublish: "spublish", verbXAdd: "xadd"}

// item is a message for Redis: a command of the verb, the channel or the key of a
// stream, the arguments of an entry, and the payload.
type item struct {
	channel string
	payload []byte
	since   time.Time
	verb    verb
	lane    lane
	to      *counters // of the sender
	quiet   bool      // nobody is told if it is dropped, or waits for it
	from    *member   // if it has a number by which receivers know a second copy
	unsure  bool      // it was written once and not answered: Redis may have taken it
	entry   *entry    // of XADD
}

// entry is what an item for a stream has besides: the payload is its last value.
type entry struct {
	args []any // strings and numbers
	keep keeping
	// outcome gets what became of it; nil if nobody waits. It must have room for
	// one.
	outcome chan<- outcome
	// lost is called if Redis did not get it, or may not have got it; nil for
	// nothing. It is called under locks and must only take notice.
	lost func()
}

// outcome is what Redis has said to an item, or why it was not asked.
type outcome struct {
	id  string // of an entry of a stream
	err error
}

// keeping tells what an entry is for a journal beside the channels.
type keeping uint8

const (
	keepNothing keeping = iota // it is none for a journal
	keepAlone                  // an event that is not published
	keepShared                 // an event whose payload is published next
	keepTick
)

// size is what it counts for in the outbox.
func (it *item) size() int {
	n := len(it.payload)
	if it.entry == nil {
		return n
	}
	if it.entry.keep == keepShared {
		n = 0 // the same bytes wait a second time
	}
	for _, a := range it.entry.args {
		if s, ok := a.(string); ok {
			n += len(s)
		} else {
			n += 8
		}
	}
	return n
}

// tell passes on what became of it.
func (it *item) tell(id string, err error) {
	if it.entry == nil {
		return
	}
	if err != nil && it.entry.lost != nil {
		it.entry.lost()
	}
	if it.entry.outcome != nil {
		it.entry.outcome <- outcome{id, err}
	}
}

// isKept tells whether it is for a journal.
func (it *item) isKept() bool { return it.entry != nil && it.entry.keep != keepNothing }

// countKept counts an event that the journal has, or will never have.
func (it *item) countKept(ok bool) {
	switch {
	case it.entry.keep == keepTick:
	case ok:
		it.to.kept.Add(1)
		it.to.keptBytes.Add(uint64(len(it.payload)))
	default:
		it.to.keepDropped.Add(1)
	}
}

// dropped counts it as given up.
func (it *item) dropped() {
	switch {
	case it.isKept():
		it.countKept(false)
	case it.unsure:
		it.to.publishErrors.Add(1)
	default:
		it.to.publishDropped.Add(1)
	}
	it.tell("", adapter.ErrBacklog)
}

// outbox holds what waits for Redis: bounded in bytes and age, the oldest are
// dropped (HRD-63). Nobody who pushes ever waits.
type outbox struct {
	maxBytes [lanes]int
	maxAge   time.Duration
	// kick tells that there is something to take.
	kick chan struct{}

	mu       sync.Mutex // guards the fields below
	waiting  [lanes]queue.Ring[item]
	pushed   [lanes]uint64
	finished [lanes]uint64 // sent or dropped
	progress chan struct{} // closed when finished grows; nil while nobody waits
}

func newOutbox(maxMessages, maxAnswers int, maxAge time.Duration) *outbox {
	return &outbox{
		maxBytes: [lanes]int{maxMessages, maxAnswers},
		maxAge:   maxAge,
		kick:     make(chan struct{}, 1),
	}
}

// push appends it and returns how many older ones were dropped to make room, or
// because they had waited for too long.
func (o *outbox) push(it item) (dropped int) {
	o.mu.Lock()
	size := it.size()
	dropped = o.dropOld(it.lane, it.since, size)
	o.waiting[it.lane].Push(it, size)
	if !it.quiet {
		o.pushed[it.lane]++
	}
	o.mu.Unlock()
	select {
	case o.kick <- struct{}{}:
	default:
	}
	return dropped
}

// dropOld drops what has waited for too long and what stands in the way of size
// more bytes. A message that is larger than all the room is taken alone.
func (o *outbox) dropOld(l lane, now time.Time, size int) (dropped int) {
	w := &o.waiting[l]
	for {
		it, _, ok := w.Peek()
		full := size > 0 && w.Bytes()+size > o.maxBytes[l]
		if !ok || (now.Sub(it.since) <= o.maxAge && !full) {
			break
		}
		w.Pop()
		it.dropped()
		if !it.quiet {
			dropped++
		}
	}
	o.finish(l, dropped)
	return dropped
}

func (o *outbox) finish(l lane, n int) {
	o.finished[l] += uint64(n)
	if n > 0 && o.progress != nil {
		close(o.progress)
		o.progress = nil
	}
}

// take removes up to maxItems messages of together about maxBytes and appends
// them to dst, those of one lane in their order. What has waited for too long is
// dropped.
func (o *outbox) take(dst []item, maxItems, maxBytes int) []item {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for l := range lanes {
		o.dropOld(l, now, 0)
	}
	// Answers come first, but leave half of the batch to the rest.
	dst = o.takeLane(laneAnswers, dst, maxItems/2, maxBytes/2)
	dst = o.takeLane(laneMessages, dst, maxItems-len(dst), maxBytes/2)
	return dst
}

func (o *outbox) takeLane(l lane, dst []item, maxItems, maxBytes int) []item {
	w := &o.waiting[l]
	for bytes := 0; maxItems > 0 && bytes < maxBytes; maxItems-- {
		it, size, ok := w.Pop()
		if !ok {
			break
		}
		bytes += size
		dst = append(dst, it)
	}
	return dst
}

// done counts taken messages as sent or dropped.
func (o *outbox) done(items []item) {
	var n [lanes]int
	for _, it := range items {
		if !it.quiet {
			n[it.lane]++
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for l, n := range n {
		o.finish(lane(l), n)
	}
}

// drain waits until all that was pushed so far is sent or dropped.
func (o *outbox) drain(ctx context.Context) error {
	o.mu.Lock()
	target := o.pushed
	for o.finished[laneMessages] < target[laneMessages] || o.finished[laneAnswers] < target[laneAnswers] {
		if o.progress == nil {
			o.progress = make(chan struct{})
		}
		progress := o.progress
		o.mu.Unlock()
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
		o.mu.Lock()
	}
	o.mu.Unlock()
	return nil
}

// expire drops what has waited for too long, here and among items, which the
// caller holds since take. It reuses the slice and keeps the order.
func (o *outbox) expire(items []item, now time.Time) (kept []item) {
	var old []item
	kept = items[:0]
	for _, it := range items {
		if now.Sub(it.since) <= o.maxAge {
			kept = append(kept, it)
			continue
		}
		it.dropped()
		old = append(old, it)
	}
	o.done(old)
	o.mu.Lock()
	defer o.mu.Unlock()
	for l := range lanes {
		o.dropOld(l, now, 0)
	}
	return kept
}
