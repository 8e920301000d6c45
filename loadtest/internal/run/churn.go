package run

import (
	"context"
	"math/rand/v2"
	"os/exec"
	"sync"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/fleet"
	"github.com/fanwire/fanwire/loadtest/internal/pace"
)

// churn lets clients leave and come back, in rooms and altogether.
func (r *runner) churn(ctx context.Context, st *stage, seed uint64) {
	c := st.plan.Churn
	var wg sync.WaitGroup
	if c.Joins > 0 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			r.at(ctx, st, float64(c.Joins), seed, func(s *fleet.Session) bool {
				m := s.Data.(*member)
				return len(m.places) > 0 && r.rejoin(s, m, m.places[rng.IntN(len(m.places))])
			})
		})
	}
	if c.Reconnects > 0 {
		wg.Go(func() {
			broken := false
			r.at(ctx, st, float64(c.Reconnects), seed+1, func(s *fleet.Session) bool {
				if !s.Up() || s.Leaving() {
					return false
				}
				if broken = !broken; broken {
					s.Drop()
					return true
				}
				s.Leave()
				time.AfterFunc(max(c.Away.D(), time.Millisecond), func() {
					if s.Index < r.fleet.Wanted() {
						s.Open()
					}
				})
				return true
			})
		})
	}
	wg.Wait()
}

// at calls f at a rate, for sessions chosen at random until one fits.
func (r *runner) at(ctx context.Context, st *stage, rate float64, seed uint64, f func(s *fleet.Session) bool) {
	rng := rand.New(rand.NewPCG(seed, 2))
	pace.NewSchedule(rate, true, seed).Run(ctx, st.begin, st.plan.Duration.D(), func(time.Time) {
		running := r.fleet.Running()
		for range min(20, len(running)) {
			if f(running[rng.IntN(len(running))]) {
				return
			}
		}
		st.skipped.Add(1)
	})
}

// storm breaks many connections at once, or has something break them.
func (r *runner) storm(ctx context.Context, st *stage, seed uint64) {
	s := st.plan.Storm
	select {
	case <-time.After(s.After.D()):
	case <-ctx.Done():
		return
	}
	var wg sync.WaitGroup
	if s.Hook != "" {
		wg.Go(func() { r.hook(ctx, s.Hook) })
	}
	if s.Drop > 0 {
		rng := rand.New(rand.NewPCG(seed, 3))
		for _, session := range r.fleet.Running() {
			if s.Drop == 1 || rng.Float64() < float64(s.Drop) {
				session.Drop()
			}
		}
	}
	wg.Wait()
}

// hook runs a command of the plan. One that fails makes the test fail.
func (r *runner) hook(ctx context.Context, command string) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
		r.fail(&HookError{Output: string(out[:min(len(out), 500)]), Err: err})
	}
}

// HookError says that the command of a storm failed.
type HookError struct {
	Output string
	Err    error
}

func (e *HookError) Error() string { return "hook: " + e.Err.Error() + ": " + e.Output }

func (e *HookError) Unwrap() error { return e.Err }
