package run

import (
	"context"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/live"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// series is the run second by second. It belongs to the goroutine that calls second.
type series struct {
	seconds []result.Second
	last    totals
	lastAt  time.Time
	lat     ledger.Latencies // of the measured time so far
	set     meter.Set        // of the measured time so far; of the whole run for what belongs to connections
}

// totals are counters since the begin of the run, all stages together.
type totals struct {
	sent, delivered, answered, duplicated, outOfOrder, errors int64

	due, lost int64 // of the measured stages, without what is under way
	certain   live.Certain
}

// everySecond looks at the run once a second until ctx ends.
func (r *runner) everySecond(ctx context.Context) {
	r.series.lastAt = r.epoch
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.second()
		case <-ctx.Done():
			return
		}
	}
}

// second closes a second.
func (r *runner) second() {
	now := time.Now()
	var recent ledger.Latencies
	var recentSet meter.Set
	t := r.look(&recent, &recentSet)
	phase := r.current.Load().plan.Name
	_, t.errors = r.fleet.Errors()
	last := r.series.last
	s := result.Second{
		At: r.series.lastAt.Sub(r.epoch).Seconds(), Phase: phase, Connected: r.fleet.Now.Load(),
		Sent: t.sent - last.sent, Delivered: t.delivered - last.delivered, Answered: t.answered - last.answered,
		Duplicated: t.duplicated - last.duplicated, OutOfOrder: t.outOfOrder - last.outOfOrder, Errors: t.errors - last.errors,
		CPU: r.watch.second(now.Sub(r.series.lastAt)),
	}
	all := sumOf(&recent)
	for _, h := range []*meter.Histogram{all, &recentSet[meter.Echo], &recentSet[meter.Connect]} {
		if h.Count() > 0 {
			s.P50, s.P99, s.Max = h.Quantile(0.5), h.Quantile(0.99), h.Max()
			break
		}
	}
	r.mu.Lock()
	r.series.seconds = append(r.series.seconds, s)
	r.mu.Unlock()
	r.series.last, r.series.lastAt = t, now
	if r.hooks.Snapshot != nil {
		r.hooks.Snapshot(r.snapshot(&s, &t, &recentSet))
	}
}

func sumOf(l *ledger.Latencies) *meter.Histogram {
	h := new(meter.Histogram)
	h.Add(&l.Same)
	h.Add(&l.Cross)
	h.Add(&l.Unknown)
	return h
}

// look adds up all stages, takes the latencies since the last look, and closes the
// books whose time is over.
func (r *runner) look(recent *ledger.Latencies, recentSet *meter.Set) (t totals) {
	for _, st := range r.begun() {
		var ls ledger.Latencies
		var set meter.Set
		b := st.book.Look(&ls)
		st.board.Look(&set)
		echoes := st.sent.Load()
		t.sent += b.Sent + echoes
		t.delivered += b.Delivered
		t.answered += st.answered.Load()
		t.duplicated += b.Duplicated
		t.outOfOrder += b.OutOfOrder
		recent.Same.Add(&ls.Same)
		recent.Cross.Add(&ls.Cross)
		recent.Unknown.Add(&ls.Unknown)
		recent.Sent.Add(&ls.Sent)
		recentSet.Add(&set)
		for k := range set {
			if st.measured || meter.Kind(k) <= meter.Join {
				r.series.set[k].Add(&set[k])
			}
		}
		if st.measured {
			lost := b.Lost + st.book.Missing()
			t.lost += lost
			t.due += b.Delivered + lost
			t.certain.Add(st.certain(&b, r.fleet.Micros()))
			r.series.lat.Same.Add(&ls.Same)
			r.series.lat.Cross.Add(&ls.Cross)
			r.series.lat.Unknown.Add(&ls.Unknown)
			r.series.lat.Sent.Add(&ls.Sent)
		}
		st.closeIfOver(r.plan.Timeout.D())
	}
	return t
}

// certain is what the rest of the run cannot change in the stage's figures.
func (st *stage) certain(b *ledger.Balance, now int64) *live.Certain {
	return &live.Certain{
		Sent: b.Sent + st.sent.Load(), Skipped: st.skipped.Load(), Answered: st.answered.Load(), Unanswered: st.failed.Load(),
		Delivered: b.Delivered, Lost: b.Lost + st.book.Overdue(now),
		Duplicated: b.Duplicated, OutOfOrder: b.OutOfOrder, Unexpected: b.Unexpected,
	}
}

// closeIfOver closes the book when its last messages have had their time.
func (st *stage) closeIfOver(timeout time.Duration) {
	if st.over.Load() && !st.closed.Load() && time.Since(st.begin)-time.Duration(st.ended.Load()) > timeout {
		st.book.Close()
		st.closed.Store(true)
	}
}

// snapshot is what the live view shows.
func (r *runner) snapshot(s *result.Second, t *totals, recent *meter.Set) live.Snapshot {
	seconds := r.series.seconds
	span := max(0.001, time.Since(r.epoch).Seconds()-s.At)
	byNode, _ := r.fleet.Balance()
	snap := live.Snapshot{
		Scenario: r.title(), Phase: s.Phase, Elapsed: time.Since(r.epoch), Total: r.total(),
		Wanted: int64(r.fleet.Wanted()), Connected: s.Connected, ByNode: byNode,
		Reconnects: r.fleet.Reconnected.Load(), Errors: t.errors,
		Sent: float64(t.sent), SentRate: float64(s.Sent) / span,
		Lateness:  time.Duration(recent[meter.ScheduleLag].Max()) * time.Microsecond,
		Delivered: float64(t.delivered), DeliveredRate: float64(s.Delivered) / span,
		Answered: float64(t.answered), AnsweredRate: float64(s.Answered) / span,
		Expected: t.due, Lost: t.lost, Duplicated: t.duplicated, OutOfOrder: t.outOfOrder,
		Certain: t.certain, Latencies: make(map[string]live.Quantiles),
		CPU: s.CPU, Cores: r.watch.cores(), LagP99: r.watch.lagP99(), GCPauseMax: r.watch.gcPauseMax(),
	}
	for name, h := range r.named(&r.series.lat, &r.series.set) {
		if h.Count() > 0 {
			snap.Latencies[name] = quantiles(h)
		}
	}
	c := &snap.Certain
	c.Attempts, c.Failed, c.Disconnected, c.Reconnected = r.fleet.Attempts.Load(), r.fleet.Failed.Load(), r.fleet.Disconnected.Load(), r.fleet.Reconnected.Load()
	c.Kinds, _ = r.fleet.Errors()
	snap.Invalid = doubts(&snap)
	for _, past := range seconds[max(0, len(seconds)-60):] {
		snap.History = append(snap.History, live.Past{P99: time.Duration(past.P99) * time.Microsecond, Delivered: float64(past.Delivered)})
	}
	return snap
}

// doubts says whether the generator is the bottleneck so far.
func doubts(s *live.Snapshot) []string {
	d := &result.Document{Latencies: make(map[string]result.Latency), Generators: []result.Generator{{LagP99: s.LagP99.Microseconds()}}}
	for name, q := range s.Latencies {
		d.Latencies[name] = result.Latency{Count: 1, P99: q.P99.Microseconds()}
	}
	return d.Doubts()
}

func quantiles(h *meter.Histogram) live.Quantiles {
	q := func(q float64) time.Duration { return time.Duration(h.Quantile(q)) * time.Microsecond }
	return live.Quantiles{P50: q(0.5), P90: q(0.9), P99: q(0.99), P999: q(0.999), Max: time.Duration(h.Max()) * time.Microsecond}
}

// total is how long the phases that have a length take together.
func (r *runner) total() time.Duration {
	d := r.plan.Ramp.D() + r.plan.Cooldown.D()
	if s := r.plan.Stages[0]; s.Echo != nil || s.Fanout != nil {
		d += r.plan.Warmup.D()
	}
	for i := range r.plan.Stages {
		d += r.plan.Stages[i].Duration.D()
	}
	return d
}
