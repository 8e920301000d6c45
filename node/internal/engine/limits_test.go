package engine

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestQueueBound: HRD-50. A message is taken while the queue is below the bound:
// it holds the bound and one message at most, and a large one passes behind a
// small one.
func TestQueueBound(t *testing.T) {
	const bound = 64 << 10
	for _, transport := range []string{TransportPolling, TransportWebSocket} {
		t.Run(transport, func(t *testing.T) {
			inBubble(t, Config{MaxQueue: bound, PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
				small := NewPacket(bytes.Repeat([]byte("s"), 1000), false, nil, true)
				large := NewPacket(bytes.Repeat([]byte("l"), 900_000), false, nil, true)
				open := func() *recorder {
					t.Helper()
					if transport == TransportPolling {
						ts.handshake(t, "")
						return ts.session(t)
					}
					ts.open(t)
					r := ts.session(t)
					r.s.SendText([]byte("in the way")) // of a pipe that nobody reads
					synctest.Wait()
					return r
				}
				r := open()
				n := 0
				for r.s.Send(small, false) {
					n++
					if q := r.s.Queued(); q >= bound+1100 {
						t.Fatalf("%d bytes queued", q)
					}
				}
				if n < bound/1015 || n > bound/1000+1 {
					t.Errorf("%d messages taken", n)
				}
				expect(t, r.waitClosed(t), ReasonForcedClose)
				if !errors.Is(r.cause, errSlowConsumer) {
					t.Error(r.cause)
				}

				r = open()
				if !r.s.Send(small, false) || !r.s.Send(large, false) {
					t.Error("the large message was not taken")
				}
				if r.s.SendText([]byte("more")) {
					t.Error("one more was taken")
				}
				r.waitClosed(t)
				if st := ts.Stats(); st.SlowConsumers != 2 || st.Dropped != 2 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

// What waits is counted, and is taken back when it has left.
func TestQueuedBytes(t *testing.T) {
	inBubble(t, Config{PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		r := ts.session(t)
		p := NewPacket(make([]byte, 1000), true, [][]byte{make([]byte, 500)}, true)
		r.s.Send(p, false)
		r.s.Send(p, false)
		if n := ts.Stats().QueuedBytes; n != 2*(1500+2*frameOverhead) {
			t.Errorf("%d bytes", n)
		}
		ts.do(t, "GET", q, "")
		ws := ts.open(t)
		w := ts.session(t)
		w.s.Send(p, false)
		synctest.Wait()
		if n := ts.Stats().QueuedBytes; n < 1500 || n > 1530 {
			t.Errorf("%d bytes", n)
		}
		read(t, ws)
		read(t, ws)
		synctest.Wait()
		if n := ts.Stats().QueuedBytes; n != 0 {
			t.Errorf("%d bytes", n)
		}
	})
}

// TestShedding: HRD-52. Over the bound on all queues the longest go, and no more
// of them than it takes.
func TestShedding(t *testing.T) {
	inBubble(t, Config{MaxQueueTotal: 100_000, PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
		var all []*recorder
		for i := range 8 {
			ts.handshake(t, "")
			r := ts.session(t)
			all = append(all, r)
			r.s.Send(NewPacket(make([]byte, 1000*(i+1)), false, nil, true), false)
		}
		time.Sleep(time.Second)
		if n := ts.Count(); n != 8 {
			t.Fatalf("%d sessions", n)
		}
		all[0].s.Send(NewPacket(make([]byte, 59_000), false, nil, true), false) // 95 kB
		all[3].s.Send(NewPacket(make([]byte, 20_000), false, nil, true), false) // 115 kB, 24 of them here
		time.Sleep(time.Second)
		expect(t, all[0].waitClosed(t), ReasonForcedClose)
		if n := ts.Count(); n != 7 {
			t.Errorf("%d sessions", n)
		}
		if st := ts.Stats(); st.SlowConsumers != 1 || st.QueuedBytes > 100_000 {
			t.Errorf("%+v", st)
		}
	})
}

// TestRates: HRD-47. Input over the rate is read only as fast as the bucket
// fills; ten seconds of it without a pause end the session.
func TestRates(t *testing.T) {
	send := func(t *testing.T, ts *testServer, n int, size int) {
		ws := ts.open(t)
		go func() {
			for range n {
				if ws.WriteMessage(1, []byte("4"+strings.Repeat("x", size-1))) != nil {
					return
				}
			}
		}()
	}
	for _, c := range []struct {
		name    string
		cfg     Config
		n, size int
		took    time.Duration // until the last one is handled
		closed  bool
	}{
		{"within the burst", Config{PacketRate: 100, PacketBurst: 50}, 50, 10, 0, false},
		{"over the burst", Config{PacketRate: 100, PacketBurst: 50}, 550, 10, 5 * time.Second, false},
		{"burst of a second by default", Config{PacketRate: 100}, 200, 10, time.Second, false},
		{"too long over it", Config{PacketRate: 100, PacketBurst: 50}, 5000, 10, 10 * time.Second, true},
		{"bytes", Config{ByteRate: 10_000, ByteBurst: 20_000}, 50, 1001, 3 * time.Second, false},
		{"too many bytes", Config{ByteRate: 10_000, ByteBurst: 20_000}, 500, 1001, 10 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.PingInterval = time.Hour
			inBubble(t, c.cfg, nil, func(t *testing.T, ts *testServer) {
				start := time.Now()
				send(t, ts, c.n, c.size)
				r := ts.session(t)
				if c.closed {
					expect(t, r.waitClosed(t), ReasonForcedClose)
					if !errors.Is(r.cause, errRate) {
						t.Error(r.cause)
					}
				} else {
					for len(r.received()) < c.n {
						recv(t, r.changed)
					}
				}
				within(t, "all", time.Since(start), c.took, 200*time.Millisecond)
			})
		})
	}
}

// New limits count for the sessions that there are.
func TestSetLimits(t *testing.T) {
	inBubble(t, Config{PacketRate: 1, PacketBurst: 1, PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		r := ts.session(t)
		send := func(n int) {
			for range n {
				if err := ws.WriteMessage(1, []byte("4x")); err != nil {
					t.Error(err)
				}
			}
		}
		send(1)
		for len(r.received()) < 1 {
			recv(t, r.changed)
		}
		ts.SetLimits(Limits{})
		start := time.Now()
		send(100)
		for len(r.received()) < 101 {
			recv(t, r.changed)
		}
		within(t, "without a limit", time.Since(start), 0, 200*time.Millisecond)
		ts.SetLimits(Limits{PacketRate: 100, PacketBurst: 1})
		start = time.Now()
		send(101)
		for len(r.received()) < 202 {
			recv(t, r.changed)
		}
		within(t, "with the new limit", time.Since(start), time.Second, 200*time.Millisecond)
	})
}

// Pauses pay the debt, also if single messages are over the burst.
func TestRateWithPauses(t *testing.T) {
	for _, cfg := range []Config{
		{PacketRate: 10, PacketBurst: 10, PingInterval: time.Hour},
		{ByteRate: 1000, ByteBurst: 10, PingInterval: time.Hour},
	} {
		inBubble(t, cfg, nil, func(t *testing.T, ts *testServer) {
			ws := ts.open(t)
			r := ts.session(t)
			for range 20 {
				for range 15 {
					write(t, ws, "4"+strings.Repeat("x", 49))
				}
				time.Sleep(3 * time.Second)
			}
			if n := len(r.received()); n != 300 {
				t.Errorf("%d messages", n)
			}
			select {
			case <-r.closed:
				t.Error("closed")
			default:
			}
		})
	}
}

// A reader that wakes late reads on at once and owes nothing for a moment: that is
// no pause of the peer's. One that stays below its rate is never closed.
func TestLateReaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		late   time.Duration // after each wait
		every  time.Duration // between packets
		closed time.Duration // 0: never
	}{
		{"flood", 0, 0, overFor},
		{"flood, late", 5 * time.Millisecond, 0, overFor},
		{"flood, very late", 100 * time.Millisecond, 0, overFor},
		{"four fifths of the rate", 0, 2500 * time.Microsecond, 0},
		{"with hiccups", time.Millisecond, 2500 * time.Microsecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newInputLimits(&Limits{PacketRate: 500, PacketBurst: 2000})
				start := time.Now()
				for i := 0; time.Since(start) < time.Minute; i++ {
					wait, ok := l.take(10)
					if !ok {
						if c.closed == 0 {
							t.Fatalf("closed after %v", time.Since(start))
						}
						within(t, "closed", time.Since(start), c.closed, time.Second)
						return
					}
					if wait > 0 {
						time.Sleep(wait + c.late)
					}
					time.Sleep(c.every)
					if c.every > 0 && i%5000 == 0 { // a burst
						for range 2100 {
							if wait, ok := l.take(10); !ok {
								t.Fatal("closed for a burst")
							} else if wait > 0 {
								time.Sleep(wait)
							}
						}
					}
				}
				if c.closed != 0 {
					t.Error("not closed")
				}
			})
		})
	}
}

// On polling the POST waits (HRD-47), and the pong deadline stands still.
func TestRateOfPosts(t *testing.T) {
	inBubble(t, Config{PacketRate: 10, PacketBurst: 10, PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}, nil, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		r := ts.session(t)
		start := time.Now()
		post := ts.start(t, "POST", q, strings.TrimSuffix(strings.Repeat("4a\x1e", 60), "\x1e"))
		expect(t, recv(t, post).body, "ok")
		within(t, "POST", time.Since(start), 5*time.Second, 200*time.Millisecond)
		status, _ := ts.do(t, "POST", q, "3")
		if status != 200 || len(r.received()) != 60 {
			t.Errorf("%d, %d messages", status, len(r.received()))
		}
		ts.do(t, "POST", q, strings.TrimSuffix(strings.Repeat("4a\x1e", 200), "\x1e"))
		expect(t, r.waitClosed(t), ReasonForcedClose)
		if n := len(r.received()); n < 110 || n > 120 { // ten seconds of both
			t.Errorf("%d messages", n)
		}
	})
}

// TestBackPressureOfReceiver: a receiver that blocks stops the reader and nobody
// else.
func TestBackPressureOfReceiver(t *testing.T) {
	release := make(chan struct{})
	ts := newTestServer(t, Config{}, func(r *recorder, data []byte, binary, inline bool) {
		if string(data) == "block" {
			r.s.Hold()
			<-release
			r.s.Unhold()
			return
		}
		echo(r, data, binary, inline)
	})
	blocked, other := ts.open(t), ts.open(t)
	write(t, blocked, "4block")
	write(t, blocked, "4after")
	write(t, other, "4on")
	expect(t, read(t, other), "4on")
	if got := ts.session(t).received(); fmt.Sprint(got) != "[block]" && fmt.Sprint(got) != "[]" {
		t.Errorf("read on: %v", got)
	}
	close(release)
	expect(t, read(t, blocked), "4after")
}

// What was answered inline leaves before the reader waits for room (HRD-48).
func TestInlineAnswersLeaveBeforeHold(t *testing.T) {
	release := make(chan struct{})
	ts := newTestServer(t, Config{}, func(r *recorder, data []byte, _, _ bool) {
		if string(data) == "block" {
			r.s.Hold()
			<-release
			r.s.Unhold()
			return
		}
		r.s.BeginInline()
		r.s.SendText(data)
		r.s.EndInline()
	})
	ws := ts.open(t)
	two := append(rawFrame(0x81, []byte("4answer me")), rawFrame(0x81, []byte("4block"))...)
	if _, err := ws.NetConn().Write(two); err != nil {
		t.Fatal(err)
	}
	expect(t, read(t, ws), "4answer me")
	close(release)
}
