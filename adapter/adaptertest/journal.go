package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// journalWindow is the recovery window of the nodes in these tests.
const journalWindow = 2 * time.Minute

// RunJournal tests the [adapter.Journal] of an adapter.
func RunJournal(t *testing.T, newCluster func(t *testing.T) Cluster) {
	tests := []struct {
		name string
		run  func(*testing.T, Cluster)
	}{
		{"Replay", testReplay},
		{"ReplayOnAnotherNode", testReplayElsewhere},
		{"ReplayPayloads", testReplayPayloads},
		{"NotKept", testNotKept},
		{"LocalAndDirect", testLocalAndDirect},
		{"BadOffsets", testBadOffsets},
		{"NewNode", testNewNode},
		{"Sessions", testSessions},
		{"SessionOwners", testSessionOwners},
		{"SessionsExpire", testSessionsExpire},
		{"SessionTakenOnce", testSessionTakenOnce},
		{"RandomCuts", testRandomCuts},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			NoLeaks(t)
			tt.run(t, newCluster(t))
		})
	}
}

// journalNode starts a node with recovery on.
func (c Cluster) journalNode(t *testing.T, id string) *keeper {
	t.Helper()
	return startKeeper(t, c.Factory(t), id)
}

// offsetNow is where a socket begins that gets everything from now on.
func (k *keeper) offsetNow() string {
	k.order.Lock()
	defer k.order.Unlock()
	return k.journal.Here()
}

// replayed is what a client of room r1 and of id "s1" has missed.
func (k *keeper) replayed(t *testing.T, offset string) (events, offsets []string) {
	t.Helper()
	r, err := k.journal.Replay(t.Context(), offset, wantedBy("s1", k.NodeID(), "s1", "r1"))
	if err != nil {
		t.Fatalf("%s: Replay: %v", k.NodeID(), err)
	}
	for m, o := range r.Events() {
		events, offsets = append(events, string(m.Packet.Data)), append(offsets, o)
	}
	return events, offsets
}

// wantedBy makes the filter of a session.
func wantedBy(id, owner string, rooms ...string) func(*adapter.Message) bool {
	return func(m *adapter.Message) bool {
		switch {
		case m.Direct:
			return m.Target.Rooms[0] == id
		case m.Local && m.From != owner:
			return false
		}
		return matches(m.Target, rooms)
	}
}

func matches(t adapter.Target, rooms []string) bool {
	among := func(list []string) bool {
		return slices.ContainsFunc(list, func(r string) bool { return slices.Contains(rooms, r) })
	}
	return (len(t.Rooms) == 0 || among(t.Rooms)) && !among(t.Except)
}

func testReplay(t *testing.T, c Cluster) {
	a := c.journalNode(t, "nodeA")
	a.emit(t, Event(`["before"]`))
	here := a.offsetNow()
	if events, _ := a.replayed(t, here); len(events) > 0 {
		t.Errorf("nothing was missed, got %q", events)
	}
	except := Event(`["not r1"]`)
	except.Target.Except = []string{"r1"}
	for _, m := range []*adapter.Message{
		Event(`["all"]`), Event(`["room"]`, "r1"), Event(`["other"]`, "r2"), except, Event(`["both"]`, "r2", "r1"), Event(`["id"]`, "s1"),
	} {
		a.emit(t, m)
	}
	want := []string{`["all"]`, `["room"]`, `["both"]`, `["id"]`}
	events, offsets := a.replayed(t, here)
	if !slices.Equal(events, want) {
		t.Fatalf("got %q, want %q", events, want)
	}
	for i, o := range offsets { // whoever has got an event does not get it again
		if events, _ := a.replayed(t, o); !slices.Equal(events, want[i+1:]) {
			t.Errorf("after %s: got %q, want %q", want[i], events, want[i+1:])
		}
		if strings.ContainsAny(o, "\"\\") {
			t.Errorf("offset %q does not fit into JSON", o)
		}
	}
	if events, _ := a.replayed(t, a.offsetNow()); len(events) > 0 {
		t.Errorf("everything was delivered, got %q", events)
	}
}

func testReplayElsewhere(t *testing.T, c Cluster) {
	a, b := c.journalNode(t, "nodeA"), c.journalNode(t, "nodeB")
	d := c.journalNode(t, "nodeC")
	a.SetRoom("r1", true)
	a.Enter(t, "r1")
	offset := a.offsetNow()
	for i := range 20 {
		[]*keeper{a, b, d}[i%3].emit(t, Event(fmt.Sprintf(`["e",%d]`, i), "r1"))
	}
	b.Enter(t, "r1")
	d.Enter(t, "r1")
	a.awaitDelivered(t, 20)
	a.MustClose(t)
	for i := 20; i < 40; i++ {
		[]*keeper{b, d}[i%2].emit(t, Event(fmt.Sprintf(`["e",%d]`, i), "r1"))
	}
	d.replayed(t, offset) // what d has published is kept
	for _, k := range []*keeper{b, d} {
		events, _ := k.replayed(t, offset)
		checkAll(t, k.NodeID(), events, 0, 40)
	}
	for i, o := range a.delivered() { // a client that was cut after any event
		events, _ := b.replayed(t, o.offset)
		if len(events) != 40-i-1 || slices.Contains(events, o.data) {
			t.Errorf("cut after %d events: %d are replayed", i+1, len(events))
		}
	}
}

// checkAll: each of the events from..to-1 is there once.
func checkAll(t *testing.T, who string, events []string, from, to int) {
	t.Helper()
	count := map[string]int{}
	for _, e := range events {
		count[e]++
	}
	for i := from; i < to; i++ {
		if n := count[fmt.Sprintf(`["e",%d]`, i)]; n != 1 {
			t.Errorf("%s: event %d came %d times", who, i, n)
		}
	}
	if len(events) != to-from {
		t.Errorf("%s: %d events instead of %d", who, len(events), to-from)
	}
}

func testReplayPayloads(t *testing.T, c Cluster) {
	a, b := c.journalNode(t, "nodeA"), c.journalNode(t, "nodeB")
	offset := b.offsetNow()
	sent := []*adapter.Message{
		Event(`["e",{"a":[1,2.5,"x",null,true]},18446744073709551616]`),
		{Kind: adapter.Broadcast, Packet: adapter.Payload{
			Data: []byte(`["b",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1, 2, 0, 255}},
		}},
		{Kind: adapter.Broadcast, Target: adapter.Target{NoCompress: true}, Packet: adapter.Payload{Data: []byte(`["n"]`)}},
	}
	for _, m := range sent {
		a.emit(t, m)
	}
	for _, k := range []*keeper{a, b} {
		r, err := k.journal.Replay(t.Context(), offset, func(*adapter.Message) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for m := range r.Events() {
			got := *m
			got.Mark = adapter.Mark{}
			if i < len(sent) {
				want := *sent[i]
				want.Mark = adapter.Mark{}
				if err := sameMessage(&want, &got); err != nil {
					t.Errorf("%s: event %d: %v", k.NodeID(), i, err)
				}
			}
			i++
		}
		if i != len(sent) {
			t.Errorf("%s: %d events instead of %d", k.NodeID(), i, len(sent))
		}
	}
}

func testNotKept(t *testing.T, c Cluster) {
	a := c.journalNode(t, "nodeA")
	offset := a.offsetNow()
	volatile := Event(`["v"]`)
	volatile.Target.Volatile = true
	acked := Event(`["a"]`)
	acked.RequestID = "q"
	for _, m := range []*adapter.Message{volatile, acked, {Kind: adapter.Join, Names: []string{"x"}}, Event(`["e"]`)} {
		placed, err := a.Publish(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if kept := placed.Mark != (adapter.Mark{}); kept != (string(m.Packet.Data) == `["e"]`) {
			t.Errorf("%s: kept is %v", Text(m), kept)
		}
	}
	if events, _ := a.replayed(t, offset); !slices.Equal(events, []string{`["e"]`}) {
		t.Errorf("got %q", events)
	}
}

func testLocalAndDirect(t *testing.T, c Cluster) {
	a, b := c.journalNode(t, "nodeA"), c.journalNode(t, "nodeB")
	offset := b.offsetNow()
	local, direct := Event(`["local"]`, "r1"), Event(`["direct"]`, "s1")
	local.Local, direct.Direct = true, true
	a.append(t, local)
	a.append(t, direct)
	a.emit(t, Event(`["end"]`))
	tests := []struct {
		id, owner string
		rooms     []string
		want      []string
	}{
		{"s1", "nodeA", []string{"r1"}, []string{`["local"]`, `["direct"]`, `["end"]`}},
		{"s1", "nodeB", []string{"r1", "s1"}, []string{`["direct"]`, `["end"]`}},
		{"s2", "nodeA", []string{"r1"}, []string{`["local"]`, `["end"]`}},
		{"s2", "nodeA", []string{"s1"}, []string{`["end"]`}},
	}
	for _, k := range []*keeper{a, b} {
		for _, tt := range tests {
			r, err := k.journal.Replay(t.Context(), offset, wantedBy(tt.id, tt.owner, tt.rooms...))
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for m := range r.Events() {
				got = append(got, string(m.Packet.Data))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: %s of %s in %q: got %q", k.NodeID(), tt.id, tt.owner, tt.rooms, got)
			}
		}
	}
	if got := b.Await(t, 1); len(got) > 1 {
		t.Errorf("others have received %s", describe(got))
	}
}

func testBadOffsets(t *testing.T, c Cluster) {
	a := c.journalNode(t, "nodeA")
	a.emit(t, Event(`["e"]`))
	good := a.offsetNow()
	bad := []string{"", "x", "0", "-", "zzzzzzzzzz", "AQ", "1795391253409-0", "999999999999999999999", good + "x", strings.Repeat("A", 1<<16), "a\x00b", `"`}
	for _, offset := range bad {
		if _, err := a.journal.Replay(t.Context(), offset, wantedBy("s1", "", "r1")); !errors.Is(err, adapter.ErrLost) {
			t.Errorf("offset %.20q: %v", offset, err)
		}
	}
}

// testNewNode: a node that starts late promises nothing of what was before.
func testNewNode(t *testing.T, c Cluster) {
	a := c.journalNode(t, "nodeA")
	for i := range 10 {
		a.emit(t, Event(fmt.Sprintf(`["old",%d]`, i)))
	}
	a.replayed(t, a.offsetNow()) // what was kept has reached the broker
	b := c.journalNode(t, "nodeB")
	offset := b.offsetNow()
	a.emit(t, Event(`["new"]`))
	for _, k := range []*keeper{a, b} { // a knows when the event is kept
		if events, _ := k.replayed(t, offset); !slices.Equal(events, []string{`["new"]`}) {
			t.Errorf("%s: got %q", k.NodeID(), events)
		}
	}
}

func session(pid, owner, epoch string) *adapter.Session {
	return &adapter.Session{
		PID: pid, ID: "id-" + pid, Data: []byte(`{"name":"bob"}`), Rooms: []string{"id-" + pid, "r1", "röm"},
		Offset: "o", Owner: owner, Epoch: epoch,
	}
}

func sameSession(a, b *adapter.Session) bool {
	return a.PID == b.PID && a.ID == b.ID && sameJSON(a.Data, b.Data) == nil && slices.Equal(a.Rooms, b.Rooms) &&
		a.Offset == b.Offset && a.Owner == b.Owner && a.Epoch == b.Epoch
}

func (k *keeper) save(t *testing.T, s *adapter.Session, ttl time.Duration, fresh bool) {
	t.Helper()
	if err := k.journal.SaveSession(t.Context(), s, ttl, fresh); err != nil {
		t.Fatalf("%s: SaveSession: %v", k.NodeID(), err)
	}
}

// mustTake takes a record that has to be there.
func (k *keeper) mustTake(t *testing.T, want *adapter.Session) {
	t.Helper()
	got, err := k.journal.TakeSession(t.Context(), want.PID)
	if err != nil {
		t.Fatalf("%s: TakeSession: %v", k.NodeID(), err)
	}
	if !sameSession(got, want) {
		t.Errorf("%s: got %+v, want %+v", k.NodeID(), got, want)
	}
}

// mustMiss takes a record that must not be there.
func (k *keeper) mustMiss(t *testing.T, pid string) {
	t.Helper()
	if s, err := k.journal.TakeSession(t.Context(), pid); !errors.Is(err, adapter.ErrNoSession) {
		t.Errorf("%s: TakeSession: %+v, %v", k.NodeID(), s, err)
	}
}

func testSessions(t *testing.T, c Cluster) {
	a, b := c.journalNode(t, "nodeA"), c.journalNode(t, "nodeB")
	b.mustMiss(t, "nobody")
	s := session("p1", "nodeA", "1")
	a.save(t, s, time.Minute, true)
	b.mustTake(t, s)
	b.mustMiss(t, "p1")
	a.mustMiss(t, "p1")
	empty := &adapter.Session{PID: "p2", ID: "i2", Owner: "nodeA", Epoch: "1"}
	a.save(t, empty, time.Minute, false) // what is not there may be written
	b.mustTake(t, empty)
	if err := a.journal.DropSession(t.Context(), empty); err != nil {
		t.Errorf("DropSession of nothing: %v", err)
	}
	if err := a.journal.TouchSessions(t.Context(), nil, time.Minute); err != nil {
		t.Errorf("TouchSessions of nothing: %v", err)
	}
}

// testSessionOwners: a late word of the old owner changes nothing (HRD-71).
func testSessionOwners(t *testing.T, c Cluster) {
	a, b := c.journalNode(t, "nodeA"), c.journalNode(t, "nodeB")
	old, now := session("p1", "nodeA", "1"), session("p1", "nodeB", "2")
	old.Rooms = []string{"stale"}
	a.save(t, old, time.Minute, true)
	b.mustTake(t, old)
	b.save(t, now, time.Minute, true)
	a.save(t, old, time.Minute, false)
	if err := a.journal.DropSession(t.Context(), old); err != nil {
		t.Errorf("DropSession: %v", err)
	}
	b.mustTake(t, now)

	again := session("p1", "nodeB", "3") // another life on the same node
	b.save(t, now, time.Minute, true)
	b.save(t, again, time.Minute, true)
	b.save(t, now, time.Minute, false)
	again.Rooms = []string{"more"}
	b.save(t, again, time.Minute, false)
	a.mustTake(t, again)

	b.save(t, again, time.Minute, true)
	if err := b.journal.DropSession(t.Context(), again); err != nil {
		t.Errorf("DropSession: %v", err)
	}
	a.mustMiss(t, "p1")
}

func testSessionsExpire(t *testing.T, c Cluster) {
	if c.ManualTime {
		return // it would wait for ever
	}
	a := c.journalNode(t, "nodeA")
	a.save(t, session("short", "nodeA", "1"), 50*time.Millisecond, true)
	life := 50 * time.Millisecond
	for begin := time.Now(); ; begin, life = time.Now(), 2*life {
		a.save(t, session("long", "nodeA", "1"), life, true)
		if err := a.journal.TouchSessions(t.Context(), []string{"long", "unknown"}, time.Minute); err != nil {
			t.Fatal(err)
		}
		if time.Since(begin) < life {
			break // else it may have come too late
		}
	}
	time.Sleep(life + 150*time.Millisecond) // what is tested is that time passes
	a.mustMiss(t, "short")
	a.mustTake(t, session("long", "nodeA", "1"))
}

func testSessionTakenOnce(t *testing.T, c Cluster) {
	nodes := []*keeper{c.journalNode(t, "nodeA"), c.journalNode(t, "nodeB")}
	for i := range 20 {
		pid := fmt.Sprint("p", i)
		nodes[0].save(t, session(pid, "nodeA", "1"), time.Minute, true)
		results := make(chan error, 8)
		for j := range cap(results) {
			go func() { // ends at once: the channel has room
				_, err := nodes[j%2].journal.TakeSession(context.WithoutCancel(t.Context()), pid)
				results <- err
			}()
		}
		taken := 0
		for range cap(results) {
			if err := <-results; err == nil {
				taken++
			} else if !errors.Is(err, adapter.ErrNoSession) {
				t.Errorf("TakeSession: %v", err)
			}
		}
		if taken != 1 {
			t.Errorf("%d callers took the session", taken)
		}
	}
}
