package engine

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What a relay, another node that hands a client's requests on to the node of
// their session, changes for that session: a connection that ends says something
// of the relay, not of the client (HRD-22).

// relayGrace is how long a session waits for the next GET after a relayed one was
// cut.
const relayGrace = 5 * time.Second

type relayedKey struct{}

// Relayed returns r marked as one that another node has relayed. Who marks it
// knows that.
func Relayed(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), relayedKey{}, true))
}

func isRelayed(r *http.Request) bool { return r.Context().Value(relayedKey{}) != nil }

// newPoll is the poll of a request.
func newPoll(r *http.Request) *poll {
	p := &poll{ready: make(chan struct{}, 1), relayed: isRelayed(r)}
	if p.relayed {
		p.over = make(chan struct{})
		if hasStamp(r.URL.RawQuery) {
			p.query = r.URL.RawQuery
		}
	}
	return p
}

// newPost is the POST of a request.
func newPost(w http.ResponseWriter, r *http.Request) *post {
	p := &post{rc: http.NewResponseController(w), relayed: isRelayed(r), reading: true}
	if p.relayed {
		p.over = make(chan struct{})
	}
	return p
}

// endLocked tells whoever waits for p that it is through. It may be called again.
func (p *post) endLocked() {
	if p.over != nil {
		close(p.over)
		p.over = nil
	}
}

// relayYield is how long a request waits for a relayed one in its place.
const relayYield = time.Second

// yield waits for a relayed request that is where r is to be: one of the two is
// what a dead relay has left, and may be the later one to arrive; its end shows
// soon. It returns false if that is r.
func (s *Session) yield(r *http.Request, find func(*pollState) <-chan struct{}) bool {
	var over <-chan struct{}
	s.mu.Lock()
	if s.polling != nil {
		over = find(s.polling)
	}
	s.mu.Unlock()
	if over == nil {
		return true
	}
	t := time.NewTimer(relayYield)
	defer t.Stop()
	select {
	case <-over:
	case <-t.C:
	case <-r.Context().Done():
		return false
	}
	return true
}

func pendingPoll(ps *pollState) <-chan struct{} {
	if ps.get == nil {
		return nil
	}
	return ps.get.over
}

func pendingPost(ps *pollState) <-chan struct{} {
	if ps.post == nil {
		return nil
	}
	return ps.post.over
}

// hasStamp tells whether the query has the value that clients choose anew for
// each poll, so that two requests with the same query are one that was sent
// twice.
func hasStamp(query string) bool {
	return strings.HasPrefix(query, "t=") || strings.Contains(query, "&t=")
}

// replaceLocked makes p the poll that waits. One that was relayed and still seems
// to wait is given up: its relay has gone without a word.
func (s *Session) replaceLocked(p *poll) {
	ps := s.polling
	if last := ps.unsure; last != nil && last.query != "" && last.query == p.query {
		s.requeueLocked(last) // a balancer sends it again: its answer did not arrive
	}
	ps.unsure = nil
	ps.wake() // the old one sees that it is not the one
	ps.get = p
	ps.grace = 0
}

// takenLocked notes what p takes along if it was relayed: until the next poll
// nobody knows that it has arrived.
func (ps *pollState) takenLocked(p *poll, packets []*Packet) {
	if p.relayed {
		p.taken = packets
		ps.unsure = p
	}
}

// requeueLocked puts what p took back in front of the queue.
func (s *Session) requeueLocked(p *poll) {
	for _, packet := range p.taken {
		s.out.size += packet.size
	}
	s.out.packets = append(slices.Clip(p.taken), s.out.packets...)
	p.taken = nil
}

// pollLost is for a poll whose connection has ended: the session waits for the
// next one if it was relayed, and ends otherwise, so that nothing is put on a wire
// that nobody reads.
func (s *Session) pollLost(p *poll, cause error) {
	s.mu.Lock()
	ps := s.polling
	if ps == nil || ps.get != p && ps.unsure != p { // upgraded, or replaced
		s.mu.Unlock()
		return
	}
	if !p.relayed || s.state == stateClosed {
		ps.get = nil
		s.mu.Unlock()
		s.fail(ReasonTransportError, cause)
		return
	}
	if ps.unsure == p {
		ps.unsure = nil
		s.requeueLocked(p)
		ps.wake()
	}
	if ps.get == p {
		ps.get = nil
	}
	if ps.get == nil && s.state == stateOpen {
		ps.grace = s.srv.wheel.now() + int64(relayGrace)
		s.srv.wheel.schedule(s, ps.grace)
	}
	s.mu.Unlock()
}

// abandonedLocked tells that no poll has followed on one that was cut.
func (s *Session) abandonedLocked(now int64) bool {
	return s.state == stateOpen && s.polling != nil && s.polling.grace != 0 && now >= s.polling.grace
}

// releaseRelayed answers a relayed poll that waits, since its relay is about to go:
// after a noop the client polls anew.
func (s *Session) releaseRelayed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ps := s.polling; s.state == stateOpen && ps != nil && ps.get != nil && ps.get.relayed && s.out.empty() {
		s.out.addPacket(noopPacket)
		ps.wake()
	}
}
