package result

import (
	"fmt"
	"time"
)

// What the generator may take for itself before its figures are not those of the server.
const (
	lagShare     = 10                     // a lag of more than a tenth of the p99 is too much
	lagLeast     = 200 * time.Microsecond // below it timers cannot be told from the system's
	busy         = 0.9                    // of its cores
	skippedShare = 0.01
)

// Doubts are the reasons why the figures cannot be trusted: the generator was the
// bottleneck, or could not do what was asked.
func (d *Document) Doubts() []string {
	var doubts []string
	add := func(format string, args ...any) { doubts = append(doubts, fmt.Sprintf(format, args...)) }
	allowed := lagLeast
	name := d.Main()
	p99 := time.Duration(d.Latencies[name].P99) * time.Microsecond
	allowed = max(allowed, p99/lagShare)
	if lag := time.Duration(d.Latencies[ScheduleLag].P99) * time.Microsecond; name != "" && lag > allowed {
		add("messages were sent late: %v at the 99th percentile, with a latency of %v there", lag, p99)
	}
	for _, g := range d.Generators {
		who := "the generator"
		if len(d.Generators) > 1 && g.Name != "" {
			who = "generator " + g.Name
		}
		if lag := time.Duration(g.LagP99) * time.Microsecond; name != "" && lag > allowed {
			add("%s lagged: its timers were %v late at the 99th percentile, with a latency of %v there", who, lag, p99)
		}
		if g.Cores > 0 && g.CPU > busy*float64(g.Cores) {
			add("%s used %.2f of %d cores", who, g.CPU, g.Cores)
		}
	}
	if slots := d.Messages.Sent + d.Messages.Skipped; d.Messages.Skipped > 0 && float64(d.Messages.Skipped) > skippedShare*float64(slots) {
		add("%d of %d messages of the schedule were not sent", d.Messages.Skipped, slots)
	}
	return doubts
}

// Judge adds the doubts to Invalid, once each.
func (d *Document) Judge() {
	for _, doubt := range d.Doubts() {
		d.invalid(doubt)
	}
}
