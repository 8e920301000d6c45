package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// ErrDraining is the cause of the end of sessions that Drain has closed.
var ErrDraining = errors.New("server is draining")

// Drain refuses new sessions from now on and closes the open ones, perSecond of
// them a second in random order and with jitter, all at once if that is not
// positive (HRD-70). Until its turn comes a session is served as before. Its
// output leaves first, for which it has flushTimeout; then its peer gets a close
// frame or packet, after which official clients connect again (HRD-53). Drain
// returns when no session is left, or with the error of ctx.
//
// Calls may overlap: each closes sessions at its own pace, and all return when
// none is left.
func (s *Server) Drain(ctx context.Context, perSecond float64) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	gone := s.allGone()
	err := s.closeEvenly(ctx, perSecond, gone)
	if err == nil {
		err = wait(ctx, gone)
	}
	if err != nil {
		return fmt.Errorf("engine: drain: %d sessions are left: %w", s.Count(), err)
	}
	// Connections whose session has ended may still take their last bytes. Requests
	// that are refused meanwhile are no reason to wait longer.
	ctx, cancel := context.WithTimeout(ctx, flushTimeout+closeTimeout)
	defer cancel()
	_ = s.conns.Wait(ctx)
	return nil
}

// closeEvenly closes the sessions that are open now, each within its own part of
// the time: the pace is even, and nobody can tell the moment.
func (s *Server) closeEvenly(ctx context.Context, perSecond float64, gone <-chan struct{}) error {
	start, closed := time.Now(), 0
	for _, sess := range s.snapshot() { // in the order of a map
		if perSecond > 0 {
			if sess.isClosed() {
				continue // it left by itself
			}
			at := (float64(closed) + rand.Float64()) / perSecond
			if err := waitUntil(ctx, gone, start.Add(time.Duration(at*float64(time.Second)))); err != nil {
				return err
			}
		}
		if r, ok := sess.recv.(DrainReceiver); ok {
			r.Leaving(ctx)
		}
		if sess.Close(Close{Reason: ReasonServerShutdown, Code: closeGoingAway, Cause: ErrDraining, Linger: flushTimeout}) {
			closed++
		}
	}
	return nil
}

// waitUntil waits for a moment, or until gone is closed.
func waitUntil(ctx context.Context, gone <-chan struct{}, at time.Time) error {
	ctx, cancel := context.WithDeadlineCause(ctx, at, errMoment)
	defer cancel()
	err := wait(ctx, gone)
	if errors.Is(err, errMoment) {
		return nil
	}
	return err
}

var errMoment = errors.New("the moment has come")

// wait waits until done is closed.
func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	default:
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// allGone returns what is closed when no session is open. None can be added any
// more.
func (s *Server) allGone() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone == nil {
		s.gone = make(chan struct{})
		s.goneLocked()
	}
	return s.gone
}

// goneLocked closes gone, which exists, if there is no session; that happens once.
func (s *Server) goneLocked() {
	if len(s.sessions) == 0 {
		close(s.gone)
	}
}

func (s *Session) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateClosed
}
