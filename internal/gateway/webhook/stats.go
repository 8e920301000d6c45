package webhook

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

// Outcome is how a call ended.
type Outcome uint8

// The outcomes.
const (
	OK        Outcome = iota
	Refused           // the backend said no: 4xx, not 408 or 429
	Failed            // another status, or the connection failed
	TimedOut          // ErrTimeout
	IsBusy            // ErrBusy
	IsOpen            // ErrOpen
	BadAnswer         // *AnswerError
	Canceled          // the caller has given up
	outcomes
)

// String returns a word for labels of metrics.
func (o Outcome) String() string {
	return [...]string{"ok", "refused", "failed", "timeout", "busy", "open", "bad answer", "canceled"}[o]
}

func outcomeOf(err error) Outcome {
	var status *StatusError
	var answer *AnswerError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &status) && status.Refused():
		return Refused
	case errors.As(err, &answer):
		return BadAnswer
	case errors.Is(err, ErrTimeout):
		return TimedOut
	case errors.Is(err, ErrBusy):
		return IsBusy
	case errors.Is(err, ErrOpen):
		return IsOpen
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Canceled
	}
	return Failed
}

// Stats are a hook's counts, since it was made, and gauges.
type Stats struct {
	Calls    map[Type]map[Outcome]uint64 // all that are not zero
	Retries  uint64
	InFlight int // requests under way
	Waiting  int // calls that wait for their turn
	Circuit  State
	Opened   uint64 // how often the circuit has opened
	// Call is how long calls took, with waiting and all tries; Latency is that of each
	// try, also of those that failed.
	Call, Latency Histogram
}

// Buckets are the upper bounds of histograms, in seconds.
var Buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// Histogram counts durations.
type Histogram struct {
	Counts []uint64 // of each of [Buckets], not summed up, and of what is above
	Count  uint64
	Sum    float64 // seconds
}

type histogram struct {
	counts [14]atomic.Uint64
	nanos  atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	i, _ := slices.BinarySearch(Buckets, d.Seconds())
	h.counts[i].Add(1)
	h.nanos.Add(int64(d))
}

func (h *histogram) read() Histogram {
	out := Histogram{Counts: make([]uint64, len(h.counts)), Sum: time.Duration(h.nanos.Load()).Seconds()}
	for i := range h.counts {
		out.Counts[i] = h.counts[i].Load()
		out.Count += out.Counts[i]
	}
	return out
}

type counters struct {
	calls   [4][outcomes]atomic.Uint64 // by the place of the type in Types
	retries atomic.Uint64
	call    histogram
	latency histogram
}

func (c *counters) called(t Type, o Outcome, took time.Duration) {
	if i := slices.Index(Types(), t); i >= 0 {
		c.calls[i][o].Add(1)
		c.call.observe(took)
	}
}

// Stats returns what the hook has counted.
func (h *Hook) Stats() Stats {
	s := Stats{
		Calls:    map[Type]map[Outcome]uint64{},
		Retries:  h.counters.retries.Load(),
		InFlight: len(h.slots),
		Waiting:  int(h.waiting.Load()),
		Call:     h.counters.call.read(),
		Latency:  h.counters.latency.read(),
	}
	s.Circuit, s.Opened = h.circuit.stats()
	for i, t := range Types() {
		byOutcome := map[Outcome]uint64{}
		for o := range outcomes {
			if n := h.counters.calls[i][o].Load(); n > 0 {
				byOutcome[o] = n
			}
		}
		s.Calls[t] = byOutcome
	}
	return s
}
