package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/live"
	"github.com/fanwire/fanwire/loadtest/internal/report"
	"github.com/fanwire/fanwire/loadtest/internal/result"
	"github.com/fanwire/fanwire/node"
)

// line runs a command line that makes no test.
func line(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = runLine(&environment{args: args, stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

// A result is written in all forms, shown again, and is not worse than itself; one that
// lost something is.
func TestResults(t *testing.T) {
	s := start(t, node.Config{})
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	d := measure(t, with(s.url, "fanout", "--clients=6", "--rooms=2", "--rate=50/s", "--csv="+at("s.csv"), "--hdr="+at("l.hlog"), "--html="+at("r.html"))...)
	for name, want := range map[string]string{"s.csv": "at,phase,connected", "l.hlog": "Tag=delivery,", "r.html": "<!doctype html>"} {
		if data, err := os.ReadFile(at(name)); err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %v %.100s", name, err, data)
		}
	}
	if g := d.Generators; len(g) != 1 || g[0].CPU <= 0 || g[0].MemoryMax <= 0 || g[0].LagMax <= 0 {
		t.Errorf("the generator has not watched itself: %+v", g)
	}
	if len(d.Nodes) != 1 || d.Nodes[0].PID != os.Getpid() || len(d.Nodes[0].Samples) == 0 {
		t.Errorf("the server of this machine was not watched: %+v", d.Nodes)
	}
	d.Invalid = nil // on a busy machine
	write := func(name string) string {
		f, err := os.Create(at(name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := report.Write(f, d, report.AsJSON); err != nil {
			t.Fatal(err)
		}
		return at(name)
	}
	a := write("a.json")
	for as, want := range map[string]string{"text": "deliveries expected", "markdown": "## Messages", "html": "<svg", "csv": "p99us", "hdr": "Tag=", "json": "\"format\": 1"} {
		if code, out, errs := line("report", a, "--as="+as); code != exitOK || !strings.Contains(out, want) {
			t.Errorf("%s: %d %.100s %s", as, code, out, errs)
		}
	}
	if code, _, errs := line("report", a, "--as=html", "--out="+at("again.html")); code != exitOK {
		t.Error(code, errs)
	}
	if code, out, errs := line("compare", a, a); code != exitOK {
		t.Error(code, out, errs)
	}
	d.Messages.Lost++
	b := write("b.json")
	if code, out, _ := line("compare", a, b); code != exitThreshold || !strings.Contains(out, "worse") {
		t.Error(code, out)
	}
	if code, _, _ := line("compare", b, a); code != exitOK {
		t.Error("better is worse:", code)
	}
	d.Invalid = []string{"slow"}
	if code, out, _ := line("compare", a, write("c.json")); code != exitInvalid || !strings.Contains(out, "slow") {
		t.Error(code, out)
	}
	if code, _, errs := line("report", at("none.json")); code != exitUsage || !strings.Contains(errs, "none.json") {
		t.Error(code, errs)
	}
}

// While a run lasts its rules are held against what is known so far.
func TestRulesSoFar(t *testing.T) {
	o := &output{outputFlags: &outputFlags{Threshold: []string{"delivery.ratio==1", "latency.p99<50ms", "echo.p99<1s", "connect.errors<1%", "delivery.p75<1s"}}}
	for _, text := range o.Threshold {
		rule, err := result.ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		o.rules = append(o.rules, rule)
	}
	s := live.Snapshot{Expected: 100, Delivered: 90, Latencies: map[string]live.Quantiles{result.Delivery: {P99: 60 * time.Millisecond, Max: time.Second}}}
	want := []live.Rule{{Expression: "delivery.ratio==1", OK: true}, {Expression: "latency.p99<50ms"}} // the others cannot be told yet
	if got := o.soFar(&s); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	s.Lost = 1
	if got := o.soFar(&s); got[0].OK {
		t.Errorf("%+v", got)
	}
}
