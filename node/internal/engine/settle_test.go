package engine

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSettle: who hands out much waits for peers that take it, and not for those that
// do not.
func TestSettle(t *testing.T) {
	const size = 50_000
	for name, test := range map[string]struct {
		every    time.Duration // the peer takes a message, 0: never, -1: it goes after 3 ms
		atMost   time.Duration
		min, max time.Duration // that Settle takes
		settled  bool
	}{
		"a peer that reads":             {20 * time.Millisecond, time.Second, 180 * time.Millisecond, 220 * time.Millisecond, true},
		"for a while":                   {20 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, false},
		"a peer that reads nothing":     {0, time.Second, settlePatience, settlePatience, false},
		"a peer that reads too little":  {400 * time.Millisecond, time.Second, settlePatience, settlePatience + settleLook, false},
		"a peer that is gone meanwhile": {-1, time.Second, 3 * time.Millisecond, 3 * time.Millisecond, true},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
				settle := func() time.Duration {
					began := time.Now()
					ts.Settle(test.atMost)
					return time.Since(began)
				}
				ws := ts.open(t)
				r := ts.session(t)
				p := NewPacket(make([]byte, size), true, nil, true)
				for range 10 {
					r.s.Send(p, false)
				}
				synctest.Wait()
				if d := settle(); d != 0 {
					t.Errorf("%v with the queue half full", d)
				}
				for range 9 {
					r.s.Send(p, false)
				}
				if n := ts.crowded.Load(); n != 1 {
					t.Fatalf("%d crowded", n)
				}
				switch {
				case test.every > 0:
					go func() {
						for range 19 {
							time.Sleep(test.every)
							read(t, ws)
						}
					}()
				case test.every < 0:
					time.AfterFunc(3*time.Millisecond-1, func() { r.s.Close(Close{Discard: true}) })
				}
				if d := settle(); d < test.min || d > test.max {
					t.Errorf("%v", d)
				}
				if test.every == 0 {
					if d := settle(); d != 0 {
						t.Errorf("the second time %v", d)
					}
				}
				if settled := ts.crowded.Load() == 0; settled != test.settled || settled && r.s.Queued() > 512<<10 {
					t.Errorf("settled: %v, with %d bytes", settled, r.s.Queued())
				}
				r.s.Close(Close{Discard: true})
				time.Sleep(20 * time.Second)
				if n := ts.crowded.Load(); n != 0 {
					t.Errorf("%d crowded at the end", n)
				}
			})
		})
	}
}
