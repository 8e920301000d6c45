//go:build faults

package faults

import "testing"

// The ledger sees what it is there for: it would be easy to count nothing.
func TestLedger(t *testing.T) {
	l := newLedger(1)
	here, there, also := newReceiver(l, "here"), newReceiver(l, "there"), newReceiver(l, "also")
	here.node, there.node, also.node = "n1", "n2", "n2"
	for _, r := range []*receiver{here, there, also} {
		r.visited = []string{r.node}
		l.join(r, 0)
	}
	id := streamID{"c0", 0}
	var texts []event
	for n := range 6 {
		_, text := l.send(id, "n1", nil)
		e, err := parseEvent(text)
		if err != nil || e.n != n || e.stream != id || e.node != "n1" {
			t.Fatalf("%q: %+v, %v", text, e, err)
		}
		texts = append(texts, e)
		if n != 5 {
			l.confirm(id, n)
		}
	}
	for _, n := range []int{0, 1, 2, 3, 4} {
		here.receive(texts[n])
	}
	for _, n := range []int{0, 2, 1, 1} { // 3 and 4 are lost
		there.receive(texts[n])
	}
	for _, n := range []int{0, 1, 2, 4} {
		also.receive(texts[n])
	}
	got := l.tally(question{})
	if got.expected != 15 || got.lost != 3 || got.localLost != 0 || got.doubled != 1 || got.disordered != 1 || got.messages != 1 || got.byNode["n2"] != 1 {
		t.Errorf("%+v", got)
	}
	if got := l.tally(question{from: texts[3].at - 1, to: texts[3].at + 1}); got.inOutage != 2 {
		t.Errorf("%+v", got)
	}
	if got := l.tally(question{killed: "n1", killedAt: texts[5].at}); got.inFlight != 3 || got.lost != 1 {
		t.Errorf("%+v", got)
	}
}
