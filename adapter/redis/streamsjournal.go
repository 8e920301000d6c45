package redis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// streamCacheBytes is how much of a stream is held while clients recover.
const streamCacheBytes = 16 << 20

// streamPatience is how many times OrderWait an event may take to come back while
// others do.
const streamPatience = 25

// streamJournal is the [adapter.Journal] of one namespace on the streams wire
// (docs/decisions/0005-streams.md). Offsets are ids of entries, as officially.
type streamJournal struct {
	// Static after construction.
	a     *streams
	keeps bool // recovery is on
	wait  time.Duration

	kept     atomic.Uint64 // number of the last event that was added
	lost     atomic.Uint64 // how many Redis never got, or may not have got
	returned atomic.Uint64 // own events that have come back
	bytes    atomic.Uint64
	replayed atomic.Uint64
	slow     atomic.Bool   // the last one that was waited for did not come back in time
	begun    chan struct{} // closed when at is known to stand for something

	mu      sync.Mutex       // guards the fields below
	echoes  map[uint64]*echo // by number: who waits for what was added
	line    []*echo          // the same and those being handled, in order
	stop    chan struct{}    // closed when nobody in the line is to wait any more
	probe   probe
	marked  uint64  // lost, when the stream was last told
	current entryID // being handled by the worker
	at      entryID // handled

	taken *echo // being handled; owned by the worker
}

// echo is an event that the node wants to see come back.
type echo struct {
	msg  *adapter.Message
	stop chan struct{} // closed when it is not worth while to wait
	turn chan struct{} // closed when it is the first in the line
	done chan struct{} // closed when the node has it
	id   entryID       // then
	left bool          // the line; guarded by streamJournal.mu
}

// probe is an event that nobody waits for, since those before were slow.
type probe struct {
	number uint64
	since  time.Time
}

func newStreamJournal(a *streams, keeps bool) *streamJournal {
	return &streamJournal{
		a:      a,
		keeps:  keeps,
		wait:   a.readers.cfg.OrderWait,
		begun:  make(chan struct{}),
		echoes: map[uint64]*echo{},
		stop:   make(chan struct{}),
	}
}

// start waits until there is an entry that an offset can name.
func (j *streamJournal) start(ctx context.Context) error {
	if !j.keeps {
		return nil
	}
	j.tick(j.here() == entryID{})
	select {
	case <-j.begun:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("redis: start %s: the stream is empty: %w", j.a.host.Namespace(), ctx.Err())
	}
}

// begin notes where the namespace is in the stream. It is called under the feed's
// lock.
func (j *streamJournal) begin(at entryID) { j.passed(at) }

// passed notes that the node has handled all entries up to id.
func (j *streamJournal) passed(id entryID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.at == (entryID{}) && id != (entryID{}) {
		close(j.begun)
	}
	if id != (entryID{}) {
		j.at = id
	}
}

// tick is called after each read of the stream, at least every BlockTime: it tells
// the stream what was lost, and puts a first entry into an empty one.
func (j *streamJournal) tick(empty bool) {
	if !j.keeps {
		return
	}
	j.markHole()
	if l := j.a.started(); l != nil {
		l.records.awake()
	}
	if empty {
		j.note(extras{})
	}
}

// markHole adds an entry that says that events are missing before it, if they are.
func (j *streamJournal) markHole() {
	lost := j.lost.Load()
	j.mu.Lock()
	told := j.marked == lost
	j.marked = lost
	j.mu.Unlock()
	if !told {
		j.note(extras{hole: true})
	}
}

// note adds an entry that only Fanwire takes notice of.
func (j *streamJournal) note(x extras) {
	w := j.a.wire
	it := w.item(clusterEntry{uid: w.wire.uid, namespace: w.wire.namespace, typ: typeLocal, ext: x.text(), data: "{}"})
	if x.hole {
		it.entry.lost = j.lose
	}
	_ = j.a.push(it) // counted where it is dropped
}

// lose notes that Redis does not have an event that should be kept.
func (j *streamJournal) lose() { j.lost.Add(1) }

// Orders implements [adapter.Journal].
func (a *streams) Orders() bool { return true }

// Append implements [adapter.Journal].
func (a *streams) Append(_ context.Context, m *adapter.Message) (adapter.Placed, error) {
	return a.kept.place(m)
}

// place adds m to the stream and waits until it has come back. If that takes too
// long, or Redis is known to be away, the node delivers it without a place, and what
// comes back later is dropped.
func (j *streamJournal) place(m *adapter.Message) (adapter.Placed, error) {
	it, err := j.a.wire.encode(m)
	switch {
	case err != nil:
		return adapter.Placed{}, fmt.Errorf("redis: publish: %w", err)
	case len(it.payload) > j.a.cfg.MaxMessage:
		return adapter.Placed{}, fmt.Errorf("redis: publish %d bytes: %w", len(it.payload), adapter.ErrTooLarge)
	}
	j.markHole()
	number := j.kept.Add(1)
	j.a.wire.stamp(&it, extras{kept: number})
	told := make(chan outcome, 1)
	it.entry.outcome, it.entry.lost = told, j.lose
	e := j.expect(number, m, j.a.Ready() != nil)
	err = j.a.stampAndPush(it, m)
	if e == nil {
		return adapter.Placed{}, err
	}
	if err == nil {
		j.await(e, told)
	}
	if j.giveUp(number, e) {
		return adapter.Placed{}, err
	}
	<-e.done // it is being handled
	return adapter.Placed{Offset: e.id.String(), Mark: e.id.mark(), Returns: true}, err
}

// expect makes an echo, nil if it is not worth while to wait, as when Redis is away.
// Who comes while others still wait stands in line with them, though all leave then.
func (j *streamJournal) expect(number uint64, m *adapter.Message, away bool) *echo {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.slow.Load() && j.probe.number == 0 {
		j.probe = probe{number, time.Now()}
	}
	e := &echo{msg: m, stop: j.stop, turn: make(chan struct{}), done: make(chan struct{})}
	if away || j.slow.Load() {
		if len(j.line) == 0 {
			return nil
		}
		j.stopLocked()
	}
	j.echoes[number] = e
	if j.line = append(j.line, e); len(j.line) == 1 {
		close(e.turn)
	}
	return e
}

// await waits for an echo. While the node is behind, but handles entries, it waits
// longer: to deliver the event now would be out of order.
func (j *streamJournal) await(e *echo, told <-chan outcome) {
	began, at, stood := time.Now(), j.here(), false
	set := began
	timer := time.NewTimer(j.wait)
	defer timer.Stop()
	for {
		select {
		case <-e.done:
			return
		case o := <-told:
			if o.err != nil {
				return // counted: for the caller it is as if it were lost later
			}
			told = nil
		case <-e.stop:
			return
		case <-timer.C:
			now, here := time.Now(), j.here()
			if !stood && now.Sub(set) > 2*j.wait { // this process stood still, and nothing is known of Redis
				began, at, stood = now, entryID{}, true
			}
			if here == at || now.Sub(began) > streamPatience*j.wait {
				j.slow.Store(true)
				j.mu.Lock()
				j.stopLocked()
				j.mu.Unlock()
				return
			}
			set, at = now, here
			timer.Reset(j.wait)
		}
	}
}

// stopLocked ends the wait of all who are in the line now.
func (j *streamJournal) stopLocked() {
	close(j.stop)
	j.stop = make(chan struct{})
}

// leaveLocked takes an echo out of the line.
func (j *streamJournal) leaveLocked(e *echo) {
	e.left = true
	first := j.line[0]
	for len(j.line) > 0 && j.line[0].left {
		j.line[0] = nil
		j.line = j.line[1:]
	}
	if len(j.line) > 0 && j.line[0] != first {
		close(j.line[0].turn)
	}
}

// giveUp reports whether the echo has not come. It waits for those who are before it
// in the line, so that nobody overtakes them.
func (j *streamJournal) giveUp(number uint64, e *echo) bool {
	select {
	case <-e.turn:
	case <-e.done:
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, waiting := j.echoes[number]
	if waiting {
		delete(j.echoes, number)
		j.leaveLocked(e)
	}
	return waiting
}

// take returns the echo of an event of this node that has come back, nil if nobody
// waits for it any more.
func (j *streamJournal) take(number uint64) *echo {
	if number == 0 {
		return nil
	}
	j.returned.Add(1)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.probe.number != 0 && number >= j.probe.number {
		j.slow.Store(time.Since(j.probe.since) > j.wait)
		j.probe = probe{}
	}
	e := j.echoes[number]
	delete(j.echoes, number)
	return e
}

// decode reads an entry on the worker, which hands it to the node next and tells so
// by received.
func (j *streamJournal) decode(e *placedEntry) (incoming, error) {
	j.release() // if the one before did not get as far as the node
	j.mu.Lock()
	j.current = e.id
	j.mu.Unlock()
	in, err := j.read(e)
	if err != nil {
		j.passed(e.id)
	}
	return in, err
}

func (j *streamJournal) read(e *placedEntry) (in incoming, err error) {
	if e.uid == j.a.wire.wire.uid && j.keeps {
		return j.readOwn(e)
	}
	in, err = j.a.wire.decodePlaced(e)
	if err == nil && j.keeps && keeps(in.msg) {
		in.msg.Mark = e.id.mark()
	}
	return in, err
}

// readOwn gives the node the message that it has published.
func (j *streamJournal) readOwn(e *placedEntry) (in incoming, err error) {
	in.from = e.uid
	if in.extras, err = readEntryExtras(e.ext); err != nil {
		return in, err
	}
	echo := j.take(in.extras.kept)
	if in.extras.kept > 0 {
		j.bytes.Add(uint64(e.size()))
	}
	if echo == nil {
		return in, errForeign
	}
	echo.id = e.id
	j.taken = echo
	m := *echo.msg
	m.From, m.Mark = e.uid, e.id.mark()
	in.msg = &m
	return in, nil
}

// received is called on the worker when the node has taken a message.
func (j *streamJournal) received() {
	j.mu.Lock()
	at := j.current
	j.mu.Unlock()
	j.passed(at)
	j.release()
}

// release tells who waits for what was taken that the node has it.
func (j *streamJournal) release() {
	if e := j.taken; e != nil {
		j.taken = nil
		close(e.done)
		j.mu.Lock()
		j.leaveLocked(e)
		j.mu.Unlock()
	}
}

// Advance implements [adapter.Journal].
func (a *streams) Advance(m *adapter.Message) string {
	if m.Mark == (adapter.Mark{}) {
		return a.Here()
	}
	return idOfMark(m.Mark).String()
}

// Here implements [adapter.Journal].
func (a *streams) Here() string { return a.kept.here().String() }

func (j *streamJournal) here() entryID {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at
}

// Merge implements [adapter.Journal].
func (a *streams) Merge(one, other string) (string, error) {
	x, okX := parseEntryID(one)
	y, okY := parseEntryID(other)
	switch {
	case !okX || !okY:
		return "", adapter.ErrLost
	case x.compare(y) < 0:
		return other, nil
	}
	return one, nil
}

func (j *streamJournal) addStats(s *adapter.Stats) {
	s.Kept += j.returned.Load()
	s.KeptBytes += j.bytes.Load()
	s.KeepDropped += j.lost.Load()
	s.Replayed += j.replayed.Load()
}

// seqBits is how much of a mark's number is that of an entry within its millisecond.
const seqBits = 20

// mark is the mark of an event with this id.
func (id entryID) mark() adapter.Mark {
	return adapter.Mark{Seq: id.ms<<seqBits | min(id.seq, 1<<seqBits-1)}
}

func idOfMark(m adapter.Mark) entryID {
	return entryID{ms: m.Seq >> seqBits, seq: m.Seq & (1<<seqBits - 1)}
}
