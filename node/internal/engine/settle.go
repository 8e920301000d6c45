package engine

import (
	"slices"
	"time"
)

// settleLook is how often [Server.Settle] looks, and settlePatience how long a peer
// may take nothing before it is not waited for any more.
const (
	settleLook     = time.Millisecond
	settlePatience = 250 * time.Millisecond
)

// crowdLocked notes that more than half of the queue is in use.
func (s *Session) crowdLocked() {
	if !s.crowded && s.state == stateOpen && s.overHalfLocked() > 0 {
		s.crowded, s.moved = true, s.settleNow()
		s.srv.crowded.Add(1)
	}
}

// movedLocked notes that the peer has taken something.
func (s *Session) movedLocked() {
	switch {
	case !s.crowded:
	case s.overHalfLocked() > 0:
		s.moved = s.settleNow()
	default:
		s.uncrowdLocked()
	}
}

// settleNow is the wheel's clock in milliseconds, for differences: it begins anew after
// 49 days.
func (s *Session) settleNow() uint32 { return uint32(s.srv.wheel.now() / int64(time.Millisecond)) }

func (s *Session) uncrowdLocked() {
	if s.crowded {
		s.crowded = false
		s.srv.crowded.Add(-1)
	}
}

// overHalfLocked is how many bytes more than half of the queue wait; negative if there
// is room.
func (s *Session) overHalfLocked() int {
	return s.out.size + s.inflight - s.srv.limits.Load().MaxQueue/2
}

// takes tells whether more than half of the queue is in use by a peer that takes it.
func (s *Session) takes() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crowded && s.settleNow()-s.moved < uint32(settlePatience/time.Millisecond)
}

// Settle is for who hands out much at once and has more: it waits, d at most, for peers
// with more than half of their queue in use, as long as they take it. One that takes
// nothing for 250 ms is not waited for.
func (s *Server) Settle(d time.Duration) {
	if s.crowded.Load() == 0 {
		return
	}
	var crowd []*Session
	for _, sess := range s.snapshot() {
		if sess.takes() {
			crowd = append(crowd, sess)
		}
	}
	end := time.NewTimer(d)
	defer end.Stop()
	look := time.NewTicker(settleLook)
	defer look.Stop()
	for len(crowd) > 0 {
		select {
		case <-look.C:
		case <-end.C:
			return
		case <-s.stop:
			return
		}
		crowd = slices.DeleteFunc(crowd, func(sess *Session) bool { return !sess.takes() })
	}
}
