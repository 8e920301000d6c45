package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// TestLinger: EIO-C-06, EIO-O-19. A closing session waits half a minute for the
// polls that take the rest, whether something waits or not.
func TestLinger(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		for _, rest := range []string{"", "rest"} {
			q := ts.handshake(t, "")
			r := ts.session(t)
			if rest != "" {
				r.s.Send(NewPacket([]byte(rest), false, nil, true), false)
			}
			time.Sleep(time.Second)
			start := time.Now()
			if !r.s.Close(Close{Cause: errors.New("why")}) {
				t.Error("had ended before")
			}
			time.Sleep(20 * time.Second)
			r.s.Close(Close{}) // does not begin anew
			expect(t, r.waitClosed(t), ReasonForcedClose)
			within(t, "dropped", time.Since(start), 30*time.Second, 2*tick)
			if r.cause == nil || r.cause.Error() != "why" {
				t.Errorf("cause %v", r.cause)
			}
			_, body := ts.do(t, "GET", q, "")
			expect(t, body, `{"code":1,"message":"Session ID unknown"}`)
		}
		if n := ts.Count(); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
}

// A session that its receiver ends takes nothing more, on polling of the same
// body either (EIO-M-04).
func TestNothingIsTakenAfterTheEnd(t *testing.T) {
	for _, discard := range []bool{true, false} {
		ts := newTestServer(t, Config{MaxPacketsPerPayload: 10}, func(r *recorder, data []byte, _, _ bool) {
			if string(data) == "end" {
				r.s.SendText([]byte("last"))
				r.s.Close(Close{Discard: discard})
			}
		})
		q := ts.handshake(t, "")
		r := ts.session(t)
		ts.do(t, "POST", q, "4a\x1e4end"+strings.Repeat("\x1e4late", 20))
		if !discard {
			_, body := ts.do(t, "GET", q, "")
			expect(t, body, "4last")
			_, body = ts.do(t, "GET", q, "")
			expect(t, body, "6\x1e1")
		}
		expect(t, r.waitClosed(t), ReasonForcedClose)
		expect(t, fmt.Sprint(r.received()), "[a end]")

		ws := ts.open(t)
		r = ts.session(t)
		if _, err := ws.NetConn().Write(bytes.Join([][]byte{rawFrame(0x81, []byte("4end")), rawFrame(0x81, []byte("4late"))}, nil)); err != nil {
			t.Fatal(err)
		}
		if !discard {
			expect(t, read(t, ws), "4last")
		}
		got := read(t, ws)
		if got == "4last" { // a flusher was quicker than the end
			got = read(t, ws)
		}
		expect(t, got, "close:1005")
		expect(t, r.waitClosed(t), ReasonForcedClose)
		expect(t, fmt.Sprint(r.received()), "[end]")
	}
}

// A closing session that is closed again with Discard ends at once.
func TestDiscardWhileClosing(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		ts.handshake(t, "")
		r := ts.session(t)
		start := time.Now()
		r.s.Close(Close{})
		r.s.Close(Close{Reason: ReasonServerShutdown, Discard: true})
		expect(t, r.waitClosed(t), ReasonServerShutdown)
		within(t, "closed", time.Since(start), 0, 0)
		if r.s.Close(Close{}) {
			t.Error("closed twice")
		}
	})
}

// TestSlowPost: HRD-10, HRD-22, row B11. A body has 15 s, and a second more for
// each 16 KiB that came.
func TestSlowPost(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		for _, c := range []struct {
			name  string
			chunk int
			every time.Duration
			want  time.Duration // 0: all of it arrives
		}{
			{"nothing more", 0, time.Hour, 15 * time.Second},
			{"a byte per 5 s", 1, 5 * time.Second, 15 * time.Second},
			{"8 KiB/s", 8 << 10, time.Second, 29 * time.Second}, // 15 + 28/2
			{"16 KiB/s", 16 << 10, time.Second, 0},
		} {
			q := ts.handshake(t, "")
			r := ts.session(t)
			start := time.Now()
			nc := ts.send(t, fmt.Sprintf("POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n4", q))
			go func() {
				for sent := 1; c.chunk > 0 && sent < 500_000; {
					time.Sleep(c.every)
					n, err := nc.Write(bytes.Repeat([]byte("x"), min(c.chunk, 500_000-sent)))
					if err != nil {
						return
					}
					sent += n
				}
			}()
			got := readAnswer(t, nc)
			if c.want == 0 {
				expect(t, got, "200 ok")
			} else {
				expect(t, got, "408 ")
				within(t, c.name, time.Since(start), c.want, time.Second)
				expect(t, r.waitClosed(t), ReasonTransportError)
				if r.cause != errPostSlow {
					t.Error(r.cause)
				}
			}
			_ = nc.Close()
			time.Sleep(time.Hour)
		}
	})
}

// A connection that has carried a poll serves other requests later: no deadline
// of ours stays on it.
func TestConnectionsAreReused(t *testing.T) {
	inBubble(t, Config{PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
		ts.client.Transport.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		q := ts.handshake(t, "")
		r := ts.session(t)
		nc := ts.send(t, "GET /socket.io/?"+q+" HTTP/1.1\r\nHost: x\r\n\r\n")
		r.s.Send(NewPacket([]byte("a"), false, nil, true), false)
		expect(t, readAnswer(t, nc), "200 4a")
		time.Sleep(time.Minute)
		fmt.Fprintf(nc, "POST /socket.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n4a", q)
		expect(t, readAnswer(t, nc), "200 ok")
		_ = nc.Close()
	})
}

// A client that takes nothing of its poll's answer is given up (HRD-10).
func TestPollThatIsNotTaken(t *testing.T) {
	inBubble(t, Config{PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
		q := ts.handshake(t, "")
		r := ts.session(t)
		nc := ts.send(t, "GET /socket.io/?"+q+" HTTP/1.1\r\nHost: x\r\n\r\n")
		defer nc.Close()
		start := time.Now()
		r.s.Send(NewPacket(bytes.Repeat([]byte("a"), 100), false, nil, true), false)
		expect(t, r.waitClosed(t), ReasonTransportError)
		within(t, "closed", time.Since(start), writeTimeout, 0)
	})
}

// TestClientClose: EIO-W-10. The close frame of a client comes back with its
// code, behind what was queued.
func TestClientClose(t *testing.T) {
	for _, c := range []struct {
		frame []byte
		want  string
	}{
		{websocket.FormatCloseMessage(1001, "bye"), "close:1001"},
		{websocket.FormatCloseMessage(4000, ""), "close:4000"},
		{nil, "close:1005"},
	} {
		inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
			start := time.Now()
			ws := ts.open(t)
			r := ts.session(t)
			if err := ws.WriteMessage(websocket.CloseMessage, c.frame); err != nil {
				t.Fatal(err)
			}
			expect(t, read(t, ws), c.want)
			expect(t, r.waitClosed(t), ReasonTransportClose)
			if _, err := ws.NetConn().Read(make([]byte, 1)); err == nil {
				t.Error("the connection stays")
			}
			within(t, "end of the connection", time.Since(start), 0, 0)
		})
	}
}

// A client that goes without a word: EIO-W-10.
func TestLostConnection(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		_ = ws.NetConn().Close()
		expect(t, ts.session(t).waitClosed(t), ReasonTransportClose)
	})
}

// TestServerClose: EIO-C-09, HRD-37. What is queued leaves first; a peer that
// does not answer the close frame has a second.
func TestServerClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		close  Close
		rest   bool // what was queued arrives
		want   string
		reason string
	}{
		{"graceful", Close{}, true, "close:1005", ReasonForcedClose},
		{"policy", Close{Code: closePolicy, Cause: errSlowConsumer, Discard: true}, false, "close:1008", ReasonForcedClose},
		{"shutdown", Close{Reason: ReasonServerShutdown, Code: closeGoingAway, Discard: true}, false, "close:1001", ReasonServerShutdown},
	} {
		for _, answers := range []bool{true, false} {
			t.Run(fmt.Sprint(c.name, answers), func(t *testing.T) {
				inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
					ws := ts.open(t)
					r := ts.session(t)
					if !answers {
						ws.SetCloseHandler(func(int, string) error { return nil })
					}
					synctest.Wait() // nobody writes
					start := time.Now()
					r.s.mu.Lock()
					r.s.out.addFrames(NewPacket([]byte("rest"), false, nil, true).frames(0))
					r.s.mu.Unlock()
					r.s.Close(c.close)
					if c.rest {
						expect(t, read(t, ws), "4rest")
					}
					expect(t, read(t, ws), c.want)
					expect(t, r.waitClosed(t), c.reason)
					within(t, "Closed", time.Since(start), 0, 0) // the session ends at once
					if _, err := ws.NetConn().Read(make([]byte, 1)); err == nil {
						t.Error("more follows the close frame")
					}
					if answers {
						within(t, "end of the connection", time.Since(start), 0, 0)
					} else {
						within(t, "end of the connection", time.Since(start), closeTimeout, 0)
					}
				})
			})
		}
	}
}

// A peer that takes nothing any more is dropped a second after a discarding
// close, and six after a graceful one: five to take the rest.
func TestHalfOpenPeer(t *testing.T) {
	for _, discard := range []bool{true, false} {
		inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
			ws := ts.open(t)
			r := ts.session(t)
			r.s.Send(NewPacket([]byte("not taken"), false, nil, true), false)
			start := time.Now()
			r.s.Close(Close{Discard: discard})
			expect(t, r.waitClosed(t), ReasonForcedClose)
			waitConns(t, ts)
			want := closeTimeout
			if !discard {
				want += flushTimeout
			}
			within(t, "dropped", time.Since(start), want, 0)
			_ = ws.Close()
		})
	}
}

// waitConns waits until the goroutines of all connections have ended.
func waitConns(t *testing.T, ts *testServer) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		_ = ts.conns.Wait(t.Context())
		close(done)
	}()
	recv(t, done)
}

// A peer that takes no byte for ten seconds is a slow consumer (HRD-35).
func TestStoppedReader(t *testing.T) {
	inBubble(t, Config{PingInterval: time.Hour}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		r := ts.session(t)
		r.s.Send(NewPacket(bytes.Repeat([]byte("x"), 100<<10), false, nil, true), false)
		start := time.Now()
		for range 5 { // a piece now and then keeps it
			time.Sleep(9 * time.Second)
			if _, err := io.ReadFull(ws.NetConn(), make([]byte, 16<<10)); err != nil {
				t.Fatal(err)
			}
		}
		expect(t, r.waitClosed(t), ReasonForcedClose)
		within(t, "closed", time.Since(start), 55*time.Second, 0)
		if r.cause != errSlowConsumer {
			t.Error(r.cause)
		}
		_ = ws.Close()
	})
}

// send opens a connection and writes to it.
func (ts *testServer) send(t testing.TB, text string) net.Conn {
	t.Helper()
	var nc net.Conn
	var err error
	if ts.dialer.NetDialContext != nil {
		nc, err = ts.dialer.NetDialContext(t.Context(), "", "")
	} else {
		nc, err = net.Dial("tcp", ts.http.Listener.Addr().String())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetReadDeadline(time.Now().Add(patience()))
	if _, err := nc.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return nc
}
