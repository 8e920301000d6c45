package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestOutboxKeepsTheNewest(t *testing.T) {
	o, c := newOutbox(100, 1000, time.Hour), &counters{}
	dropped := 0
	for i := range 20 {
		dropped += o.push(item{payload: fmt.Appendf(nil, "%010d", i), since: time.Now(), to: c})
	}
	if dropped != 10 || c.publishDropped.Load() != 10 {
		t.Errorf("dropped %d, counted %d (HRD-63)", dropped, c.publishDropped.Load())
	}
	got := o.take(nil, 100, 1<<20)
	if len(got) != 10 || string(got[0].payload) != "0000000010" || string(got[9].payload) != "0000000019" {
		t.Errorf("took %d, from %s", len(got), got[0].payload)
	}
}

// TestOutboxAnswersApart: one huge answer costs no event, and the other way.
func TestOutboxAnswersApart(t *testing.T) {
	o, c := newOutbox(100, 1000, time.Hour), &counters{}
	for range 10 {
		o.push(item{payload: make([]byte, 10), since: time.Now(), to: c})
	}
	if n := o.push(item{payload: make([]byte, 5000), since: time.Now(), lane: laneAnswers, to: c}); n != 0 {
		t.Errorf("an answer dropped %d", n)
	}
	if got := o.take(nil, 100, 1<<20); len(got) != 11 || got[0].lane != laneAnswers {
		t.Errorf("took %d", len(got))
	}
}

func TestOutboxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, c := newOutbox(1000, 1000, 10*time.Second), &counters{}
		o.push(item{payload: []byte("old"), since: time.Now(), to: c})
		taken := o.take(nil, 10, 1<<20)
		o.push(item{payload: []byte("waiting"), since: time.Now(), to: c})
		time.Sleep(11 * time.Second)
		o.push(item{payload: []byte("new"), since: time.Now(), to: c})
		if left := o.expire(taken, time.Now()); len(left) != 0 {
			t.Error("a batch is tried for ever")
		}
		if got := o.take(nil, 10, 1<<20); len(got) != 1 || string(got[0].payload) != "new" || c.publishDropped.Load() != 2 {
			t.Errorf("took %d, dropped %d", len(got), c.publishDropped.Load())
		}
	})
}

func TestOutboxDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, c := newOutbox(1000, 1000, time.Hour), &counters{}
		if err := o.drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, l := range []lane{laneMessages, laneAnswers} {
			o.push(item{payload: []byte("x"), since: time.Now(), lane: l, to: c})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := o.drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("drain: %v", err)
		}
		drained := make(chan error, 1)
		go func() { drained <- o.drain(t.Context()) }()
		synctest.Wait()
		for _, it := range o.take(nil, 2, 1<<20) {
			if len(drained) > 0 {
				t.Fatal("drained too early")
			}
			o.done([]item{it})
			synctest.Wait()
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestLiveness(t *testing.T) {
	start := time.Now()
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	steps := []struct {
		second  int
		arrived uint64
		want    liveState
	}{
		{5, 1, liveOK}, {9, 1, liveOK}, {14, 1, liveOK}, {15, 1, liveProbe}, {16, 1, liveOK}, {17, 2, liveOK}, // it came back
		{26, 2, liveOK}, {27, 2, liveProbe}, {31, 2, liveOK}, {32, 2, liveDead},
	}
	var v liveness
	v.heard(start, 0)
	for _, s := range steps {
		if got := v.look(at(s.second), s.arrived, 10*time.Second, 5*time.Second); got != s.want {
			t.Errorf("second %d: %d instead of %d", s.second, got, s.want)
		}
	}
}

func TestReconnectPause(t *testing.T) {
	for attempt, limit := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		for range 100 {
			if p := reconnectPause(attempt); p <= 0 || p > limit {
				t.Fatalf("attempt %d: %v", attempt, p)
			}
		}
	}
	if p := reconnectPause(1 << 40); p > 5*time.Second {
		t.Errorf("%v", p)
	}
}

func TestRecentJoins(t *testing.T) {
	var j recentJoins
	now := time.Now()
	at := func(d time.Duration) func() time.Time { return func() time.Time { return now.Add(d) } }
	if j.has("a", at(0)) {
		t.Error("a room was joined before any")
	}
	j.add([]string{"a", "b"}, now)
	if !j.has("a", at(time.Second)) || j.has("c", at(time.Second)) {
		t.Error("a was joined a second ago, c was not")
	}
	if j.has("a", at(joinWindow)) || j.used.Load() {
		t.Error("a joined room is remembered for ever")
	}
	for i := range 2 * maxJoins {
		j.add([]string{fmt.Sprint(i)}, now)
	}
	if len(j.until) > maxJoins || !j.has("anything", at(time.Second)) {
		t.Errorf("%d rooms remembered (HRD-04)", len(j.until))
	}
}
