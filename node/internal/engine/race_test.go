package engine

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestSendWhileClosing: HRD-35. 64 goroutines send to one session while it
// closes, in each way there is; the client sees whole frames and then the end.
func TestSendWhileClosing(t *testing.T) {
	ts := newTestServer(t, Config{MaxQueue: 32 << 20}, nil)
	ways := map[string]func(ws *websocket.Conn, s *Session){
		"graceful":   func(_ *websocket.Conn, s *Session) { s.Close(Close{}) },
		"discarding": func(_ *websocket.Conn, s *Session) { s.Close(Close{Code: closePolicy, Cause: errRate, Discard: true}) },
		"by the client": func(ws *websocket.Conn, _ *Session) {
			_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		},
		"violation": func(ws *websocket.Conn, _ *Session) { _, _ = ws.NetConn().Write([]byte{0xff, 0xff}) },
		"cut":       func(ws *websocket.Conn, _ *Session) { _ = ws.NetConn().Close() },
	}
	codes := map[string]string{"graceful": "close:1005", "discarding": "close:1008", "by the client": "close:1000", "violation": "close:1002"}
	small := NewPacket([]byte(strings.Repeat("s", 50)), false, nil, true)
	large := NewPacket(bytes.Repeat([]byte("l"), 3*shareFrom), false, [][]byte{[]byte("attached")}, true)
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				ws := ts.open(t)
				r := ts.session(t)
				var senders sync.WaitGroup
				var sent atomic.Int64
				for i := range 64 {
					senders.Go(func() {
						for n := range 120 { // less than fills the queue
							sent.Add(1)
							ok := true
							switch (n + i) % 4 {
							case 0:
								ok = r.s.Send(large, false)
							case 1:
								ok = r.s.SendText([]byte("text"))
							case 2:
								r.s.Send(small, true)
							default:
								ok = r.s.Send(small, false)
							}
							if !ok {
								return
							}
						}
					})
				}
				got := make(chan string, 1)
				go func() { got <- lastOf(t, ws) }()
				waitFor(t, func() bool { return sent.Load() > 200 })
				begin := time.Now()
				way(ws, r.s)
				last := recv(t, got)
				slow := last == "close:1006" && time.Since(begin) >= closeTimeout // it is not waited for any longer
				if want := codes[name]; want != "" && last != want && !slow {
					t.Fatalf("ended with %q, want %q", last, want)
				}
				r.waitClosed(t)
				senders.Wait()
				if r.s.Send(small, false) || r.s.SendText(nil) {
					t.Error("took a message after the end")
				}
				if r.ends != 1 {
					t.Errorf("Closed came %d times", r.ends)
				}
				_ = ws.Close()
			}
		})
	}
}

// lastOf reads to the end and checks every message on the way.
func lastOf(t *testing.T, ws *websocket.Conn) string {
	for {
		switch got := read(t, ws); {
		case got == "4text", got == "bin:attached", got == "4"+strings.Repeat("s", 50):
		case len(got) == 3*shareFrom+1 && got[1] == 'l':
		case strings.HasPrefix(got, "close:"), strings.HasPrefix(got, "error:"):
			return got
		default:
			t.Errorf("%d bytes: %.50q", len(got), got)
			return got
		}
	}
}

// The answer to a client's close frame is not lost to whoever writes at that
// moment.
func TestCloseIsEchoedUnderLoad(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	for i := range 200 {
		ws := ts.open(t)
		r := ts.session(t)
		go func() {
			for n := 0; r.s.SendText(fmt.Append(nil, n)); n++ {
				if n%50 == 0 {
					time.Sleep(50 * time.Microsecond) // a pace
				}
			}
		}()
		read(t, ws)
		code := 3000 + i
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		got := ""
		for !strings.Contains(got, ":") {
			got = read(t, ws)
		}
		expect(t, got, fmt.Sprint("close:", code))
		expect(t, r.waitClosed(t), ReasonTransportClose)
		_ = ws.Close()
	}
}

// Many sessions that open, talk, upgrade and end at once.
func TestChurn(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := range 10 {
				if (i+n)%2 == 0 {
					ws := ts.open(t)
					write(t, ws, "4a")
					expect(t, read(t, ws), "4a")
					_ = ws.Close()
					continue
				}
				q := ts.handshake(t, "")
				ws := ts.upgrade(t, q)
				probe(t, ws)
				if n%3 == 0 {
					write(t, ws, "5")
					write(t, ws, "4a")
					expect(t, read(t, ws), "4a")
				}
				_ = ws.Close()
				ts.do(t, "POST", q, "1")
			}
		})
	}
	wg.Wait()
	waitFor(t, func() bool { // a session is gone a moment before it is not counted any more
		st := ts.Stats()
		return st.Sessions == 0 && st.Pending == 0 && st.Polling == 0 && st.WebSocket == 0
	})
	if st := ts.Stats(); st.Handshakes != 160 {
		t.Errorf("%+v", st)
	}
}
