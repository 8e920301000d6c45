// Package pace decides when messages are sent. An open loop has a schedule that does not
// wait for anybody: each message has a slot, and one that is sent late still counts from
// its slot, so that a server that stalls cannot hide it (coordinated omission).
package pace

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/alarm"
)

// Schedule is the slots of an open loop. It is not safe for concurrent use.
type Schedule struct {
	gap float64 // between slots, in nanoseconds
	rng *rand.Rand
	at  float64
	n   int64

	alarm func(context.Context) *alarm.Alarm
}

// NewSchedule makes one with rate slots a second: evenly spaced, or with the random
// distances of a Poisson process. The same seed gives the same slots.
func NewSchedule(rate float64, poisson bool, seed uint64) *Schedule {
	s := &Schedule{gap: float64(time.Second) / rate, alarm: alarm.New}
	if poisson {
		s.rng = rand.New(rand.NewPCG(seed, 0x66616e77697265))
	}
	return s
}

// Next returns the next slot, since the begin.
func (s *Schedule) Next() time.Duration {
	if s.rng == nil { // no error adds up
		s.n++
		return time.Duration(float64(s.n-1) * s.gap)
	}
	s.at += s.rng.ExpFloat64() * s.gap
	return time.Duration(s.at)
}

// Run calls fire for each slot before the end, when it has come or, if fire was slow,
// as soon as possible after it. It blocks, and returns when length has passed and all
// slots were met, or ctx has ended: then missed tells how many slots have passed by.
func (s *Schedule) Run(ctx context.Context, begin time.Time, length time.Duration, fire func(slot time.Time)) (missed int64) {
	clock := s.alarm(ctx)
	defer clock.Close()
	for {
		at := s.Next()
		if at >= length {
			clock.Wait(begin.Add(length))
			return 0
		}
		slot := begin.Add(at)
		if !clock.Wait(slot) {
			for end := min(length, time.Since(begin)); at < end; at = s.Next() {
				missed++
			}
			return missed
		}
		fire(slot)
	}
}
