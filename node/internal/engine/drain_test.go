package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestDrain: HRD-53, HRD-70. Nobody new is let in, those who are there are served
// until their turn, and leave evenly, with what is queued for them.
func TestDrain(t *testing.T) {
	inBubble(t, Config{}, echo, func(t *testing.T, ts *testServer) {
		const perSecond, sessions = 2, 20
		var ends []<-chan frame
		for range sessions / 2 {
			ends = append(ends, frames(t, ts.open(t)))
			ts.session(t)
		}
		var polls []<-chan answer
		for range sessions / 2 {
			polls = append(polls, ts.start(t, "GET", ts.handshake(t, ""), ""))
			ts.session(t)
		}
		drained := make(chan error, 1)
		start := time.Now()
		go func() { drained <- ts.Drain(t.Context(), perSecond) }()
		synctest.Wait()
		if status, _ := ts.do(t, "GET", "EIO=4&transport=polling", ""); status != 503 {
			t.Errorf("handshake: %d", status)
		}
		var at []time.Duration
		for _, c := range ends {
			f := recv(t, c)
			expect(t, f.text, "close:1001")
			at = append(at, f.at)
		}
		for _, c := range polls {
			a := recv(t, c)
			expect(t, a.body, "1")
			at = append(at, a.at.Sub(start))
		}
		slices.Sort(at)
		for i, d := range at { // the i-th leaves in the i-th part of the time
			within(t, fmt.Sprint("end ", i), d, time.Duration(i)*time.Second/perSecond, time.Second/perSecond)
		}
		if err := recv(t, drained); err != nil {
			t.Error(err)
		}
		if err := ts.Drain(t.Context(), perSecond); err != nil { // again
			t.Error(err)
		}
	})
}

// What a session is told while others leave, and what is queued for it when its
// turn comes, arrives; so does the end of an upgrade that is under way. Who does
// not come for it has five seconds.
func TestDrainDeliversFirst(t *testing.T) {
	inBubble(t, Config{}, echo, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		wsSession := ts.session(t)
		polling := ts.handshake(t, "")
		pollSession := ts.session(t)
		away := ts.handshake(t, "")
		awaySession := ts.session(t)
		upgrading := ts.handshake(t, "")
		upgradeSession := ts.session(t)
		probing := ts.upgrade(t, upgrading)
		probe(t, probing)
		all := []*recorder{wsSession, pollSession, awaySession, upgradeSession}
		stalled := ts.open(t) // takes nothing
		all = append(all, ts.session(t))
		big := bytes.Repeat([]byte("x"), 100_000) // more than a pipe takes
		for _, r := range all {
			r.s.Send(NewPacket(big, false, nil, true), false)
		}
		start := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- ts.Drain(t.Context(), 0) }()
		time.Sleep(4 * time.Second)
		if n := ts.Count(); n != 3 { // the WebSockets have ended for those above
			t.Errorf("%d sessions", n)
		}
		expect(t, read(t, ws), "4"+string(big))
		expect(t, read(t, ws), "close:1001")
		_, body := ts.do(t, "GET", polling, "")
		expect(t, body, "4"+string(big))
		_, body = ts.do(t, "GET", polling, "")
		expect(t, body, "6\x1e1")
		write(t, probing, "5")
		expect(t, read(t, probing), "4"+string(big))
		expect(t, read(t, probing), "close:1001")
		for _, r := range all {
			expect(t, r.waitClosed(t), ReasonServerShutdown)
			if !errors.Is(r.cause, ErrDraining) {
				t.Errorf("cause: %v", r.cause)
			}
		}
		if err := recv(t, drained); err != nil {
			t.Error(err)
		}
		within(t, "drained", time.Since(start), flushTimeout, closeTimeout+2*tick)
		if status, _ := ts.do(t, "GET", away, ""); status != 400 {
			t.Errorf("the one that was away: %d", status)
		}
		_ = stalled.Close()
	})
}

// Calls overlap: each has its own pace, all return when nobody is left. The
// context bounds one call, not the others.
func TestDrainTwice(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		var clients []<-chan frame
		for range 10 {
			clients = append(clients, frames(t, ts.open(t)))
		}
		drain := func(ctx context.Context, perSecond float64) <-chan error {
			c := make(chan error, 1)
			go func() { c <- ts.Drain(ctx, perSecond) }()
			synctest.Wait()
			return c
		}
		start := time.Now()
		short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		bounded := drain(short, 0.01)
		slow := drain(t.Context(), 1)
		err := recv(t, bounded)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "sessions are left") {
			t.Errorf("bounded: %v", err)
		}
		within(t, "bounded", time.Since(start), 5*time.Second, 0)
		if n := ts.Count(); n < 4 || n > 6 {
			t.Errorf("%d sessions are left after half of the time", n)
		}
		fast := drain(t.Context(), 0)
		for _, c := range []<-chan error{slow, fast} {
			if err := recv(t, c); err != nil {
				t.Error(err)
			}
		}
		within(t, "drained", time.Since(start), 5*time.Second, closeTimeout)
		for _, c := range clients {
			expect(t, recv(t, c).text, "close:1001")
		}
	})
}

// A session that was closing already does not hold a drain up for half a minute,
// one that has left by itself costs no time, and a Shutdown ends a drain.
func TestDrainAmongOtherEnds(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		ts.handshake(t, "")
		closing := ts.session(t)
		closing.s.Close(Close{Cause: errors.New("why")})
		for range 100 {
			ts.open(t)
			ts.session(t).s.Close(Close{})
		}
		start := time.Now()
		if err := ts.Drain(t.Context(), 1); err != nil {
			t.Error(err)
		}
		within(t, "drained", time.Since(start), flushTimeout, time.Second+2*tick)
		expect(t, closing.waitClosed(t), ReasonForcedClose)
	})
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		for range 10 {
			ts.open(t)
		}
		drained := make(chan error, 1)
		go func() { drained <- ts.Drain(t.Context(), 0.001) }()
		synctest.Wait()
		start := time.Now()
		if err := ts.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		if err := ts.Drain(cancelled, 1); err != nil {
			t.Errorf("nothing to drain: %v", err)
		}
		within(t, "shut down", time.Since(start), 0, closeTimeout)
		if err := recv(t, drained); err != nil {
			t.Error(err)
		}
	})
}
