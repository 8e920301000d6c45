package redis

import "time"

type liveState uint8

const (
	liveOK liveState = iota
	liveProbe
	liveDead
)

// liveness decides when a silent connection is probed and when it is dead. A TCP
// connection can stay open while nothing arrives any more (HRD-64).
type liveness struct {
	arrived uint64    // replies when last looked
	since   time.Time // when that number was first seen, or the probe was sent
	probing bool
}

// heard notes that the connection lives.
func (v *liveness) heard(now time.Time, arrived uint64) {
	*v = liveness{arrived: arrived, since: now}
}

// look is called regularly with the number of replies that have arrived.
func (v *liveness) look(now time.Time, arrived uint64, interval, timeout time.Duration) liveState {
	silent := now.Sub(v.since)
	switch {
	case arrived != v.arrived:
		v.heard(now, arrived)
	case !v.probing && silent >= interval:
		v.probing, v.since = true, now
		return liveProbe
	case v.probing && silent >= timeout:
		return liveDead
	}
	return liveOK
}
