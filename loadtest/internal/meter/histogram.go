// Package meter counts latencies while a load test runs. A Histogram has the buckets
// of HdrHistogram (1 µs to 10 min, 3 digits), so that it becomes one without loss, and
// records in a few nanoseconds.
package meter

import (
	"math/bits"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and the precision of all histograms of a run, in microseconds and digits.
const (
	Lowest  = 1
	Highest = 10 * 60 * 1_000_000
	Digits  = 3
)

const (
	halfBits = 10 // a bucket's half: 1,024 values, which gives three digits
	half     = 1 << halfBits
	highest  = Highest
)

// size is the number of counters: the bucket of Highest is the last one.
var size = index(highest) + 1

// Histogram counts values. The zero value works; its counters are made when it is
// first used. It is not safe for concurrent use.
type Histogram struct {
	counts []uint64
	total  uint64
	sum    uint64
	min    int64
	max    int64
	top    int // index of the highest counter that is not zero
}

// index is where HdrHistogram counts v.
func index(v int64) int {
	bucket := bits.Len64(uint64(v)|(2*half-1)) - (halfBits + 1)
	return bucket<<halfBits + int(v>>bucket)
}

// Record counts a latency in microseconds. What is below the range counts as its
// begin, what is above as its end.
func (h *Histogram) Record(v int64) {
	if h.counts == nil {
		h.counts = make([]uint64, size)
	}
	v = min(max(v, Lowest), highest)
	i := index(v)
	h.counts[i]++
	h.sum += uint64(v)
	if h.total == 0 || v < h.min {
		h.min = v
	}
	h.total++
	if v > h.max {
		h.max, h.top = v, i
	}
}

// Count is the number of values.
func (h *Histogram) Count() int64 { return int64(h.total) }

// Max is the highest value, as it was.
func (h *Histogram) Max() int64 { return h.max }

// Min is the lowest value, as it was.
func (h *Histogram) Min() int64 { return h.min }

// Mean of the values, as they were.
func (h *Histogram) Mean() float64 {
	if h.total == 0 {
		return 0
	}
	return float64(h.sum) / float64(h.total)
}

// Add counts all values of other, too.
func (h *Histogram) Add(other *Histogram) {
	if other.total == 0 {
		return
	}
	if h.counts == nil {
		h.counts = make([]uint64, size)
	}
	for i, n := range other.counts[:other.top+1] {
		h.counts[i] += n
	}
	if h.total == 0 || other.min < h.min {
		h.min = other.min
	}
	h.total += other.total
	h.sum += other.sum
	if other.max > h.max {
		h.max, h.top = other.max, other.top
	}
}

// Reset forgets all values and keeps the memory.
func (h *Histogram) Reset() {
	if h.total > 0 {
		clear(h.counts[:h.top+1])
	}
	*h = Histogram{counts: h.counts}
}

// Quantile returns the value below or at which the share q of the values lies, to
// three digits; 0 without values.
func (h *Histogram) Quantile(q float64) int64 {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q*float64(h.total) + 0.5)
	rank = min(max(rank, 1), h.total)
	for i, n := range h.counts[:h.top+1] {
		if n >= rank {
			return min(last(i), h.max)
		}
		rank -= n
	}
	return h.max
}

// last is the highest value that is counted at index i.
func last(i int) int64 {
	bucket := max(0, i>>halfBits-1)
	sub := int64(i - bucket<<halfBits)
	return (sub+1)<<bucket - 1
}

// HDR returns the same distribution in the library's form.
func (h *Histogram) HDR() *hdrhistogram.Histogram {
	out := hdrhistogram.New(Lowest, Highest, Digits)
	if h.total == 0 {
		return out
	}
	for i, n := range h.counts[:h.top+1] {
		if n > 0 {
			_ = out.RecordValues(min(last(i), highest), int64(n)) // within the range
		}
	}
	return out
}
