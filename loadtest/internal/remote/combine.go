package remote

import (
	"maps"
	"slices"

	"github.com/fanwire/fanwire/loadtest/internal/live"
)

// combine puts together what several workers say of the same moment. Of quantiles it
// takes the highest, which is never too good; the result at the end is made of the whole
// distributions.
func combine(all []live.Snapshot) live.Snapshot {
	sum := all[0]
	sum.ByNode = maps.Clone(sum.ByNode)
	sum.Certain.Kinds = maps.Clone(sum.Certain.Kinds)
	sum.Latencies = maps.Clone(sum.Latencies)
	sum.History = slices.Clone(sum.History)
	sum.Invalid = slices.Clone(sum.Invalid)
	for _, s := range all[1:] {
		add(&sum, &s)
	}
	return sum
}

func add(sum, s *live.Snapshot) {
	sum.Wanted += s.Wanted
	sum.Connected += s.Connected
	for node, n := range s.ByNode {
		if sum.ByNode == nil {
			sum.ByNode = make(map[string]int64)
		}
		sum.ByNode[node] += n
	}
	sum.Certain.Add(&s.Certain)
	sum.Reconnects += s.Reconnects
	sum.Errors += s.Errors
	sum.Sent += s.Sent
	sum.SentRate += s.SentRate
	sum.Lateness = max(sum.Lateness, s.Lateness)
	sum.Delivered += s.Delivered
	sum.DeliveredRate += s.DeliveredRate
	sum.Answered += s.Answered
	sum.AnsweredRate += s.AnsweredRate
	sum.Expected += s.Expected
	sum.Lost += s.Lost
	sum.Duplicated += s.Duplicated
	sum.OutOfOrder += s.OutOfOrder
	for name, q := range s.Latencies {
		if sum.Latencies == nil {
			sum.Latencies = make(map[string]live.Quantiles)
		}
		o := sum.Latencies[name]
		sum.Latencies[name] = live.Quantiles{
			P50: max(o.P50, q.P50), P90: max(o.P90, q.P90), P99: max(o.P99, q.P99), P999: max(o.P999, q.P999), Max: max(o.Max, q.Max),
		}
	}
	for i := range sum.History { // the latest second is the last one
		if j := len(s.History) - len(sum.History) + i; j >= 0 {
			sum.History[i].P99 = max(sum.History[i].P99, s.History[j].P99)
			sum.History[i].Delivered += s.History[j].Delivered
		}
	}
	sum.CPU += s.CPU
	sum.LagP99 = max(sum.LagP99, s.LagP99)
	sum.GCPauseMax = max(sum.GCPauseMax, s.GCPauseMax)
	for _, reason := range s.Invalid {
		if !slices.Contains(sum.Invalid, reason) {
			sum.Invalid = append(sum.Invalid, reason)
		}
	}
}
