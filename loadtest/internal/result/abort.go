package result

import "strings"

// enough is how many attempts, deliveries or messages there must have been before a
// share of them is held against a rule while the test lasts.
const enough = 1000

// growing are the figures that can only grow while a test lasts.
var growing = []string{
	"delivery.lost", "delivery.duplicated", "delivery.outOfOrder", "delivery.unexpected",
	"connect.failed", "connections.lost", "connections.reconnected", "errors",
}

// Broken tells whether the rule is broken for good in a test that is not over: d has
// what is certain so far. Counts and maxima only grow; shares are judged when there is
// enough of what they are shares of, or when a single exception decides; percentiles when
// a stage is over. All others are judged at the end, so never here.
func (r *Rule) Broken(d *Document, stageOver bool) (Threshold, bool) {
	t := r.Check(d)
	if t.OK || t.Missing {
		return t, false
	}
	name := r.figure.Name
	if whole, ok := wholeOf(name, d); ok {
		return t, whole >= enough || r.exception()
	}
	for _, one := range growing {
		if name == one || strings.HasPrefix(name, "errors.") {
			return t, r.exceeded(t.Value)
		}
	}
	if r.figure.Unit != Time || strings.HasPrefix(name, "generator.") {
		return t, false
	}
	if strings.HasSuffix(name, ".max") {
		return t, r.exceeded(t.Value)
	}
	return t, stageOver && strings.Contains(name, ".p")
}

// exceeded tells whether a value that can only grow is past what the rule allows.
func (r *Rule) exceeded(v float64) bool {
	switch r.sign {
	case "<", "<=":
		return true // Check has said that it does not hold
	case "==":
		return v > r.value
	}
	return false
}

// exception tells whether the first exception breaks the rule: all, or none.
func (r *Rule) exception() bool {
	switch r.sign {
	case "==":
		return r.value == 0 || r.value == 1
	case ">=":
		return r.value == 1
	case "<=":
		return r.value == 0
	}
	return false
}

// wholeOf is what a share is a share of; not ok for other figures and for those that are
// not judged while a test lasts.
func wholeOf(name string, d *Document) (int64, bool) {
	m := &d.Messages
	switch name {
	case "delivery.ratio":
		return m.Expected - m.Excused, true
	case "echo.ratio":
		return m.Answered + m.Unanswered, true
	case "sent.skipped":
		return m.Sent + m.Skipped, true
	case "connect.errors":
		return d.Connections.Attempts, true
	}
	return 0, false
}
