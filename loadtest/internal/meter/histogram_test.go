package meter

import (
	"math/rand/v2"
	"testing"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What we count must be what HdrHistogram would have counted.
func TestSameAsHdrHistogram(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var ours Histogram
	theirs := hdrhistogram.New(Lowest, Highest, Digits)
	for range 200_000 {
		v := 1 + rng.Int64N(1<<rng.IntN(30))
		v = min(v, Highest)
		ours.Record(v)
		if err := theirs.RecordValue(v); err != nil {
			t.Fatal(err)
		}
	}
	if got := ours.HDR(); !got.Equals(theirs) {
		t.Error("the histogram in the library's form differs from the library's own")
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		a, b := ours.Quantile(q), theirs.ValueAtQuantile(q*100)
		if !theirs.ValuesAreEquivalent(a, b) {
			t.Errorf("quantile %v: %d, the library says %d", q, a, b)
		}
	}
}

func TestEdges(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.HDR().TotalCount() != 0 {
		t.Error("an empty histogram has values")
	}
	h.Record(-5)
	h.Record(Highest * 2)
	if h.Min() != Lowest || h.Max() != Highest || h.Count() != 2 {
		t.Errorf("min %d, max %d, count %d", h.Min(), h.Max(), h.Count())
	}
	if got := h.HDR().TotalCount(); got != 2 {
		t.Errorf("the library's form has %d values", got)
	}
}

func TestAddAndReset(t *testing.T) {
	var a, b, sum Histogram
	for v := int64(1); v <= 1000; v++ {
		a.Record(v * 7)
		b.Record(v * 9000)
	}
	sum.Add(&a)
	sum.Add(&b)
	if sum.Count() != 2000 || sum.Min() != 7 || sum.Max() != 9_000_000 {
		t.Errorf("count %d, min %d, max %d", sum.Count(), sum.Min(), sum.Max())
	}
	a.Reset()
	if a.Count() != 0 || a.Quantile(1) != 0 {
		t.Error("values are left after Reset")
	}
	a.Record(3)
	if a.Count() != 1 || a.Max() != 3 || a.Quantile(0.5) != 3 {
		t.Errorf("after Reset: count %d, max %d", a.Count(), a.Max())
	}
}

func TestRecordDoesNotAllocate(t *testing.T) {
	var h Histogram
	h.Record(1)
	if n := testing.AllocsPerRun(100, func() { h.Record(12345) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	v := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		v = (v + 7919) & (1<<20 - 1)
		h.Record(v)
	}
}
