package result

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// distribution makes a latency of values.
func distribution(values ...int64) Latency {
	h := hdrhistogram.New(lowest, highest, digits)
	for _, v := range values {
		if err := h.RecordValue(v); err != nil {
			panic(err)
		}
	}
	return NewLatency(h)
}

func TestLatencyEncoding(t *testing.T) {
	l := distribution(100, 200, 300, 5_000_000)
	if l.Count != 4 || l.P50 != 200 || l.Max < 5_000_000 || l.Min != 100 {
		t.Errorf("%+v", l)
	}
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var again Latency
	if err := json.Unmarshal(data, &again); err != nil || again != l {
		t.Errorf("%+v %v", again, err)
	}
	h, err := again.Distribution()
	if err != nil || h.TotalCount() != 4 {
		t.Error(h, err)
	}
	if l := distribution(); l != (Latency{}) {
		t.Errorf("%+v", l)
	}
	for _, bad := range []Latency{{Count: 1}, {Count: 1, Histogram: "no"}, {Count: 9, Histogram: l.Histogram}, {Count: 1, Histogram: "AAAA"}} {
		if _, err := bad.Distribution(); err == nil {
			t.Errorf("%+v", bad)
		}
	}
}

// The percentiles of two generators are those of all their values, not of their
// percentiles: the mean of the p99 would be 500,500.
func TestMergeLatenciesIsExact(t *testing.T) {
	var fast, all []int64
	for range 990 {
		fast = append(fast, 1000)
	}
	all = append(all, fast...)
	slow := []int64{1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000}
	all = append(all, slow...)
	got, err := MergeLatencies(distribution(fast...), Latency{}, distribution(slow...))
	if err != nil {
		t.Fatal(err)
	}
	want := distribution(all...)
	if got.P99 != want.P99 || got.P99 > 1100 || got.P999 != want.P999 || got.Count != 995 || got.Histogram != want.Histogram {
		t.Errorf("%+v, want %+v", got, want)
	}
	if _, err := MergeLatencies(distribution(1), Latency{Count: 3, Histogram: "xx"}); err == nil {
		t.Error("a broken histogram is merged")
	}
}

func part(started time.Time, name string, values ...int64) *Document {
	d := &Document{
		Format: Format, Scenario: "fanout", Started: started, Elapsed: 4, Measured: 2, Plan: json.RawMessage(`{"rate":1}`),
		Targets:     []Target{{"http://a", 5}, {"http://" + name, 1}},
		Connections: Connections{Asked: 6, Peak: 6, Attempts: 7, Connected: 6, Failed: 1, ByNode: map[string]int64{"n1": 4, name: 2}},
		Messages:    Messages{Sent: 10, Expected: int64(len(values)) + 1, Delivered: int64(len(values)), Lost: 1},
		Latencies:   map[string]Latency{Delivery: distribution(values...)},
		Errors:      map[string]int64{"timeout": 1},
		Generators:  []Generator{{Name: name, Cores: 2, CPU: 0.5}},
		Nodes:       []Node{{URL: "http://a/metrics"}},
	}
	d.Stages = []Stage{{Name: "one", Start: 1, Seconds: 2, Messages: d.Messages, Latencies: d.Latencies}}
	for i := range 4 {
		d.Series = append(d.Series, Second{At: float64(i), Phase: "one", Connected: int64(2 * i), Delivered: 10, P99: values[0], CPU: 0.5})
	}
	return d
}

func TestMerge(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	a, b := part(at.Add(time.Second), "g1", 100, 200), part(at, "g2", 300, 400, 500)
	b.Invalid, b.Interrupted = []string{"it lagged"}, true
	d, err := Merge(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Started.Equal(at) || d.Elapsed != 5 || d.Measured != 2 || !d.Interrupted {
		t.Errorf("%v %v %v %v", d.Started, d.Elapsed, d.Measured, d.Interrupted)
	}
	if m := d.Messages; m.Sent != 20 || m.Expected != 7 || m.Delivered != 5 || m.Lost != 2 {
		t.Errorf("%+v", m)
	}
	if c := d.Connections; c.Attempts != 14 || c.ByNode["n1"] != 8 || c.ByNode["g1"] != 2 || c.Peak != 10 { // 6 and 4 in the same second
		t.Errorf("%+v", c)
	}
	if len(d.Targets) != 3 || d.Targets[0].Connections != 10 || len(d.Nodes) != 1 || len(d.Generators) != 2 || d.Errors["timeout"] != 2 {
		t.Errorf("%+v", d)
	}
	if l := d.Latencies[Delivery]; l.Count != 5 || l.P50 != 300 {
		t.Errorf("%+v", l)
	}
	if len(d.Series) != 5 || d.Series[0].Delivered != 10 || d.Series[1].Delivered != 20 || d.Series[1].P99 != 300 || d.Series[4].Delivered != 10 {
		t.Errorf("%+v", d.Series)
	}
	if len(d.Stages) != 1 || d.Stages[0].Start != 1 || d.Stages[0].Latencies[Delivery].Count != 5 {
		t.Errorf("%+v", d.Stages)
	}
	if len(d.Invalid) != 1 || d.Invalid[0] != "g2: it lagged" {
		t.Error(d.Invalid)
	}
	if a.Messages.Sent != 10 || a.Connections.ByNode["n1"] != 4 || a.Series[0].Delivered != 10 {
		t.Error("the parts have changed")
	}
	b.Scenario = "echo"
	if _, err := Merge(a, b); err == nil {
		t.Error("different scenarios are merged")
	}
}

func TestRules(t *testing.T) {
	d := part(time.Now(), "g1", 10_000, 20_000, 30_000)
	d.Latencies[Connect] = distribution(1500)
	d.Messages.Excused = 1
	d.Messages.Lost = 0
	for expression, want := range map[string]bool{
		"delivery.ratio==1":          true,
		"delivery.ratio >= 99.9%":    true,
		"latency.p99<50ms":           true,
		"latency.p99<20ms":           false,
		"delivery.p50 > 9999us":      true,
		"latency.p99.9<=31ms":        true,
		"latency.p999<=31ms":         true,
		"latency.p75<0.05s":          true,
		"latency.max<1ms":            false,
		"connect.p99<2ms":            true,
		"connect.errors<15%":         true,
		"connect.errors<0.1%":        false,
		"delivery.lost==0":           true,
		"delivery.rate>1.4/s":        true,
		"delivery.rate>1k":           false,
		"errors.timeout==1":          true,
		"errors.odd==0":              true,
		"errors<1":                   false,
		"generator.cpu<0.6":          true,
		"echo.p99<1s":                false, // there is none
		"echo.ratio==1":              false,
		"connections.peak!=5":        true,
		"connections.recovered==99%": false,
	} {
		r, err := ParseRule(expression)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := r.Check(d); got.OK != want {
			t.Errorf("%s: %+v", expression, got)
		}
	}
	r, _ := ParseRule("echo.p99<1s")
	if got := r.Check(d); !got.Missing || got.OK || got.Show() != "there is no such figure in this run" {
		t.Errorf("%+v", got)
	}
	r, _ = ParseRule("latency.p50<1s")
	if got := r.Check(d).Show(); got != "20.0 ms" {
		t.Error(got)
	}
}

func TestRuleErrors(t *testing.T) {
	for expression, want := range map[string]string{
		"":                       "no comparison",
		"latency.p99":            "no comparison",
		"latency.p99=50ms":       "must be one of",
		"latency.p99<":           "no value",
		"latency.p99<50":         "needs a unit",
		"latency.p99<-5ms":       "needs a unit",
		"latency.p99<x":          "needs a unit",
		"delivery.ratio==x":      "99.9%",
		"delivery.rate>5ms":      "per second",
		"delivery.lost<NaN":      "no number",
		"latencyp99<50ms":        "did you mean latency.p99?",
		"delivery.ratoi==1":      "did you mean delivery.ratio?",
		"latency.p100<1s":        `no "p100"`,
		"latency.median<1s":      "any other percentile",
		"something.else.here==1": "there is no figure",
	} {
		if _, err := ParseRule(expression); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "threshold") {
			t.Errorf("%q: %v, want %s", expression, err, want)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	for _, s := range []string{"latency.p99<50ms", "delivery.ratio==1", "errors.x>=2k", "p<", "latency.p9.9.9<1s"} {
		f.Add(s)
	}
	d := part(time.Unix(0, 0), "g", 100)
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s)
		if err != nil {
			return
		}
		a := r.Check(d)
		again, err := ParseRule(r.Expression)
		if err != nil || again.Check(d) != a {
			t.Errorf("%q: %v", s, err)
		}
	})
}

func TestDoubts(t *testing.T) {
	healthy := func() *Document {
		d := part(time.Now(), "", 10_000, 10_000)
		d.Latencies[ScheduleLag] = distribution(300)
		d.Generators[0].LagP99 = 900
		return d
	}
	if got := healthy().Doubts(); len(got) != 0 {
		t.Error(got)
	}
	for want, change := range map[string]func(*Document){
		"messages were sent late":    func(d *Document) { d.Latencies[ScheduleLag] = distribution(1100) },
		"the generator lagged":       func(d *Document) { d.Generators[0].LagP99 = 1100 },
		"used 1.90 of 2 cores":       func(d *Document) { d.Generators[0].CPU = 1.9 },
		"3 of 13 messages":           func(d *Document) { d.Messages.Skipped = 3 },
		"generator g2 lagged":        func(d *Document) { d.Generators = append(d.Generators, Generator{Name: "g2", LagP99: 5000}) },
		"with a latency of 10.007ms": func(d *Document) { d.Generators[0].LagP99 = 1100 },
	} {
		d := healthy()
		change(d)
		d.Judge()
		d.Judge()
		if len(d.Invalid) != 1 || !strings.Contains(d.Invalid[0], want) {
			t.Errorf("%s: %v", want, d.Invalid)
		}
	}
	// A server of 300 µs: below 200 µs no timer can be told from the system's.
	d := part(time.Now(), "", 300)
	d.Generators[0].LagP99 = 150
	if got := d.Doubts(); len(got) != 0 {
		t.Error(got)
	}
}

// run is a document whose seconds scatter around a rate and a latency.
func run(seed uint64, rate, latency float64, change ...func(*Document)) *Document {
	random := rand.New(rand.NewPCG(seed, 7))
	d := &Document{Format: Format, Scenario: "fanout", Measured: 60, Generators: []Generator{{Cores: 2, CPU: 1}}}
	h := hdrhistogram.New(lowest, highest, digits)
	for i := range 60 {
		s := Second{At: float64(i), Phase: "main", CPU: 1 + random.Float64()/10}
		s.Delivered = int64(rate * (0.95 + random.Float64()/10))
		for range 200 {
			_ = h.RecordValue(int64(latency * (0.5 + random.ExpFloat64())))
		}
		s.P50, s.P99 = int64(latency*(1.1+random.Float64()/5)), int64(latency*(4+random.Float64()))
		d.Messages.Delivered += s.Delivered
		d.Series = append(d.Series, s)
	}
	d.Latencies = map[string]Latency{Delivery: NewLatency(h)}
	for _, f := range change {
		f(d)
	}
	return d
}

func verdicts(t *testing.T, a, b *Document) map[string]Verdict {
	t.Helper()
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]Verdict)
	for _, d := range c.Differences {
		m[d.Name] = d.Verdict
	}
	return m
}

func TestCompare(t *testing.T) {
	for seed := range uint64(20) { // the same server twice is never worse, whatever the noise
		c, err := Compare(run(seed, 1000, 2000), run(seed+100, 1000, 2000))
		if err != nil || c.Worse() || len(c.Notes) != 0 {
			t.Errorf("seed %d: %+v %v", seed, c, err)
		}
	}
	slower := verdicts(t, run(1, 1000, 2000), run(2, 1000, 2600))
	if slower["delivery.p50"] != Worse || slower["delivery.p99"] != Worse || slower["delivery.rate"] != Same {
		t.Error(slower)
	}
	faster := verdicts(t, run(1, 1000, 2600), run(2, 1200, 2000))
	if faster["delivery.p50"] != Better || faster["delivery.p99"] != Better || faster["delivery.rate"] != Better {
		t.Error(faster)
	}
	if got := verdicts(t, run(1, 1000, 2000), run(2, 700, 2000))["delivery.rate"]; got != Worse {
		t.Error(got)
	}
	lost := verdicts(t, run(1, 1000, 2000), run(2, 1000, 2000, func(d *Document) { d.Messages.Lost = 1 }))
	if lost["delivery.lost"] != Worse {
		t.Error(lost)
	}
	same, _ := Compare(run(1, 1000, 2000), run(1, 1000, 2000))
	for _, d := range same.Differences {
		if d.Verdict != Same || d.Change != 0 {
			t.Errorf("%+v", d)
		}
	}
}

// Two runs that say nothing are not the same: nothing is known.
func TestCompareTooShort(t *testing.T) {
	short := func(d *Document) { d.Series = d.Series[:5] }
	c, err := Compare(run(1, 1000, 2000, short), run(2, 500, 4000, short))
	if err != nil || len(c.Notes) != 1 {
		t.Fatal(c, err)
	}
	for _, d := range c.Differences {
		if (d.Name == "delivery.rate" || d.Name == "delivery.p99") && d.Verdict != Unsure {
			t.Errorf("%+v", d)
		}
	}
	c, _ = Compare(run(1, 1000, 2000), run(2, 1000, 2000, func(d *Document) {
		d.Plan, d.Interrupted, d.Invalid = json.RawMessage(`{"x":1}`), true, []string{"slow"}
	}))
	if len(c.Notes) != 3 {
		t.Error(c.Notes)
	}
	if _, err := Compare(run(1, 1, 1), run(1, 1, 1, func(d *Document) { d.Latencies[Delivery] = Latency{Count: 1, Histogram: "x"} })); err == nil {
		t.Error("a broken histogram is compared")
	}
}

// The page has all figures: GOLDEN=1 go test writes it.
func TestFigureTable(t *testing.T) {
	const name = "../../../docs/loadtest-results.md"
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	const from, to = "<!-- figures -->\n", "<!-- end of figures -->\n"
	before, rest, ok := strings.Cut(string(page), from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("the page has no place for the figures")
	}
	if want := before + from + FigureTable() + to + after; want != string(page) {
		if os.Getenv("GOLDEN") == "" {
			t.Errorf("%s is not what the source says: GOLDEN=1 go test ./loadtest/internal/result", name)
		} else if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
