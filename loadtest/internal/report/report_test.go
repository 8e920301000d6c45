package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

var golden = flag.Bool("golden", false, "write the golden files")

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *golden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(want, got) {
		t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
	}
}

// sample is a run of two minutes with a slow moment, on three nodes.
func sample() *result.Document {
	random := rand.New(rand.NewPCG(1, 1))
	d := &result.Document{
		Format: result.Format, Tool: result.Tool{Version: "v1.0.0", Revision: "abc", Go: "go1.26"},
		CommandLine: []string{"fanout", "--url", "http://127.0.0.1:3000", "--auth=..."},
		Started:     time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), Elapsed: 128.2, Measured: 120, Seed: 1, Scenario: "fanout",
		Plan:        json.RawMessage(`{"name":"fanout","note":"</script><b>"}`),
		Targets:     []result.Target{{URL: "http://127.0.0.1:3000", Connections: 10000}},
		Connections: result.Connections{Asked: 10000, Peak: 10000, Attempts: 10002, Connected: 10000, Failed: 2, ByNode: map[string]int64{"n1": 3334, "n2": 3331, "n3": 3335}},
		Messages:    result.Messages{Sent: 240000, Expected: 24000000, Delivered: 23999999, Lost: 1, Bytes: 3072000000},
		Errors:      map[string]int64{"connect: <b>timeout</b>": 2},
		Latencies:   map[string]result.Latency{},
		Generators:  []result.Generator{{Cores: 2, CPU: 0.61, CPUMax: 0.93, LagP99: 412, LagMax: 3000, GCPauseMax: 900, MemoryMax: 512e6, CPUPerDelivery: 3.05}},
		Thresholds:  []result.Threshold{{Expression: "latency.p99<50ms", Value: 11800, OK: true}, {Expression: "delivery.ratio==1", Value: 0.99999996}},
	}
	for _, one := range []struct {
		name  string
		scale float64
	}{{result.Delivery, 2000}, {result.SameNode, 1500}, {result.CrossNode, 2300}, {result.DeliverySent, 1900}, {result.Connect, 5000}} {
		h := hdrhistogram.New(1, 600_000_000, 3)
		for range 20000 {
			_ = h.RecordValue(int64(one.scale * (0.3 + random.ExpFloat64())))
		}
		d.Latencies[one.name] = result.NewLatency(h)
	}
	for i := range 128 {
		s := result.Second{At: float64(i), Phase: "fanout", Connected: 10000, Sent: 2000, Delivered: int64(199000 + random.IntN(2000)), CPU: 0.55 + random.Float64()/8}
		switch {
		case i < 5:
			s.Phase, s.Connected, s.Sent, s.Delivered = "ramp", int64(2000*i), 0, 0
		case i < 7:
			s.Phase = "warmup"
		case i == 127:
			s.Phase, s.Sent = "cooldown", 0
		}
		if i > 6 {
			s.P50, s.P99 = int64(1800+random.IntN(300)), int64(8000+random.IntN(3000))
			s.Max = s.P99 * 2
		}
		if i > 80 && i < 86 {
			s.P99, s.Max = s.P99*4, s.Max*4
		}
		d.Series = append(d.Series, s)
	}
	for n, name := range []string{"n1", "n2", "n3"} {
		node := result.Node{URL: "http://" + name + ":3001/metrics", Name: name, Version: "v1"}
		cpu := 0.0
		for i := range 128 {
			cpu += 0.2 + 0.1*math.Sin(float64(i)/9+float64(n))
			node.Samples = append(node.Samples, result.NodeSample{At: float64(i), Connections: min(float64(i)*700, 3334), CPU: cpu, Resident: 9e7 + float64(i)*2e5, Deliveries: float64(i) * 66000})
		}
		d.Nodes = append(d.Nodes, node)
	}
	d.Nodes = append(d.Nodes, result.Node{PID: 77, Error: "process 77: gone"})
	return d
}

func TestGolden(t *testing.T) {
	d := sample()
	for f, name := range map[Format]string{AsText: "report.txt", AsMarkdown: "report.md", AsCSV: "series.csv"} {
		var b bytes.Buffer
		if err := Write(&b, d, f); err != nil {
			t.Fatal(err)
		}
		compare(t, name, b.Bytes())
	}
	if err := Write(io.Discard, d, "pdf"); err == nil {
		t.Error("there is no such form")
	}
	if path := os.Getenv("LOADTEST_PAGE"); path != "" { // to look at it
		var b bytes.Buffer
		if err := errors.Join(HTML(&b, d), os.WriteFile(path, b.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []*result.Document{{}, {Interrupted: true, Invalid: []string{"x"}}} { // nothing was measured
		for _, f := range []Format{AsText, AsMarkdown, AsCSV, AsHDR, AsHTML, AsJSON} {
			if err := Write(io.Discard, d, f); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

// What was excused is said wherever it is said what was lost.
func TestExcused(t *testing.T) {
	d := sample()
	d.Messages.Expected += 7654321
	d.Messages.Excused += 7654321
	stage := result.Stage{Name: "calm", Kind: "fanout", Seconds: 60}
	stage2 := stage
	stage2.Name, stage2.Messages.Excused = "storm", 54321
	d.Stages = []result.Stage{stage, stage2}
	for f, want := range map[Format][]string{
		AsText: {"7,654,321", "54,321", "99.99999583%"}, AsMarkdown: {"| excused | 7,654,321 |", "54,321"}, AsHTML: {"of 24,000,000 deliveries, 7,654,321 excused", "54,321"},
	} {
		var b bytes.Buffer
		if err := Write(&b, d, f); err != nil {
			t.Fatal(err)
		}
		for _, one := range want {
			if !strings.Contains(b.String(), one) {
				t.Errorf("%q is not in the report as %s", one, f)
			}
		}
	}
}

// A run that a threshold has ended says so first, whatever else is to be said.
func TestAborted(t *testing.T) {
	d := sample()
	d.Aborted, d.Invalid = "delivery.lost==0: 3 after 12s", []string{"the generator lagged"}
	for _, f := range []Format{AsText, AsMarkdown, AsHTML} {
		var b bytes.Buffer
		if err := Write(&b, d, f); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"ended early: a threshold was broken", d.Aborted, "the generator lagged"} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("%q is not in the report as %s", want, f)
			}
		}
	}
}

// The page loads nothing and runs nothing, whatever a document has in it; its pictures
// are well-formed.
func TestHTMLIsAlone(t *testing.T) {
	d := sample()
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	d.Scenario, d.Nodes[0].Name, d.Nodes[1].Error, d.Errors[evil], d.Invalid = evil, evil, evil, 1, []string{evil}
	d.Series[50].Phase, d.CommandLine = evil, []string{evil}
	var b bytes.Buffer
	if err := HTML(&b, d); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, bad := range []string{"<script", "<img", "<link", "url(", "@import"} {
		if strings.Contains(strings.ToLower(text), bad) {
			t.Errorf("the page has %s", bad)
		}
	}
	pictures := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(text, -1)
	if len(pictures) < 8 {
		t.Errorf("%d pictures", len(pictures))
	}
	for _, p := range pictures {
		dec := xml.NewDecoder(strings.NewReader(p))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err, p[:200])
			}
		}
		if strings.Contains(p, "NaN") || strings.Contains(p, "Inf") {
			t.Error("a picture has no numbers")
		}
	}
}

// The log can be read by HdrHistogram's own reader, and has all values.
func TestHDRCanBeRead(t *testing.T) {
	d := sample()
	var b bytes.Buffer
	if err := HDR(&b, d); err != nil {
		t.Fatal(err)
	}
	r := hdrhistogram.NewHistogramLogReader(&b)
	found := 0
	for {
		h, err := r.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		found++
		l, ok := d.Latencies[h.Tag()]
		if !ok || l.Count != h.TotalCount() || l.P99 != h.ValueAtPercentile(99) || h.StartTimeMs() != d.Started.UnixMilli() {
			t.Errorf("%s: %d values, start %d", h.Tag(), h.TotalCount(), h.StartTimeMs())
		}
	}
	if found != len(d.Latencies) {
		t.Error(found, "histograms")
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) string {
		path := filepath.Join(dir, "r.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var b bytes.Buffer
	if err := Write(&b, sample(), AsJSON); err != nil {
		t.Fatal(err)
	}
	if d, err := Read(write(b.String())); err != nil || d.Messages.Sent != 240000 || len(d.Series) != 128 {
		t.Error(d, err)
	}
	for text, want := range map[string]string{"{}": "no result", "[1]": "no result", "{\"format\":9}": "format 9", "": "no result"} {
		if _, err := Read(write(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestComparison(t *testing.T) {
	a, b := sample(), sample()
	b.Messages.Lost, b.Messages.Delivered = 3, 20000000
	for i := range b.Series {
		b.Series[i].Delivered = b.Series[i].Delivered * 5 / 6
		b.Series[i].P99 *= 2
	}
	b.Plan = json.RawMessage(`{"name":"other"}`)
	c, err := result.Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Comparison(&out, c); err != nil {
		t.Fatal(err)
	}
	compare(t, "compare.txt", out.Bytes())
}

func TestTicks(t *testing.T) {
	for high, want := range map[float64]float64{0: 1, 1: 1, 9: 10, 99: 100, 101: 150, 2600: 3000, 1e9: 1e9, 0.3: 0.3} {
		ticks := niceTicks(high, 4)
		if last := ticks[len(ticks)-1]; last < high || math.Abs(last-want) > want*1e-9 || len(ticks) > 7 || ticks[0] != 0 {
			t.Errorf("%v: %v, want %v", high, ticks, want)
		}
	}
}
