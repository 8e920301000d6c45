package pace

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/alarm"
)

func TestUniform(t *testing.T) {
	s := NewSchedule(3, false, 0)
	for i := range 3_000_000 {
		if at, want := s.Next(), time.Duration(float64(i)/3*1e9); (at - want).Abs() > time.Microsecond {
			t.Fatalf("slot %d at %v, want %v", i, at, want)
		}
	}
}

func TestPoisson(t *testing.T) {
	a, b := NewSchedule(1000, true, 7), NewSchedule(1000, true, 7)
	const n = 200_000
	var last time.Duration
	var sum, squares float64
	for range n {
		at := a.Next()
		if at != b.Next() {
			t.Fatal("the same seed gives other slots")
		}
		gap := (at - last).Seconds()
		sum, squares, last = sum+gap, squares+gap*gap, at
	}
	mean := sum / n
	deviation := math.Sqrt(squares/n - mean*mean)
	if math.Abs(mean-0.001) > 0.00002 || math.Abs(deviation-0.001) > 0.00003 {
		t.Errorf("mean %v s, deviation %v s, want both 0.001", mean, deviation)
	}
}

// plain lets a schedule keep to the time of the test.
func plain(s *Schedule) *Schedule {
	s.alarm = alarm.Plain
	return s
}

// A stall does not move the slots: those that it has covered are met at once, with the
// times at which they should have been.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var slots, late []time.Duration
		missed := plain(NewSchedule(10, false, 0)).Run(context.Background(), begin, time.Second, func(slot time.Time) {
			slots = append(slots, slot.Sub(begin))
			late = append(late, time.Since(slot))
			if len(slots) == 2 {
				time.Sleep(450 * time.Millisecond)
			}
		})
		if missed != 0 || len(slots) != 10 || time.Since(begin) != time.Second {
			t.Fatalf("%d slots in %v", len(slots), time.Since(begin))
		}
		for i, at := range slots {
			if at != time.Duration(i)*100*time.Millisecond {
				t.Errorf("slot %d at %v", i, at)
			}
		}
		ms := time.Millisecond
		for i, want := range []time.Duration{0, 0, 350 * ms, 250 * ms, 150 * ms, 50 * ms, 0, 0, 0, 0} {
			if late[i] != want {
				t.Errorf("slot %d was %v late, want %v", i, late[i], want)
			}
		}
	})
}

func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		n := 0
		if missed := plain(NewSchedule(0.001, false, 0)).Run(ctx, time.Now(), time.Hour, func(time.Time) { n++ }); n != 1 || missed != 0 {
			t.Errorf("%d slots, %d missed", n, missed)
		}
	})
}

// Who cannot keep up is told how far behind he is.
func TestMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 950*time.Millisecond)
		defer cancel()
		n := int64(0)
		missed := plain(NewSchedule(100, false, 0)).Run(ctx, time.Now(), time.Second, func(time.Time) {
			n++
			time.Sleep(100 * time.Millisecond)
		})
		if n != 10 || missed != 90 { // at one second, when the last one is over
			t.Errorf("%d met, %d missed", n, missed)
		}
	})
}
