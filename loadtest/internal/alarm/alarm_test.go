package alarm_test

import (
	"context"
	"testing"
	"time"

	"github.com/fanwire/fanwire/loadtest/internal/alarm"
)

func TestAlarm(t *testing.T) {
	for name, make := range map[string]func(context.Context) *alarm.Alarm{"best": alarm.New, "plain": alarm.Plain} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			a := make(ctx)
			defer a.Close()
			for _, d := range []time.Duration{-time.Second, 0, 1, time.Microsecond, 300 * time.Microsecond, 5 * time.Millisecond} {
				at := time.Now().Add(d)
				if !a.Wait(at) {
					t.Fatal("ended")
				}
				if early := time.Until(at); early > 0 {
					t.Errorf("%v: %v early", d, early)
				}
			}
			ended := time.AfterFunc(time.Millisecond, cancel)
			defer ended.Stop()
			if a.Wait(time.Now().Add(time.Hour)) || a.Wait(time.Now()) {
				t.Error("a wait outlived its context")
			}
		})
	}
}

// BenchmarkLate tells how late it is, in a process that does nothing else.
func BenchmarkLate(b *testing.B) {
	for name, make := range map[string]func(context.Context) *alarm.Alarm{"best": alarm.New, "plain": alarm.Plain} {
		b.Run(name, func(b *testing.B) {
			a := make(b.Context())
			defer a.Close()
			var late time.Duration
			for b.Loop() {
				at := time.Now().Add(1700 * time.Microsecond)
				a.Wait(at)
				late += time.Since(at)
			}
			b.ReportMetric(float64(late.Microseconds())/float64(b.N), "µs-late")
		})
	}
}
