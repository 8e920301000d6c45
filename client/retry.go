package client

import (
	"context"
	"slices"
	"time"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// retries holds the events of a socket that are sent one after the other, each
// until it is acknowledged or given up (Options.Retries). It is guarded by
// client.mu.
type retries struct {
	list  []*retried
	bytes int
	room  chan struct{} // closed when the list gets shorter or the connection is lost; made by who waits
}

// retried is an event in that list. The first one is in flight when it has an
// ack.
type retried struct {
	event  string
	packet socketio.Packet // without an id: each try has its own (as officially)
	opts   emitOptions
	done   func(Args, error) // nil for Emit
	tries  int
	ack    *waitingAck
	timer  *time.Timer // of the try
}

func (r *retried) size() int {
	n := overhead + len(r.packet.Data)
	for _, a := range r.packet.Attachments {
		n += len(a)
	}
	return n
}

// enqueue adds an event. forget gives it up; it reports false when the event is
// settled already.
func (s *Socket) enqueue(ctx context.Context, r *retried) (forget func() bool, err error) {
	c := s.client
	for {
		room, err := s.tryEnqueue(r)
		if err != nil {
			return nil, err
		}
		if room == nil {
			return func() bool { return s.giveUp(r) }, nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return nil, emitError(ctx.Err())
		case <-c.ctx.Done():
			return nil, ErrClosed
		}
	}
}

// tryEnqueue returns a channel that tells of room if there is none now.
func (s *Socket) tryEnqueue(r *retried) (room chan struct{}, err error) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &s.retries
	switch size := r.size(); {
	case c.closed:
		return nil, ErrClosed
	case len(q.list) == 0 || q.bytes+size <= c.opts.SendQueue:
		q.list = append(q.list, r)
		q.bytes += size
		s.sendNextLocked()
		return nil, nil
	case !s.connected:
		return nil, ErrQueueFull
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room, nil
}

// sendNextLocked sends the first event unless it is in flight.
func (s *Socket) sendNextLocked() {
	if !s.connected || len(s.retries.list) == 0 || s.retries.list[0].ack != nil {
		return
	}
	r := s.retries.list[0]
	p := r.packet
	p.ID, p.HasID = s.nextID, true
	frames, err := s.encode(&p)
	if err != nil { // it was possible in Emit
		s.client.opts.Logger.Error("client: encode", "event", r.event, "error", err)
		return
	}
	if r.opts.plain {
		markPlain(frames)
	}
	if !s.client.conn.Send(frames...) {
		return // the connection is about to be lost; this was no try
	}
	s.nextID++
	r.tries++
	ack := &waitingAck{id: p.ID}
	ack.done = func(a Args, err error) { s.tried(r, ack, a, err) }
	r.ack = ack
	s.expectLocked(ack, false)
	if d := s.client.opts.AckTimeout; d > 0 {
		r.timer = time.AfterFunc(d, func() {
			if s.forget(ack) {
				s.tried(r, ack, Args{}, ErrTimeout)
			}
		})
	}
}

// tried is called once with the outcome of each try: the ack, or that it did not
// come. The next try, or the next event, follows at once.
func (s *Socket) tried(r *retried, ack *waitingAck, a Args, err error) {
	c := s.client
	c.mu.Lock()
	if r.ack != ack || len(s.retries.list) == 0 || s.retries.list[0] != r {
		c.mu.Unlock() // it was given up
		return
	}
	r.stopLocked()
	final := err == nil || r.tries > c.opts.Retries
	if final {
		s.removeLocked(0)
	}
	s.sendNextLocked()
	c.mu.Unlock()
	switch {
	case !final:
	case r.done != nil:
		r.done(a, err)
	case err != nil:
		c.opts.Logger.Warn("client: event given up", "namespace", s.namespace, "event", r.event, "tries", r.tries, "error", err)
	}
}

func (r *retried) stopLocked() {
	r.ack = nil
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// giveUp takes an event off the list; false if it is not there any more.
func (s *Socket) giveUp(r *retried) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	i := slices.Index(s.retries.list, r)
	if i < 0 {
		return false
	}
	if r.ack != nil {
		delete(s.acks, r.ack.id)
		r.stopLocked()
	}
	s.removeLocked(i)
	s.sendNextLocked()
	return true
}

func (s *Socket) removeLocked(i int) {
	q := &s.retries
	q.bytes -= q.list[i].size()
	q.list = slices.Delete(q.list, i, i+1)
	if len(q.list) == 0 {
		q.list = nil
	}
	q.roomLocked()
}

// roomLocked wakes those who wait for room.
func (q *retries) roomLocked() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// takeAllLocked empties the list, for the end of the client.
func (s *Socket) takeAllLocked() []*retried {
	all := s.retries.list
	for _, r := range all {
		if r.ack != nil {
			delete(s.acks, r.ack.id)
			r.stopLocked()
		}
	}
	s.retries.roomLocked()
	s.retries = retries{}
	return all
}
