package result

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Verdict says what became of a figure.
type Verdict string

// The verdicts.
const (
	Same    Verdict = "same"   // the change is within the noise, or too small to matter
	Better  Verdict = "better" //
	Worse   Verdict = "worse"  //
	Unsure  Verdict = "unsure" // there is too little to tell noise from change
	Differs Verdict = "other"  // changed beyond the noise, and neither direction is better
)

// Difference is one figure in two documents.
type Difference struct {
	Name   string
	Unit   Unit
	A, B   float64
	Change float64 // B/A - 1; +Inf if A is 0 and B is not
	Noise  float64 // half the width of the 99 % interval around Change; NaN if it cannot be told
	Verdict
}

// Comparison is what differs between two documents.
type Comparison struct {
	Differences []Difference
	Notes       []string // what makes the two hard to compare
}

// Worse tells whether any figure is worse.
func (c *Comparison) Worse() bool {
	return slices.ContainsFunc(c.Differences, func(d Difference) bool { return d.Verdict == Worse })
}

const (
	// relevant is the least change of a rate or a latency that counts, however sure.
	relevant = 0.05
	// leastSeconds is how many measured seconds each side needs.
	leastSeconds = 10
	resamples    = 1000
	block        = 3 // seconds that are drawn together: neighbours resemble each other
	// There are many figures, and a false alarm in each twentieth would be one in each
	// comparison: the intervals are those of 99 %, and of ranks, whose values resemble
	// each other more than the theory wants, of 99.9 %.
	confidence = 0.99
	rankFactor = 3.29
)

// Compare tells how B differs from A, with noise bounds: for rates and the run's own
// latency from how much the seconds of each run differ, by a block bootstrap; for other
// latencies from the number of values behind each percentile. Counts of what must not
// happen have no noise: one more is worse. The same documents always compare the same.
func Compare(a, b *Document) (*Comparison, error) {
	c := &Comparison{Notes: comparable(a, b)}
	c.exact(a, b)
	random := rand.New(rand.NewPCG(1, 2))
	secondsA, secondsB := a.measured(), b.measured()
	if min(len(secondsA), len(secondsB)) < leastSeconds {
		c.Notes = append(c.Notes, fmt.Sprintf("%d and %d measured seconds: with fewer than %d nothing can be said of rates and of the latency", len(secondsA), len(secondsB), leastSeconds))
	}
	for _, rate := range []struct {
		name   string
		of     func(Second) float64
		higher bool // is better
	}{
		{"delivery.rate", func(s Second) float64 { return float64(s.Delivered) }, true},
		{"echo.rate", func(s Second) float64 { return float64(s.Answered) }, true},
		{"generator.cpu", func(s Second) float64 { return s.CPU }, false},
	} {
		f, _ := FindFigure(rate.name)
		d := Difference{Name: f.Name, Unit: f.Unit}
		var okA, okB bool
		if d.A, okA = f.Value(a); !okA || d.A == 0 {
			continue
		}
		if d.B, okB = f.Value(b); !okB {
			continue
		}
		d.noise(random, values(secondsA, rate.of), values(secondsB, rate.of))
		d.judge(rate.higher)
		if rate.name == "generator.cpu" && d.Verdict != Unsure && d.Verdict != Same {
			d.Verdict = Differs // it is the tool's own cost
		}
		c.Differences = append(c.Differences, d)
	}
	return c, c.latencies(random, a, b, secondsA, secondsB)
}

// comparable tells what is not the same in the two runs.
func comparable(a, b *Document) (notes []string) {
	if a.Scenario != b.Scenario {
		notes = append(notes, fmt.Sprintf("the scenarios differ: %s and %s", a.Scenario, b.Scenario))
	} else if !bytes.Equal(compact(a.Plan), compact(b.Plan)) {
		notes = append(notes, "the plans differ: what was asked for is not the same")
	}
	if len(a.Generators) > 0 && len(b.Generators) > 0 && (a.Generators[0].Cores != b.Generators[0].Cores || a.Generators[0].Processor != b.Generators[0].Processor) {
		notes = append(notes, "the machines of the generators differ")
	}
	for i, d := range []*Document{a, b} {
		which := string(rune('A' + i))
		if d.Interrupted {
			notes = append(notes, which+" was interrupted")
		}
		if d.Aborted != "" {
			notes = append(notes, which+" was ended early: "+d.Aborted)
		}
		for _, reason := range d.Invalid {
			notes = append(notes, which+" is not valid: "+reason)
		}
	}
	return notes
}

// exact compares what has no noise.
func (c *Comparison) exact(a, b *Document) {
	for _, name := range []string{"delivery.lost", "delivery.duplicated", "delivery.outOfOrder", "delivery.unexpected", "connect.failed", "connections.lost", "errors"} {
		f, _ := FindFigure(name)
		d := Difference{Name: name, Unit: f.Unit}
		d.A, _ = f.Value(a)
		d.B, _ = f.Value(b)
		if d.A == 0 && d.B == 0 {
			continue
		}
		d.Change = change(d.A, d.B)
		switch {
		case d.B > d.A:
			d.Verdict = Worse
		case d.B < d.A:
			d.Verdict = Better
		default:
			d.Verdict = Same
		}
		c.Differences = append(c.Differences, d)
	}
}

func change(a, b float64) float64 {
	switch {
	case a == b:
		return 0
	case a == 0:
		return math.Inf(1)
	}
	return b/a - 1
}

// latencies compares those that both have.
func (c *Comparison) latencies(random *rand.Rand, a, b *Document, secondsA, secondsB []Second) error {
	main := a.Main()
	for _, name := range LatencyNames {
		x, y := a.Latencies[name], b.Latencies[name]
		if x.Count == 0 || y.Count == 0 || name == ScheduleLag || name == DeliverySent || name == EchoSent {
			continue
		}
		hx, err := x.Distribution()
		if err != nil {
			return fmt.Errorf("the first document: %s: %w", name, err)
		}
		hy, err := y.Distribution()
		if err != nil {
			return fmt.Errorf("the second document: %s: %w", name, err)
		}
		for _, p := range []float64{50, 99, 99.9} {
			d := Difference{Name: fmt.Sprintf("%s.p%v", name, p), Unit: Time}
			d.A, d.B = float64(hx.ValueAtPercentile(p)), float64(hy.ValueAtPercentile(p))
			switch {
			case name == main && p == 50:
				of := func(s Second) float64 { return float64(s.P50) }
				d.noise(random, values(secondsA, of), values(secondsB, of))
			case name == main && p == 99:
				of := func(s Second) float64 { return float64(s.P99) }
				d.noise(random, values(secondsA, of), values(secondsB, of))
			default:
				d.orderNoise(hx, hy, p)
			}
			d.judge(false)
			c.Differences = append(c.Differences, d)
		}
	}
	return nil
}

// measured are the seconds of the measured phases.
func (d *Document) measured() []Second {
	var list []Second
	for _, s := range d.Series {
		switch s.Phase {
		case "ramp", "warmup", "cooldown":
		default:
			list = append(list, s)
		}
	}
	return list
}

func values(seconds []Second, of func(Second) float64) []float64 {
	list := make([]float64, len(seconds))
	for i, s := range seconds {
		list[i] = of(s)
	}
	return list
}

// noise sets Change and Noise: how far the ratio of the two medians of seconds moves
// when other seconds, in blocks, had been measured.
func (d *Difference) noise(random *rand.Rand, a, b []float64) {
	d.Change, d.Noise = change(d.A, d.B), math.NaN()
	if min(len(a), len(b)) < leastSeconds {
		return
	}
	middle := math.Log(median(slices.Clone(b)) / median(slices.Clone(a)))
	if math.IsNaN(middle) || math.IsInf(middle, 0) {
		return
	}
	off := make([]float64, 0, resamples)
	x, y := make([]float64, len(a)), make([]float64, len(b))
	for range resamples {
		resample(random, x, a)
		resample(random, y, b)
		if ratio := math.Log(median(y) / median(x)); !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
			off = append(off, math.Abs(ratio-middle))
		}
	}
	if len(off) < resamples/2 {
		return
	}
	slices.Sort(off)
	d.Noise = math.Expm1(off[int(confidence*float64(len(off)-1))])
}

// resample fills dst with blocks of src.
func resample(random *rand.Rand, dst, src []float64) {
	for i := 0; i < len(dst); i += block {
		at := random.IntN(len(src))
		for j := i; j < min(i+block, len(dst)); j++ {
			dst[j] = src[(at+j-i)%len(src)]
		}
	}
}

// median sorts list.
func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// orderNoise takes the interval of a percentile from its rank: between which values it
// would lie in 999 of 1,000 samples of that size.
func (d *Difference) orderNoise(a, b *hdrhistogram.Histogram, p float64) {
	d.Change, d.Noise = change(d.A, d.B), math.NaN()
	wa, okA := rankWidth(a, p)
	wb, okB := rankWidth(b, p)
	if okA && okB {
		d.Noise = math.Expm1(math.Hypot(wa, wb))
	}
}

// rankWidth is half the logarithmic width of that interval; not ok if the sample is too
// small to have values on both sides.
func rankWidth(h *hdrhistogram.Histogram, p float64) (float64, bool) {
	n, q := float64(h.TotalCount()), p/100
	step := rankFactor * math.Sqrt(n*q*(1-q))
	lowRank, highRank := n*q-step, n*q+step
	if lowRank < 1 || highRank > n-1 {
		return 0, false
	}
	low, high := h.ValueAtPercentile(100*lowRank/n), h.ValueAtPercentile(100*highRank/n)
	return math.Log(float64(max(high, 1))/float64(max(low, 1))) / 2, true
}

func (d *Difference) judge(higherIsBetter bool) {
	switch {
	case d.Change == 0:
		d.Verdict = Same
	case math.IsNaN(d.Noise):
		d.Verdict = Unsure
	case math.Abs(d.Change) <= max(d.Noise, relevant):
		d.Verdict = Same
	case d.Change > 0 == higherIsBetter:
		d.Verdict = Better
	default:
		d.Verdict = Worse
	}
}

// compact is JSON without insignificant spaces.
func compact(raw []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}
