package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// table is a part of a report: rows under a heading. The first column is text, the
// others are numbers.
type table struct {
	Title string
	Head  []string
	Rows  [][]string
}

// titles are what people call latencies.
var titles = map[string]string{
	result.Delivery: "delivery", result.SameNode: "on the same node", result.CrossNode: "across nodes", result.DeliverySent: "delivery, uncorrected",
	result.Echo: "echo", result.EchoSent: "echo, uncorrected", result.Connect: "connect", result.Handshake: "handshake", result.Upgrade: "upgrade",
	result.Reconnect: "reconnect", result.Join: "join or leave", result.ScheduleLag: "the generator's lateness",
}

// tables are all that a report tells in numbers.
func tables(d *result.Document) []table {
	list := []table{runTable(d), connectionTable(d)}
	if m := messageTable(d); len(m.Rows) > 0 {
		list = append(list, m)
	}
	list = append(list, latencyTable("Latency, ms", d.Latencies))
	if len(d.Stages) > 1 {
		list = append(list, stageTable(d))
	}
	if len(d.Thresholds) > 0 {
		t := table{Title: "Thresholds", Head: []string{"rule", "value", ""}}
		for _, one := range d.Thresholds {
			t.Rows = append(t.Rows, []string{one.Expression, one.Show(), map[bool]string{true: "ok", false: "FAILED"}[one.OK]})
		}
		list = append(list, t)
	}
	if len(d.Errors) > 0 {
		t := table{Title: "Errors", Head: []string{"error", "times"}}
		for _, name := range slices.Sorted(maps.Keys(d.Errors)) {
			t.Rows = append(t.Rows, []string{name, number(float64(d.Errors[name]))})
		}
		list = append(list, t)
	}
	if len(d.Nodes) > 0 {
		list = append(list, nodeTable(d))
	}
	return append(list, generatorTable(d))
}

func runTable(d *result.Document) table {
	t := table{Title: "Run", Head: []string{"", ""}}
	add := func(name, format string, args ...any) {
		t.Rows = append(t.Rows, []string{name, fmt.Sprintf(format, args...)})
	}
	add("scenario", "%s", d.Scenario)
	add("result", "%s", verdict(d))
	if d.Aborted != "" {
		add("ended early", "%s", d.Aborted)
	}
	for _, reason := range d.Invalid {
		add("not valid", "%s", reason)
	}
	add("started", "%s", d.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	add("measured", "%s of %s", span(d.Measured), span(d.Elapsed))
	for _, target := range d.Targets {
		add("target", "%s, %s connections", target.URL, number(float64(target.Connections)))
	}
	if len(d.CommandLine) > 0 {
		add("command", "%s", strings.Join(d.CommandLine, " "))
	}
	add("version", "%s", strings.TrimSpace(d.Tool.Version+" "+d.Tool.Revision+" "+d.Tool.Go))
	return t
}

func connectionTable(d *result.Document) table {
	t := table{Title: "Connections", Head: []string{"", "number"}}
	add := func(name string, n int64) { t.Rows = append(t.Rows, []string{name, number(float64(n))}) }
	c := &d.Connections
	add("asked for", c.Asked)
	add("most at a time", c.Peak)
	add("attempts", c.Attempts)
	add("connected", c.Connected)
	add("failed", c.Failed)
	add("ended without being asked", c.Disconnected)
	add("came back", c.Reconnected)
	if c.Recovered > 0 {
		add("of these recovered", c.Recovered)
	}
	for _, name := range slices.Sorted(maps.Keys(c.ByNode)) {
		add("on node "+name, c.ByNode[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.ByTransport)) {
		add("by "+name, c.ByTransport[name])
	}
	return t
}

func messageTable(d *result.Document) table {
	t := table{Title: "Messages", Head: []string{"", "number", "per second"}}
	m := &d.Messages
	add := func(name string, n int64, rate bool) {
		row := []string{name, number(float64(n)), ""}
		if rate && d.Measured > 0 {
			row[2] = number(float64(n) / d.Measured)
		}
		t.Rows = append(t.Rows, row)
	}
	if m.Sent > 0 || m.Skipped > 0 {
		add("sent", m.Sent, true)
		if m.Skipped > 0 {
			add("of the schedule, not sent", m.Skipped, false)
		}
	}
	if m.Answered+m.Unanswered > 0 {
		add("answered", m.Answered, true)
		add("not answered", m.Unanswered, false)
	}
	if m.Expected > 0 || m.Delivered > 0 {
		add("deliveries expected", m.Expected, true)
		add("delivered", m.Delivered, true)
		add("lost", m.Lost, false)
		add("excused", m.Excused, false)
		if due := m.Expected - m.Excused; due > 0 {
			t.Rows = append(t.Rows, []string{"delivered, without the excused", result.Share.Show(float64(m.Delivered) / float64(due)), ""})
		}
		add("duplicated", m.Duplicated, false)
		add("out of order", m.OutOfOrder, false)
		add("unexpected", m.Unexpected, false)
		add("bytes delivered", m.Bytes, true)
	}
	return t
}

func latencyTable(title string, all map[string]result.Latency) table {
	t := table{Title: title, Head: []string{"", "count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"}}
	for _, name := range result.LatencyNames {
		l := all[name]
		if l.Count == 0 {
			continue
		}
		row := []string{titles[name], number(float64(l.Count))}
		for _, v := range []float64{float64(l.Min), l.Mean, float64(l.P50), float64(l.P90), float64(l.P99), float64(l.P999), float64(l.Max)} {
			row = append(row, ms(v))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func stageTable(d *result.Document) table {
	t := table{Title: "Stages", Head: []string{"stage", "seconds", "sent", "delivered", "lost", "excused", "answered", "p50 ms", "p99 ms", "max ms"}}
	for i := range d.Stages {
		s := &d.Stages[i]
		l := s.Latencies[(&result.Document{Latencies: s.Latencies}).Main()]
		t.Rows = append(t.Rows, []string{
			s.Name, number(s.Seconds), number(float64(s.Messages.Sent)), number(float64(s.Messages.Delivered)), number(float64(s.Messages.Lost)), number(float64(s.Messages.Excused)),
			number(float64(s.Messages.Answered)), ms(float64(l.P50)), ms(float64(l.P99)), ms(float64(l.Max)),
		})
	}
	return t
}

func nodeTable(d *result.Document) table {
	t := table{Title: "Nodes", Head: []string{"node", "version", "most connections", "cores, mean", "most memory, MB", "dropped"}}
	for i := range d.Nodes {
		n := &d.Nodes[i]
		row := []string{nodeName(n), n.Version, "", "", "", ""}
		if len(n.Samples) > 0 {
			first, last := n.Samples[0], n.Samples[len(n.Samples)-1]
			connections, memory := 0.0, 0.0
			for _, s := range n.Samples {
				connections, memory = max(connections, s.Connections), max(memory, s.Resident)
			}
			row[2], row[4], row[5] = number(connections), number(memory/1e6), number(last.Dropped-first.Dropped)
			if last.At > first.At {
				row[3] = fmt.Sprintf("%.2f", (last.CPU-first.CPU)/(last.At-first.At))
			}
		}
		if n.Error != "" {
			row[1] = strings.TrimSpace(row[1] + " (" + n.Error + ")")
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func nodeName(n *result.Node) string {
	switch {
	case n.Name != "" && n.PID > 0:
		return fmt.Sprintf("%s (%d)", n.Name, n.PID)
	case n.Name != "":
		return n.Name
	case n.URL != "":
		return n.URL
	}
	return fmt.Sprintf("process %d", n.PID)
}

func generatorTable(d *result.Document) table {
	t := table{Title: "Generators", Head: []string{"generator", "cores", "used, mean", "used, most", "lag p99 ms", "lag max ms", "gc pause ms", "memory MB", "µs per delivery"}}
	for i, g := range d.Generators {
		name := g.Name
		if name == "" {
			name = fmt.Sprint(i + 1)
		}
		if g.Clock > 0 {
			name += fmt.Sprintf(" (clock within %s ms)", ms(g.Clock))
		}
		t.Rows = append(t.Rows, []string{
			name, fmt.Sprint(g.Cores), fmt.Sprintf("%.2f", g.CPU), fmt.Sprintf("%.2f", g.CPUMax), ms(float64(g.LagP99)), ms(float64(g.LagMax)),
			ms(float64(g.GCPauseMax)), number(float64(g.MemoryMax) / 1e6), fmt.Sprintf("%.2f", g.CPUPerDelivery),
		})
	}
	return t
}

// Text writes a report for a terminal.
func Text(w io.Writer, d *result.Document) error {
	var b strings.Builder
	for _, t := range tables(d) {
		b.WriteString(t.text())
	}
	_, err := io.WriteString(w, strings.TrimSuffix(b.String(), "\n"))
	return err
}

func (t *table) text() string {
	rows := t.Rows
	if strings.Join(t.Head, "") != "" {
		rows = append([][]string{append([]string{t.Title}, t.Head[1:]...)}, rows...)
	} else {
		rows = append([][]string{{t.Title}}, rows...)
	}
	widths := make([]int, len(t.Head))
	for _, row := range rows {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(line(c)))
		}
	}
	numeric := strings.Join(t.Head, "") != "" && t.Title != "Thresholds"
	var b strings.Builder
	for n, row := range rows {
		var out strings.Builder
		if n > 0 {
			out.WriteString("  ")
		}
		for i, c := range row {
			c = line(c)
			fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			switch {
			case i == 0 && n == 0:
				out.WriteString(c + fill + "    ")
			case i == 0 || !numeric:
				out.WriteString(c + fill + "  ")
			default:
				out.WriteString(fill + c + "  ")
			}
		}
		b.WriteString(strings.TrimRight(out.String(), " ") + "\n")
	}
	return b.String() + "\n"
}

// Markdown writes a report as Markdown tables.
func Markdown(w io.Writer, d *result.Document) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Load test: %s\n", cell(d.Scenario))
	for _, t := range tables(d) {
		fmt.Fprintf(&b, "\n## %s\n\n", t.Title)
		b.WriteString("| " + strings.Join(cells(t.Head), " | ") + " |\n|---|")
		for range t.Head[1:] {
			if t.Title == "Run" || t.Title == "Thresholds" {
				b.WriteString("---|")
			} else {
				b.WriteString("---:|")
			}
		}
		b.WriteString("\n")
		for _, row := range t.Rows {
			b.WriteString("| " + strings.Join(cells(row), " | ") + " |\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cells(row []string) []string {
	out := make([]string, len(row))
	for i, c := range row {
		out[i] = cell(c)
	}
	return out
}

// cell is a text in which Markdown and HTML mean nothing.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "_", `\_`, "<", "&lt;", "[", `\[`, "`", "\\`").Replace(line(text))
}

// Comparison writes what differs between two results.
func Comparison(w io.Writer, c *result.Comparison) error {
	t := table{Title: "Figure", Head: []string{"figure", "A", "B", "change", "noise", "verdict"}}
	for _, d := range c.Differences {
		row := []string{d.Name, d.Unit.Show(d.A), d.Unit.Show(d.B), fmt.Sprintf("%+.1f%%", 100*d.Change), fmt.Sprintf("±%.1f%%", 100*d.Noise), string(d.Verdict)}
		if d.A == 0 {
			row[3] = "new"
		}
		switch {
		case d.Noise != d.Noise: // not a number
			row[4] = "?"
		case d.Unit == result.Number:
			row[4] = ""
		}
		t.Rows = append(t.Rows, row)
	}
	text := strings.TrimSuffix(t.text(), "\n")
	for _, note := range c.Notes {
		text += "note: " + line(note) + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}
