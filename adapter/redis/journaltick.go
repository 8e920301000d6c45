package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// run sends ticks: in its own time, and for those who wait for one.
func (j *journal) run(ctx context.Context, subscribed <-chan struct{}) {
	defer close(j.ended)
	defer func() { j.release(outcome{err: adapter.ErrClosed}) }()
	if subscribed != nil {
		await(ctx, subscribed, 0)
	}
	j.first(ctx)
	j.begun()
	tick := time.NewTicker(tickBusy)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
			j.tick(ctx, false)
		case now := <-tick.C:
			j.member.link.records.awake()
			j.cache.sweep(now)
			j.pos.prune(now, j.keep)
			if j.pos.activity() != j.activity || now.Sub(j.ticked) >= tickIdle {
				j.tick(ctx, false)
			}
		}
	}
}

// first sends the first tick, and begins where the others are.
func (j *journal) first(ctx context.Context) {
	for pause := reconnectMin; ctx.Err() == nil; pause = min(2*pause, reconnectMax) {
		err := j.begin(ctx)
		if err == nil {
			return
		}
		if isRefusal(err) && !isTransient(err) {
			j.member.log.Error("redis: the journal is refused: clients will not recover", "key", j.key, "err", err)
			j.begun()
		}
		await(ctx, nil, pause)
	}
}

func (j *journal) begin(ctx context.Context) error {
	known, err := j.fetch(ctx, entryID{}, lastID, 1)
	if err != nil {
		return err
	}
	id, err := j.tick(ctx, len(known) == 0)
	if err == nil {
		err = j.catchUp(ctx, id)
	}
	if err == nil {
		err = j.learnEmitters(ctx)
	}
	if err != nil {
		return err
	}
	j.pos.begin()
	await(ctx, j.looped, tickBusy) // whatever has arrived before is in the offsets
	return nil
}

// await waits until the journal has begun, or cannot.
func (j *journal) await(ctx context.Context) {
	select {
	case <-j.ready:
	case <-ctx.Done():
	}
}

// begun lets Start return.
func (j *journal) begun() {
	select {
	case <-j.ready:
	default:
		close(j.ready)
	}
}

// catchUp takes the numbers of what others have just kept: it is not for sockets
// that come later.
func (j *journal) catchUp(ctx context.Context, to entryID) error {
	from := entryID{ms: to.ms - min(to.ms, uint64(journalPast.Milliseconds()))}
	_, err := j.cache.read(ctx, from, to, func(entries []*journalEntry) {
		for _, e := range entries {
			if e.publisher != "" {
				j.pos.raise(e.publisher, e.n)
			}
		}
	})
	return err
}

// tick appends a tick and tells all members of it, this one included. All that this
// node has kept before is in the journal or lost when it returns.
func (j *journal) tick(ctx context.Context, first bool) (entryID, error) {
	j.tickNumber++
	j.ticked, j.activity = time.Now(), j.pos.activity()
	told := make(chan outcome, 1)
	waiting := j.takeWaiting()
	err := j.sendTick(first, told)
	var result outcome
	if err == nil {
		select {
		case result = <-told:
			err = result.err
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	id, ok := parseEntryID(result.id)
	if err == nil && !ok {
		err = errWire
	}
	if err == nil {
		j.pos.confirmed(j.tickNumber, int64(id.ms), time.Now())
		j.expire(ctx)
	}
	for _, w := range waiting {
		w <- outcome{id: result.id, err: err}
	}
	return id, err
}

// sendTick gives both parts to the outbox.
func (j *journal) sendTick(first bool, told chan<- outcome) error {
	var oldest entryID
	if ms := j.pos.redisTime(time.Now()); ms > 0 {
		oldest.ms = uint64(max(ms-j.keep.Milliseconds(), 0))
	}
	a := j.member
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.link == nil {
		return adapter.ErrClosed
	}
	now := time.Now()
	add := item{
		verb:    verbXAdd,
		channel: j.key,
		payload: strconv.AppendUint(nil, j.n, 10),
		lane:    laneMessages,
		entry:   &entry{args: tickArgs(a.uid, first, oldest), outcome: told, keep: keepTick},
		since:   now,
	}
	tell := item{
		verb:    a.link.verb(),
		channel: j.shared,
		payload: progress{a.uid, j.n, j.tickNumber}.append(nil),
		lane:    laneMessages,
		since:   now,
	}
	if err := a.pushLocked(add); err != nil && !errors.Is(err, adapter.ErrBacklog) {
		return err
	}
	_ = a.pushLocked(tell) // what is dropped is counted
	return nil
}

// progress is what a tick says on the channel of all members. Everything that its
// publisher has kept up to number n was published before.
type progress struct {
	uid  string
	n    uint64
	tick uint64 // number of the tick
}

func (p progress) append(dst []byte) []byte {
	dst = append(append(dst, p.uid...), ' ')
	dst = append(strconv.AppendUint(dst, p.n, 10), ' ')
	return strconv.AppendUint(dst, p.tick, 10)
}

func readProgress(payload string) (p progress, err error) {
	parts := strings.Split(payload, " ")
	if len(parts) != 3 || parts[0] == "" || len(parts[0]) > maxUID {
		return p, errWire
	}
	var errs [2]error
	p.uid = strings.Clone(parts[0])
	p.n, errs[0] = strconv.ParseUint(parts[1], 10, 64)
	p.tick, errs[1] = strconv.ParseUint(parts[2], 10, 64)
	return p, errors.Join(errs[:]...)
}

// maxUID is the length of the longest name of a publisher.
const maxUID = 64

// expire makes sure that the stream does not outlive the nodes (HRD-67).
func (j *journal) expire(ctx context.Context) {
	if time.Now().Before(j.expires) {
		return
	}
	if j.member.link.reader.PExpire(ctx, j.key, 2*j.keep).Err() == nil {
		j.expires = time.Now().Add(j.keep / 4)
	}
}

// barrier waits until everything that this node has kept so far is in the journal,
// or lost, and returns an entry that comes after it. Those who ask at the same time
// share one.
func (j *journal) barrier(ctx context.Context) (entryID, error) {
	told := make(chan outcome, 1)
	j.mu.Lock()
	j.waiting = append(j.waiting, told)
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	select {
	case o := <-told:
		id, _ := parseEntryID(o.id)
		return id, o.err
	case <-j.ended:
		return entryID{}, adapter.ErrClosed
	case <-ctx.Done():
		return entryID{}, ctx.Err()
	}
}

func (j *journal) takeWaiting() []chan<- outcome {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := j.waiting
	j.waiting = nil
	return w
}

func (j *journal) release(o outcome) {
	for _, w := range j.takeWaiting() {
		w <- o
	}
}
