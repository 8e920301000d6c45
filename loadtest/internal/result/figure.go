package result

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Unit is what a figure is measured in.
type Unit string

// The units.
const (
	Number Unit = "number"
	Share  Unit = "share" // 0 to 1
	Rate   Unit = "rate"  // per second
	Time   Unit = "time"  // in microseconds
	Cores  Unit = "cores" //
)

// Figure is one number of a document, by a name for thresholds.
type Figure struct {
	Name string
	Unit Unit
	Doc  string

	value func(d *Document) (float64, bool)
}

// Value returns the figure of a document; not ok if the run has none.
func (f *Figure) Value(d *Document) (v float64, ok bool) { return f.value(d) }

func count(f func(d *Document) int64) func(*Document) (float64, bool) {
	return func(d *Document) (float64, bool) { return float64(f(d)), true }
}

// share is part of whole, if there is a whole.
func share(part, whole int64) (float64, bool) {
	if whole <= 0 {
		return 0, false
	}
	return float64(part) / float64(whole), true
}

func perSecond(d *Document, n int64) (float64, bool) {
	if d.Measured <= 0 {
		return 0, false
	}
	return float64(n) / d.Measured, true
}

var figures = []Figure{
	{"delivery.ratio", Share, "deliveries that came, of those expected without the excused", func(d *Document) (float64, bool) {
		return share(d.Messages.Delivered, d.Messages.Expected-d.Messages.Excused)
	}},
	{"delivery.rate", Rate, "deliveries per second", func(d *Document) (float64, bool) { return perSecond(d, d.Messages.Delivered) }},
	{"delivery.lost", Number, "deliveries that did not come", count(func(d *Document) int64 { return d.Messages.Lost })},
	{"delivery.duplicated", Number, "second copies", count(func(d *Document) int64 { return d.Messages.Duplicated })},
	{"delivery.outOfOrder", Number, "deliveries that came after a later one", count(func(d *Document) int64 { return d.Messages.OutOfOrder })},
	{"delivery.unexpected", Number, "deliveries to who should not have had them", count(func(d *Document) int64 { return d.Messages.Unexpected })},
	{"delivery.excused", Number, "expected deliveries whose receiver was away", count(func(d *Document) int64 { return d.Messages.Excused })},
	{"sent.rate", Rate, "messages sent per second", func(d *Document) (float64, bool) { return perSecond(d, d.Messages.Sent) }},
	{"sent.skipped", Share, "messages of the schedule that were not sent", func(d *Document) (float64, bool) {
		return share(d.Messages.Skipped, d.Messages.Sent+d.Messages.Skipped)
	}},
	{"echo.ratio", Share, "messages that were acked, of those that asked for it", func(d *Document) (float64, bool) {
		return share(d.Messages.Answered, d.Messages.Answered+d.Messages.Unanswered)
	}},
	{"echo.rate", Rate, "acks per second", func(d *Document) (float64, bool) { return perSecond(d, d.Messages.Answered) }},
	{"connect.errors", Share, "attempts to connect that failed", func(d *Document) (float64, bool) {
		return share(d.Connections.Failed, d.Connections.Attempts)
	}},
	{"connect.failed", Number, "the same, counted", count(func(d *Document) int64 { return d.Connections.Failed })},
	{"connections.peak", Number, "most connections at a time", count(func(d *Document) int64 { return d.Connections.Peak })},
	{"connections.lost", Number, "connections that ended and should not have", count(func(d *Document) int64 { return d.Connections.Disconnected })},
	{"connections.reconnected", Number, "connections that came back", count(func(d *Document) int64 { return d.Connections.Reconnected })},
	{"connections.recovered", Share, "of these, with connection state recovery", func(d *Document) (float64, bool) {
		return share(d.Connections.Recovered, d.Connections.Reconnected)
	}},
	{"errors", Number, "errors of all kinds", count(func(d *Document) int64 {
		sum := int64(0)
		for _, n := range d.Errors {
			sum += n
		}
		return sum
	})},
	{"generator.cpu", Cores, "processor time of all generators, in cores", func(d *Document) (float64, bool) {
		sum := 0.0
		for _, g := range d.Generators {
			sum += g.CPU
		}
		return sum, len(d.Generators) > 0
	}},
	{"generator.lag", Time, "99th percentile of the lag of timers, of the worst generator", func(d *Document) (float64, bool) {
		worst := int64(0)
		for _, g := range d.Generators {
			worst = max(worst, g.LagP99)
		}
		return float64(worst), len(d.Generators) > 0
	}},
}

// LatencyNames are the latencies that a document may have, besides "latency", which is
// the one that the run is about.
var LatencyNames = []string{Delivery, SameNode, CrossNode, DeliverySent, Echo, EchoSent, Connect, Handshake, Upgrade, Reconnect, Join, ScheduleLag}

// FindFigure returns the figure with a name. Its error names one that is near.
func FindFigure(name string) (*Figure, error) {
	for i := range figures {
		if figures[i].Name == name {
			return &figures[i], nil
		}
	}
	kind, what, ok := strings.Cut(name, ".")
	if kind == "errors" && ok && what != "" {
		return &Figure{name, Number, "errors of this kind", count(func(d *Document) int64 { return d.Errors[what] })}, nil
	}
	if ok && (kind == "latency" || slices.Contains(LatencyNames, kind)) {
		if of := statistic(what); of != nil {
			return &Figure{name, Time, "", func(d *Document) (float64, bool) {
				key := kind
				if kind == "latency" {
					key = d.Main()
				}
				l := d.Latencies[key]
				if l.Count == 0 {
					return 0, false
				}
				return of(l)
			}}, nil
		}
		if !slices.ContainsFunc(figures, func(f Figure) bool { return strings.HasPrefix(f.Name, kind+".") }) {
			return nil, fmt.Errorf("%s has p50, p99 or any other percentile, min, mean and max, and no %q", kind, what)
		}
	}
	if near := nearest(name); near != "" {
		return nil, fmt.Errorf("there is no figure %q; did you mean %s?", name, near)
	}
	return nil, fmt.Errorf("there is no figure %q", name)
}

// statistic is what a name after the point says of a latency, nil if nothing.
func statistic(name string) func(Latency) (float64, bool) {
	switch name {
	case "min":
		return func(l Latency) (float64, bool) { return float64(l.Min), true }
	case "max":
		return func(l Latency) (float64, bool) { return float64(l.Max), true }
	case "mean":
		return func(l Latency) (float64, bool) { return l.Mean, true }
	}
	text, ok := strings.CutPrefix(name, "p")
	if !ok || text == "" || strings.Trim(text, "0123456789.") != "" {
		return nil
	}
	if strings.HasPrefix(text, "99") && len(text) > 2 && !strings.Contains(text, ".") { // p999 is p99.9
		text = text[:2] + "." + text[2:]
	}
	p, err := strconv.ParseFloat(text, 64)
	if err != nil || p <= 0 || p >= 100 {
		return nil
	}
	return func(l Latency) (float64, bool) {
		if l.Histogram == "" { // of a run that is not over
			v, ok := map[float64]int64{50: l.P50, 90: l.P90, 99: l.P99, 99.9: l.P999}[p]
			return float64(v), ok
		}
		h, err := l.Distribution()
		if err != nil {
			return 0, false
		}
		return float64(min(h.ValueAtPercentile(p), max(l.Max, 1))), true
	}
}

// nearest is the name of a figure that differs little.
func nearest(name string) string {
	best, least := "", 4
	names := []string{"latency.p99"}
	for _, f := range figures {
		names = append(names, f.Name)
	}
	for _, n := range LatencyNames {
		names = append(names, n+".p99")
	}
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance counts the letters to change, insert or delete.
func distance(a, b string) int {
	if len(a) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := min(row[j], row[j+1]) + 1
			if a[i] == b[j] {
				next = min(next, diagonal)
			} else {
				next = min(next, diagonal+1)
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// FigureTable is the reference of figures, in Markdown.
func FigureTable() string {
	var b strings.Builder
	b.WriteString("| figure | unit | |\n|---|---|---|\n")
	for _, f := range figures {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, f.Unit, f.Doc)
	}
	b.WriteString("| `errors.KIND` | number | errors of one kind, as the report names them |\n")
	b.WriteString("| `latency.p50`, `.p99`, `.p99.9`, any percentile, `.min`, `.mean`, `.max` | time | of what the run is about: delivery, echo, reconnect, join or connect |\n")
	quoted := make([]string, len(LatencyNames))
	for i, n := range LatencyNames {
		quoted[i] = "`" + n + ".p99`"
	}
	fmt.Fprintf(&b, "| %s and so on | time | the same of one latency |\n", strings.Join(quoted, ", "))
	return b.String()
}
