package engine

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// boom panics on the message "boom" and echoes others.
func boom(r *recorder, data []byte, binary, inline bool) {
	if string(data) == "boom" {
		panic("boom")
	}
	echo(r, data, binary, inline)
}

// TestPanicInMessage: HRD-01, HRD-37. It closes that session, with 1011 where the
// transport has codes, and nothing else.
func TestPanicInMessage(t *testing.T) {
	inBubble(t, Config{}, boom, func(t *testing.T, ts *testServer) {
		canary := ts.open(t)
		ts.session(t)

		ws := ts.open(t)
		r := ts.session(t)
		start := time.Now()
		write(t, ws, "4boom")
		expect(t, read(t, ws), "close:1011")
		expect(t, r.waitClosed(t), ReasonForcedClose)
		_ = ws.Close()
		waitOne(t, ts)
		within(t, "end of the connection", time.Since(start), 0, 0)

		q := ts.handshake(t, "")
		r = ts.session(t)
		poll := ts.start(t, "GET", q, "")
		ts.do(t, "POST", q, "4boom\x1e4late")
		expect(t, r.waitClosed(t), ReasonForcedClose)
		expect(t, recv(t, poll).body, "1")
		expect(t, fmt.Sprint(r.received()), "[boom]")
		_, body := ts.do(t, "GET", q, "")
		expect(t, body, `{"code":1,"message":"Session ID unknown"}`)

		if n := ts.Stats().Panics; n != 2 {
			t.Errorf("%d panics counted", n)
		}
		write(t, canary, "4alive")
		expect(t, read(t, canary), "4alive")
	})
}

// waitOne waits until one connection is left.
func waitOne(t *testing.T, ts *testServer) {
	t.Helper()
	for range 100 {
		if synctest.Wait(); ts.Count() == 1 {
			return
		}
		time.Sleep(tick)
	}
	t.Fatalf("%d sessions", ts.Count())
}

// A handler that panics after the session has gone on reading without it.
func TestPanicAfterHandOff(t *testing.T) {
	release := make(chan struct{})
	ts := newTestServer(t, Config{}, func(r *recorder, data []byte, _, _ bool) {
		if string(data) == "boom" && r.s.BeginInline() {
			r.s.Detach()
			r.s.SendText([]byte("detached"))
			<-release
			panic("boom")
		}
		r.s.SendText(data)
	})
	ws := ts.open(t)
	r := ts.session(t)
	write(t, ws, "4boom")
	expect(t, read(t, ws), "4detached")
	write(t, ws, "4on")
	expect(t, read(t, ws), "4on")
	close(release)
	expect(t, read(t, ws), "close:1011")
	expect(t, r.waitClosed(t), ReasonForcedClose)
}

// One that panics inline, on the reader.
func TestPanicInline(t *testing.T) {
	ts := newTestServer(t, Config{}, func(r *recorder, _ []byte, _, _ bool) {
		r.s.BeginInline()
		r.s.SendText([]byte("last words"))
		panic("boom")
	})
	for range 20 {
		ws := ts.open(t)
		r := ts.session(t)
		write(t, ws, "4boom")
		got := read(t, ws)
		if got == "4last words" { // it may be discarded
			got = read(t, ws)
		}
		expect(t, got, "close:1011")
		expect(t, r.waitClosed(t), ReasonForcedClose)
		_ = ws.Close()
	}
	if n := ts.Stats().Panics; n != 20 {
		t.Errorf("%d panics", n)
	}
}

// scripted is a handler whose receivers do what the test wants.
type scripted struct {
	open    func(s *Session) Receiver
	message func()
	alarm   func()
	closed  func(reason string, cause error)
}

func (h *scripted) Open(s *Session, _ *http.Request) Receiver {
	if h.open != nil {
		return h.open(s)
	}
	return h
}

func call(f func()) {
	if f != nil {
		f()
	}
}

func (h *scripted) Message([]byte, bool, bool) { call(h.message) }
func (h *scripted) Alarm()                     { call(h.alarm) }
func (h *scripted) Closed(reason string, cause error) {
	if h.closed != nil {
		h.closed(reason, cause)
	}
}

// TestPanicElsewhere: no receiver's panic ends the process.
func TestPanicElsewhere(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		h := &scripted{}
		ts.handler = h
		var s *Session
		h.open = func(sess *Session) Receiver { s = sess; return h }

		h.alarm = func() { panic("alarm") }
		ws := ts.open(t)
		s.SetAlarm(time.Second)
		expect(t, read(t, ws), "close:1011")
		_ = ws.Close()
		synctest.Wait()

		h.closed = func(string, error) { panic("closed") }
		ws = ts.open(t)
		s.Close(Close{})
		expect(t, read(t, ws), "close:1005")
		_ = ws.Close()
		synctest.Wait()

		h.open = func(sess *Session) Receiver { s = sess; panic("open") }
		ws = ts.dial(t, "EIO=4&transport=websocket")
		expect(t, read(t, ws), "close:1011")
		_ = ws.Close()
		status, _ := ts.do(t, "GET", "EIO=4&transport=polling", "")
		if status != 503 {
			t.Errorf("status %d", status)
		}

		synctest.Wait()
		st := ts.Stats()
		if st.Panics != 4 || st.Sessions != 0 || st.Pending != 0 || st.Polling != 0 || st.WebSocket != 0 {
			t.Errorf("%+v", st)
		}
	})
}

// A session may end while the handler still opens it: Closed comes once, after
// Open, and nothing of it stays.
func TestCloseInOpen(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		var ends atomic.Int32
		var opened atomic.Bool
		h := &scripted{closed: func(reason string, cause error) {
			if !opened.Load() {
				t.Error("Closed came before Open had returned")
			}
			expect(t, reason, ReasonForcedClose)
			ends.Add(1)
		}}
		ts.handler = h
		for _, discard := range []bool{false, true} {
			h.open = func(s *Session) Receiver {
				opened.Store(false)
				s.SendText([]byte("hello"))
				s.SetAlarm(time.Second) // comes too early
				s.Close(Close{Cause: errors.New("not you"), Discard: discard})
				time.Sleep(2 * time.Second)
				opened.Store(true)
				return h
			}
			ws := ts.dial(t, "EIO=4&transport=websocket")
			got := read(t, ws)
			if !discard || got[:3] == "0{\"" { // discarded only if a flusher had not written it yet
				if got[:3] != "0{\"" {
					t.Errorf("open packet: %q", got)
				}
				got = read(t, ws)
				if !discard || got == "4hello" {
					expect(t, got, "4hello")
					got = read(t, ws)
				}
			}
			expect(t, got, "close:1005")
			_ = ws.Close()
			time.Sleep(5 * time.Second) // Open takes its time
			synctest.Wait()
			if n := ends.Swap(0); n != 1 {
				t.Errorf("WebSocket: Closed came %d times", n)
			}

			status, body := ts.do(t, "GET", "EIO=4&transport=polling", "")
			if status != 200 || body[:3] != "0{\"" {
				t.Errorf("%d %q", status, body)
			}
			time.Sleep(lingerTimeout + 2*tick)
			synctest.Wait()
			if n := ends.Swap(0); n != 1 {
				t.Errorf("polling: Closed came %d times", n)
			}
		}
		st := ts.Stats()
		if st.Sessions != 0 || st.Pending != 0 || st.Polling != 0 || st.WebSocket != 0 {
			t.Errorf("%+v", st)
		}
	})
}
