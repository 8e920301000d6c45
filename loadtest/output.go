package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/live"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// outputFlags say what becomes of the result.
type outputFlags struct {
	Live      string   `group:"Output" help:"What is shown while it runs: auto, plain or off." default:"auto" enum:"auto,plain,off"`
	Out       string   `group:"Output" help:"Write the result to this file, as JSON." placeholder:"FILE" type:"path"`
	Threshold []string `group:"Rules" help:"What must hold, or the exit code is 3: delivery.ratio==1, latency.p99<50ms, connect.errors<0.1%; repeatable." placeholder:"RULE" sep:"none"`
}

// output shows a run and writes its result.
type output struct {
	*outputFlags
	e     *environment
	rules []*result.Rule
	file  *os.File
}

// open checks what can be checked before the test: files can be written, rules be read.
func (o *outputFlags) open(e *environment) (*output, error) {
	out := &output{outputFlags: o, e: e}
	for _, text := range o.Threshold {
		rule, err := result.ParseRule(text)
		if err != nil {
			return nil, fmt.Errorf("--threshold: %w", err)
		}
		out.rules = append(out.rules, rule)
	}
	if o.Out != "" {
		f, err := os.Create(o.Out)
		if err != nil {
			return nil, fmt.Errorf("--out: %w", err)
		}
		out.file = f
	}
	return out, nil
}

// snapshot shows the state of a second.
func (o *output) snapshot(s live.Snapshot) {
	if o.Live == "off" {
		return
	}
	text := fmt.Sprintf("%4.0fs  %-9s %d/%d clients", s.Elapsed.Seconds(), s.Phase, s.Connected, s.Wanted)
	if s.SentRate > 0 {
		text += fmt.Sprintf("  sent %.0f/s", s.SentRate)
	}
	if s.DeliveredRate > 0 {
		text += fmt.Sprintf("  delivered %.0f/s", s.DeliveredRate)
	}
	if s.AnsweredRate > 0 {
		text += fmt.Sprintf("  answered %.0f/s", s.AnsweredRate)
	}
	if n := len(s.History); n > 0 {
		text += fmt.Sprintf("  p99 %v", s.History[n-1].P99.Round(10*time.Microsecond))
	}
	_, _ = fmt.Fprintln(o.e.stderr, text)
}

// done writes the result of a test, which may have ended with an error, and returns what
// decides about the exit code.
func (o *output) done(doc *result.Document, err error) error {
	if doc != nil {
		if werr := o.write(doc); err == nil {
			err = werr
		}
	}
	switch {
	case err != nil:
		return err
	case doc.Interrupted:
		return &exit{code: exitInterrupted}
	case len(doc.Invalid) > 0:
		return &exit{code: exitInvalid}
	}
	if len(doc.Failed()) > 0 {
		return &exit{code: exitThreshold}
	}
	return nil
}

func (o *output) write(doc *result.Document) error {
	doc.Judge()
	for _, rule := range o.rules {
		doc.Thresholds = append(doc.Thresholds, rule.Check(doc))
	}
	summary(o, doc)
	if o.file == nil {
		return nil
	}
	enc := json.NewEncoder(o.file)
	enc.SetIndent("", " ")
	err := enc.Encode(doc)
	if cerr := o.file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// summary is the result in short.
func summary(o *output, d *result.Document) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(o.e.stdout, format+"\n", args...) }
	c, m := &d.Connections, &d.Messages
	p("%s  %.1f s measured, %.1f s in all", d.Scenario, d.Measured, d.Elapsed)
	p("connections  %d connected, %d at most at a time, %d failed, %d lost, %d restored", c.Connected, c.Peak, c.Failed, c.Disconnected, c.Reconnected)
	if m.Sent > 0 {
		p("messages     %d sent, %.0f/s, %d turns missed", m.Sent, float64(m.Sent)/d.Measured, m.Skipped)
	}
	if m.Expected > 0 {
		p("deliveries   %d of %d, %.0f/s: lost %d, excused %d, doubled %d, out of order %d, unexpected %d",
			m.Delivered, m.Expected, float64(m.Delivered)/d.Measured, m.Lost, m.Excused, m.Duplicated, m.OutOfOrder, m.Unexpected)
	}
	if m.Answered+m.Unanswered > 0 {
		p("answers      %d, %d missing", m.Answered, m.Unanswered)
	}
	for _, name := range []string{result.Connect, result.Handshake, result.Upgrade, result.Join, result.Reconnect, result.Echo, result.Delivery, result.SameNode, result.CrossNode, result.DeliverySent, result.ScheduleLag} {
		if l, ok := d.Latencies[name]; ok {
			p("%-12s ms  p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f  (%d)", name, ms(l.P50), ms(l.P90), ms(l.P99), ms(l.P999), ms(l.Max), l.Count)
		}
	}
	for kind, n := range d.Errors {
		p("error        %s: %d", kind, n)
	}
	for _, t := range d.Thresholds {
		p("%-12s %s", map[bool]string{true: "holds", false: "DOES NOT HOLD"}[t.OK], t.Show())
	}
	if d.Interrupted {
		p("interrupted")
	}
	if len(d.Invalid) > 0 {
		p("NOT VALID    %s", strings.Join(d.Invalid, "; "))
	}
}

func ms(us int64) float64 { return float64(us) / 1000 }
