//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// quiet is the share of the machine that others may use before the report
// warns.
const quiet = 0.15

// report collects the measurements and becomes the JSON document.
type report struct {
	Time    time.Time `json:"time"`
	Machine string    `json:"machine"`
	CPUs    int       `json:"cpus"`
	Command []string  `json:"command"`
	Quick   bool      `json:"quick"`
	Size    size      `json:"size"`
	Rows    []row     `json:"rows"`
	servers []server
}

type row struct {
	Name    string                   `json:"name"`
	Title   string                   `json:"title"`
	Unit    string                   `json:"unit"`
	Share   float64                  `json:"targetShare,omitempty"`
	Limit   float64                  `json:"targetLimit,omitempty"`
	Results map[string][]measurement `json:"results"` // by server
}

func newReport(o options) *report {
	return &report{
		Time: time.Now().UTC().Truncate(time.Second), Machine: cpuModel(), CPUs: runtime.NumCPU(),
		Command: os.Args[1:], Quick: o.quick, Size: o.size(), servers: o.chosen(),
	}
}

func (r *report) add(b bench, s server, m measurement) {
	i := slices.IndexFunc(r.Rows, func(row row) bool { return row.Name == b.name })
	if i < 0 {
		i = len(r.Rows)
		r.Rows = append(r.Rows, row{
			Name: b.name, Title: b.title, Unit: b.unit, Share: b.share, Limit: b.limit,
			Results: map[string][]measurement{},
		})
	}
	r.Rows[i].Results[s.name] = append(r.Rows[i].Results[s.name], m)
}

// summary is one cell: the runs of one server.
type summary struct{ median, low, high, busy, foreign float64 }

func summarize(all []measurement) (summary, bool) {
	var values, busy []float64
	var s summary
	for _, m := range all {
		if m.Error != "" {
			return s, false
		}
		values = append(values, m.Value)
		busy = append(busy, m.Busy)
		s.foreign = max(s.foreign, m.Foreign)
	}
	if len(values) == 0 {
		return s, false
	}
	s.median, s.low, s.high = median(values), slices.Min(values), slices.Max(values)
	s.busy = median(busy)
	return s, true
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// number has three significant digits at least, and no more than needed.
func number(f float64) string {
	switch {
	case f >= 1000:
		return fmt.Sprintf("%.0f", f)
	case f >= 100:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.2f", f)
	}
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s, %d CPUs, %s; medians (least to most); busy: CPUs used by the server", r.Machine, r.CPUs, r.Time.Format("2006-01-02 15:04"))
	if r.Quick {
		fmt.Fprint(w, "; quick: the figures mean little")
	}
	fmt.Fprint(w, "\n\n| | unit |")
	for _, s := range r.servers {
		fmt.Fprintf(w, " %s | busy |", s.name)
	}
	fmt.Fprintf(w, " of official | target | |\n|---|---|%s---|---|---|\n", strings.Repeat("---:|---:|", len(r.servers)))
	for _, row := range r.Rows {
		r.printRow(w, row)
	}
	fmt.Fprintln(w)
	r.printDetails(w)
}

func (r *report) printRow(w io.Writer, row row) {
	fmt.Fprintf(w, "| %s | %s |", row.Title, row.Unit)
	for _, s := range r.servers {
		c, ok := summarize(row.Results[s.name])
		switch {
		case ok:
			fmt.Fprintf(w, " %s (%s to %s) | %.2f |", number(c.median), number(c.low), number(c.high), c.busy)
		case len(row.Results[s.name]) > 0:
			fmt.Fprint(w, " **failed** | |")
		default:
			fmt.Fprint(w, " | |")
		}
	}
	share, target, verdict := row.verdict()
	fmt.Fprintf(w, " %s | %s | %s |\n", share, target, verdict)
}

// verdict compares fanwire with official and both with the target.
func (row row) verdict() (share, target, verdict string) {
	ours, have := summarize(row.Results["fanwire"])
	official, both := summarize(row.Results["official"])
	both = both && have
	if both && official.median > 0 {
		share = fmt.Sprintf("%.3f", ours.median/official.median)
		if ours.median > 0 {
			share += fmt.Sprintf(" (1/%.1f)", official.median/ours.median)
		}
	}
	met := true
	var targets []string
	if row.Share > 0 {
		targets = append(targets, fmt.Sprintf("at most %.3f", row.Share))
		have = both
		met = both && ours.median <= row.Share*official.median
	}
	if row.Limit > 0 {
		targets = append(targets, fmt.Sprintf("at most %s", number(row.Limit)))
		met = met && ours.median <= row.Limit
	}
	switch {
	case len(targets) == 0 || !have:
	case met:
		verdict = "met"
	default:
		verdict = "**missed**"
	}
	return share, strings.Join(targets, ", "), verdict
}

// printDetails lists what does not fit into the table.
func (r *report) printDetails(w io.Writer) {
	var foreign float64
	for _, row := range r.Rows {
		for _, s := range r.servers {
			values := map[string][]float64{}
			for _, m := range row.Results[s.name] {
				foreign = max(foreign, m.Foreign)
				for name, v := range m.Details {
					values[name] = append(values[name], v)
				}
			}
			var parts []string
			for name, v := range values {
				parts = append(parts, fmt.Sprintf("%s %s", name, number(median(v))))
			}
			slices.Sort(parts)
			if len(parts) > 0 {
				fmt.Fprintf(w, "- %s, %s: %s\n", row.Name, s.name, strings.Join(parts, ", "))
			}
		}
	}
	fmt.Fprintf(w, "- other processes used at most %.0f%% of the machine during a measured stretch; load at the end %s\n", 100*foreign, loadAverage())
	if foreign > quiet {
		fmt.Fprintln(w, "- **the machine was not quiet**: repeat before drawing conclusions from small differences")
	}
}

func (r *report) write(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// failure names the runs that did not complete: a message was lost, repeated
// or out of order, a connection closed, or a server did not start.
func (r *report) failure() error {
	var all []error
	for _, row := range r.Rows {
		for name, results := range row.Results {
			for i, m := range results {
				if m.Error != "" {
					all = append(all, fmt.Errorf("%s, %s, run %d: %s", row.Name, name, i+1, m.Error))
				}
			}
		}
	}
	return errors.Join(all...)
}
