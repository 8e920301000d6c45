package report

import (
	"bytes"
	_ "embed" // the page
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

//go:embed page.html
var pageSource string

var page = template.Must(template.New("page").Parse(pageSource))

// HTML writes a report as one page: it has no script and loads nothing.
func HTML(w io.Writer, d *result.Document) error {
	var plan bytes.Buffer
	if json.Indent(&plan, d.Plan, "", "  ") != nil {
		plan.Reset()
	}
	var b bytes.Buffer // so that nothing is written if anything is wrong
	err := page.Execute(&b, map[string]any{
		"D": d, "Verdict": verdict(d), "Good": len(d.Invalid) == 0 && !d.Interrupted && d.Aborted == "" && len(d.Failed()) == 0,
		"Tiles": tiles(d), "Plots": plots(d), "Tables": tables(d), "Plan": plan.String(),
		"Started": d.Started.UTC().Format("2006-01-02 15:04 UTC"),
	})
	if err != nil {
		return err
	}
	_, err = w.Write(b.Bytes())
	return err
}

// tile is a figure that everybody looks for first.
type tile struct {
	Name, Value, Note string
	Bad               bool
}

// excused is what stands behind the number of deliveries that were due.
func excused(n int64) string {
	if n == 0 {
		return ""
	}
	return ", " + number(float64(n)) + " excused"
}

func tiles(d *result.Document) []tile {
	var list []tile
	list = append(list, tile{Name: "connections", Value: number(float64(d.Connections.Peak)), Note: fmt.Sprintf("%s failed", number(float64(d.Connections.Failed))), Bad: d.Connections.Failed > 0})
	m := &d.Messages
	rate := func(n int64) string { return number(float64(n) / math.Max(d.Measured, 1e-9)) }
	if m.Expected > 0 {
		list = append(list,
			tile{Name: "deliveries per second", Value: rate(m.Delivered), Note: rate(m.Sent) + " messages sent"},
			tile{Name: "lost", Value: number(float64(m.Lost)), Note: "of " + number(float64(m.Expected-m.Excused)) + " deliveries" + excused(m.Excused), Bad: m.Lost > 0},
			tile{
				Name: "duplicated", Value: number(float64(m.Duplicated)), Note: number(float64(m.OutOfOrder)) + " out of order",
				Bad: m.Duplicated > 0 || m.OutOfOrder > 0,
			})
	}
	if m.Answered+m.Unanswered > 0 {
		list = append(list, tile{Name: "answers per second", Value: rate(m.Answered), Note: number(float64(m.Unanswered)) + " missing", Bad: m.Unanswered > 0})
	}
	if name := d.Main(); name != "" {
		l := d.Latencies[name]
		list = append(list,
			tile{Name: titles[name] + ", median", Value: showMS(float64(l.P50)), Note: "90 % within " + showMS(float64(l.P90))},
			tile{Name: titles[name] + ", p99", Value: showMS(float64(l.P99)), Note: "longest " + showMS(float64(l.Max))})
	}
	return list
}

func plots(d *result.Document) (list []*plot) {
	add := func(p *plot) {
		if p != nil {
			list = append(list, p)
		}
	}
	add(percentiles(d))
	add(timePlot(d, "Latency over time", "", showMS,
		series(d, "median", func(s *result.Second) float64 { return float64(s.P50) }),
		series(d, "p99", func(s *result.Second) float64 { return float64(s.P99) }),
		series(d, "max", func(s *result.Second) float64 { return float64(s.Max) })))
	add(timePlot(d, "Messages per second", "", showCount,
		series(d, "sent", func(s *result.Second) float64 { return float64(s.Sent) }),
		series(d, "delivered", func(s *result.Second) float64 { return float64(s.Delivered) }),
		series(d, "answered", func(s *result.Second) float64 { return float64(s.Answered) })))
	add(timePlot(d, "Connections", "", showCount, series(d, "connected", func(s *result.Second) float64 { return float64(s.Connected) })))
	add(timePlot(d, "What should not be, per second", "", showCount,
		series(d, "errors", func(s *result.Second) float64 { return float64(s.Errors) }),
		series(d, "duplicated", func(s *result.Second) float64 { return float64(s.Duplicated) }),
		series(d, "out of order", func(s *result.Second) float64 { return float64(s.OutOfOrder) })))
	add(timePlot(d, "Processor of the generators, cores", "", showCores, series(d, "cores", func(s *result.Second) float64 { return s.CPU })))
	for _, what := range []struct {
		title string
		show  func(float64) string
		of    func(a, b result.NodeSample) float64
	}{
		{"Processor of each node, cores", showCores, func(a, b result.NodeSample) float64 { return max((b.CPU-a.CPU)/(b.At-a.At), 0) }},
		{"Memory of each node, MB", showCount, func(_, b result.NodeSample) float64 { return b.Resident / 1e6 }},
		{"Connections of each node", showCount, func(_, b result.NodeSample) float64 { return b.Connections }},
		{"Deliveries of each node, per second", showCount, func(a, b result.NodeSample) float64 { return max((b.Deliveries-a.Deliveries)/(b.At-a.At), 0) }},
	} {
		add(timePlot(d, what.title, "", what.show, nodeCurves(d, what.of)...))
	}
	return list
}

func nodeCurves(d *result.Document, of func(a, b result.NodeSample) float64) (curves []curve) {
	for i := range d.Nodes {
		n := &d.Nodes[i]
		c := curve{name: nodeName(n)}
		for j := 1; j < len(n.Samples); j++ {
			if a, b := n.Samples[j-1], n.Samples[j]; b.At > a.At {
				c.points = append(c.points, point{b.At, of(a, b)})
			}
		}
		curves = append(curves, c)
	}
	return curves
}

func showCores(v float64) string { return fmt.Sprintf("%.2f", v) }
