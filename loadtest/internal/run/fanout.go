package run

import (
	"context"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/fleet"
	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/pace"
)

// makePublishers gives each room its publishers, with a stream each. Publishers of a
// room take turns with those of others.
func (r *runner) makePublishers(st *stage) {
	members := r.plan.Members()
	for turn := range int(r.plan.Publishers) {
		for i, room := range r.rooms {
			p := &publisher{number: len(st.publishers), stream: st.book.NewStream(room)}
			if f := st.plan.Fanout; f.InFlight > 0 {
				p.stream.Limit(f.InFlight)
			}
			p.outlet = r.out.of(p, r.fleet.Sessions()[members[i][turn%len(members[i])]])
			st.publishers = append(st.publishers, p)
		}
	}
	for _, s := range r.fleet.Sessions() {
		m := s.Data.(*member)
		m.mu.Lock()
		m.publishers = nil
		m.mu.Unlock()
	}
	for _, p := range st.publishers {
		if s, ok := p.outlet.(*socketOutlet); ok {
			m := s.session.Data.(*member)
			m.mu.Lock()
			m.publishers = append(m.publishers, p)
			p.stream.SetNode(s.session.Node())
			m.mu.Unlock()
		}
	}
}

// fanout sends the messages of a stage.
func (r *runner) fanout(ctx context.Context, st *stage, seed uint64) {
	f, n := st.plan.Fanout, 0
	if f.InFlight == 0 {
		missed := pace.NewSchedule(float64(f.Rate), f.Arrival == "poisson", seed).Run(st.schedule, st.begin, st.plan.Duration.D(), func(slot time.Time) {
			r.publish(st, st.publishers[n%len(st.publishers)], slot.Sub(r.epoch).Microseconds())
			n++
		})
		st.skipped.Add(missed)
		return
	}
	for _, p := range st.publishers {
		for range f.InFlight {
			r.publish(st, p, r.fleet.Micros())
		}
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range st.publishers { // for those that will never arrive
			for range p.stream.Overdue(r.plan.Timeout.D()) + int(p.owed()) {
				r.publish(st, p, r.fleet.Micros())
			}
		}
	}
}

// next sends the message that follows one that has arrived everywhere.
func (r *runner) next(finished *ledger.Stream) {
	st := r.current.Load()
	if len(st.publishers) == 0 || st.over.Load() {
		return
	}
	first := st.publishers[0].stream.ID // they were made one after the other
	if i := int(finished.ID) - int(first); i >= 0 && i < len(st.publishers) {
		r.publish(st, st.publishers[i], r.fleet.Micros())
	}
}

// publish sends a message whose turn was at slot.
func (r *runner) publish(st *stage, p *publisher, slot int64) {
	if !p.outlet.ready() {
		st.skipped.Add(1)
		p.owe(st)
		return
	}
	seq := p.stream.Publish()
	now := r.fleet.Micros()
	st.board.Record(p.number, meter.ScheduleLag, now-slot)
	v, size := r.payload(ledger.Header{Stream: p.stream.ID, Seq: seq, Slot: slot, Delay: now - slot})
	st.sentBytes.Add(int64(size))
	if err := p.outlet.send(seq, v); err != nil {
		p.stream.Uncertain(seq)
		r.fleet.Count("publish: " + err.Error())
	}
}

// owe notes that a message in flight is missing, because the publisher missed its turn.
func (p *publisher) owe(st *stage) {
	if st.plan.Fanout.InFlight > 0 {
		p.owing.Add(1)
	}
}

func (p *publisher) owed() int32 { return p.owing.Swap(0) }

// socketOutlet publishes as a client does.
type socketOutlet struct {
	session *fleet.Session
	room    string
}

func (o *socketOutlet) ready() bool { return o.session.Up() }

func (o *socketOutlet) send(_ uint32, v any) error {
	if o.room == everybody {
		return o.session.Socket.Emit(cancelled, "all", v)
	}
	return o.session.Socket.Emit(cancelled, "say", o.room, v)
}
