package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node"
)

// A threshold that is broken for good ends the test, whose account is complete.
func TestAbort(t *testing.T) {
	tests := []struct {
		name, rule string
		args       []string
		faults     func(s *server)
	}{
		{"lost", "delivery.lost==0", []string{"fanout", "--rooms=2", "--rate=100/s", "--timeout=4s"}, func(s *server) { s.drop = 7 }},
		{"doubled", "delivery.duplicated<=20", []string{"fanout", "--rooms=2", "--rate=100/s"}, func(s *server) { s.double = 7 }},
		{"doubled, processes", "delivery.duplicated<=20", []string{"fanout", "--rooms=2", "--rate=100/s", "--processes=2"}, func(s *server) { s.double = 7 }},
		{"slowest", "latency.max<1us", []string{"echo", "--rate=20/s"}, func(*server) {}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, node.Config{})
			test.faults(s)
			args := append(with(s.url, test.args...), "--clients=10", "--duration=10m", "--abort", "--threshold=connect.failed==0", "--threshold="+test.rule)
			o := try(t, t.Context(), args...)
			if o.code != exitThreshold || o.doc == nil {
				t.Fatalf("exit code %d", o.code)
			}
			d := o.doc
			if !strings.HasPrefix(d.Aborted, test.rule+": ") || d.Interrupted || !strings.Contains(o.stdout, "ENDED EARLY  "+test.rule) {
				t.Errorf("aborted %q, interrupted %v", d.Aborted, d.Interrupted)
			}
			if len(d.Thresholds) != 2 || !d.Thresholds[0].OK || d.Thresholds[1].OK {
				t.Errorf("%+v", d.Thresholds)
			}
			m := d.Messages
			if m.Sent == 0 || m.Expected != m.Delivered+m.Lost || m.Excused != 0 || m.Lost != s.dropped.Load() || m.Duplicated != s.doubled.Load() || m.Unanswered != 0 {
				t.Errorf("%+v, but %d were dropped and %d doubled", m, s.dropped.Load(), s.doubled.Load())
			}
		})
	}
}

// What holds, and what can only be told at the end, ends nothing.
func TestAbortWhenAllHolds(t *testing.T) {
	s := start(t, node.Config{})
	o := try(t, t.Context(), with(s.url, "fanout", "--clients=4", "--rooms=2", "--rate=50/s", "--duration=2s", "--abort", "--threshold=delivery.ratio==1", "--threshold=delivery.rate>1M")...)
	if o.doc == nil || o.doc.Aborted != "" || o.doc.Measured < 2 || o.code != exitThreshold && len(o.doc.Invalid) == 0 {
		t.Errorf("exit code %d, %+v", o.code, o.doc)
	}
	if o := try(t, t.Context(), with(s.url, "echo", "--abort")...); o.code != exitUsage || !strings.Contains(o.stderr, "--threshold") {
		t.Errorf("exit code %d: %s", o.code, o.stderr)
	}
}

// Percentiles end a test when a stage is over.
func TestAbortAfterStage(t *testing.T) {
	s := start(t, node.Config{})
	file := filepath.Join(t.TempDir(), "two.yaml")
	scenario := "url: " + s.url + `
clients: 4
ramp: 100ms
warmup: 0s
cooldown: 100ms
timeout: 20s
stages:
  - {name: first, duration: 2500ms, echo: {rate: 50/s}}
  - {name: second, duration: 10m, echo: {rate: 50/s}}
`
	if err := os.WriteFile(file, []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	o := try(t, t.Context(), "run", file, "--live=off", "--abort", "--threshold=echo.p50<1us")
	if o.doc == nil || o.code != exitThreshold || o.doc.Aborted == "" || len(o.doc.Stages) != 2 {
		t.Fatalf("exit code %d, %+v", o.code, o.doc)
	}
	if first := o.doc.Stages[0]; first.Seconds < 2.5 || o.doc.Stages[1].Seconds > (5*time.Minute).Seconds() {
		t.Errorf("%+v", o.doc.Stages)
	}
}
