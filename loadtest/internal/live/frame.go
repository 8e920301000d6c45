package live

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// Columns of a frame.
const (
	valueColumn = 15
	rateColumn  = 33
	sideColumn  = 49
)

// frame is the whole view.
func frame(s *Snapshot, width int) []*row {
	rows := []*row{title(s, width), connections(s, width)}
	if s.Sent > 0 || s.SentRate > 0 {
		rows = append(rows, published(s))
	}
	if s.Expected > 0 || s.Delivered > 0 {
		rows = append(rows, delivered(s))
	}
	if s.Answered > 0 || s.AnsweredRate > 0 {
		rows = append(rows, newRow("answered").add(plain, "%s", number(s.Answered)).pad(rateColumn).add(plain, "%s/s", number(s.AnsweredRate)))
	}
	rows = append(rows, latencies(s)...)
	if len(s.History) > 0 {
		rows = append(rows, history(s, width))
	}
	rows = append(rows, generator(s))
	for _, reason := range s.Invalid {
		rows = append(rows, newRow("not valid").add(bad, "%s", reason))
	}
	if len(s.Thresholds) > 0 {
		rows = append(rows, thresholds(s))
	}
	return rows
}

// newRow begins a row with its name.
func newRow(name string) *row {
	r := new(row)
	return r.add(dim, " %s", name).pad(valueColumn)
}

func title(s *Snapshot, width int) *row {
	r := new(row).add(bold, "loadtest %s", s.Scenario)
	right := clock(s.Elapsed)
	if s.Total > 0 {
		right += " / " + clock(s.Total)
	}
	if s.Phase != "" {
		right = s.Phase + "  " + right
	}
	if room := width - len([]rune(right)); r.width()+2 > room && room > 2 { // the clock is always there
		cut := []rune(r.pieces[0].text)[:max(room-3, 0)]
		r = new(row).add(bold, "%s…", string(cut))
	}
	return r.pad(width-len([]rune(right))).add(plain, "%s", right)
}

func connections(s *Snapshot, width int) *row {
	tail := new(row).add(plain, "reconnects %s  ", number(s.Reconnects))
	tail.add(badIf(s.Errors > 0), "errors %s", number(s.Errors))
	r := newRow("connections").add(plain, "%s / %s", number(s.Connected), number(s.Wanted)).pad(rateColumn)
	nodes := slices.Sorted(maps.Keys(s.ByNode))
	for i, name := range nodes {
		text := name + " " + number(s.ByNode[name]) + "   "
		if r.width()+len([]rune(text))+len("+999 nodes   ")+tail.width() > width && i < len(nodes)-1 {
			r.add(dim, "+%d nodes   ", len(nodes)-i)
			break
		}
		r.add(plain, "%s", text)
	}
	r.pieces = append(r.pieces, tail.pieces...)
	return r
}

func badIf(is bool) style {
	if is {
		return bad
	}
	return plain
}

func published(s *Snapshot) *row {
	r := newRow("published").add(plain, "%s", number(s.Sent)).pad(rateColumn).add(plain, "%s/s", number(s.SentRate)).pad(sideColumn)
	return r.add(plain, "worst lateness %s ms", ms(s.Lateness))
}

func delivered(s *Snapshot) *row {
	r := newRow("delivered").add(plain, "%s", number(s.Delivered)).pad(rateColumn).add(plain, "%s/s", number(s.DeliveredRate)).pad(sideColumn)
	if s.Expected > 0 {
		// What is under way is not lost yet.
		ratio := 100 * float64(s.Expected-s.Lost) / float64(s.Expected)
		r.add(badIf(s.Lost > 0), "ratio %s%%", percent(ratio))
	}
	r.add(badIf(s.Lost > 0), "   lost %s", number(s.Lost))
	r.add(badIf(s.Duplicated > 0), "   duplicated %s", number(s.Duplicated))
	return r.add(badIf(s.OutOfOrder > 0), "   out of order %s", number(s.OutOfOrder))
}

// latencies shows the main latency on one line, with the way over nodes beside it, and
// the others below.
func latencies(s *Snapshot) (rows []*row) {
	names := []struct{ key, label string }{
		{result.Delivery, "latency ms"},
		{result.Echo, "echo ms"},
		{result.Reconnect, "reconnect ms"},
		{result.Join, "join ms"},
		{result.Connect, "connect ms"},
	}
	for _, n := range names {
		q, ok := s.Latencies[n.key]
		if !ok || q.Max == 0 {
			continue
		}
		r := newRow(n.label).add(plain, "p50 %s   p90 %s   p99 %s   p99.9 %s   max %s", ms(q.P50), ms(q.P90), ms(q.P99), ms(q.P999), ms(q.Max))
		if n.key == result.Delivery {
			if c := s.Latencies[result.CrossNode]; c.Max > 0 {
				r.add(dim, "     cross-node p99 ").add(plain, "%s", ms(c.P99))
			}
			if c := s.Latencies[result.SameNode]; c.Max > 0 {
				r.add(dim, "   same-node p99 ").add(plain, "%s", ms(c.P99))
			}
		}
		rows = append(rows, r)
	}
	return rows
}

func history(s *Snapshot, width int) *row {
	past := s.History
	if room := max((width-valueColumn-22)/2, 8); len(past) > room {
		past = past[len(past)-room:]
	}
	var p99, rate []float64
	for _, p := range past {
		p99, rate = append(p99, float64(p.P99)), append(rate, p.Delivered)
	}
	return newRow("last "+number(len(past))+" s").add(plain, "p99 %s    per second %s", spark(p99), spark(rate))
}

func generator(s *Snapshot) *row {
	r := newRow("generator").add(plain, "cpu %.2f of %d cores   timer lag p99 %s ms   gc pause max %s ms   ", s.CPU, s.Cores, ms(s.LagP99), ms(s.GCPauseMax))
	if len(s.Invalid) > 0 {
		return r.add(bad, "the bottleneck")
	}
	return r.add(good, "healthy")
}

func thresholds(s *Snapshot) *row {
	r := newRow("thresholds")
	for _, t := range s.Thresholds {
		if t.OK {
			r.add(good, "ok ").add(plain, "%s    ", t.Expression)
		} else {
			r.add(bad, "FAILED ").add(plain, "%s    ", t.Expression)
		}
	}
	return r
}

// oneLine is what logs get.
func oneLine(s *Snapshot) string {
	parts := []string{clock(s.Elapsed)}
	if s.Total > 0 {
		parts[0] += "/" + clock(s.Total)
	}
	add := func(text ...string) { parts = append(parts, strings.Join(text, " ")) }
	add(s.Phase)
	add("connected", number(s.Connected)+"/"+number(s.Wanted))
	if s.Errors > 0 {
		add("errors", number(s.Errors))
	}
	if s.Reconnects > 0 {
		add("reconnects", number(s.Reconnects))
	}
	if s.Sent > 0 {
		add("sent", number(s.SentRate)+"/s")
	}
	if s.Expected > 0 {
		add("delivered", number(s.DeliveredRate)+"/s")
		add("lost", number(s.Lost))
		add("duplicated", number(s.Duplicated))
		add("out of order", number(s.OutOfOrder))
	}
	if s.Answered > 0 {
		add("answered", number(s.AnsweredRate)+"/s")
	}
	for _, name := range []string{result.Delivery, result.Echo, result.Reconnect, result.Join, result.Connect} {
		if q, ok := s.Latencies[name]; ok && q.Max > 0 {
			add(name, "p50", ms(q.P50), "p99", ms(q.P99), "max", ms(q.Max), "ms")
			break
		}
	}
	add("cpu", strconv.FormatFloat(s.CPU, 'f', 2, 64))
	for _, reason := range s.Invalid {
		add("NOT VALID:", reason)
	}
	for _, t := range s.Thresholds {
		if !t.OK {
			add("FAILED", t.Expression)
		}
	}
	return clean(strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "  "))
}
