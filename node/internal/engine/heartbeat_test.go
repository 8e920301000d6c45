package engine

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// tick is how late a wheel may be with the default times (EIO-B-01).
const tick = 250 * time.Millisecond

// TestPing: EIO-B-01. The first ping comes an interval after the opening, the
// next ones an interval after each pong.
func TestPing(t *testing.T) {
	for _, c := range []struct{ interval, timeout, tick time.Duration }{
		{25 * time.Second, 20 * time.Second, tick},
		{300 * time.Millisecond, 200 * time.Millisecond, 10 * time.Millisecond},
		{time.Second, time.Minute, 50 * time.Millisecond}, // the deadline is later than the next ping
		{time.Minute, time.Second, 50 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(c.interval, c.timeout), func(t *testing.T) {
			inBubble(t, Config{PingInterval: c.interval, PingTimeout: c.timeout}, nil, func(t *testing.T, ts *testServer) {
				ws := ts.open(t)
				got := frames(t, ws)
				last := time.Duration(0)
				rtt := c.timeout / 4
				for range 4 {
					f := recv(t, got)
					expect(t, f.text, "2")
					within(t, "ping", f.at-last, c.interval, c.tick)
					time.Sleep(rtt) // the bubble's clock
					write(t, ws, "3")
					last = f.at + rtt
				}
			})
		})
	}
}

// TestPingTimeoutOnPolling: EIO-B-02, -03. The clock starts though no poll is
// there to carry the ping; a pending poll gets the close packet.
func TestPingTimeoutOnPolling(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		start := time.Now()
		ts.handshake(t, "")
		r := ts.session(t)
		expect(t, r.waitClosed(t), ReasonPingTimeout)
		within(t, "closed", time.Since(start), 45*time.Second, 2*tick)

		start = time.Now()
		q := ts.handshake(t, "")
		r = ts.session(t)
		poll := recv(t, ts.start(t, "GET", q, ""))
		expect(t, poll.body, "2")
		within(t, "ping", poll.at.Sub(start), 25*time.Second, tick)
		poll = recv(t, ts.start(t, "GET", q, ""))
		expect(t, poll.body, "1")
		within(t, "close packet", poll.at.Sub(start), 45*time.Second, 2*tick)
		expect(t, r.waitClosed(t), ReasonPingTimeout)
		_, body := ts.do(t, "GET", q, "")
		expect(t, body, `{"code":1,"message":"Session ID unknown"}`) // EIO-C-08
	})
}

// TestPingTimeoutOnWebSocket: EIO-B-03.
func TestPingTimeoutOnWebSocket(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		got := frames(t, ts.open(t))
		r := ts.session(t)
		expect(t, recv(t, got).text, "2")
		f := recv(t, got)
		expect(t, f.text, "close:1005") // 88 00
		within(t, "closed", f.at, 45*time.Second, 2*tick)
		expect(t, r.waitClosed(t), ReasonPingTimeout)
	})
}

// TestDeadlineIsRefreshedOnce: EIO-B-04, -06. Messages alone do not keep a
// session alive; the measured example of the reference.
func TestDeadlineIsRefreshedOnce(t *testing.T) {
	cfg := Config{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
	const tick = 10 * time.Millisecond
	inBubble(t, cfg, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		got := frames(t, ws)
		for range 2 { // once per ping: a pong makes the next refresh possible
			ping := recv(t, got)
			expect(t, ping.text, "2")
			time.Sleep(150 * time.Millisecond)
			write(t, ws, "4a")
			time.Sleep(150 * time.Millisecond) // beyond the first deadline
			write(t, ws, "3data of a pong is ignored")
		}
		ping := recv(t, got)
		time.Sleep(150 * time.Millisecond)
		write(t, ws, "4a")
		time.Sleep(150 * time.Millisecond)
		write(t, ws, "4b")
		f := recv(t, got)
		expect(t, f.text, "close:1005")
		within(t, "closed", f.at-ping.at, 350*time.Millisecond, 2*tick)
	})
}

// TestUnsolicitedPong: EIO-B-05. It does not put the next ping off.
func TestUnsolicitedPong(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		got := frames(t, ws)
		for range 4 {
			time.Sleep(5 * time.Second)
			write(t, ws, "3")
		}
		f := recv(t, got)
		expect(t, f.text, "2")
		within(t, "ping", f.at, 25*time.Second, tick)
	})
}

// TestClientPing: EIO-B-07, EIO-M-07.
func TestClientPing(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		for _, ping := range []string{"2", "2probe"} {
			ws := ts.open(t)
			write(t, ws, ping)
			expect(t, read(t, ws), "close:1005")
			r := ts.session(t)
			expect(t, r.waitClosed(t), ReasonTransportError)
			if r.cause != errHeartbeatDirection {
				t.Error(r.cause)
			}

			q := ts.handshake(t, "")
			poll := ts.start(t, "GET", q, "")
			status, body := ts.do(t, "POST", q, ping)
			expect(t, fmt.Sprint(status, body), "200ok")
			expect(t, recv(t, poll).body, "1")
			expect(t, ts.session(t).waitClosed(t), ReasonTransportError)
		}
	})
}

// TestHeartbeat3: EIO-3-08. The client pings; the server waits for it as long as
// both times together.
func TestHeartbeat3(t *testing.T) {
	inBubble(t, Config{AllowEIO3: true}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.dial(t, "EIO=3&transport=websocket")
		read(t, ws)
		got := frames(t, ws)
		for range 3 {
			time.Sleep(40 * time.Second)
			write(t, ws, "2x")
			expect(t, recv(t, got).text, "3")
		}
		f := recv(t, got)
		expect(t, f.text, "close:1005")
		within(t, "closed", f.at, 165*time.Second, 2*tick)
		r := ts.session(t)
		expect(t, r.waitClosed(t), ReasonPingTimeout)
	})
}

// TestDeadlineStandsStill: HRD-48. While we hold a peer's input back, its pong
// may wait behind that: the time does not count, however often it happens.
func TestDeadlineStandsStill(t *testing.T) {
	for _, c := range []struct {
		name   string
		hold   time.Duration
		times  int
		gap    time.Duration
		closed time.Duration // after the opening
	}{
		{"not held", 0, 0, 0, 45 * time.Second},
		{"held over the deadline", 100 * time.Second, 1, 0, 145 * time.Second},
		{"held until just before", 19 * time.Second, 1, 0, 64 * time.Second},
		{"held again and again", 900 * time.Millisecond, 100, 100 * time.Millisecond, 135 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
				start := time.Now()
				got := frames(t, ts.open(t))
				r := ts.session(t)
				expect(t, recv(t, got).text, "2")
				for range c.times {
					r.s.Hold()
					r.s.Hold() // counts
					time.Sleep(c.hold)
					r.s.Unhold()
					r.s.Unhold()
					time.Sleep(c.gap)
				}
				expect(t, r.waitClosed(t), ReasonPingTimeout)
				within(t, "closed", time.Since(start), c.closed, 3*tick)
			})
		})
	}
}

// A peer that posts but does not fetch is not held on to for ever: what waits for
// its polls does not stop its clock (HRD-24, HRD-48).
func TestPollerThatDoesNotFetch(t *testing.T) {
	inBubble(t, Config{MaxQueue: 64 << 10}, echo, func(t *testing.T, ts *testServer) {
		start := time.Now()
		q := ts.handshake(t, "")
		r := ts.session(t)
		post := ts.start(t, "POST", q, strings.TrimSuffix(strings.Repeat("4"+strings.Repeat("x", 90)+"\x1e", 2000), "\x1e"))
		if n := r.s.Queued(); n < 32<<10 || n > 64<<10 {
			t.Errorf("%d bytes queued", n)
		}
		expect(t, r.waitClosed(t), ReasonPingTimeout)
		within(t, "closed", time.Since(start), 45*time.Second, 2*tick)
		recv(t, post)
	})
}

// One that fetches in time gets everything.
func TestPollerThatFetchesLate(t *testing.T) {
	inBubble(t, Config{MaxQueue: 64 << 10}, echo, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		const n = 2000
		post := ts.start(t, "POST", q, strings.TrimSuffix(strings.Repeat("4"+strings.Repeat("x", 90)+"\x1e", n), "\x1e"))
		got := 0
		for got < n {
			time.Sleep(10 * time.Second)
			_, body := ts.do(t, "GET", q, "")
			got += strings.Count(body, "4x")
		}
		if a := recv(t, post); a.status != 200 || got != n {
			t.Errorf("%d %s, %d echoes", a.status, a.body, got)
		}
	})
}

// TestSetAlarm: one slot, zero clears it, a later or earlier one replaces it.
func TestSetAlarm(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		start := time.Now()
		got := frames(t, ts.open(t))
		r := ts.session(t)
		alarmAt := func(want time.Duration) {
			t.Helper()
			recv(t, r.changed)
			within(t, "alarm", time.Since(start), want, tick)
		}
		r.s.SetAlarm(10 * time.Second)
		r.s.SetAlarm(5 * time.Second)
		alarmAt(5 * time.Second)
		r.s.SetAlarm(time.Second)
		r.s.SetAlarm(7 * time.Second)
		alarmAt(12*time.Second + tick)
		r.s.SetAlarm(time.Second)
		r.s.SetAlarm(0)
		expect(t, recv(t, got).text, "2") // the ping is not disturbed
		within(t, "ping", time.Since(start), 25*time.Second, tick)
		r.s.SetAlarm(30 * time.Second) // after the end
		r.waitClosed(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		if r.alarms != 2 {
			t.Errorf("%d alarms", r.alarms)
		}
	})
}
