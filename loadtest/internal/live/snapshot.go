// Package live shows a run while it lasts: a view that redraws itself in a terminal,
// plain lines elsewhere.
package live

import "time"

// Snapshot is the state of a run at a moment. The run makes one a second; it must not
// change afterwards.
type Snapshot struct {
	Scenario string        // what the first line says: "fanout  10,000 clients · 100 rooms x 100 · ..."
	Phase    string        // ramp, warmup, a stage's name, cooldown
	Elapsed  time.Duration // of the phases that have a length
	Total    time.Duration

	Wanted             int64 // connections
	Connected          int64
	ByNode             map[string]int64
	Reconnects, Errors int64

	Sent, SentRate           float64
	Lateness                 time.Duration // the worst of the last second, behind the schedule
	Delivered, DeliveredRate float64
	Answered, AnsweredRate   float64
	Expected                 int64 // deliveries that are due by now
	Lost                     int64 // of these, given up
	Duplicated, OutOfOrder   int64

	// Certain is what only grows, for rules that can end the run.
	Certain Certain

	// Latencies by the names of package result, of the measured time so far.
	Latencies map[string]Quantiles
	// History has the last 60 seconds, oldest first.
	History []Past

	CPU        float64 // of the generators, in cores
	Cores      int
	LagP99     time.Duration
	GCPauseMax time.Duration
	Invalid    []string // reasons not to trust the figures
	Thresholds []Rule
}

// Quantiles of a latency.
type Quantiles struct{ P50, P90, P99, P999, Max time.Duration }

// Past is one second that has passed.
type Past struct {
	P99       time.Duration
	Delivered float64
}

// Rule is a threshold and whether it holds so far.
type Rule struct {
	Expression string
	OK         bool
}

// Certain is what the rest of a run cannot take back: of messages in the measured time,
// of connections and errors since the begin.
type Certain struct {
	Sent, Skipped, Answered, Unanswered         int64
	Delivered, Lost                             int64 // Lost: was under way for the plan's timeout
	Duplicated, OutOfOrder, Unexpected          int64
	Attempts, Failed, Disconnected, Reconnected int64
	Kinds                                       map[string]int64 // of errors
}

// Add adds what is certain at another generator.
func (c *Certain) Add(o *Certain) {
	c.Sent += o.Sent
	c.Skipped += o.Skipped
	c.Answered += o.Answered
	c.Unanswered += o.Unanswered
	c.Delivered += o.Delivered
	c.Lost += o.Lost
	c.Duplicated += o.Duplicated
	c.OutOfOrder += o.OutOfOrder
	c.Unexpected += o.Unexpected
	c.Attempts += o.Attempts
	c.Failed += o.Failed
	c.Disconnected += o.Disconnected
	c.Reconnected += o.Reconnected
	for kind, n := range o.Kinds {
		if c.Kinds == nil {
			c.Kinds = make(map[string]int64)
		}
		c.Kinds[kind] += n
	}
}
