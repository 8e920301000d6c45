package ledger

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestHeader(t *testing.T) {
	for _, h := range []Header{{}, {1, 2, 3, 4}, {1<<30 - 1, 1<<32 - 1, 1<<48 - 1, 1<<30 - 1}} {
		p := make([]byte, HeaderLen)
		h.Put(p)
		if got, ok := Parse(p); !ok || got != h {
			t.Errorf("%s: %v, %v, want %v", p, got, ok, h)
		}
		for i := range p { // every truncation, and every byte that is no digit
			if _, ok := Parse(p[:i]); ok {
				t.Errorf("%q was taken for a header", p[:i])
			}
			broken := append([]byte(nil), p...)
			broken[i] = '"'
			if _, ok := Parse(broken); ok {
				t.Errorf("%q was taken for a header", broken)
			}
		}
	}
	p := append([]byte(`42/loadtest,["msg","`), make([]byte, HeaderLen)...)
	Header{Stream: 7}.Put(p[20:])
	if at := Find(p); at != 20 {
		t.Errorf("found at %d", at)
	}
}

// fixture is a room of firm members and a stream into it.
type fixture struct {
	*Ledger
	book    *Book
	room    *Room
	stream  *Stream
	members []*Receiver
}

func newFixture(members int) *fixture {
	f := &fixture{Ledger: New(4, time.Second/2)}
	for i := range members {
		f.members = append(f.members, f.NewReceiver(i))
	}
	f.room = f.NewRoom("r", f.members)
	for _, m := range f.members {
		f.room.Joining(m, 1_000_000)
		f.room.Joined(m)
	}
	f.book = f.NewBook()
	f.stream = f.book.NewStream(f.room)
	return f
}

func (f *fixture) publish(n int) {
	for range n {
		f.stream.Publish()
	}
}

func (f *fixture) receive(member int, seqs ...uint32) {
	for _, seq := range seqs {
		f.members[member].Received(Header{Stream: f.stream.ID, Seq: seq, Slot: 100}, 200, 32)
	}
}

func (f *fixture) expect(t *testing.T, want Balance) {
	t.Helper()
	got, _ := f.book.Close()
	want.Bytes = 32 * want.Delivered
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.Expected != got.Delivered+got.Lost+got.Excused {
		t.Errorf("%d expected, but %d accounted for", got.Expected, got.Delivered+got.Lost+got.Excused)
	}
}

func TestAccount(t *testing.T) {
	tests := []struct {
		name string
		do   func(f *fixture)
		want Balance
	}{
		{"all in order", func(f *fixture) {
			f.publish(3)
			f.receive(0, 0, 1, 2)
			f.receive(1, 0, 1, 2)
		}, Balance{Sent: 3, Expected: 6, Tally: Tally{Delivered: 6}}},
		{"lost in the middle and at the end", func(f *fixture) {
			f.publish(4)
			f.receive(0, 0, 2)
			f.receive(1, 0, 1, 2, 3)
		}, Balance{Sent: 4, Expected: 8, Lost: 2, Tally: Tally{Delivered: 6}}},
		{
			"nothing arrives", func(f *fixture) { f.publish(1000) },
			Balance{Sent: 1000, Expected: 2000, Lost: 2000},
		},
		{"copies", func(f *fixture) {
			f.publish(3)
			f.receive(0, 0, 0, 1, 2, 1, 0)
			f.receive(1, 0, 1, 2)
		}, Balance{Sent: 3, Expected: 6, Tally: Tally{Delivered: 6, Duplicated: 3}}},
		{"overtaken", func(f *fixture) {
			f.publish(4)
			f.receive(0, 3, 0, 1, 2, 2)
			f.receive(1, 1, 0, 2, 3)
		}, Balance{Sent: 4, Expected: 8, Tally: Tally{Delivered: 8, OutOfOrder: 4, Duplicated: 1}}},
		{"never sent", func(f *fixture) {
			f.publish(1)
			f.receive(0, 0, 5)
			f.receive(1, 0)
		}, Balance{Sent: 1, Expected: 2, Tally: Tally{Delivered: 2, Unexpected: 1}}},
		{"left: in flight excused, later ones not for it", func(f *fixture) {
			f.publish(2)
			f.receive(0, 0)
			f.room.Loose(f.members[0]) // 1 is under way
			f.publish(1)               // 2 is sent before the server lets it go
			f.room.Left(f.members[0])
			f.publish(1) // 3 is for the other alone
			f.receive(0, 2, 3)
			f.receive(1, 0, 1, 2, 3)
		}, Balance{Sent: 4, Expected: 7, Excused: 1, Tally: Tally{Delivered: 6, Unexpected: 1}}},
		{"back again", func(f *fixture) {
			f.room.Loose(f.members[0])
			f.room.Left(f.members[0])
			f.publish(2)
			f.room.Joining(f.members[0], 1_000_000)
			f.publish(2) // may reach it
			f.room.Joined(f.members[0])
			f.publish(2)
			f.receive(0, 3, 4, 1) // 2 excused, 5 lost, 1 was not for it
			f.receive(1, 0, 1, 2, 3, 4, 5)
		}, Balance{Sent: 6, Expected: 10, Lost: 1, Excused: 1, Tally: Tally{Delivered: 8, Unexpected: 1}}},
		{"under way while it joins: may arrive, once", func(f *fixture) {
			f.room.Loose(f.members[0])
			f.room.Left(f.members[0])
			f.publish(3)
			f.room.Joining(f.members[0], 600)
			f.room.Joined(f.members[0])
			f.receive(0, 1, 2, 1)
			f.receive(1, 0, 1, 2)
		}, Balance{Sent: 3, Expected: 5, Tally: Tally{Delivered: 5, Duplicated: 1}}},
		{"reconnect, what was missed comes later", func(f *fixture) {
			f.publish(2)
			f.receive(0, 0)
			f.room.Loose(f.members[0])
			f.publish(2)
			f.room.Joining(f.members[0], 1_000_000)
			f.room.Joined(f.members[0])
			f.publish(1)
			f.receive(0, 1, 2, 3, 4, 2)
			f.receive(1, 0, 1, 2, 3, 4)
		}, Balance{Sent: 5, Expected: 10, Tally: Tally{Delivered: 10, Duplicated: 1}}},
		{"a loss before the reconnect stays one", func(f *fixture) {
			f.publish(3)
			f.receive(0, 0, 2)
			f.room.Loose(f.members[0])
			f.receive(1, 0, 1, 2)
		}, Balance{Sent: 3, Expected: 6, Lost: 1, Tally: Tally{Delivered: 5}}},
		{"the publisher's connection breaks", func(f *fixture) {
			f.publish(4)
			f.receive(0, 0, 2)
			f.stream.Interrupted() // 3 may never have left
			f.publish(1)
			f.receive(0, 4)
			f.receive(1, 0, 1, 2)
		}, Balance{Sent: 5, Expected: 10, Lost: 2, Excused: 2, Tally: Tally{Delivered: 6}}},
		{"nobody knows whether it was sent", func(f *fixture) {
			f.publish(3)
			f.stream.Uncertain(1)
			f.receive(0, 0, 2)
			f.receive(1, 0, 1, 2)
		}, Balance{Sent: 3, Expected: 6, Excused: 1, Tally: Tally{Delivered: 5}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(2)
			test.do(f)
			f.expect(t, test.want)
		})
	}
}

// After the end of a book its messages change nothing, and are counted apart.
func TestAfterClose(t *testing.T) {
	f := newFixture(1)
	f.publish(1)
	f.expect(t, Balance{Sent: 1, Expected: 1, Lost: 1})
	f.receive(0, 0)
	f.expect(t, Balance{Sent: 1, Expected: 1, Lost: 1})
	if f.Late() != 1 || f.Strays() != 0 {
		t.Errorf("%d late, %d strays", f.Late(), f.Strays())
	}
	f.members[0].Received(Header{Stream: 99}, 0, 0)
	if f.Strays() != 1 {
		t.Errorf("%d strays", f.Strays())
	}
}

// A stranger in the room's name, and a second stage.
func TestBooksAreApart(t *testing.T) {
	f := newFixture(2)
	stranger := f.NewReceiver(9)
	second := f.NewBook()
	other := second.NewStream(f.room)
	f.publish(1)
	other.Publish()
	f.receive(0, 0)
	f.receive(1, 0)
	stranger.Received(Header{Stream: f.stream.ID, Seq: 0}, 0, 0)
	f.members[0].Received(Header{Stream: other.ID, Seq: 0}, 0, 0)
	f.expect(t, Balance{Sent: 1, Expected: 2, Tally: Tally{Delivered: 2, Unexpected: 1}})
	if got, _ := second.Close(); got.Lost != 1 || got.Delivered != 1 || got.Unexpected != 0 {
		t.Errorf("%+v", got)
	}
}

// Whatever happens, each expected delivery ends in one way, and counts of what was
// injected are exact.
func TestRandom(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := newFixture(5)
		type packet struct {
			member int
			seq    uint32
		}
		var way []packet
		in := []bool{true, true, true, true, true}
		var lost, twice int64
		for range 2000 {
			switch m := rng.IntN(5); rng.IntN(12) {
			default:
				seq := f.stream.Publish()
				for i := range in {
					switch {
					case !in[i]:
					case rng.IntN(20) == 0:
						lost++
					default:
						way = append(way, packet{i, seq})
					}
				}
			case 0, 1, 2, 3:
				if len(way) > 0 {
					i := rng.IntN(min(len(way), 4)) // may overtake
					f.receive(way[i].member, way[i].seq)
					if rng.IntN(50) == 0 {
						f.receive(way[i].member, way[i].seq)
						twice++
					}
					way = append(way[:i:i], way[i+1:]...)
				}
			case 4:
				f.room.Loose(f.members[m])
				f.room.Left(f.members[m])
				in[m] = false
			case 5:
				if !in[m] {
					f.room.Joining(f.members[m], 1_000_000)
					f.room.Joined(f.members[m])
					in[m] = true
				}
			}
		}
		for _, p := range way {
			f.receive(p.member, p.seq)
		}
		got, _ := f.book.Close()
		if got.Expected != got.Delivered+got.Lost+got.Excused || got.Unexpected != 0 || got.Duplicated != twice {
			t.Fatalf("seed %d: %+v, twice %d", seed, got, twice)
		}
		if got.Lost+got.Excused != lost {
			t.Fatalf("seed %d: %+v, but %d were lost", seed, got, lost)
		}
	}
}

func TestMissing(t *testing.T) {
	f := newFixture(2)
	f.publish(5)
	f.receive(0, 0, 3) // 4 is under way
	if n := f.book.Missing(); n != 2 {
		t.Errorf("%d missing, want 1 and 2", n)
	}
	f.receive(0, 1)
	if n := f.book.Missing(); n != 1 {
		t.Errorf("%d missing, want 2", n)
	}
	if lost, excused := f.book.Passed(); lost != 7 || excused != 0 {
		t.Errorf("%d and %d have not come, want 7 and 0", lost, excused)
	}
}

func TestFlight(t *testing.T) {
	f := newFixture(2)
	f.stream.Limit(4)
	f.publish(2)
	h := Header{Stream: f.stream.ID}
	if f.members[0].Received(h, 0, 0) != nil {
		t.Error("finished with one of two deliveries")
	}
	if f.members[1].Received(h, 0, 0) != f.stream {
		t.Error("not finished with both deliveries")
	}
	if n := f.stream.Overdue(time.Hour); n != 0 {
		t.Errorf("%d overdue at once", n)
	}
	if n := f.stream.Overdue(-time.Hour); n != 1 {
		t.Errorf("%d overdue, want the second message", n)
	}
	if n := f.stream.Overdue(-time.Hour); n != 0 {
		t.Errorf("%d overdue again", n)
	}
}

func TestLatencies(t *testing.T) {
	f := newFixture(3)
	f.stream.SetNode(1)
	f.members[0].SetNode(1)
	f.members[1].SetNode(2)
	f.publish(1)
	for _, m := range f.members {
		m.Received(Header{Stream: f.stream.ID, Slot: 1000, Delay: 300}, 5000, 0)
	}
	var recent Latencies
	f.book.Look(&recent)
	for name, l := range map[string]interface {
		Count() int64
		Max() int64
	}{"same": &recent.Same, "cross": &recent.Cross, "unknown": &recent.Unknown} {
		if l.Count() != 1 || l.Max() != 4000 {
			t.Errorf("%s: %d values, max %d", name, l.Count(), l.Max())
		}
	}
	if recent.Sent.Count() != 3 || recent.Sent.Max() != 3700 {
		t.Errorf("sent: %d values, max %d", recent.Sent.Count(), recent.Sent.Max())
	}
	if _, all := f.book.Close(); all.Sent.Count() != 3 {
		t.Errorf("%d values at the end", all.Sent.Count())
	}
}

// The usual delivery costs no memory, and what is lost a bit.
func TestMemory(t *testing.T) {
	f := newFixture(1)
	f.publish(3_000_000)
	seq := uint32(0)
	step := func(n uint32) func() {
		return func() {
			f.receive(0, seq)
			seq += n
		}
	}
	step(1)()
	if n := testing.AllocsPerRun(1000, step(1)); n != 0 {
		t.Errorf("%v allocations per delivery", n)
	}
	if n := testing.AllocsPerRun(1000, func() {
		h, _ := Parse(header)
		f.members[0].Received(h, 0, 0)
	}); n != 0 {
		t.Errorf("%v allocations per delivery from bytes", n)
	}
	for range 500_000 {
		step(2)()
	}
	if size := len(f.stream.slots[0].more.missing.pieces) * 72; size > 1_000_000/8*2 {
		t.Errorf("%d bytes for a million messages of which every second one was lost", size)
	}
}

var header = func() []byte {
	p := make([]byte, HeaderLen)
	Header{}.Put(p)
	return p
}()

func BenchmarkReceived(b *testing.B) {
	const members = 1000
	f := newFixture(members)
	p := make([]byte, 128)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%members == 0 {
			h := Header{Stream: f.stream.ID, Seq: f.stream.Publish(), Slot: 1000, Delay: 10}
			h.Put(p)
		}
		h, _ := Parse(p)
		f.members[i%members].Received(h, 3000, len(p))
		i++
	}
}

// What is late becomes overdue, and nothing else does: not what is under way, what was
// sent before a join, or what is excused.
func TestOverdue(t *testing.T) {
	l := New(1, time.Second)
	all := []*Receiver{l.NewReceiver(0), l.NewReceiver(1)}
	room := l.NewRoom("r", all)
	b := l.NewBook()
	st := b.NewStream(room)
	room.Joining(all[0], 0)
	room.Joined(all[0])
	send := func() Header { return Header{Stream: st.ID, Seq: st.Publish()} }
	for range 600 { // more than a piece of a set
		send()
	}
	if n := b.Overdue(1e6); n != 0 {
		t.Errorf("%d overdue at once", n)
	}
	room.Joining(all[1], 1e6)
	room.Joined(all[1])
	last := send()
	all[0].Received(last, 1e6, 0) // the 600 were passed by
	if n := b.Overdue(1.5e6); n != 0 {
		t.Errorf("%d overdue after half the time", n)
	}
	if n := b.Overdue(2e6); n != 600 {
		t.Errorf("%d overdue, want 600", n)
	}
	all[0].Received(Header{Stream: st.ID, Seq: 17}, 2e6, 0)
	if n := b.Overdue(2.5e6); n != 600 { // one of them has come, and the last one is overdue at the other
		t.Errorf("%d overdue, want 600", n)
	}
	room.Loose(all[1])
	if n := b.Overdue(3e6); n != 599 {
		t.Errorf("%d overdue, want 599: who is away is excused", n)
	}
	if b, _ := b.Close(); b.Lost != 599 || b.Excused != 1 {
		t.Errorf("%+v", b)
	}
}
