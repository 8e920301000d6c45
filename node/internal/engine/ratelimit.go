package engine

import (
	"errors"
	"time"
)

// bucket is a token bucket for one goroutine.
type bucket struct {
	rate, burst, tokens float64
	last                time.Time
}

// newBucket makes a full bucket; burst is a second's worth if it is zero.
func newBucket(rate, burst float64) *bucket {
	orDefault(&burst, rate)
	return &bucket{rate: rate, burst: max(burst, 1), tokens: max(burst, 1), last: time.Now()}
}

func (b *bucket) refill() {
	now := time.Now()
	b.tokens = min(b.burst, b.tokens+b.rate*now.Sub(b.last).Seconds())
	b.last = now
}

// take takes n tokens if there are as many.
func (b *bucket) take(n float64) bool {
	b.refill()
	if b.tokens < n {
		return false
	}
	b.tokens -= n
	return true
}

// owe takes n tokens in any case and returns how long it takes until they are
// paid back.
func (b *bucket) owe(n float64) time.Duration {
	b.refill()
	b.tokens -= n
	if b.tokens >= 0 {
		return 0
	}
	return time.Duration(-b.tokens / b.rate * float64(time.Second))
}

// saved tells whether there is more than the peer could send during a pause.
func (b *bucket) saved() bool {
	if b == nil {
		return true
	}
	b.refill()
	return b.tokens >= b.rate*pause.Seconds()
}

var errRate = errors.New("rate limit exceeded")

const (
	// overFor is how long a peer may be over its rate without a pause.
	overFor = 10 * time.Second
	// pause ends that: so long it sends nothing though it may, or it has saved as
	// much.
	pause = time.Second
)

// inputLimits are the rates of one peer (HRD-47). They belong to the goroutine
// that reads it.
type inputLimits struct {
	of             *Limits
	packets, bytes *bucket   // nil: no limit
	over           time.Time // since when; zero: it is not
	free           time.Time // when it may send again
}

func newInputLimits(of *Limits) *inputLimits {
	l := &inputLimits{of: of}
	if of.PacketRate > 0 {
		l.packets = newBucket(of.PacketRate, float64(of.PacketBurst))
	}
	if of.ByteRate > 0 {
		l.bytes = newBucket(of.ByteRate, float64(of.ByteBurst))
	}
	return l
}

// take counts a packet of n bytes. It returns how long not to read, or false
// for a peer that has been over its rate for too long.
func (l *inputLimits) take(n int) (wait time.Duration, ok bool) {
	rested := time.Since(l.free) >= pause || l.packets.saved() && l.bytes.saved()
	if l.packets != nil {
		wait = l.packets.owe(1)
	}
	if l.bytes != nil {
		wait = max(wait, l.bytes.owe(float64(n)))
	}
	now := time.Now()
	l.free = now.Add(wait)
	if rested {
		l.over = time.Time{}
	}
	switch {
	case wait == 0: // it may be that we came late: that alone is no pause
	case l.over.IsZero():
		l.over = now
	case now.Sub(l.over) > overFor:
		return 0, false
	}
	return wait, true
}

// throttle holds the calling reader back as the peer's rate demands; false if
// the session has ended.
func (s *Session) throttle(l *inputLimits, n int) bool {
	wait, ok := l.take(n)
	if !ok {
		s.Close(Close{Code: closePolicy, Cause: errRate, Discard: true})
		return false
	}
	if wait == 0 {
		return true
	}
	s.Hold()
	defer s.Unhold()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done():
		return false
	}
}

// withinLimits applies the input rates to a message of n bytes.
func (c *wsConn) withinLimits(n int) bool {
	now := c.s.srv.limits.Load()
	if !now.bounded() {
		return true
	}
	if c.limits == nil || c.limits.of != now {
		c.limits = newInputLimits(now)
	}
	return c.s.throttle(c.limits, n)
}
