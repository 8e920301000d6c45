// Package report shows results of load tests: as text, Markdown, CSV, a log of
// HdrHistogram, and a page of HTML that needs nothing else.
package report

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/fanwire/fanwire/loadtest/internal/result"
)

// maxFile bounds a result that is read.
const maxFile = 512 << 20

// Read reads a result from a file.
func Read(name string) (*result.Document, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d := new(result.Document)
	if err := json.NewDecoder(io.LimitReader(f, maxFile)).Decode(d); err != nil {
		return nil, fmt.Errorf("%s: it is no result of a load test: %w", name, err)
	}
	switch {
	case d.Format == 0:
		return nil, fmt.Errorf("%s: it is no result of a load test", name)
	case d.Format != result.Format:
		return nil, fmt.Errorf("%s: it has the format %d, and this program knows %d", name, d.Format, result.Format)
	}
	return d, nil
}

// Format is a form of a report.
type Format string

// The forms.
const (
	AsText     Format = "text"
	AsMarkdown Format = "markdown"
	AsHTML     Format = "html"
	AsCSV      Format = "csv"
	AsHDR      Format = "hdr"
	AsJSON     Format = "json"
)

// Write writes a result in a form.
func Write(w io.Writer, d *result.Document, f Format) error {
	switch f {
	case AsText:
		return Text(w, d)
	case AsMarkdown:
		return Markdown(w, d)
	case AsHTML:
		return HTML(w, d)
	case AsCSV:
		return CSV(w, d)
	case AsHDR:
		return HDR(w, d)
	case AsJSON:
		enc := json.NewEncoder(w)
		enc.SetIndent("", " ")
		return enc.Encode(d)
	}
	return fmt.Errorf("there is no form %q", string(f))
}

var columns = []string{"at", "phase", "connected", "sent", "delivered", "answered", "duplicated", "outOfOrder", "errors", "p50us", "p99us", "maxus", "cpu"}

// CSV writes one row for each second of the run. Latencies are in microseconds.
func CSV(w io.Writer, d *result.Document) error {
	c := csv.NewWriter(w)
	_ = c.Write(columns) // Error tells
	n := func(v int64) string { return strconv.FormatInt(v, 10) }
	for _, s := range d.Series {
		_ = c.Write([]string{
			strconv.FormatFloat(s.At, 'f', 3, 64), s.Phase, n(s.Connected), n(s.Sent), n(s.Delivered), n(s.Answered), n(s.Duplicated),
			n(s.OutOfOrder), n(s.Errors), n(s.P50), n(s.P99), n(s.Max), strconv.FormatFloat(s.CPU, 'f', 3, 64),
		})
	}
	c.Flush()
	return c.Error()
}

// HDR writes the distributions in the log format of HdrHistogram, each under its name as
// tag. Values are in microseconds, the highest of each is shown in seconds.
func HDR(w io.Writer, d *result.Document) error {
	log := hdrhistogram.NewHistogramLogWriter(w)
	start := d.Started.UnixMilli()
	err := errors.Join(
		log.OutputComment("[Fanwire loadtest "+line(d.Scenario)+"; values are microseconds]"),
		log.OutputLogFormatVersion(), log.OutputBaseTime(0), log.OutputStartTime(start), log.OutputLegend())
	for _, name := range result.LatencyNames {
		l, ok := d.Latencies[name]
		if !ok || l.Count == 0 {
			continue
		}
		h, derr := l.Distribution()
		if derr != nil {
			return fmt.Errorf("%s: %w", name, derr)
		}
		h.SetTag(name)
		h.SetStartTimeMs(start)
		h.SetEndTimeMs(start + int64(d.Elapsed*1000))
		err = errors.Join(err, log.OutputIntervalHistogram(h))
	}
	return err
}

// line makes one line of a text from elsewhere.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

func ms(us float64) string { return strconv.FormatFloat(us/1000, 'f', 2, 64) }

// number writes 10,000.
func number(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func span(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// verdict says in a line whether the result holds.
func verdict(d *result.Document) string {
	switch failed := len(d.Failed()); {
	case d.Aborted != "":
		return "ended early: a threshold was broken"
	case len(d.Invalid) > 0:
		return "not valid"
	case d.Interrupted:
		return "interrupted"
	case failed > 0:
		return fmt.Sprintf("%d of %d thresholds failed", failed, len(d.Thresholds))
	case len(d.Thresholds) > 0:
		return "passed"
	}
	return "valid"
}
