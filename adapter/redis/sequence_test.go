package redis

import (
	"math/rand/v2"
	"testing"
	"time"
)

// ether carries the messages of one publisher to one receiver, with losses,
// repetitions and claims.
type ether struct {
	numbers numbers
	gaps    *gaps
	now     time.Time
	era     uint32 // in which the receiver hears; 0 while it does not

	lost   uint64 // what it did not get while it was heard
	missed uint64
	again  uint64
}

func newEther(base ...uint64) *ether {
	e := &ether{now: time.Now(), era: 1}
	e.gaps = newGaps(base, func(string) (uint32, bool) { return e.era, e.era != 0 }, func(string) bool { return true })
	return e
}

func (e *ether) publish(sequence uint64, lost bool) uint64 {
	n := e.numbers.next(sequence, false)
	if lost {
		e.lost++
	} else {
		e.arrive(sequence, n)
	}
	return n
}

func (e *ether) arrive(sequence, number uint64) {
	channel := "room"
	if e.gaps.isBase(sequence) {
		channel = ""
	}
	missed, again := e.gaps.note(heardKey{"p", sequence}, number, channel, e.era)
	e.missed += missed
	if again {
		e.again++
	}
}

// beat is what happens every second.
func (e *ether) beat(all bool) {
	e.now = e.now.Add(beatEvery)
	claims := e.numbers.claims()
	if all {
		claims = e.numbers.allClaims()
	}
	for _, c := range claims {
		e.gaps.claim(&mark{uid: "p", claims: c}, e.now)
	}
	if all {
		e.gaps.claim(&mark{uid: "p", full: true}, e.now)
	}
	e.missed += e.gaps.due(e.now)
}

func (e *ether) expect(t *testing.T, what string, missed, again uint64) {
	t.Helper()
	if e.missed != missed || e.again != again {
		t.Fatalf("%s: missed %d, twice %d; want %d, %d", what, e.missed, e.again, missed, again)
	}
}

func TestSequences(t *testing.T) {
	e := newEther(1)
	first := e.publish(1, false)
	e.publish(1, false)
	e.expect(t, "in order", 0, 0)
	e.arrive(1, first)
	e.expect(t, "once more", 0, 1)
	e.publish(1, true)
	e.publish(1, true)
	e.publish(1, false)
	e.expect(t, "a gap", 2, 1)
	e.publish(1, true)
	for range 3 {
		e.beat(false)
	}
	e.expect(t, "a gap at the end", 3, 1)
	for range 10 {
		e.beat(true)
	}
	e.expect(t, "told again", 3, 1)
	e.publish(1, false)
	e.expect(t, "after it", 3, 1)
}

// A message may take another way than the claim, and come later.
func TestLateMessage(t *testing.T) {
	e := newEther(1)
	e.publish(1, false)
	late := e.numbers.next(1, false)
	e.beat(false)
	e.beat(false)
	e.arrive(1, late)
	e.beat(false)
	e.beat(false)
	e.expect(t, "in time", 0, 0)
	late = e.numbers.next(1, false)
	for range 6 {
		e.beat(false)
	}
	e.expect(t, "too late", 1, 0)
	e.arrive(1, late) // is no second copy all the same
	e.publish(1, false)
	e.expect(t, "after it", 1, 0)
}

// What is said to rooms that are not subscribed is not missed.
func TestRoomsComeAndGo(t *testing.T) {
	e := newEther()
	e.publish(2, false)
	e.era = 0
	for range 5 {
		e.numbers.next(2, false)
	}
	e.era = 2
	for range 4 {
		e.beat(true)
	}
	e.publish(2, false)
	e.expect(t, "in a new era", 0, 0)
	e.publish(2, true)
	e.publish(2, false)
	e.expect(t, "a gap", 1, 0)
	e.numbers.next(2, false)
	e.beat(true)
	e.era = 0
	for range 4 {
		e.beat(true)
	}
	e.expect(t, "a claim for a room that is left", 1, 0)
}

// Who is heard from the beginning on is known not to have said anything before.
func TestFirstMessageIsMissed(t *testing.T) {
	e := newEther(1)
	e.beat(true)
	e.publish(1, true)
	e.publish(1, false)
	e.expect(t, "the first", 1, 0)
	f := newEther(1)
	for range 10 {
		f.numbers.next(1, false)
	}
	f.beat(true)
	f.publish(1, false)
	f.expect(t, "of a publisher that has said much before", 0, 0)
	e = newEther(1)
	older := e.numbers.next(1, false)
	e.beat(true)
	e.arrive(1, older) // the claim came by another way, and first
	e.publish(1, false)
	e.expect(t, "what is older than the first claim", 0, 0)
}

// Both sides forget when there is too much to remember, and go on.
func TestSequencesAreBounded(t *testing.T) {
	e := newEther()
	for i := range uint64(3 * maxSequences / 2) {
		e.publish(i, false)
	}
	e.publish(0, false)
	e.publish(0, true)
	e.publish(0, false)
	e.expect(t, "after a new generation", 1, 0)
	e.publish(1, true)
	e.publish(1, false)
	e.expect(t, "a loss at its beginning", 2, 0)
	if n := len(e.numbers.last); n > maxSequences {
		t.Error(n)
	}
	h := e.gaps
	for i := range uint64(2 * maxHeard) {
		h.note(heardKey{"q", i}, 1, "", 0)
	}
	if n := len(h.known); n > maxHeard {
		t.Error(n)
	}
	h.lives = func(publisher string) bool { return publisher != "q" }
	h.sweepAt = 0
	h.sweep()
	for key := range h.known {
		if key.publisher == "q" {
			t.Fatal("publishers that are gone are remembered")
		}
	}
}

// Whatever happens, what is missed is counted exactly.
func TestSequencesRandomly(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		e := newEther(0, 1)
		e.beat(true)
		rooms := uint64(5)
		for s := range rooms {
			e.publish(s, false)
		}
		for range 300 {
			switch rnd.IntN(10) {
			case 0:
				e.beat(rnd.IntN(4) == 0)
			default:
				e.publish(rnd.Uint64N(rooms), rnd.IntN(3) == 0)
			}
		}
		for range 8 {
			e.beat(false)
		}
		if e.missed != e.lost || e.again != 0 {
			t.Fatalf("seed %d: missed %d of %d", seed, e.missed, e.lost)
		}
	}
}
