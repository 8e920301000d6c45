package result

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// Merge makes one document of those of several generators that made parts of one run:
// counters are summed, distributions merged exactly, seconds aligned by the time of day,
// for which the caller has corrected Started. What the parts have in common is taken from
// the first one. Thresholds are left out: they are to be checked against the whole.
func Merge(parts ...*Document) (*Document, error) {
	if len(parts) == 0 {
		return nil, errors.New("merge: there is no document")
	}
	first := parts[0]
	d := *first
	d.Thresholds, d.Targets, d.Nodes, d.Generators, d.Invalid, d.Errors = nil, nil, nil, nil, nil, nil
	d.Connections, d.Messages = Connections{}, Messages{}
	end := first.Started
	for _, p := range parts {
		if p.Format != first.Format {
			return nil, fmt.Errorf("merge: one document has the format %d, another %d", first.Format, p.Format)
		}
		if p.Scenario != first.Scenario {
			return nil, fmt.Errorf("merge: one document is of %s, another of %s", first.Scenario, p.Scenario)
		}
		if p.Started.Before(d.Started) {
			d.Started = p.Started
		}
		if e := p.Started.Add(seconds(p.Elapsed)); e.After(end) {
			end = e
		}
		d.Measured = max(d.Measured, p.Measured)
		d.Interrupted = d.Interrupted || p.Interrupted
		d.Connections.add(&p.Connections)
		d.Messages.Add(&p.Messages)
		addCounts(&d.Errors, p.Errors)
		d.mergeLists(p, len(parts) > 1)
		if p.Tool != first.Tool {
			d.invalid("the generators are not of the same version")
		}
	}
	d.Elapsed = end.Sub(d.Started).Seconds()
	d.mergeSeries(parts)
	var err error
	if d.Latencies, err = mergeLatencies(parts, func(p *Document) map[string]Latency { return p.Latencies }); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	if d.Stages, err = mergeStages(parts, d.Started); err != nil {
		return nil, fmt.Errorf("merge: %w", err)
	}
	return &d, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// mergeLists adds the lists of a part. With several each says whose reasons they are.
func (d *Document) mergeLists(p *Document, several bool) {
	for _, t := range p.Targets {
		i := slices.IndexFunc(d.Targets, func(o Target) bool { return o.URL == t.URL })
		if i < 0 {
			d.Targets = append(d.Targets, t)
		} else {
			d.Targets[i].Connections += t.Connections
		}
	}
	for _, n := range p.Nodes { // whoever has looked at a node has looked at the same
		if !slices.ContainsFunc(d.Nodes, func(o Node) bool { return o.URL == n.URL && o.PID == n.PID }) {
			d.Nodes = append(d.Nodes, n)
		}
	}
	for _, reason := range p.Invalid {
		if several && len(p.Generators) == 1 && p.Generators[0].Name != "" {
			reason = p.Generators[0].Name + ": " + reason
		}
		d.invalid(reason)
	}
	d.Generators = append(d.Generators, p.Generators...)
}

// invalid adds a reason not to trust the document, once.
func (d *Document) invalid(reason string) {
	if !slices.Contains(d.Invalid, reason) {
		d.Invalid = append(d.Invalid, reason)
	}
}

func (c *Connections) add(o *Connections) {
	c.Asked += o.Asked
	c.Peak += o.Peak // corrected by the series
	c.Attempts += o.Attempts
	c.Connected += o.Connected
	c.Failed += o.Failed
	c.Disconnected += o.Disconnected
	c.Reconnected += o.Reconnected
	c.Recovered += o.Recovered
	addCounts(&c.ByNode, o.ByNode)
	addCounts(&c.ByTransport, o.ByTransport)
}

func addCounts(sum *map[string]int64, o map[string]int64) {
	if *sum == nil && len(o) > 0 {
		*sum = make(map[string]int64)
	}
	for name, n := range o {
		(*sum)[name] += n
	}
}

// Add adds the account of another part.
func (m *Messages) Add(o *Messages) {
	m.Sent += o.Sent
	m.SentBytes += o.SentBytes
	m.Answered += o.Answered
	m.Unanswered += o.Unanswered
	m.Expected += o.Expected
	m.Delivered += o.Delivered
	m.Lost += o.Lost
	m.Excused += o.Excused
	m.Duplicated += o.Duplicated
	m.OutOfOrder += o.OutOfOrder
	m.Unexpected += o.Unexpected
	m.Bytes += o.Bytes
	m.Skipped += o.Skipped
}

func mergeLatencies[T any](parts []T, of func(T) map[string]Latency) (map[string]Latency, error) {
	lists := make(map[string][]Latency)
	for _, p := range parts {
		for name, l := range of(p) {
			lists[name] = append(lists[name], l)
		}
	}
	merged := make(map[string]Latency, len(lists))
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		l, err := MergeLatencies(lists[name]...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		merged[name] = l
	}
	return merged, nil
}

// mergeStages merges the stages of the same place in the run.
func mergeStages(parts []*Document, started time.Time) ([]Stage, error) {
	var merged []Stage
	var same [][]Stage
	for _, p := range parts {
		shift := p.Started.Sub(started).Seconds()
		for i, s := range p.Stages {
			s.Start += shift
			if i == len(merged) {
				merged, same = append(merged, s), append(same, nil)
				merged[i].Messages = Messages{}
			}
			m := &merged[i]
			if m.Name != s.Name {
				return nil, fmt.Errorf("stage %d is %s in one document and %s in another", i+1, m.Name, s.Name)
			}
			m.Start, m.Seconds = min(m.Start, s.Start), max(m.Seconds, s.Seconds)
			m.Messages.Add(&s.Messages)
			same[i] = append(same[i], s)
		}
	}
	for i := range merged {
		var err error
		if merged[i].Latencies, err = mergeLatencies(same[i], func(s Stage) map[string]Latency { return s.Latencies }); err != nil {
			return nil, fmt.Errorf("stage %s: %w", merged[i].Name, err)
		}
	}
	return merged, nil
}

// mergeSeries sums what happened in the same second. The latencies of a second are not
// there as distributions: the highest of the generators' values counts, which no
// generator's clients saw exceeded.
func (d *Document) mergeSeries(parts []*Document) {
	bySecond := make(map[int]*Second)
	for _, p := range parts {
		shift := p.Started.Sub(d.Started).Seconds()
		for _, s := range p.Series {
			at := int(math.Round(s.At + shift))
			sum, ok := bySecond[at]
			if !ok {
				s.At += shift
				bySecond[at] = &s
				continue
			}
			sum.At = min(sum.At, s.At+shift)
			sum.Connected += s.Connected
			sum.Sent += s.Sent
			sum.Delivered += s.Delivered
			sum.Answered += s.Answered
			sum.Duplicated += s.Duplicated
			sum.OutOfOrder += s.OutOfOrder
			sum.Errors += s.Errors
			sum.P50, sum.P99, sum.Max = max(sum.P50, s.P50), max(sum.P99, s.P99), max(sum.Max, s.Max)
			sum.CPU += s.CPU
		}
	}
	d.Series = nil
	peak := int64(0)
	for _, at := range slices.Sorted(maps.Keys(bySecond)) {
		d.Series = append(d.Series, *bySecond[at])
		peak = max(peak, bySecond[at].Connected)
	}
	slices.SortStableFunc(d.Series, func(a, b Second) int { return cmp.Compare(a.At, b.At) })
	if peak > 0 && len(parts) > 1 {
		d.Connections.Peak = min(d.Connections.Peak, peak)
	}
}
