package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// wheel keeps the times of all sessions: pings, deadlines, alarms. A session is
// in one slot, by the earliest of its times; one goroutine walks the slots. So
// an idle session costs no timer and no goroutine (design: an idle connection is
// one goroutine with a small stack).
type wheel struct {
	start time.Time
	tick  time.Duration
	stop  chan struct{}
	batch []*Session   // the walker's
	ticks atomic.Int64 // a coarse clock

	mu    sync.Mutex // after Session.mu
	done  int64      // the last tick that was walked; only the walker changes it
	slots [wheelSlots]*Session
}

const wheelSlots = 256

// wheelEntry links a session into its slot. wheel.mu guards it.
type wheelEntry struct {
	next, prev *Session
	due        int64 // tick
	listed     bool
}

// newWheel makes a wheel that is late by no more than 250 ms and a twentieth of
// the smaller of both options (EIO-B-01).
func newWheel(interval, timeout time.Duration, wg *sync.WaitGroup) *wheel {
	tick := max(min(interval, timeout)/20, time.Millisecond)
	w := &wheel{start: time.Now(), tick: min(tick, 250*time.Millisecond), stop: make(chan struct{})}
	wg.Go(w.run) // ends with close; Shutdown waits
	return w
}

// now is the monotonic time since the server's start.
func (w *wheel) now() int64 { return int64(time.Since(w.start)) }

func (w *wheel) close() { close(w.stop) }

func (w *wheel) run() {
	t := time.NewTicker(w.tick)
	defer t.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-t.C:
			w.ticks.Add(1)
			w.walk(w.now() / int64(w.tick))
		}
	}
}

// walk handles every session that is due by that tick.
func (w *wheel) walk(to int64) {
	for tick := max(w.done+1, to-wheelSlots); tick <= to; tick++ { // after a long stop once around is enough
		w.batch = w.takeSlot(tick, w.batch[:0])
		for _, s := range w.batch {
			s.onTime(w.now())
		}
		clear(w.batch)
	}
}

// takeSlot empties the slot of a tick, but for the entries of later rounds, into
// batch.
func (w *wheel) takeSlot(tick int64, batch []*Session) []*Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = tick
	for s := w.slots[tick%wheelSlots]; s != nil; {
		next := s.timer.next
		if s.timer.due <= tick {
			w.removeLocked(s)
			batch = append(batch, s)
		}
		s = next
	}
	return batch
}

// schedule has the session's times looked at when now reaches at.
func (w *wheel) schedule(s *Session, at int64) {
	due := at/int64(w.tick) + 1
	w.mu.Lock()
	defer w.mu.Unlock()
	due = max(due, w.done+1)
	if s.timer.listed && s.timer.due <= due {
		return // an early look is harmless
	}
	w.removeLocked(s)
	head := &w.slots[due%wheelSlots]
	s.timer = wheelEntry{next: *head, due: due, listed: true}
	if *head != nil {
		(*head).timer.prev = s
	}
	*head = s
}

func (w *wheel) remove(s *Session) {
	w.mu.Lock()
	w.removeLocked(s)
	w.mu.Unlock()
}

func (w *wheel) removeLocked(s *Session) {
	if !s.timer.listed {
		return
	}
	e := &s.timer
	if e.prev != nil {
		e.prev.timer.next = e.next
	} else {
		w.slots[e.due%wheelSlots] = e.next
	}
	if e.next != nil {
		e.next.timer.prev = e.prev
	}
	*e = wheelEntry{}
}

// dueLocked is the earliest of the session's times.
func (s *Session) dueLocked() int64 {
	due := s.nextPing
	if s.alarm != 0 {
		due = min(due, s.alarm)
	}
	if s.polling != nil && s.polling.grace != 0 {
		due = min(due, s.polling.grace)
	}
	return due
}

// startHeartbeat begins with the opening of the session.
func (s *Session) startHeartbeat() {
	d := s.srv.cfg.PingInterval
	if s.proto == 3 {
		d += s.srv.cfg.PingTimeout // the client pings (EIO-3-08)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateClosed {
		s.nextPing = s.srv.wheel.now() + int64(d)
		s.srv.wheel.schedule(s, s.dueLocked())
	}
}

// onTime is called by the wheel when one of the session's times may have come.
func (s *Session) onTime(now int64) {
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return
	}
	if s.opening != nil { // there is nobody to tell yet
		s.srv.wheel.schedule(s, now)
		s.mu.Unlock()
		return
	}
	if s.abandonedLocked(now) {
		end := s.endLocked(ReasonTransportError, errPollCut)
		s.mu.Unlock()
		go end() // counted in closers since endLocked; Shutdown waits for it
		return
	}
	alarm := s.alarm != 0 && now >= s.alarm
	if alarm {
		s.alarm = 0
	}
	var ping, expired bool
	if now >= s.nextPing {
		ping, expired = s.beatLocked(now)
	}
	if !expired {
		s.srv.wheel.schedule(s, max(s.dueLocked(), now)) // a deadline that stands still is behind
	}
	closing := s.state == stateClosing
	s.mu.Unlock()
	if ping {
		s.control(pingPacket)
	}
	if alarm {
		s.tellAlarm()
	}
	switch {
	case expired && closing: // its client never came for the rest
		s.srv.closers.Go(s.endClosing)
	case expired:
		s.Close(Close{Reason: ReasonPingTimeout, Cause: errNoPong, Discard: true})
	}
}

func (s *Session) tellAlarm() {
	defer s.srv.guard(s, "alarm")
	s.recv.Alarm()
}

var errNoPong = errors.New("no heartbeat in time")

// beatLocked is for a heartbeat time that has come: send a ping, or give up.
func (s *Session) beatLocked(now int64) (ping, expired bool) {
	if s.state == stateOpen && s.proto != 3 && !s.awaiting.Load() {
		s.awaiting.Store(true)
		s.refreshed = false
		s.heldSince = now // if somebody holds
		s.pinged = now
		s.nextPing = now + int64(s.srv.cfg.PingTimeout)
		return true, false
	}
	// Its pong may wait behind what we do not read: then the deadline stands still.
	return false, s.holding == 0 || s.state != stateOpen
}

// pong handles the answer to our ping; one that nobody asked for is ignored
// (EIO-B-05).
func (s *Session) pong() {
	if !s.awaiting.Swap(false) {
		return
	}
	s.mu.Lock()
	s.nextPing = s.srv.wheel.now() + int64(s.srv.cfg.PingInterval)
	if s.srv.cfg.PingInterval < s.srv.cfg.PingTimeout && s.state != stateClosed {
		s.srv.wheel.schedule(s, s.nextPing)
	} // else the wheel finds the new time when it looks at the old one
	s.mu.Unlock()
}

// Answered returns how long ago the last ping was queued, if it was answered: the
// peer has got whatever was queued before.
func (s *Session) Answered() (ago time.Duration, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pinged == 0 || s.awaiting.Load() {
		return 0, false
	}
	return time.Duration(s.srv.wheel.now() - s.pinged), true
}

// refreshDeadline restarts the pong deadline for another packet than the pong,
// once per ping (EIO-B-06).
func (s *Session) refreshDeadline() {
	s.mu.Lock()
	if !s.refreshed && s.awaiting.Load() {
		s.refreshed = true
		s.nextPing = s.srv.wheel.now() + int64(s.srv.cfg.PingTimeout)
	}
	s.mu.Unlock()
}

// clientPing answers the ping of a protocol 3 client, without its data
// (EIO-3-08).
func (s *Session) clientPing() {
	s.mu.Lock()
	s.nextPing = s.srv.wheel.now() + int64(s.srv.cfg.PingInterval+s.srv.cfg.PingTimeout)
	s.mu.Unlock()
	s.control(pongPacket)
}
