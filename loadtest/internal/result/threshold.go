package result

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Rule is a threshold that was read: a figure, a comparison and a value, as in
// latency.p99<50ms.
type Rule struct {
	Expression string
	figure     *Figure
	sign       string
	compare    func(a, b float64) bool
	value      float64
}

var comparisons = []struct {
	sign string
	ok   func(a, b float64) bool
}{ // the longer ones first
	{"==", func(a, b float64) bool { return a == b }},
	{"!=", func(a, b float64) bool { return a != b }},
	{"<=", func(a, b float64) bool { return a <= b }},
	{">=", func(a, b float64) bool { return a >= b }},
	{"<", func(a, b float64) bool { return a < b }},
	{">", func(a, b float64) bool { return a > b }},
}

// ParseRule reads a threshold. Its errors quote the expression.
func ParseRule(expression string) (*Rule, error) {
	fail := func(err error) (*Rule, error) { return nil, fmt.Errorf("threshold %q: %w", expression, err) }
	at := strings.IndexAny(expression, "=!<>")
	if at < 0 {
		return fail(errors.New("there is no comparison: it should be like latency.p99<50ms"))
	}
	r := &Rule{Expression: strings.TrimSpace(expression)}
	rest := expression[at:]
	for _, c := range comparisons {
		if text, ok := strings.CutPrefix(rest, c.sign); ok {
			r.sign, r.compare, rest = c.sign, c.ok, strings.TrimSpace(text)
			break
		}
	}
	if r.compare == nil {
		return fail(errors.New("the comparison must be one of ==, !=, <, <=, >, >="))
	}
	var err error
	if r.figure, err = FindFigure(strings.TrimSpace(expression[:at])); err != nil {
		return fail(err)
	}
	if r.value, err = parseValue(rest, r.figure.Unit); err != nil {
		return fail(err)
	}
	return r, nil
}

var (
	timeUnits = []unit{{"us", 1}, {"µs", 1}, {"ms", 1e3}, {"s", 1e6}, {"m", 60e6}}
	rateUnits = []unit{{"k/s", 1e3}, {"M/s", 1e6}, {"/s", 1}, {"k", 1e3}, {"M", 1e6}, {"", 1}}
	units     = map[Unit][]unit{
		Time:   timeUnits,
		Share:  {{"%", 1}, {"", 1}},
		Rate:   rateUnits,
		Number: {{"k", 1e3}, {"M", 1e6}, {"", 1}},
		Cores:  {{"%", 1}, {"", 1}},
	}
)

type unit struct {
	suffix string
	factor float64
}

// divisor keeps 99.9% at 0.999, which 99.9 times 0.01 is not.
func (u unit) divisor() float64 {
	if u.suffix == "%" {
		return 100
	}
	return 1
}

func parseValue(text string, u Unit) (float64, error) {
	if text == "" {
		return 0, errors.New("there is no value after the comparison")
	}
	if u == Time && text == "0" {
		return 0, nil
	}
	for _, one := range units[u] {
		number, ok := strings.CutSuffix(text, one.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) && v >= 0 {
			return v * one.factor / one.divisor(), nil
		}
	}
	return 0, fmt.Errorf("%q is no %s: %s", text, u, map[Unit]string{
		Time: "it needs a unit, as in 800us, 50ms or 1.5s", Share: "it is from 0 to 1, or has a %, as in 99.9%",
		Rate: "it is per second, as in 2000, 2k or 2k/s", Number: "it is a number, as in 0 or 10k", Cores: "it is a number of cores, as in 0.5 or 50%",
	}[u])
}

// Check holds the rule against a document. A figure that the run does not have is Missing,
// and not OK.
func (r *Rule) Check(d *Document) Threshold {
	v, ok := r.figure.Value(d)
	return Threshold{Expression: r.Expression, Value: v, OK: ok && r.compare(v, r.value), Missing: !ok}
}

// Failed are the thresholds that do not hold.
func (d *Document) Failed() []Threshold {
	var failed []Threshold
	for _, t := range d.Thresholds {
		if !t.OK {
			failed = append(failed, t)
		}
	}
	return failed
}

// Show writes a value of a figure as people read it.
func (u Unit) Show(v float64) string {
	switch u {
	case Time:
		return showTime(v)
	case Share:
		text := strconv.FormatFloat(v*100, 'f', 4, 64)
		if v < 1 && text == "100.0000" { // it must not look like all
			text = strconv.FormatFloat(v*100, 'g', 10, 64)
		}
		return text + "%"
	case Rate:
		return strconv.FormatFloat(v, 'f', 1, 64) + "/s"
	case Cores:
		return strconv.FormatFloat(v, 'f', 2, 64) + " cores"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func showTime(us float64) string {
	switch {
	case us < 1000:
		return strconv.FormatFloat(us, 'f', 0, 64) + " µs"
	case us < 10e3:
		return strconv.FormatFloat(us/1e3, 'f', 2, 64) + " ms"
	case us < 10e6:
		return strconv.FormatFloat(us/1e3, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(us/1e6, 'f', 1, 64) + " s"
}

// Show writes a threshold's value as people read it.
func (t Threshold) Show() string {
	if t.Missing {
		return "there is no such figure in this run"
	}
	if r, err := ParseRule(t.Expression); err == nil {
		return r.figure.Unit.Show(t.Value)
	}
	return strconv.FormatFloat(t.Value, 'g', -1, 64)
}
