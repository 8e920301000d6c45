package result

import (
	"fmt"
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and the precision of histograms: microseconds, and digits.
const (
	lowest  = 1
	highest = 10 * 60 * 1_000_000
	digits  = 3
)

// NewLatency describes a distribution of microseconds.
func NewLatency(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	encoded, err := h.EncodeV2()
	if err != nil {
		panic(err) // it is written to memory
	}
	return Latency{
		Count: h.TotalCount(),
		Min:   h.Min(),
		Mean:  h.Mean(),
		P50:   h.ValueAtPercentile(50),
		P90:   h.ValueAtPercentile(90),
		P99:   h.ValueAtPercentile(99),
		P999:  h.ValueAtPercentile(99.9),
		Max:   h.Max(),

		Histogram: string(encoded),
	}
}

// Distribution is the whole distribution, empty for an empty Latency.
func (l Latency) Distribution() (*hdrhistogram.Histogram, error) {
	if l.Histogram == "" {
		if l.Count > 0 {
			return nil, fmt.Errorf("the histogram of %d values is missing", l.Count)
		}
		return hdrhistogram.New(lowest, highest, digits), nil
	}
	h, err := hdrhistogram.Decode([]byte(l.Histogram))
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	if h.TotalCount() != l.Count {
		return nil, fmt.Errorf("histogram: it has %d values, not %d", h.TotalCount(), l.Count)
	}
	return h, nil
}

// MergeLatencies makes one distribution of several, exactly.
func MergeLatencies(list ...Latency) (Latency, error) {
	var sum *hdrhistogram.Histogram
	least, most, total := int64(math.MaxInt64), int64(0), 0.0
	for _, l := range list {
		if l.Count == 0 {
			continue
		}
		h, err := l.Distribution()
		if err != nil {
			return Latency{}, err
		}
		least, most, total = min(least, l.Min), max(most, l.Max), total+l.Mean*float64(l.Count)
		if sum == nil {
			sum = h
		} else if dropped := sum.Merge(h); dropped > 0 {
			return Latency{}, fmt.Errorf("histogram: %d values are out of range", dropped)
		}
	}
	if sum == nil {
		return Latency{}, nil
	}
	merged := NewLatency(sum)
	merged.Min, merged.Max, merged.Mean = least, most, total/float64(merged.Count) // as they were, not of buckets
	return merged, nil
}

// Main is the name of the latency that a run is about: Delivery, or Echo, Reconnect,
// Join or Connect where there is none; "" if nothing was measured.
func (d *Document) Main() string { return mainOf(d.Latencies) }

func mainOf(all map[string]Latency) string {
	for _, name := range []string{Delivery, Echo, Reconnect, Join, Connect} {
		if all[name].Count > 0 {
			return name
		}
	}
	return ""
}
