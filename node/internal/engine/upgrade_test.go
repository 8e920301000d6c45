package engine

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// upgrade opens the WebSocket of a polling session.
func (ts *testServer) upgrade(t testing.TB, q string) *websocket.Conn {
	t.Helper()
	return ts.dial(t, strings.Replace(q, "transport=polling", "transport=websocket", 1))
}

// probe takes the first step of an upgrade.
func probe(t testing.TB, ws *websocket.Conn) {
	t.Helper()
	write(t, ws, "2probe")
	expect(t, read(t, ws), "3probe")
}

// alive checks that a session goes on by polling.
func (ts *testServer) alive(t testing.TB, q string, r *recorder) {
	t.Helper()
	if status, body := ts.do(t, "POST", q, "4alive?"); status != 200 || body != "ok" {
		t.Fatalf("the session is gone: %d %q", status, body)
	}
	r.s.Send(NewPacket([]byte("alive"), false, nil, true), false)
	for { // noops of a probe may stand before it
		_, body := ts.do(t, "GET", q, "")
		if strings.HasSuffix(body, "4alive") {
			return
		}
		if strings.Trim(body, "6\x1e") != "" {
			t.Fatalf("poll: %q", body)
		}
	}
}

// TestNoops: EIO-U-04, -05. Every poll is released within 100 ms, none at once;
// a repeated probe is answered again.
func TestNoops(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		poll := ts.start(t, "GET", q, "")
		ws := ts.upgrade(t, q)
		probe(t, ws)
		start := time.Now()
		probe(t, ws)
		for i := range 3 {
			a := recv(t, poll)
			expect(t, a.body, "6")
			within(t, "noop", a.at.Sub(start), time.Duration(i+1)*noopInterval, 0)
			poll = ts.start(t, "GET", q, "")
		}
		expect(t, recv(t, poll).body, "6")
		write(t, ws, "5")
		synctest.Wait()
		expect(t, ts.session(t).s.Transport(), "websocket")
	})
}

// TestUpgradeWithPendingPoll: EIO-U-06. Official clients have none then.
func TestUpgradeWithPendingPoll(t *testing.T) {
	inBubble(t, Config{}, echo, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		ws := ts.upgrade(t, q)
		probe(t, ws)
		poll := ts.start(t, "GET", q, "")
		write(t, ws, "5")
		expect(t, recv(t, poll).body, "1")
		write(t, ws, "4on")
		expect(t, read(t, ws), "4on")
		for _, method := range []string{"GET", "POST"} { // EIO-P-18
			_, body := ts.do(t, method, q, "4late")
			expect(t, body, `{"code":3,"message":"Bad request"}`)
		}
		write(t, ws, "4still")
		expect(t, read(t, ws), "4still")
	})
}

// A poll that its client cuts when the upgrade is through is no loss.
func TestPollCutAtUpgrade(t *testing.T) {
	for range 30 {
		inBubble(t, Config{}, echo, func(t *testing.T, ts *testServer) {
			q := ts.handshake(t, "")
			ws := ts.upgrade(t, q)
			probe(t, ws)
			nc := ts.send(t, "GET /socket.io/?"+q+" HTTP/1.1\r\nHost: x\r\n\r\n")
			synctest.Wait()
			go nc.Close()
			write(t, ws, "5")
			r := ts.session(t)
			synctest.Wait()
			select {
			case <-r.closed: // the cut came first
			default:
				write(t, ws, "4on")
				expect(t, read(t, ws), "4on")
			}
		})
	}
}

// TestFailedUpgrades: EIO-U-07, -08, HRD-38, row B21. The WebSocket is closed
// without a status, the session goes on and may upgrade later.
func TestFailedUpgrades(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	bin := func(data string) string { return "bin:" + data }
	for _, c := range []struct {
		name  string
		first []string // after each but the last one comes 3probe
	}{
		{"upgrade without probe", []string{"5"}},
		{"message", []string{"4hello"}},
		{"ping without data", []string{"2"}},
		{"other data", []string{"2probX"}},
		{"more data", []string{"2probeX"}},
		{"twice in one", []string{"2probe2probe"}},
		{"NUL", []string{"\x00"}},
		{"close", []string{"1"}},
		{"connect", []string{"40"}},
		{"garbage", []string{"xyz"}},
		{"empty", []string{""}},
		{"long", []string{strings.Repeat("2probe", 10_000)}},
		{"binary", []string{bin("2probe")}},
		{"message after the probe", []string{"2probe", "4hello"}},
		{"upgrade with data", []string{"2probe", "5x"}},
		{"binary after the probe", []string{"2probe", bin("5")}},
		{"twice, then garbage", []string{"2probe", "2probe", "6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := ts.handshake(t, "")
			r := ts.session(t)
			ws := ts.upgrade(t, q)
			for i, m := range c.first {
				if data, ok := strings.CutPrefix(m, "bin:"); ok {
					if err := ws.WriteMessage(websocket.BinaryMessage, []byte(data)); err != nil {
						t.Fatal(err)
					}
				} else {
					write(t, ws, m)
				}
				if i < len(c.first)-1 {
					expect(t, read(t, ws), "3probe")
				}
			}
			expect(t, read(t, ws), "close:1005")
			_ = ws.Close()
			ts.alive(t, q, r)
			ws = ts.upgrade(t, q)
			probe(t, ws)
			write(t, ws, "5")
			waitFor(t, func() bool { return r.s.Transport() == "websocket" })
			expect(t, fmt.Sprint(r.received()), "[alive?]") // nothing of the failed one
		})
	}
}

// TestUpgradeTimeout: EIO-U-09. It counts from the opening of the WebSocket.
func TestUpgradeTimeout(t *testing.T) {
	for _, probes := range []bool{false, true} {
		inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
			q := ts.handshake(t, "")
			r := ts.session(t)
			ws := ts.upgrade(t, q)
			start := time.Now()
			if probes {
				for range 9 {
					time.Sleep(time.Second)
					probe(t, ws)
				}
			}
			expect(t, read(t, ws), "close:1005")
			within(t, "closed", time.Since(start), 10*time.Second, 0)
			ts.alive(t, q, r)
		})
	}
}

// TestUpgradeIsCut: EIO-U-10.
func TestUpgradeIsCut(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		r := ts.session(t)
		for _, probes := range []bool{false, true} {
			ws := ts.upgrade(t, q)
			if probes {
				probe(t, ws)
			}
			_ = ws.NetConn().Close()
			synctest.Wait()
			ts.alive(t, q, r)
		}
	})
}

// TestSessionEndsDuringProbe: EIO-U-11. The WebSocket ends with it, whatever the
// session ends for.
func TestSessionEndsDuringProbe(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, ts *testServer, q string, r *recorder){
		"closed":     func(_ *testing.T, _ *testServer, _ string, r *recorder) { r.s.Close(Close{Discard: true}) },
		"bad packet": func(t *testing.T, ts *testServer, q string, _ *recorder) { ts.do(t, "POST", q, "x") },
		"goodbye":    func(t *testing.T, ts *testServer, q string, _ *recorder) { ts.do(t, "POST", q, "1") },
		"ping timeout": func(*testing.T, *testServer, string, *recorder) {
			time.Sleep(time.Second) // see the configuration
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{PingInterval: 400 * time.Millisecond, PingTimeout: 400 * time.Millisecond}
			inBubble(t, cfg, nil, func(t *testing.T, ts *testServer) {
				q := ts.handshake(t, "")
				r := ts.session(t)
				ws := ts.upgrade(t, q)
				probe(t, ws)
				end(t, ts, q, r)
				expect(t, read(t, ws), "close:1005")
				r.waitClosed(t)
				if n := ts.Count(); n != 0 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}

// The same, with the end of the probe at the same time.
func TestSessionAndProbeEndTogether(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	for i := range 50 {
		q := ts.handshake(t, "")
		r := ts.session(t)
		ws := ts.upgrade(t, q)
		probe(t, ws)
		var wg sync.WaitGroup
		wg.Go(func() { r.s.Close(Close{Discard: true}) })
		wg.Go(func() { _ = ws.WriteMessage(websocket.TextMessage, []byte{"5x"[i%2]}) })
		wg.Go(func() { _, _, _ = ws.ReadMessage() })
		wg.Wait()
		r.waitClosed(t)
	}
}

// TestSecondUpgrade: EIO-U-12, -13, -14. Another WebSocket is accepted and closed
// at once; nothing else happens.
func TestSecondUpgrade(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	q := ts.handshake(t, "")
	first := ts.upgrade(t, q)
	probe(t, first)
	expect(t, read(t, ts.upgrade(t, q)), "close:1005") // probing
	write(t, first, "5")
	write(t, first, "4a")
	expect(t, read(t, first), "4a")
	expect(t, read(t, ts.upgrade(t, q)), "close:1005") // upgraded
	write(t, first, "4b")
	expect(t, read(t, first), "4b")

	direct := ts.dial(t, "EIO=4&transport=websocket")
	open := read(t, direct)
	sid, _, _ := strings.Cut(strings.TrimPrefix(open, `0{"sid":"`), `"`)
	expect(t, read(t, ts.upgrade(t, "EIO=4&transport=polling&sid="+sid)), "close:1005")
	write(t, direct, "4c")
	expect(t, read(t, direct), "4c")
}

// Of many upgrades at once one succeeds.
func TestRacingUpgrades(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	for range 20 {
		q := ts.handshake(t, "")
		r := ts.session(t)
		var wg sync.WaitGroup
		var mu sync.Mutex
		var winners []*websocket.Conn
		for range 4 {
			wg.Go(func() {
				ws := ts.upgrade(t, q)
				write(t, ws, "2probe")
				switch got := read(t, ws); got {
				case "3probe":
					mu.Lock()
					winners = append(winners, ws)
					mu.Unlock()
				case "close:1005":
				default:
					t.Errorf("got %q", got)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d of 4 probe", len(winners))
		}
		write(t, winners[0], "5")
		write(t, winners[0], "4hi")
		expect(t, read(t, winners[0]), "4hi")
		expect(t, fmt.Sprint(r.received()), "[hi]")
	}
	if n := ts.Stats().Upgrades; n != 20 {
		t.Errorf("%d upgrades counted", n)
	}
}

// TestCloseDuringProbe: EIO-U-15. A graceful close waits for the upgrade, whose
// WebSocket takes what is queued; without one the session ends as it would have.
func TestCloseDuringProbe(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		r := ts.session(t)
		ws := ts.upgrade(t, q)
		probe(t, ws)
		r.s.Send(NewPacket([]byte("rest"), false, nil, true), false)
		r.s.Close(Close{Code: closePolicy, Cause: errRate})
		write(t, ws, "5")
		expect(t, read(t, ws), "4rest")
		expect(t, read(t, ws), "close:1008")
		expect(t, r.waitClosed(t), ReasonForcedClose)
		if r.cause != errRate {
			t.Error(r.cause)
		}

		q = ts.handshake(t, "")
		r = ts.session(t)
		ws = ts.upgrade(t, q)
		probe(t, ws)
		r.s.Close(Close{})
		expect(t, read(t, ws), "close:1005") // after UpgradeTimeout
		_, body := ts.do(t, "GET", q, "")
		expect(t, body, "6\x1e1")
		expect(t, r.waitClosed(t), ReasonForcedClose)
	})
}

// TestNoUpgrades: EIO-U-16.
func TestNoUpgrades(t *testing.T) {
	ts := newTestServer(t, Config{DisableUpgrades: true}, nil)
	_, body := ts.do(t, "GET", "EIO=4&transport=polling", "")
	if !strings.Contains(body, `"upgrades":[]`) {
		t.Error(body)
	}
	q := ts.handshake(t, "")
	status, body := ts.upgradeAnswer(t, strings.Replace(q, "polling", "websocket", 1))
	expect(t, fmt.Sprint(status, body), "400Bad request")
	if status, _ := ts.do(t, "POST", q, "4a"); status != 200 {
		t.Error("the session is gone")
	}
}

// TestHeartbeatAcrossUpgrade: EIO-U-17, -18. A ping that no poll took leaves on
// the WebSocket, and its deadline stays.
func TestHeartbeatAcrossUpgrade(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		start := time.Now()
		q := ts.handshake(t, "")
		r := ts.session(t)
		time.Sleep(30 * time.Second)
		ws := ts.upgrade(t, q)
		probe(t, ws)
		write(t, ws, "5")
		expect(t, read(t, ws), "2")
		expect(t, read(t, ws), "close:1005")
		within(t, "closed", time.Since(start), 45*time.Second, 2*tick)
		expect(t, r.waitClosed(t), ReasonPingTimeout)

		start = time.Now() // the interval runs on
		q = ts.handshake(t, "")
		time.Sleep(20 * time.Second)
		ws = ts.upgrade(t, q)
		probe(t, ws)
		write(t, ws, "5")
		expect(t, read(t, ws), "2")
		within(t, "ping", time.Since(start), 25*time.Second, tick)
		write(t, ws, "3")
		expect(t, read(t, ws), "2")
	})
}
