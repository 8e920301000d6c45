package adapter_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
)

// host is a host with recovery on.
func host(node string, window time.Duration) *adaptertest.Host {
	h := adaptertest.NewHost(node, "/")
	h.Window = window
	return h
}

func all(*adapter.Message) bool { return true }

// missed reads what was kept after an offset.
func missed(t *testing.T, j adapter.Journal, offset string) (texts []string, last string) {
	t.Helper()
	r, err := j.Replay(t.Context(), offset, all)
	if err != nil {
		t.Fatalf("replay from %q: %v", offset, err)
	}
	for m, o := range r.Events() {
		texts, last = append(texts, string(m.Packet.Data)), o
	}
	return texts, last
}

func isLost(t *testing.T, j adapter.Journal, offset string) {
	t.Helper()
	if _, err := j.Replay(t.Context(), offset, all); !errors.Is(err, adapter.ErrLost) {
		t.Errorf("replay from %q: %v", offset, err)
	}
}

func keep(t *testing.T, j adapter.Journal, text string) (offset string) {
	t.Helper()
	p, err := j.Append(t.Context(), adaptertest.Event(text))
	if err != nil || p.Offset == "" || p.Mark == (adapter.Mark{}) || p.Returns {
		t.Fatalf("%+v, %v", p, err)
	}
	return p.Offset
}

func TestMemoryBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &adapter.Memory{MaxEvents: 3, MaxBytes: 2000}
		j := m.Journal(host("n", time.Minute))
		start := j.Here()
		var offsets []string
		for i := range 5 {
			offsets = append(offsets, keep(t, j, fmt.Sprintf("[%d]", i)))
		}
		isLost(t, j, start)
		isLost(t, j, offsets[0])
		if got, last := missed(t, j, offsets[1]); fmt.Sprint(got) != "[[2] [3] [4]]" || last != offsets[4] {
			t.Error(got, last)
		}
		big := keep(t, j, `["`+string(make([]byte, 1700))+`"]`) // by bytes: it alone is left
		isLost(t, j, offsets[3])
		if got, _ := missed(t, j, offsets[4]); len(got) != 1 {
			t.Error(len(got), "events")
		}
		// The offset of the last event is good however old it is (SIO-Z-12).
		time.Sleep(2 * time.Minute)
		last := keep(t, j, "[6]")
		if got, _ := missed(t, j, big); fmt.Sprint(got) != "[[6]]" {
			t.Error(got)
		}
		if got, _ := missed(t, j, last); len(got) != 0 {
			t.Error(got)
		}
		for _, bad := range []string{"", "zzzz", "-1", "1.2", "1.2.3.4", "x y", "1.1"} {
			isLost(t, j, bad)
		}
		if _, err := j.Merge("1", "not one"); !errors.Is(err, adapter.ErrLost) {
			t.Error(err)
		}
		if later, err := j.Merge(offsets[2], offsets[4]); err != nil || later != offsets[4] {
			t.Error(later, err)
		}
	})
}

func TestMemorySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m := &adapter.Memory{MaxSessions: 2}
		j := m.Journal(host("n", time.Minute))
		of := func(pid, owner string) *adapter.Session {
			return &adapter.Session{PID: pid, ID: "id", Owner: owner, Epoch: "1", Rooms: []string{"r"}}
		}
		save := func(s *adapter.Session, fresh bool) error { return j.SaveSession(ctx, s, time.Minute, fresh) }
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		gone := func(pid string) {
			t.Helper()
			if _, err := j.TakeSession(ctx, pid); !errors.Is(err, adapter.ErrNoSession) {
				t.Error(err)
			}
		}
		gone("a")
		check(save(of("a", "n1"), true))
		check(save(of("a", "n2"), false)) // left alone
		check(j.DropSession(ctx, of("a", "n2")))
		if s, err := j.TakeSession(ctx, "a"); err != nil || s.Owner != "n1" || len(s.Rooms) != 1 {
			t.Error(s, err)
		}
		gone("a")
		check(save(of("a", "n1"), true))
		check(save(of("a", "n2"), true)) // taken over
		check(save(of("b", "n1"), false))
		if save(of("c", "n1"), true) == nil {
			t.Error("one too many")
		}
		time.Sleep(50 * time.Second)
		check(j.TouchSessions(ctx, []string{"a", "nobody"}, time.Minute))
		time.Sleep(20 * time.Second)
		check(save(of("c", "n1"), true)) // b has expired
		gone("b")
		check(j.DropSession(ctx, of("a", "n2")))
		gone("a")
		time.Sleep(61 * time.Second)
		gone("c")
	})
}

// A namespace that goes and comes back finds its sessions; later it does not.
func TestMemoryForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m adapter.Memory
		for _, away := range []time.Duration{time.Minute, 10 * time.Minute} {
			j := m.Journal(host("n", 2*time.Minute))
			if err := j.SaveSession(t.Context(), &adapter.Session{PID: "a"}, 5*time.Minute, true); err != nil {
				t.Fatal(err)
			}
			if err := j.(interface{ Close() error }).Close(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(away)
			j = m.Journal(host("n", 2*time.Minute))
			if _, err := j.TakeSession(t.Context(), "a"); (err == nil) != (away == time.Minute) {
				t.Errorf("after %v: %v", away, err)
			}
		}
	})
}

// The offsets of a node stand for what it has delivered: what others have sent and
// is still on its way is missing, what the node has sent itself is not.
func TestHubOffsets(t *testing.T) {
	hub := new(adapter.Hub)
	hosts := []*adaptertest.Host{host("a", time.Minute), host("b", time.Minute)}
	var nodes []adapter.Adapter
	var journals []adapter.Journal
	entered, release := make(chan struct{}, 9), make(chan struct{})
	hosts[0].OnReceive = func(m *adapter.Message) { entered <- struct{}{}; <-release }
	for _, h := range hosts {
		n, err := hub.Factory(h)
		if err != nil || n.Start(t.Context()) != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = n.Close(t.Context()) })
		nodes, journals = append(nodes, n), append(journals, n.(adapter.Journal))
	}
	publish := func(node int, text string) string {
		t.Helper()
		p, err := nodes[node].Publish(t.Context(), adaptertest.Event(text))
		if err != nil {
			t.Fatal(err)
		}
		return p.Offset
	}
	publish(1, "[1]")
	<-entered
	ahead := publish(0, "[2]")
	for _, j := range journals {
		if got, _ := missed(t, j, ahead); fmt.Sprint(got) != "[[1]]" {
			t.Error("ahead of the queue:", got)
		}
	}
	r, err := journals[0].Replay(t.Context(), ahead, all)
	if err != nil || r.Over() || !r.Saw(adapter.Mark{Seq: 1}) || r.Saw(adapter.Mark{Seq: 3}) {
		t.Error("at the seam", err)
	}
	close(release)
	arrived := hosts[0].Await(t, 1)[0]
	after := journals[0].Advance(arrived)
	if got, _ := missed(t, journals[1], after); len(got) != 0 || !r.Over() {
		t.Error("after it has arrived:", got)
	}
}
