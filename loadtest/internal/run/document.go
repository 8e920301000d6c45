package run

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fanwire/fanwire/internal/buildinfo"
	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// named gives histograms the names of package result.
func (r *runner) named(l *ledger.Latencies, set *meter.Set) map[string]*meter.Histogram {
	return map[string]*meter.Histogram{
		result.Delivery: sumOf(l), result.SameNode: &l.Same, result.CrossNode: &l.Cross, result.DeliverySent: &l.Sent,
		result.Echo: &set[meter.Echo], result.EchoSent: &set[meter.EchoSent],
		result.Connect: &set[meter.Connect], result.Handshake: &set[meter.Handshake], result.Upgrade: &set[meter.Upgrade],
		result.Reconnect: &set[meter.Reconnect], result.Join: &set[meter.Join], result.ScheduleLag: &set[meter.ScheduleLag],
	}
}

func (r *runner) latencies(l *ledger.Latencies, set *meter.Set) map[string]result.Latency {
	all := make(map[string]result.Latency)
	for name, h := range r.named(l, set) {
		if h.Count() > 0 {
			all[name] = result.NewLatency(h.HDR())
		}
	}
	return all
}

// document closes all books and writes down what happened.
func (r *runner) document(ctx context.Context) *result.Document {
	info := buildinfo.Read()
	f := r.fleet
	kinds, _ := f.Errors()
	doc := &result.Document{
		Format: result.Format, Tool: result.Tool{Version: info.Version, Revision: info.Revision, Go: info.Go},
		CommandLine: r.command, Started: r.epoch.UTC(), Elapsed: time.Since(r.epoch).Seconds(), Seed: r.plan.Seed,
		Scenario: r.plan.Name, Plan: r.plan.Redacted(), Errors: kinds, Interrupted: interrupted(ctx),
		Connections: result.Connections{
			Asked: int64(r.plan.Peak()), Peak: f.Peak.Load(), Attempts: f.Attempts.Load(), Connected: f.Connected.Load(), Failed: f.Failed.Load(),
			Disconnected: f.Disconnected.Load(), Reconnected: f.Reconnected.Load(), Recovered: f.Recovered.Load(),
			ByNode: r.byNode, ByTransport: r.byWay,
		},
		Series: r.series.seconds,
	}
	for i, n := range f.Targets() {
		doc.Targets = append(doc.Targets, result.Target{URL: plan.RedactURL(r.plan.URLs[i]), Connections: n})
	}
	var lat ledger.Latencies
	var set meter.Set
	for _, st := range r.begun() {
		r.addStage(doc, st, &lat, &set)
	}
	if n := r.ledger.Strays(); n > 0 {
		doc.Messages.Unexpected += n
	}
	if n := r.ledger.Late(); n > 0 {
		doc.Errors["arrived after the timeout, counted as lost or twice"] = n
	}
	doc.Latencies = r.latencies(&lat, &set)
	doc.Generators = []result.Generator{r.watch.generator(doc.Messages.Delivered + doc.Messages.Answered)}
	if ctx.Err() == nil {
		doc.Invalid = undone(doc)
	}
	return doc
}

// addStage closes a stage's book and adds the stage to the document.
func (r *runner) addStage(doc *result.Document, st *stage, lat *ledger.Latencies, set *meter.Set) {
	b, ls := st.book.Close()
	st.closed.Store(true)
	var own meter.Set
	st.board.AddTo(&own)
	for k := range own {
		if st.measured || meter.Kind(k) <= meter.Join {
			set[k].Add(&own[k])
		}
	}
	if !st.measured {
		return
	}
	lat.Same.Add(&ls.Same)
	lat.Cross.Add(&ls.Cross)
	lat.Unknown.Add(&ls.Unknown)
	lat.Sent.Add(&ls.Sent)
	m := result.Messages{
		Sent: b.Sent + st.sent.Load(), SentBytes: st.sentBytes.Load(),
		Answered: st.answered.Load(), Unanswered: st.sent.Load() - st.answered.Load(),
		Expected: b.Expected, Delivered: b.Delivered, Lost: b.Lost, Excused: b.Excused,
		Duplicated: b.Duplicated, OutOfOrder: b.OutOfOrder, Unexpected: b.Unexpected, Bytes: b.Bytes, Skipped: st.skipped.Load(),
	}
	doc.Messages.Add(&m)
	span := time.Duration(st.ended.Load()).Seconds()
	doc.Measured += span
	doc.Stages = append(doc.Stages, result.Stage{
		Name: st.plan.Name, Kind: st.plan.Kind(), Start: st.begin.Sub(r.epoch).Seconds(), Seconds: span,
		Messages: m, Latencies: r.latencies(ls, &own),
	})
}

// undone says what the run could not do although it was asked to.
func undone(doc *result.Document) (reasons []string) {
	for _, s := range doc.Stages {
		switch {
		case (strings.Contains(s.Kind, "echo") || strings.Contains(s.Kind, "fanout")) && s.Messages.Sent == 0:
			reasons = append(reasons, fmt.Sprintf("stage %s: no message was sent", s.Name))
		case strings.Contains(s.Kind, "echo") && s.Messages.Answered == 0 && s.Kind == "echo":
			reasons = append(reasons, fmt.Sprintf("stage %s: no echo was answered", s.Name))
		case s.Kind == "fanout" && s.Messages.Expected == 0:
			reasons = append(reasons, fmt.Sprintf("stage %s: nobody was there to get one", s.Name))
		}
	}
	return reasons
}

// title is the first line of the live view.
func (r *runner) title() string {
	p := r.plan
	parts := []string{fmt.Sprintf("%s  %s clients", p.Name, grouped(p.Peak()))}
	if p.UsesRooms() && p.Rooms == 0 {
		parts = append(parts, "to everybody")
	} else if p.UsesRooms() {
		per := int(p.PerRoom)
		if per == 0 {
			per = (p.Peak() + int(p.Rooms) - 1) / int(p.Rooms)
		}
		parts = append(parts, fmt.Sprintf("%s rooms x %s", grouped(int(p.Rooms)), grouped(per)))
	}
	if s := p.Stages[0]; s.Fanout != nil {
		parts = append(parts, traffic(s.Fanout, "msg/s"))
	} else if s.Echo != nil {
		parts = append(parts, traffic(s.Echo, "echo/s"))
	}
	parts = append(parts, p.Transport.String())
	return strings.Join(parts, " · ")
}

func traffic(t *plan.Traffic, unit string) string {
	if t.InFlight > 0 {
		return fmt.Sprintf("%d in flight each", t.InFlight)
	}
	return grouped(int(t.Rate)) + " " + unit
}

// grouped writes a number with commas.
func grouped(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
