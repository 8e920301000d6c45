package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/live"
	"github.com/fanwire/fanwire/loadtest/internal/remote"
	"github.com/fanwire/fanwire/loadtest/internal/report"
	"github.com/fanwire/fanwire/loadtest/internal/result"
	"github.com/fanwire/fanwire/loadtest/internal/watch"
)

// outputFlags say what becomes of the result.
type outputFlags struct {
	Live      string   `group:"Output" help:"What is shown while it runs: auto (tui in a terminal), tui, plain or off." default:"auto" enum:"auto,tui,plain,off"`
	Out       string   `group:"Output" help:"Write the result to this file, as JSON." placeholder:"FILE" type:"path"`
	CSV       string   `name:"csv" group:"Output" help:"Write one row for each second to this file." placeholder:"FILE" type:"path"`
	HDR       string   `name:"hdr" group:"Output" help:"Write the distributions to this file, as a log of HdrHistogram." placeholder:"FILE" type:"path"`
	HTML      string   `name:"html" group:"Output" help:"Write a report with plots to this file." placeholder:"FILE" type:"path"`
	Threshold []string `group:"Rules" help:"What must hold, or the exit code is 3: delivery.ratio==1, latency.p99<50ms, connect.errors<0.1%; repeatable." placeholder:"RULE" sep:"none"`
	Abort     bool     `group:"Rules" help:"End the test as soon as a threshold is broken for good, with exit code 3."`
	Scrape    []string `group:"Nodes" help:"Metrics of a node, looked at once a second: http://node1:3001/metrics; repeatable." placeholder:"URL" sep:"none"`
	PID       []int    `name:"pid" group:"Nodes" help:"Process of a server on this machine, looked at once a second. Without it, those that listen at a --url of this machine." placeholder:"PID"`
}

// output shows a run and writes its result.
type output struct {
	*outputFlags
	e     *environment
	rules []*result.Rule
	view  *live.View
	files map[report.Format]*os.File
	nodes *watch.Nodes // nil until the run begins

	// Of --abort, for the goroutine that shows snapshots and, after it, who writes the result.
	end     context.CancelCauseFunc // ends the run
	alone   bool                    // one generator: its percentiles are those of the test
	phase   string                  // of the last snapshot
	aborted string                  // why
	broken  string                  // the rule
}

// open checks what can be checked before the test: files can be written, rules be read.
func (o *outputFlags) open(e *environment) (*output, error) {
	out := &output{outputFlags: o, e: e, files: make(map[report.Format]*os.File)}
	for _, text := range o.Threshold {
		rule, err := result.ParseRule(text)
		if err != nil {
			return nil, fmt.Errorf("--threshold: %w", err)
		}
		out.rules = append(out.rules, rule)
	}
	if o.Abort && len(o.Threshold) == 0 {
		return nil, errors.New("--abort: there is no --threshold that could end the test")
	}
	for _, f := range []struct {
		flag, path string
		format     report.Format
	}{{"out", o.Out, report.AsJSON}, {"csv", o.CSV, report.AsCSV}, {"hdr", o.HDR, report.AsHDR}, {"html", o.HTML, report.AsHTML}} {
		if f.path == "" {
			continue
		}
		file, err := os.Create(f.path)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", f.flag, err)
		}
		out.files[f.format] = file
	}
	if file, ok := e.stderr.(*os.File); ok {
		var err error
		if out.view, err = live.New(file, live.Mode(o.Live)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// watchNodes begins to look at the servers.
func (o *output) watchNodes(urls []string) (err error) {
	pids := o.PID
	if len(pids) == 0 && len(o.Scrape) == 0 {
		pids = watch.LocalPIDs(urls)
	}
	o.nodes, err = watch.WatchNodes(time.Now(), o.Scrape, pids)
	return err
}

// snapshot shows the state of a second.
func (o *output) snapshot(s live.Snapshot) {
	if o.view != nil {
		s.Thresholds = o.soFar(&s)
		o.view.Show(s)
	}
	o.check(&s)
}

// check ends the run if --abort wants it. In the cooldown it is over anyway.
func (o *output) check(s *live.Snapshot) {
	over := o.alone && s.Phase != o.phase && o.phase != "" && o.phase != "ramp" && o.phase != "warmup"
	o.phase = s.Phase
	if !o.Abort || o.aborted != "" || s.Phase == "cooldown" {
		return
	}
	d := certain(s)
	for _, rule := range o.rules {
		if t, broken := rule.Broken(d, over); broken {
			o.broken, o.aborted = t.Expression, fmt.Sprintf("%s: %s after %v", t.Expression, t.Show(), s.Elapsed.Round(100*time.Millisecond))
			o.end(remote.ErrAborted)
			return
		}
	}
}

// certain has the figures of a run that is not over that the rest cannot take back.
func certain(s *live.Snapshot) *result.Document {
	c := &s.Certain
	return &result.Document{
		Connections: result.Connections{Attempts: c.Attempts, Failed: c.Failed, Disconnected: c.Disconnected, Reconnected: c.Reconnected},
		Messages: result.Messages{
			Sent: c.Sent, Skipped: c.Skipped, Answered: c.Answered, Unanswered: c.Unanswered,
			Expected: c.Delivered + c.Lost, Delivered: c.Delivered, Lost: c.Lost,
			Duplicated: c.Duplicated, OutOfOrder: c.OutOfOrder, Unexpected: c.Unexpected,
		},
		Errors: c.Kinds, Latencies: latencies(s),
	}
}

// latencies are those of a run that is not over.
func latencies(s *live.Snapshot) map[string]result.Latency {
	all := make(map[string]result.Latency, len(s.Latencies))
	for name, q := range s.Latencies {
		all[name] = result.Latency{
			Count: 1, P50: q.P50.Microseconds(), P90: q.P90.Microseconds(), P99: q.P99.Microseconds(), P999: q.P999.Microseconds(), Max: q.Max.Microseconds(),
		}
	}
	return all
}

// soFar holds the rules against a run that is not over, as far as its figures are known.
// What is under way is not lost yet.
func (o *output) soFar(s *live.Snapshot) (list []live.Rule) {
	d := &result.Document{Latencies: latencies(s)}
	d.Messages = result.Messages{
		Expected: s.Expected, Delivered: s.Expected - s.Lost, Lost: s.Lost, Duplicated: s.Duplicated, OutOfOrder: s.OutOfOrder,
	}
	for i, rule := range o.rules {
		name := o.Threshold[i]
		known := strings.HasPrefix(name, "delivery.ratio") || strings.HasPrefix(name, "delivery.lost") || strings.HasPrefix(name, "delivery.duplicated") ||
			strings.HasPrefix(name, "delivery.outOfOrder") || strings.Contains(name, ".p") || strings.Contains(name, ".max")
		if t := rule.Check(d); known && !t.Missing {
			list = append(list, live.Rule{Expression: t.Expression, OK: t.OK})
		}
	}
	return list
}

// done writes the result of a test, which may have ended with an error, and returns what
// decides about the exit code.
func (o *output) done(doc *result.Document, err error) error {
	if o.view != nil {
		o.view.Close()
	}
	if o.nodes != nil {
		if nodes := o.nodes.Stop(); doc != nil {
			doc.Nodes = nodes
		}
	}
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
	case doc.Aborted != "":
		return &exit{code: exitThreshold}
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
		t := rule.Check(doc)
		if t.Expression == o.broken { // what has come after its time does not mend it
			t.OK = false
		}
		doc.Thresholds = append(doc.Thresholds, t)
	}
	if !doc.Interrupted {
		doc.Aborted = o.aborted
	}
	summary(o, doc)
	var errs []error
	for format, file := range o.files {
		if err := errors.Join(report.Write(file, doc, format), file.Close()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file.Name(), err))
		}
	}
	return errors.Join(errs...)
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
		p("%-12s %s", map[bool]string{true: "holds", false: "FAILED"}[t.OK], t.Expression+": "+t.Show())
	}
	if d.Interrupted {
		p("interrupted")
	}
	if d.Aborted != "" {
		p("ENDED EARLY  %s", d.Aborted)
	}
	if len(d.Invalid) > 0 {
		p("NOT VALID    %s", strings.Join(d.Invalid, "; "))
	}
}

func ms(us int64) float64 { return float64(us) / 1000 }
