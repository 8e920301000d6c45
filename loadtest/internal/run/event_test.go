package run

import (
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/loadtest/internal/fleet"
	"github.com/fanwire/fanwire/loadtest/internal/ledger"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
)

// receiving is a runner with a room of members, and the event of a message to it.
func receiving(tb testing.TB, members int) (*runner, []*fleet.Session, *ledger.Stream, func(seq uint32) *client.RawEvent) {
	p := plan.Default()
	p.URLs, p.Clients, p.Rooms = []string{"http://127.0.0.1:1"}, plan.Count(members), 1
	p.Stages = []plan.Stage{{Name: "x", Fanout: &plan.Traffic{Rate: 1}}}
	r := &runner{plan: &p, epoch: time.Now(), ledger: ledger.New(shards(), time.Second), out: sockets{}}
	f, err := fleet.New(&p, r.epoch, fleet.Hooks{})
	if err != nil {
		tb.Fatal(err)
	}
	r.fleet = f
	r.makeMembers()
	for _, s := range f.Sessions() {
		m := s.Data.(*member)
		m.places[0].room.Joining(m.receiver, 0)
		m.places[0].room.Joined(m.receiver)
	}
	st := r.begin(&p.Stages[0], true)
	event := &client.RawEvent{Name: []byte("msg")}
	return r, f.Sessions(), st.publishers[0].stream, func(seq uint32) *client.RawEvent {
		v, _ := r.payload(ledger.Header{Stream: st.publishers[0].stream.ID, Seq: seq, Slot: r.fleet.Micros()})
		event.Args = []byte(`"` + v.(string) + `"`)
		return event
	}
}

// A delivery costs no memory, and some tens of nanoseconds here.
func TestEventDoesNotAllocate(t *testing.T) {
	r, sessions, stream, event := receiving(t, 1)
	e := event(stream.Publish())
	r.event(sessions[0], e)
	if n := testing.AllocsPerRun(1000, func() { r.event(sessions[0], e) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestStray(t *testing.T) {
	r, sessions, _, _ := receiving(t, 1)
	for _, args := range []string{"", "1", `""`, `"fw1 "`, `"hello"`, `"fw1 zzzzzzzzzzzzzzzzzzzzzzzz."`} {
		if !r.event(sessions[0], &client.RawEvent{Name: []byte("msg"), Args: []byte(args)}) {
			t.Errorf("%q was left to others", args)
		}
	}
	if n := r.ledger.Strays(); n != 6 {
		t.Errorf("%d strays, want 6", n)
	}
	if r.event(sessions[0], &client.RawEvent{Name: []byte("other")}) {
		t.Error("an event that is not ours was taken")
	}
}

func TestPayload(t *testing.T) {
	r, _, _, _ := receiving(t, 1)
	r.plan.Payload, r.plan.Binary = plan.Payload{Min: 64, Max: 4096}, 0.1
	sum, binary := 0, 0
	const n = 10_000
	for range n {
		v, size := r.payload(ledger.Header{})
		if b, ok := v.([]byte); ok {
			binary++
			v = string(b)
		}
		if len(v.(string)) != size || size < 64 || size > 4096 {
			t.Fatalf("%d bytes, said to be %d", len(v.(string)), size)
		}
		sum += size
	}
	if mean := sum / n; mean < 2050 || mean > 2110 || binary < n*9/100 || binary > n*11/100 {
		t.Errorf("mean size %d, want 2080; %d of %d binary", mean, binary, n)
	}
}

func BenchmarkEvent(b *testing.B) {
	const members = 1000
	r, sessions, stream, event := receiving(b, members)
	b.ReportAllocs()
	i, e := 0, event(stream.Publish())
	for b.Loop() {
		if i == members {
			i, e = 0, event(stream.Publish())
		}
		r.event(sessions[i], e)
		i++
	}
}
