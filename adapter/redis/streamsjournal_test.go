package redis

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// TestStreamsLine: events that do not come back leave the line in its order, and not
// before one that has come back is with the node.
func TestStreamsLine(t *testing.T) {
	j := newStreamJournal(&streams{readers: &streamReaders{}}, true)
	isClosed := func(c chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	enter := func(number uint64, away bool) *echo { return j.expect(number, new(adapter.Message), away) }
	one, two, three := enter(1, false), enter(2, false), enter(3, false)
	if !isClosed(one.turn) || isClosed(two.turn) || isClosed(one.stop) {
		t.Fatal("the line does not begin as it should")
	}
	four := enter(4, true)
	if four == nil || !isClosed(one.stop) || !isClosed(three.stop) || isClosed(four.stop) && isClosed(four.turn) {
		t.Fatal("Redis is away, and the line goes on")
	}
	if !j.giveUp(1, one) || !isClosed(two.turn) || isClosed(three.turn) {
		t.Fatal("the second one is not the first now")
	}
	j.taken = j.take(2)
	if j.taken != two || isClosed(three.turn) {
		t.Fatal("the third one overtakes one that is being handled")
	}
	j.release()
	if j.giveUp(2, two) || !isClosed(two.done) || !isClosed(three.turn) {
		t.Fatal("the second one has come back")
	}
	if !j.giveUp(3, three) || !j.giveUp(4, four) || len(j.line) != 0 || len(j.echoes) != 0 {
		t.Fatal("somebody is left")
	}
	if enter(5, true) != nil {
		t.Error("it waits alone for a Redis that is away")
	}
	if six := enter(6, false); !isClosed(six.turn) || isClosed(six.stop) {
		t.Error("the line does not begin anew")
	}
}
