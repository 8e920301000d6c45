package run

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
)

// stage is a stage that runs or has run.
type stage struct {
	// Static.
	number     int
	plan       *plan.Stage
	measured   bool
	begin      time.Time
	schedule   context.Context // for schedules: a late one is not cut short at once
	book       *ledger.Book
	publishers []*publisher

	board  meter.Board
	over   atomic.Bool  // no message is sent any more
	ended  atomic.Int64 // ns since begin
	closed atomic.Bool

	sent, sentBytes, answered, failed, skipped atomic.Int64 // of echoes; bytes and skipped of all
}

// publisher is who sends to a room in a stage.
type publisher struct {
	number int
	stream *ledger.Stream
	outlet publisherOutlet
	owing  atomic.Int32 // messages that should be in flight
}

// begin starts a stage: what happens from now on is its.
func (r *runner) begin(p *plan.Stage, measured bool) *stage {
	r.mu.Lock()
	number := len(r.stages)
	r.mu.Unlock()
	st := &stage{number: number, plan: p, measured: measured, begin: time.Now(), book: r.ledger.NewBook()}
	if p.Fanout != nil {
		r.makePublishers(st)
	}
	r.mu.Lock()
	r.stages = append(r.stages, st)
	r.mu.Unlock()
	r.current.Store(st)
	return st
}

// finish marks the end of a stage.
func (st *stage) finish(*runner) {
	st.over.Store(true)
	st.ended.Store(int64(time.Since(st.begin)))
}

// do runs a stage and returns at its end.
func (r *runner) do(ctx context.Context, st *stage) {
	p := st.plan
	length := p.Duration.D()
	schedule, stop := context.WithDeadline(ctx, st.begin.Add(length+r.plan.Timeout.D()))
	defer stop()
	st.schedule = schedule
	ctx, cancel := context.WithDeadline(ctx, st.begin.Add(length))
	defer cancel()
	seed := r.plan.Seed + uint64(st.number)<<32 + uint64(r.plan.Part)<<48
	var wg sync.WaitGroup
	wg.Go(func() { <-ctx.Done() })
	if p.Clients != nil {
		wg.Go(func() { r.fleet.Reach(ctx, int(*p.Clients), length) })
	}
	if p.Fanout != nil {
		wg.Go(func() { r.fanout(ctx, st, seed+1) })
	}
	if p.Echo != nil {
		wg.Go(func() { r.echoes(ctx, st, seed+2) })
	}
	if p.Churn != nil {
		wg.Go(func() { r.churn(ctx, st, seed+3) })
	}
	if p.Storm != nil {
		wg.Go(func() { r.storm(ctx, st, seed+4) })
	}
	wg.Wait()
	st.finish(r)
}

// quiet tells whether all that the stage has sent has been answered and delivered.
func (st *stage) quiet() bool {
	if st.closed.Load() {
		return true
	}
	b := st.book.Look(nil)
	if b.Delivered != b.Expected {
		if lost, _ := st.book.Passed(); lost > 0 {
			return false
		}
	}
	return st.answered.Load()+st.failed.Load() == st.sent.Load()
}

func roomTag(epoch time.Time, part int) string {
	return "fw" + strconv.FormatInt(epoch.UnixMicro(), 36) + "-" + strconv.Itoa(part)
}

func roomName(tag string, n int) string { return tag + "-" + strconv.Itoa(n) }
