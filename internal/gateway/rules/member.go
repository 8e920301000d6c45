package rules

import (
	"context"
	"time"

	"github.com/fanwire/fanwire/node"
)

// member is what the rules remember of a socket. It is made when there is something
// to remember, and forgotten when the socket has gone.
type member struct {
	// Touched by the events of the socket only, which are handled one at a time.
	space   *space
	buckets []bucket // of the routes with a rate
	auth    bucket
	slots   chan struct{} // holds one for each event that is handled beside others
}

// maxBeside is how many events of one socket are handled beside others.
const maxBeside = 64

// enter waits until one more event may be handled beside others.
func (m *member) enter(ctx, ours context.Context) error {
	if m.slots == nil {
		m.slots = make(chan struct{}, maxBeside)
	}
	select {
	case m.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case m.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-ours.Done():
		return refuse(Unavailable, "the node is shutting down")
	}
}

// exit is called by whoever has entered.
func (m *member) exit() { <-m.slots }

// member returns what is remembered of a socket.
func (r *Rules) member(s *node.Socket) *member {
	if m, ok := r.members.Load(s); ok {
		return m.(*member)
	}
	m := new(member)
	r.members.Store(s, m)
	return m
}

// forget is called when the events of a socket have been handled.
func (r *Rules) forget(s *node.Socket) { r.members.Delete(s) }

// allow takes one event out of the bucket of a route. Under new rules all buckets
// are full.
func (m *member) allow(sp *space, rt *route) bool {
	if m.space != sp {
		m.space, m.buckets = sp, make([]bucket, sp.rated)
	}
	return m.buckets[rt.bucket].take(rt.rate, rt.burst, time.Now())
}

// bucket bounds the rate of something. The zero value is full. It is 32 bytes and
// has no lock, other than a rate.Limiter.
type bucket struct {
	used float64 // tokens taken and not filled up yet
	last time.Time
}

// take takes a token, of which there are burst at most and perSecond new ones in a
// second.
func (b *bucket) take(perSecond, burst float64, now time.Time) bool {
	if !b.last.IsZero() {
		b.used = max(0, b.used-max(0, now.Sub(b.last).Seconds())*perSecond)
	}
	b.last = now
	if b.used+1 > burst {
		return false
	}
	b.used++
	return true
}
