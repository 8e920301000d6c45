// Package run makes a load test: it connects the clients, runs the stages of the plan,
// and writes down what happened.
//
// Goroutines: each kind of traffic of a stage has one, which follows a schedule; the
// clients have theirs, which read, account for what they read, and in a closed loop send
// the next message. One goroutine looks at everything once a second.
package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/loadtest/internal/fleet"
	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/remote"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// runner is a test that runs.
type runner struct {
	// Static.
	plan    *plan.Plan
	command []string
	hooks   remote.Hooks
	epoch   time.Time
	fleet   *fleet.Fleet
	ledger  *ledger.Ledger
	rooms   []*ledger.Room
	out     outlet
	watch   *watch

	current atomic.Pointer[stage] // never nil after ramp has begun
	sized   atomic.Uint64         // counts messages, for their sizes

	mu     sync.Mutex // guards the fields below
	stages []*stage   // that have begun
	series series
	byNode map[string]int64 // at the end of the ramp
	byWay  map[string]int64
	broken []error // that end the test
}

// Run makes the test that p asks for. The document is there whenever clients were
// connected, also with an error. When ctx ends, the test ends early and the document
// says so. An error is a *fleet.TargetError when a target cannot be used.
func Run(ctx context.Context, p *plan.Plan, command []string, hooks remote.Hooks) (*result.Document, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if err := p.Load(); err != nil {
		return nil, err
	}
	if limit := fleet.RaiseFiles(); limit > 0 && p.Peak()+spareFiles > limit {
		return nil, &plan.Problem{Field: "clients", Text: fmt.Sprintf(
			"%d clients need more open files than this process may have (%d): raise the limit (ulimit -n) or use more --processes", p.Peak(), limit)}
	}
	r := &runner{plan: p, command: command, hooks: hooks, epoch: time.Now(), ledger: ledger.New(shards(), p.Timeout.D()), watch: newWatch()}
	defer r.watch.stop()
	f, err := fleet.New(p, r.epoch, fleet.Hooks{Asking: r.asking, Refused: r.refused, Up: r.up, Down: r.down, Event: r.event, Latency: r.latency})
	if err != nil {
		return nil, err
	}
	r.fleet = f
	if r.out, err = r.newOutlet(); err != nil {
		return nil, err
	}
	defer r.out.close()
	r.makeMembers()
	if err := r.probe(ctx); err != nil {
		return nil, err
	}
	return r.run(ctx)
}

// spareFiles are for what is no connection: standard streams, results, the network
// poller, a poll's second connection now and then.
const spareFiles = 12

// shards is how many groups of receivers there are: enough for them to meet rarely.
func shards() int { return min(64, 4*runtime.GOMAXPROCS(0)) }

// probe finds out whether the targets can be used before anything is measured.
func (r *runner) probe(ctx context.Context) error {
	event := ""
	for i := range r.plan.Stages {
		if r.plan.Stages[i].Kind() != "connect" && r.plan.Stages[i].Kind() != "storm" {
			event = "echo"
		}
	}
	return r.fleet.Probe(ctx, event)
}

func (r *runner) run(ctx context.Context) (*result.Document, error) {
	background, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	ramp := r.begin(&plan.Stage{Name: "ramp", Duration: r.plan.Ramp}, false)
	wg.Go(func() { r.everySecond(background) })

	err := r.ramp(ctx, ramp)
	if err == nil {
		r.watch.begin()
		err = r.phases(ctx)
		r.watch.end()
	}
	r.cooldown(ctx)
	stop()
	wg.Wait()
	r.second() // the rest
	doc := r.document(ctx)
	r.fleet.Close()
	if ctx.Err() != nil {
		err = nil // the document says it
	}
	return doc, err
}

// ramp connects the clients.
func (r *runner) ramp(ctx context.Context, st *stage) error {
	r.fleet.Reach(ctx, int(r.plan.Clients), r.plan.Ramp.D())
	r.fleet.Settled(ctx)
	r.awaitAll(ctx)
	st.finish(r)
	byNode, byWay := r.fleet.Balance()
	r.mu.Lock()
	r.byNode, r.byWay = byNode, byWay
	r.mu.Unlock()
	if r.plan.Clients > 0 && r.fleet.Connected.Load() == 0 && ctx.Err() == nil {
		kinds, _ := r.fleet.Errors()
		return &fleet.TargetError{URL: plan.RedactURL(r.plan.URLs[0]), Err: fmt.Errorf("no client could connect: %v", kinds)}
	}
	if r.hooks.Barrier != nil {
		if err := r.hooks.Barrier(ctx); err != nil {
			return err
		}
	}
	return nil
}

// phases are the warm-up and the stages.
func (r *runner) phases(ctx context.Context) error {
	if w := r.plan.Stages[0]; r.plan.Warmup > 0 && (w.Echo != nil || w.Fanout != nil) {
		r.do(ctx, r.begin(&plan.Stage{Name: "warmup", Duration: r.plan.Warmup, Echo: w.Echo, Fanout: w.Fanout}, false))
	}
	for i := range r.plan.Stages {
		if ctx.Err() != nil || r.failed() != nil {
			break
		}
		r.do(ctx, r.begin(&r.plan.Stages[i], true))
	}
	return r.failed()
}

// fail ends the test after the stage.
func (r *runner) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, err)
}

func (r *runner) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.broken...)
}

// cooldown waits for what is under way: as long as the plan says in any case, and until
// everything is there or its time is over.
func (r *runner) cooldown(ctx context.Context) {
	st := r.begin(&plan.Stage{Name: "cooldown"}, false)
	limit := r.plan.Timeout.D()
	least := r.plan.Cooldown.D()
	if interrupted(ctx) { // somebody waits for the prompt
		limit, least = min(limit, time.Second), 0
	}
	begin := time.Now()
	for time.Since(begin) < max(limit, least) {
		if time.Since(begin) >= least && r.quiet() {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	st.finish(r)
}

// interrupted tells whether somebody has ended the test, and not a threshold.
func interrupted(ctx context.Context) bool {
	return ctx.Err() != nil && context.Cause(ctx) != remote.ErrAborted
}

// quiet tells whether nothing is awaited any more.
func (r *runner) quiet() bool {
	for _, st := range r.begun() {
		if !st.quiet() {
			return false
		}
	}
	return true
}

func (r *runner) begun() []*stage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stages[:len(r.stages):len(r.stages)]
}

// latency takes those of sessions.
func (r *runner) latency(s *fleet.Session, k meter.Kind, v int64) {
	r.current.Load().board.Record(s.Index, k, v)
}

// cancelled is for emits that must not wait: a publisher whose queue is full misses its
// turn.
var cancelled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// event accounts for a message. It is called by the goroutine that reads the connection
// and must not allocate.
func (r *runner) event(s *fleet.Session, e *client.RawEvent) bool {
	if string(e.Name) != "msg" {
		return false
	}
	now := r.fleet.Micros()
	m := s.Data.(*member)
	p := payloadOf(e)
	h, ok := ledger.Parse(p)
	if !ok {
		m.receiver.Stray()
		return true
	}
	if finished := m.receiver.Received(h, now, len(p)); finished != nil {
		r.next(finished)
	}
	return true
}
