package api

import "sync/atomic"

// Stats are counters that only grow, but for InFlight.
type Stats struct {
	// Operations are the answers by operation, as named in openapi.yaml, and class of
	// status (2 for 2xx). What fits no operation is "".
	Operations map[string][6]uint64
	Strangers  uint64 // requests without a valid key
	Replayed   uint64 // answers given again for an idempotency key
	InFlight   int    // requests now
}

type counters struct {
	operations map[string]*[6]atomic.Uint64 // static
	strangers  atomic.Uint64
	replayed   atomic.Uint64
}

func (c *counters) init(routes []*route) {
	c.operations = map[string]*[6]atomic.Uint64{"": {}}
	for _, r := range routes {
		c.operations[r.name] = new([6]atomic.Uint64)
	}
}

func (c *counters) count(operation string, status int) {
	c.operations[operation][status/100%6].Add(1)
}

// Stats returns the counters as they are now.
func (a *API) Stats() Stats {
	s := Stats{
		Operations: make(map[string][6]uint64, len(a.counters.operations)),
		Strangers:  a.counters.strangers.Load(),
		Replayed:   a.counters.replayed.Load(),
		InFlight:   len(a.slots),
	}
	for name, classes := range a.counters.operations {
		var n [6]uint64
		for i := range classes {
			n[i] = classes[i].Load()
		}
		s.Operations[name] = n
	}
	return s
}
