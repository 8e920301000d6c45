package run

import (
	"context"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/loadtest/internal/fleet"
	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/pace"
)

// maxFlight bounds the unanswered echoes of a client in an open loop.
const maxFlight = 1000

// echoes sends the echoes of a stage.
func (r *runner) echoes(ctx context.Context, st *stage, seed uint64) {
	e, n := st.plan.Echo, 0
	if e.InFlight == 0 {
		missed := pace.NewSchedule(float64(e.Rate), e.Arrival == "poisson", seed).Run(st.schedule, st.begin, st.plan.Duration.D(), func(slot time.Time) {
			running := r.fleet.Running()
			if len(running) == 0 {
				st.skipped.Add(1)
				return
			}
			s := running[n%len(running)]
			n++
			if m := s.Data.(*member); !s.Up() || m.flight.Load() >= maxFlight {
				st.skipped.Add(1)
			} else {
				m.flight.Add(1)
				r.echo(st, s, m, slot.Sub(r.epoch).Microseconds())
			}
		})
		st.skipped.Add(missed)
		return
	}
	for _, s := range r.fleet.Running() {
		r.fill(s, s.Data.(*member))
	}
	<-ctx.Done()
}

// fill brings a client's echoes in flight to what the stage that runs wants: nothing in
// an open loop. Those of the stage before count.
func (r *runner) fill(s *fleet.Session, m *member) {
	for s.Up() {
		st, n := r.current.Load(), m.flight.Load()
		if e := st.plan.Echo; e == nil || st.over.Load() || n >= int64(e.InFlight) {
			return
		}
		if m.flight.CompareAndSwap(n, n+1) && !r.echo(st, s, m, r.fleet.Micros()) {
			return
		}
	}
}

// echo sends one that is due at slot, and is counted in m.flight. It tells whether that
// was possible.
func (r *runner) echo(st *stage, s *fleet.Session, m *member, slot int64) bool {
	now := r.fleet.Micros()
	st.board.Record(s.Index, meter.ScheduleLag, now-slot)
	v, size := r.payload(ledger.Header{Slot: slot, Delay: now - slot})
	st.sent.Add(1)
	st.sentBytes.Add(int64(size))
	err := s.Socket.EmitAck(context.Background(), "echo", func(_ client.Args, err error) {
		m.flight.Add(-1)
		if err == nil {
			arrived := r.fleet.Micros()
			st.answered.Add(1)
			st.board.Record(s.Index, meter.Echo, arrived-slot)
			st.board.Record(s.Index, meter.EchoSent, arrived-now)
		} else {
			st.failed.Add(1)
		}
		r.fill(s, m)
	}, v)
	if err != nil {
		m.flight.Add(-1)
		st.failed.Add(1)
		r.fleet.Count("echo: " + err.Error())
	}
	return err == nil
}
