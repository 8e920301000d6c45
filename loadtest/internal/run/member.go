package run

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/loadtest/internal/fleet"
	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
)

// member is what the run knows of a session.
type member struct {
	receiver *ledger.Receiver
	places   []*place // its rooms
	flight   atomic.Int64
	stays    atomic.Bool // it has been connected and is to come back

	mu         sync.Mutex
	publishers []*publisher // of the stage; guarded by mu
}

// place is a session's place in a room.
type place struct {
	room   *ledger.Room
	joined atomic.Bool
	busy   atomic.Bool // leaves and joins again
}

// everybody is the name of the room of all clients of the namespace. They are in it by
// being connected.
const everybody = ""

// makeMembers puts the sessions into rooms.
func (r *runner) makeMembers() {
	sessions := r.fleet.Sessions()
	for _, s := range sessions {
		s.Data = &member{receiver: r.ledger.NewReceiver(s.Index)}
	}
	if !r.plan.UsesRooms() {
		return
	}
	tag := roomTag(r.epoch, r.plan.Part)
	for i, numbers := range r.plan.Members() {
		receivers := make([]*ledger.Receiver, len(numbers))
		for j, n := range numbers {
			receivers[j] = sessions[n].Data.(*member).receiver
		}
		name := everybody
		if r.plan.Rooms > 0 {
			name = roomName(tag, i)
		}
		room := r.ledger.NewRoom(name, receivers)
		r.rooms = append(r.rooms, room)
		for _, n := range numbers {
			m := sessions[n].Data.(*member)
			m.places = append(m.places, &place{room: room})
		}
	}
}

// asking makes the session one of everybody, which it is for the server before it hears
// of it.
func (r *runner) asking(s *fleet.Session) {
	m := s.Data.(*member)
	for _, p := range m.places {
		if p.room.Name() == everybody {
			p.room.Loose(m.receiver) // nobody may have told yet that the last connection is gone
			p.room.Joining(m.receiver, r.fleet.Micros())
		}
	}
}

// refused takes a session that was never connected out of everybody again.
func (r *runner) refused(s *fleet.Session) {
	m := s.Data.(*member)
	for _, p := range m.places {
		if p.room.Name() == everybody && !m.stays.Load() {
			p.room.Left(m.receiver)
		}
	}
}

func (r *runner) up(s *fleet.Session) {
	m := s.Data.(*member)
	m.stays.Store(true)
	m.receiver.SetNode(s.Node())
	m.mu.Lock()
	for _, p := range m.publishers {
		p.stream.SetNode(s.Node())
	}
	m.mu.Unlock()
	for _, p := range m.places {
		if p.room.Name() == everybody {
			p.room.Joined(m.receiver)
			p.joined.Store(true)
		} else {
			r.join(s, m, p)
		}
	}
	r.fill(s, m)
}

func (r *runner) down(s *fleet.Session) {
	m := s.Data.(*member)
	m.mu.Lock()
	publishers := m.publishers
	m.mu.Unlock()
	for _, p := range publishers {
		p.stream.Interrupted()
	}
	gone := s.Index >= r.fleet.Wanted()
	if gone {
		m.stays.Store(false)
	}
	for _, p := range m.places {
		p.joined.Store(false)
		if p.room.Loose(m.receiver); gone {
			p.room.Left(m.receiver)
		}
	}
}

// join makes the session a member. It does not wait.
func (r *runner) join(s *fleet.Session, m *member, p *place) {
	begin := r.fleet.Micros()
	p.room.Joining(m.receiver, begin)
	err := s.Socket.EmitAck(context.Background(), "join", func(_ client.Args, err error) {
		p.busy.Store(false)
		if err != nil {
			return // disconnected; the next connect joins again
		}
		r.latency(s, meter.Join, r.fleet.Micros()-begin)
		p.room.Joined(m.receiver)
		p.joined.Store(true)
	}, p.room.Name())
	if err != nil {
		p.busy.Store(false)
		r.fleet.Count("join: " + err.Error())
	}
}

// rejoin lets the session leave the room and join it again.
func (r *runner) rejoin(s *fleet.Session, m *member, p *place) bool {
	if !s.Up() || !p.joined.Load() || p.busy.Swap(true) {
		return false
	}
	p.joined.Store(false)
	p.room.Loose(m.receiver)
	begin := r.fleet.Micros()
	err := s.Socket.EmitAck(context.Background(), "leave", func(_ client.Args, err error) {
		if err != nil {
			p.busy.Store(false)
			return
		}
		r.latency(s, meter.Join, r.fleet.Micros()-begin)
		p.room.Left(m.receiver)
		r.join(s, m, p)
	}, p.room.Name())
	if err != nil {
		p.busy.Store(false)
	}
	return err == nil
}

// awaitAll returns when all are connected and in their rooms, or the plan's time for
// answers has passed.
func (r *runner) awaitAll(ctx context.Context) {
	begin := time.Now()
	for time.Since(begin) < r.plan.Timeout.D() && ctx.Err() == nil {
		if r.allJoined() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *runner) allJoined() bool {
	for _, s := range r.fleet.Running() {
		if !s.Up() {
			return false
		}
		for _, p := range s.Data.(*member).places {
			if !p.joined.Load() {
				return false
			}
		}
	}
	return true
}
