package redis

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// One pipeline carries this much at most.
const (
	batchItems = 1000
	batchBytes = 1 << 20
)

// Pauses between attempts while Redis is away.
const (
	publishPauseMin = 50 * time.Millisecond
	publishPauseMax = 250 * time.Millisecond
)

// reportEvery is how often a failure is logged.
const reportEvery = 10 * time.Second

// When Redis is back the other nodes have yet to subscribe again; what is
// published before is lost to them. So the backlog waits for this node to do so,
// restoreWait at most, and then for as many nodes as there were before, for the
// longest pause between their attempts at most. Without knowing how many they
// were it waits for settleMin.
const (
	restoreWait = 2 * time.Second
	settleMin   = 400 * time.Millisecond
	settleMax   = reconnectMax
	countEvery  = 10 * time.Second // how often a publishing node counts the nodes
	vouchWait   = 300 * time.Millisecond
)

// publishCmd is the command of an item, at most once: whatever the caller's
// client is configured to do, go-redis does not repeat a pipeline in which a
// command says NoRetry. With retries a message can be published twice (HRD-63).
type publishCmd struct {
	goredis.Cmder
	payload *wireBytes
}

func (publishCmd) NoRetry() bool { return true }

// wireBytes is an argument that knows whether go-redis has begun to write it. A
// message that was not written can be published later without doubt. One that
// was written and not answered may have been published: to send it again might
// double it, but at receivers that know it by its number (see vouch).
type wireBytes struct {
	b       []byte
	written bool
}

// MarshalBinary is called by go-redis when it writes the command.
func (w *wireBytes) MarshalBinary() ([]byte, error) {
	w.written = true
	return w.b, nil
}

func newPublish(ctx context.Context, it item) publishCmd {
	w := &wireBytes{b: it.payload}
	if it.entry == nil {
		return publishCmd{goredis.NewIntCmd(ctx, verbNames[it.verb], it.channel, w), w}
	}
	args := append([]any{verbNames[it.verb], it.channel}, it.entry.args...)
	return publishCmd{goredis.NewStringCmd(ctx, append(args, w)...), w}
}

// id is that of the entry, if one was made.
func (c publishCmd) id() string {
	if s, ok := c.Cmder.(*goredis.StringCmd); ok {
		return s.Val()
	}
	return ""
}

// sent reports that Redis has confirmed it.
func (c publishCmd) sent() bool { return c.payload.written && c.Err() == nil }

// retriable reports that Redis certainly did not publish it but may do so soon.
func (c publishCmd) retriable() bool {
	return !c.payload.written || isElsewhere(c.Err())
}

// isTransient tells whether Redis has answered that it cannot work at the moment.
func isTransient(err error) bool {
	return goredis.IsLoadingError(err) || goredis.IsMasterDownError(err) ||
		goredis.IsClusterDownError(err) || goredis.IsTryAgainError(err)
}

// publish hands what waits to Redis until ctx ends. The link waits for it.
func (l *link) publish(ctx context.Context) {
	var batch []item // taken and not sent yet
	for ctx.Err() == nil {
		if len(batch) == 0 {
			batch = l.out.take(batch, batchItems, batchBytes)
		}
		if len(batch) == 0 {
			await(ctx, l.out.kick, 0)
			continue
		}
		// go-redis bridges a short outage by itself while it connects: a lost
		// subscriber connection is the only sign of it.
		if l.failing || l.lost.Load() != l.bridged {
			batch = l.recover(ctx, batch)
		}
		l.count(ctx, batch)
		batch = l.send(ctx, batch)
	}
	l.drop(batch)
}

// recover waits until Redis takes messages again and the other nodes hear them. It
// returns what is left of batch by then.
func (l *link) recover(ctx context.Context, batch []item) []item {
	l.bridged = l.lost.Load()
	pause := publishPauseMin
	if l.slotted() {
		l.reload(ctx)
		await(ctx, nil, pause) // a slot may have moved, and go-redis has to learn where
	}
	for ctx.Err() == nil && !l.ping(ctx, batch) {
		batch = l.out.expire(batch, time.Now())
		await(ctx, nil, pause)
		l.reload(ctx)
		pause = min(2*pause, publishPauseMax)
	}
	l.retry()
	l.poll(ctx, restoreWait, l.subs.complete)
	l.settle(ctx)
	l.failing, l.countedAt = false, time.Time{}
	return l.vouch(ctx, l.out.expire(batch, time.Now()))
}

// vouch keeps what is safe to be sent a second time: where all nodes are ours, which
// drop a second copy by its number (HRD-62). The rest of what was not answered is
// lost, as far as anybody knows.
func (l *link) vouch(ctx context.Context, batch []item) (kept []item) {
	safe := map[*member]bool{}
	var lost []item
	kept = batch[:0]
	for _, it := range batch {
		if it.unsure {
			if _, asked := safe[it.from]; !asked {
				safe[it.from] = l.onlyOurs(ctx, it.from)
			}
			if !safe[it.from] {
				it.dropped()
				lost = append(lost, it)
				continue
			}
		}
		kept = append(kept, it)
	}
	l.out.done(lost)
	return kept
}

// onlyOurs tells whether all nodes of a namespace are known by name. Those that are
// about to be are given a moment.
func (l *link) onlyOurs(ctx context.Context, a *member) (ok bool) {
	l.poll(ctx, vouchWait, func() bool {
		_, unnamed, err := l.peers(ctx, a)
		ok = err == nil && unnamed == 0
		return ok
	})
	return ok
}

// settle waits for the other nodes after an outage. On a Redis Cluster with sharded
// channels to count them on one server says little about the others.
func (l *link) settle(ctx context.Context) {
	channel := l.counted.Load()
	nodes := l.nodes
	if channel != nil {
		nodes = max(nodes, l.registry.expected(*channel))
	}
	if nodes == 0 || l.slotted() {
		await(ctx, nil, settleMin)
	}
	if nodes == 0 {
		return
	}
	l.poll(ctx, settleMax, func() bool {
		n, err := l.subscribers(ctx, *channel)
		return err == nil && n >= nodes
	})
}

// poll waits until cond is true, at most for d.
func (l *link) poll(ctx context.Context, d time.Duration, cond func() bool) {
	for until := time.Now().Add(d); ctx.Err() == nil && !cond() && time.Now().Before(until); {
		await(ctx, nil, publishPauseMin)
	}
}

// count notes how many nodes there are, now and then. Before a namespace publishes
// anything there is no need to: bulletins alone would make it count a cluster that
// is only starting.
func (l *link) count(ctx context.Context, batch []item) {
	channel := l.counted.Load()
	if channel == nil || time.Since(l.countedAt) < countEvery ||
		!slices.ContainsFunc(batch, func(it item) bool { return !it.quiet }) {
		return
	}
	l.countedAt = time.Now()
	if n, err := l.subscribers(ctx, *channel); err == nil {
		l.nodes = n
	}
}

// drop gives up what the link has not sent when it ends.
func (l *link) drop(batch []item) {
	for len(batch) > 0 {
		for _, it := range batch {
			it.dropped()
		}
		l.out.done(batch)
		batch = l.out.take(batch[:0], batchItems, batchBytes)
	}
}

// send publishes items and returns those that should be tried again, in their
// order. What failed before one that succeeded on the same way is lost: sent again
// it would come out of order.
func (l *link) send(ctx context.Context, items []item) (again []item) {
	if len(items) == 0 {
		return items
	}
	cmds := make([]publishCmd, len(items))
	for i, it := range items {
		cmds[i] = newPublish(ctx, it)
	}
	err := l.execute(ctx, items, cmds)
	left := l.leftOver(items, cmds)
	again = items[:0]
	var finished []item
	for i, c := range cmds {
		if left != nil && left[i] {
			again = append(again, items[i])
			continue
		}
		items[i].settle(c)
		finished = append(finished, items[i])
	}
	l.out.done(finished)
	if err != nil {
		l.reportPublish(ctx, err, len(again))
	}
	l.failing = len(again) > 0 || err != nil && !isRefusal(err)
	return again
}

// leftOver tells which items to try again: those that Redis has not taken, if it has
// taken nothing after them on the same way. Nil is none.
func (l *link) leftOver(items []item, cmds []publishCmd) []bool {
	if !slices.ContainsFunc(cmds, func(c publishCmd) bool { return !c.sent() }) {
		return nil
	}
	left := make([]bool, len(items))
	passed := map[string]bool{}
	for i := len(items) - 1; i >= 0; i-- {
		way := l.way(&items[i])
		passed[way] = passed[way] || cmds[i].sent()
		left[i] = !passed[way] && (cmds[i].retriable() || items[i].repeatable(cmds[i]))
	}
	return left
}

// repeatable tells whether receivers will know it if Redis has taken it already,
// without an answer; and it marks it. An entry of a stream would stay there twice.
func (it *item) repeatable(c publishCmd) bool {
	if it.from == nil || it.verb == verbXAdd || c.sent() || isRefusal(c.Err()) {
		return false
	}
	it.unsure = true
	return true
}

// isRefusal tells whether Redis has answered, if only with an error. Then it is not
// away.
func isRefusal(err error) bool {
	var answer goredis.Error
	return errors.As(err, &answer)
}

// settle counts what became of it.
func (it *item) settle(c publishCmd) {
	if it.isKept() {
		it.countKept(c.sent())
	}
	if !c.sent() {
		if !it.isKept() {
			it.to.publishErrors.Add(1)
		}
		it.tell("", cmp.Or(c.Err(), adapter.ErrBacklog))
		return
	}
	it.tell(c.id(), nil)
	if it.isKept() {
		return
	}
	it.to.published.Add(1)
	it.to.publishedBytes.Add(uint64(len(it.payload)))
}

// reportPublish logs a failure, at most one in reportEvery.
func (l *link) reportPublish(ctx context.Context, err error, kept int) {
	if ctx.Err() != nil || time.Since(l.reported) < reportEvery {
		return
	}
	l.reported = time.Now()
	level := slog.LevelWarn
	if isRefusal(err) && !isTransient(err) {
		level = slog.LevelError
	}
	l.log.Log(ctx, level, "redis: publishing fails", "node", l.node, "err", err, "kept", kept)
}
