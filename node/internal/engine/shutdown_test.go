package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestShutdown: EIO-C-11. Every kind of session ends at once, and everything that
// belongs to it is waited for. The bubble fails if a goroutine is left.
func TestShutdown(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		idle := ts.open(t)
		stalled := ts.open(t)
		ts.session(t)
		ts.session(t).s.Send(NewPacket(bytes.Repeat([]byte("x"), 1000), false, nil, true), false)
		ts.handshake(t, "") // never polls
		q := ts.handshake(t, "")
		poll := ts.start(t, "GET", q, "")
		post := ts.send(t, "POST /socket.io/?"+q+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4a")
		probing := ts.upgrade(t, ts.handshake(t, ""))
		probe(t, probing)
		closing := ts.handshake(t, "")
		for range 3 {
			ts.session(t)
		}
		ts.session(t).s.Close(Close{})
		time.Sleep(time.Second)

		start := time.Now()
		ends := make(chan error)
		go func() { ends <- ts.Shutdown(t.Context()) }()
		expect(t, read(t, idle), "close:1001")
		expect(t, read(t, probing), "close:1005")
		expect(t, recv(t, poll).body, "1")
		expect(t, readAnswer(t, post), "unexpected EOF") // cut
		if err := recv(t, ends); err != nil {
			t.Error(err)
		}
		within(t, "Shutdown", time.Since(start), closeTimeout, 0) // for the stalled one
		if ts.Count() != 0 {
			t.Errorf("%d sessions", ts.Count())
		}
		for _, query := range []string{"EIO=4&transport=polling", q, closing} {
			status, body := ts.do(t, "GET", query, "")
			if got := fmt.Sprint(status, body); got != `503` && got != `400{"code":1,"message":"Session ID unknown"}` {
				t.Errorf("%s: %s", query, got)
			}
		}
		if err := ts.Shutdown(t.Context()); err != nil { // again
			t.Error(err)
		}
		_ = stalled.Close()
	})
}

// Shutdown waits for user code as long as its context allows, and can be called
// again.
func TestShutdownDeadline(t *testing.T) {
	release := make(chan struct{})
	for _, where := range []string{"Message", "Closed", "AllowRequest"} {
		t.Run(where, func(t *testing.T) {
			block := func(name string) func() {
				if name != where {
					return nil
				}
				return func() { <-release }
			}
			cfg := Config{AllowRequest: func(r *http.Request) error {
				if r.URL.Query().Has("block") {
					call(block("AllowRequest"))
				}
				return nil
			}}
			inBubble(t, cfg, nil, func(t *testing.T, ts *testServer) {
				release = make(chan struct{})
				h := &scripted{message: block("Message")}
				if f := block("Closed"); f != nil {
					h.closed = func(string, error) { f() }
				}
				ts.handler = h
				write(t, ts.open(t), "4a")
				if where == "AllowRequest" {
					ts.start(t, "GET", "EIO=4&transport=polling&block=1", "")
				}
				synctest.Wait()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				start := time.Now()
				if err := ts.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v", err)
				}
				within(t, "Shutdown", time.Since(start), 10*time.Second, 0)
				time.AfterFunc(time.Minute, func() { close(release) })
				start = time.Now()
				if err := ts.Shutdown(t.Context()); err != nil {
					t.Error(err)
				}
				within(t, "the next one", time.Since(start), time.Minute, closeTimeout)
			})
		})
	}
}

// TestShutdownDuringHandshakes: each session that was opened has been closed when
// Shutdown returns, and none is opened later.
func TestShutdownDuringHandshakes(t *testing.T) {
	for range 5 {
		var opens, ends atomic.Int64
		h := &scripted{closed: func(string, error) { ends.Add(1) }}
		h.open = func(*Session) Receiver { opens.Add(1); return h }
		ts := newTestServer(t, Config{}, nil)
		ts.handler = h
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					if i%2 == 0 {
						ts.do(t, "GET", "EIO=4&transport=polling", "")
					} else if c, _, err := ts.dialer.Dial("ws"+ts.http.URL[4:]+"/socket.io/?EIO=4&transport=websocket", nil); err == nil {
						_ = c.Close()
					}
				}
			})
		}
		waitFor(t, func() bool { return opens.Load() > 50 })
		ctx, cancel := context.WithTimeout(t.Context(), patience())
		if err := ts.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		before := opens.Load()
		if n := ends.Load(); n != before {
			t.Errorf("%d of %d sessions have ended", n, before)
		}
		close(stop)
		clients.Wait()
		st := ts.Stats()
		if st.Sessions != 0 || st.Pending != 0 || st.Polling != 0 || st.WebSocket != 0 {
			t.Errorf("%+v", st)
		}
		if n := opens.Load(); n != before {
			t.Errorf("%d sessions opened, then %d", before, n)
		}
	}
}
