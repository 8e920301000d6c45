package engine

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// relayHeader marks a request of a test as relayed.
const relayHeader = "Test-Relayed"

func markRelayed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(relayHeader) != "" {
			r = Relayed(r)
		}
		next.ServeHTTP(w, r)
	})
}

// relay makes a relayed GET in the background and returns when the server waits.
// cut ends its connection.
func (ts *testServer) relay(t *testing.T, query string) (answers <-chan answer, cut func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, ts.http.URL+"/socket.io/?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(relayHeader, "1")
	c := make(chan answer, 1)
	go func() {
		res, err := ts.client.Do(req)
		if err != nil {
			c <- answer{body: err.Error(), at: time.Now()}
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		c <- answer{res.StatusCode, string(body), time.Now()}
	}()
	synctest.Wait()
	return c, func() { cancel(); synctest.Wait() }
}

func sendText(t *testing.T, r *recorder, text string) {
	t.Helper()
	if !r.s.Send(NewPacket([]byte(text), false, nil, true), false) {
		t.Fatal("the session has ended")
	}
	synctest.Wait()
}

// A relayed poll that is cut leaves the session: what is sent meanwhile waits for
// the next one (HRD-22).
func TestRelayedPollCut(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		query := ts.handshake(t, "")
		r := ts.session(t)
		_, cut := ts.relay(t, query)
		cut()
		sendText(t, r, "a")
		time.Sleep(relayGrace - time.Second)
		status, body := ts.do(t, "GET", query, "")
		if status != 200 || body != "4a" {
			t.Fatalf("the next poll: %d %q", status, body)
		}
		_, cut = ts.relay(t, query)
		cut()
		// The grace of the first cut is over, that of the second is not.
		time.Sleep(relayGrace - time.Second)
		next := ts.start(t, "GET", query, "")
		time.Sleep(2 * relayGrace)
		sendText(t, r, "b")
		if got := recv(t, next); got.status != 200 || got.body != "4b" {
			t.Fatalf("the poll after the second cut: %d %q", got.status, got.body)
		}
	})
}

// Without a next poll the session ends (HRD-22).
func TestRelayedPollCutForGood(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		query := ts.handshake(t, "")
		r := ts.session(t)
		_, cut := ts.relay(t, query)
		at := time.Now()
		cut()
		expect(t, r.waitClosed(t), ReasonTransportError)
		within(t, "the end", time.Since(at), relayGrace, 500*time.Millisecond)
		status, body := ts.do(t, "GET", query, "")
		if status != 400 || !strings.Contains(body, `"code":1`) {
			t.Fatalf("after the end: %d %q", status, body)
		}
	})
}

// A session whose relay is gone may be closed, shut down and upgraded.
func TestRelayedPollCutThenClose(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		query := ts.handshake(t, "")
		r := ts.session(t)
		_, cut := ts.relay(t, query)
		cut()
		r.s.Close(Close{})
		time.Sleep(2 * relayGrace) // the grace does not count any more
		status, body := ts.do(t, "GET", query, "")
		if status != 200 || body != "6\x1e1" {
			t.Fatalf("the last poll: %d %q", status, body)
		}
		expect(t, r.waitClosed(t), ReasonForcedClose)

		query = ts.handshake(t, "")
		r = ts.session(t)
		_, cut = ts.relay(t, query)
		cut()
		c := ts.dial(t, strings.Replace(query, "polling", "websocket", 1))
		write(t, c, "2probe")
		expect(t, read(t, c), "3probe")
		write(t, c, "5")
		time.Sleep(2 * relayGrace)
		sendText(t, r, "a")
		expect(t, read(t, c), "4a")
	})
}

// A relayed poll whose connection seems to stand gives way to the next one; two of
// a client that is connected here still are a fault (HRD-20).
func TestRelayedPollReplaced(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		query := ts.handshake(t, "")
		r := ts.session(t)
		first, _ := ts.relay(t, query)
		second, _ := ts.relay(t, query)
		if got := recv(t, first); got.status != 400 || got.body != "" {
			t.Fatalf("the first poll: %d %q", got.status, got.body)
		}
		third := ts.start(t, "GET", query, "")
		if got := recv(t, second); got.status != 400 {
			t.Fatalf("the second poll: %d %q", got.status, got.body)
		}
		sendText(t, r, "a")
		if got := recv(t, third); got.status != 200 || got.body != "4a" {
			t.Fatalf("the third poll: %d %q", got.status, got.body)
		}
		ts.start(t, "GET", query, "")
		fifth, _ := ts.relay(t, query)
		if got := recv(t, fifth); got.status != 400 {
			t.Fatalf("the overlapping poll: %d %q", got.status, got.body)
		}
		expect(t, r.waitClosed(t), ReasonTransportError)
	})
}

// A poll that a balancer sends again, since its relay died with the answer in
// hand, gets the same answer. The next one of the client does not.
func TestRelayedPollSentAgain(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		query := ts.handshake(t, "")
		r := ts.session(t)
		poll := func(t *testing.T, query, want string) {
			t.Helper()
			c, _ := ts.relay(t, query)
			if got := recv(t, c); got.status != 200 || got.body != want {
				t.Errorf("%s: %d %q, want %q", query, got.status, got.body, want)
			}
		}
		sendText(t, r, "a")
		poll(t, query+"&t=1", "4a")
		sendText(t, r, "b")
		poll(t, query+"&t=1", "4a\x1e4b")
		sendText(t, r, "c")
		poll(t, query+"&t=2", "4c")
		sendText(t, r, "d")
		poll(t, query, "4d") // nothing tells one poll from the next
		sendText(t, r, "e")
		poll(t, query, "4e")
		if n := r.s.Queued(); n != 0 {
			t.Errorf("%d bytes are queued", n)
		}
	})
}

// A relayed POST that is cut was not handled, and leaves the session (HRD-22); the
// same of a client that is connected here ends it (EIO-P-14).
func TestRelayedPostCut(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		query := ts.handshake(t, "")
		r := ts.session(t)
		post := func(relayed string) {
			body, w := io.Pipe()
			req, err := http.NewRequest(http.MethodPost, ts.http.URL+"/socket.io/?"+query, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(relayHeader, relayed)
			go func() {
				_, _ = io.WriteString(w, "4half")
				synctest.Wait()
				_ = w.CloseWithError(io.ErrUnexpectedEOF)
			}()
			if res, err := ts.client.Do(req); err == nil {
				_ = res.Body.Close()
				t.Errorf("the cut POST was answered: %d", res.StatusCode)
			}
			synctest.Wait()
		}
		post("1")
		status, body := ts.do(t, "POST", query, "4whole")
		if status != 200 || body != "ok" {
			t.Fatalf("the POST after the cut one: %d %q", status, body)
		}
		if got := r.received(); len(got) != 1 || got[0] != "whole" {
			t.Fatalf("received %q", got)
		}
		post("")
		expect(t, r.waitClosed(t), ReasonTransportError)
	})
}

// Unknown serves what no session here has, or leaves it to the refusal.
func TestUnknown(t *testing.T) {
	cfg := Config{Unknown: func(w http.ResponseWriter, _ *http.Request, sid string) bool {
		if sid != "elsewhere" {
			return false
		}
		w.WriteHeader(http.StatusTeapot)
		return true
	}}
	ts := newTestServer(t, cfg, nil)
	for sid, want := range map[string]int{"elsewhere": http.StatusTeapot, "nowhere": http.StatusBadRequest} {
		if status, body := ts.do(t, "GET", "EIO=4&transport=polling&sid="+sid, ""); status != want {
			t.Errorf("%s: %d %q, want %d", sid, status, body, want)
		}
	}
}

// A POST that comes while a relayed one still seems to be on its way takes its
// place, unless that is being handled (EIO-P-13).
func TestRelayedPostReplaced(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		release := make(chan struct{})
		ts.onMessage = func(_ *recorder, data []byte, _, _ bool) {
			if string(data) == "wait" {
				<-release
			}
		}
		query := ts.handshake(t, "")
		r := ts.session(t)
		body, w := io.Pipe()
		post := func(body io.Reader) <-chan int {
			req, err := http.NewRequest(http.MethodPost, ts.http.URL+"/socket.io/?"+query, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set(relayHeader, "1")
			status := make(chan int, 1)
			go func() {
				res, err := ts.client.Do(req)
				if err != nil {
					status <- 0
					return
				}
				_ = res.Body.Close()
				status <- res.StatusCode
			}()
			return status
		}
		first := post(body)
		_, _ = io.WriteString(w, "4half")
		synctest.Wait()
		second := post(strings.NewReader("4wait"))
		if got := recv(t, first); got != 0 && got != http.StatusBadRequest {
			t.Errorf("the first POST: %d", got)
		}
		_ = w.Close()
		synctest.Wait()
		third := post(strings.NewReader("4third"))
		if got := recv(t, third); got != http.StatusBadRequest {
			t.Errorf("the third POST: %d", got)
		}
		close(release)
		recv(t, second)
		expect(t, r.waitClosed(t), ReasonTransportError)
		if got := r.received(); len(got) != 1 || got[0] != "wait" {
			t.Errorf("received %q", got)
		}
	})
}
