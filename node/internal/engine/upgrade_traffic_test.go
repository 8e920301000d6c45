package engine

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// upgrader is a client that changes its transport while messages run in both
// directions, the way official clients do it (EIO-J-02).
type upgrader struct {
	ts       *testServer
	q        string
	pausing  atomic.Bool
	sent     int
	received []string
}

func (u *upgrader) poll(t *testing.T) {
	for !u.pausing.Load() {
		status, body := u.ts.do(t, "GET", u.q, "")
		if status != 200 {
			t.Errorf("poll: %d %q", status, body)
			return
		}
		for p := range strings.SplitSeq(body, "\x1e") {
			u.take(p)
		}
	}
}

func (u *upgrader) take(p string) {
	if strings.HasPrefix(p, "4") {
		u.received = append(u.received, p[1:])
	}
}

func (u *upgrader) post(t *testing.T) {
	for !u.pausing.Load() {
		packets := make([]string, 1+u.sent%3)
		for i := range packets {
			packets[i] = fmt.Sprint("4", u.sent)
			u.sent++
		}
		if status, body := u.ts.do(t, "POST", u.q, strings.Join(packets, "\x1e")); status != 200 {
			t.Errorf("POST: %d %q", status, body)
			return
		}
	}
}

// run opens a session, upgrades it while it talks, and returns how many messages
// it has sent. It has received everything up to the message "end".
func (u *upgrader) run(t *testing.T, before int) {
	var wg sync.WaitGroup
	wg.Go(func() { u.poll(t) })
	wg.Go(func() { u.post(t) })
	time.Sleep(time.Duration(before) * time.Millisecond) // no synchronisation: any moment will do
	ws := u.ts.upgrade(t, u.q)
	probe(t, ws)
	u.pausing.Store(true)
	wg.Wait()
	write(t, ws, "5")
	var w sync.WaitGroup
	w.Go(func() {
		for range 100 {
			if err := ws.WriteMessage(websocket.TextMessage, fmt.Append(nil, "4", u.sent)); err != nil {
				t.Error(err)
				return
			}
			u.sent++
		}
		_ = ws.WriteMessage(websocket.TextMessage, []byte("4end"))
	})
	for len(u.received) == 0 || u.received[len(u.received)-1] != "end" {
		got := read(t, ws)
		if strings.Contains(got, ":") {
			t.Errorf("after %d: %s", len(u.received), got)
			return
		}
		u.take(got)
	}
	w.Wait()
}

// TestTrafficAcrossUpgrade: EIO-U-03, -06. Nothing is lost, comes twice or out of
// order, in either direction.
func TestTrafficAcrossUpgrade(t *testing.T) {
	ts := newTestServer(t, Config{}, func(r *recorder, data []byte, _, _ bool) {
		r.s.Send(NewPacket([]byte("echo "+string(data)), false, nil, true), false)
	})
	var all sync.WaitGroup
	for i := range 24 {
		q := ts.handshake(t, "")
		r := ts.session(t)
		u := &upgrader{ts: ts, q: q}
		stop := make(chan struct{})
		pushed := make(chan int, 1)
		go func() { // the server's own messages
			n := 0
			for {
				select {
				case <-stop:
					pushed <- n
					return
				default:
				}
				var ok bool
				if text := fmt.Append(nil, "push ", n); n%2 == 0 {
					ok = r.s.SendText(text)
				} else {
					ok = r.s.Send(NewPacket(text, false, nil, true), false)
				}
				if !ok {
					t.Errorf("push %d was not taken", n)
				}
				n++
				time.Sleep(100 * time.Microsecond) // a pace, not synchronisation
			}
		}()
		all.Go(func() {
			u.check(t, i, r, stop, pushed)
		})
	}
	all.Wait()
	if n := ts.Stats().Upgrades; n != 24 {
		t.Errorf("%d upgrades", n)
	}
}

func (u *upgrader) check(t *testing.T, before int, r *recorder, stop chan struct{}, pushed chan int) {
	done := make(chan struct{})
	go func() { // when the last message of the client has come, the server ends
		defer close(done)
		for {
			select {
			case <-r.changed:
			case <-r.closed:
				return
			}
			if got := r.received(); len(got) > 0 && got[len(got)-1] == "end" {
				close(stop)
				n := <-pushed
				r.s.SendText(fmt.Append(nil, "pushed ", n))
				r.s.SendText([]byte("end"))
				return
			}
		}
	}()
	u.run(t, before)
	<-done
	got := r.received()
	for i, m := range got {
		if want := strconv.Itoa(i); m != want && !(m == "end" && i == len(got)-1 && i == u.sent) {
			t.Fatalf("server: message %d is %q, client sent %d", i, m, u.sent)
		}
	}
	pushes, echoes, total := 0, 0, -1
	for i, m := range u.received {
		switch {
		case m == fmt.Sprint("push ", pushes):
			pushes++
		case m == fmt.Sprint("echo ", echoes):
			echoes++
		case strings.HasPrefix(m, "pushed "):
			total, _ = strconv.Atoi(m[7:])
		case m == "echo end" || m == "end":
		default:
			t.Fatalf("client: message %d is %q after %d pushes and %d echoes", i, m, pushes, echoes)
		}
	}
	if pushes != total || echoes != u.sent {
		t.Errorf("%d of %d pushes, %d of %d echoes", pushes, total, echoes, u.sent)
	}
}

// overlap is a receiver's Message that notices when it is called twice at once.
type overlap struct {
	inside, most atomic.Int32
	entered      chan struct{}
	release      chan struct{}
}

func newOverlap() *overlap {
	return &overlap{entered: make(chan struct{}, 1), release: make(chan struct{})}
}

func (o *overlap) message(_ *recorder, data []byte, _, _ bool) {
	n := o.inside.Add(1)
	defer o.inside.Add(-1)
	for m := o.most.Load(); n > m && !o.most.CompareAndSwap(m, n); m = o.most.Load() {
	}
	if string(data) == "block" {
		o.entered <- struct{}{}
		<-o.release
	}
}

// Message calls do not overlap: a POST that comes while one is being handled is
// refused like one that comes while one is received (HRD-20).
func TestPostWhileOneIsHandled(t *testing.T) {
	o := newOverlap()
	ts := newTestServer(t, Config{}, o.message)
	q := ts.handshake(t, "")
	r := ts.session(t)
	first := make(chan string)
	go func() {
		_, body := ts.do(t, "POST", q, "4block")
		first <- body
	}()
	recv(t, o.entered)
	status, body := ts.do(t, "POST", q, "4second")
	expect(t, r.waitClosed(t), ReasonTransportError)
	close(o.release)
	expect(t, fmt.Sprint(status, body), "400")
	recv(t, first)
	if n := o.most.Load(); n != 1 {
		t.Errorf("%d calls at once", n)
	}
	expect(t, fmt.Sprint(r.received()), "[block]")
}

// Nor do they overlap across an upgrade: a client that sends its upgrade packet
// with a POST under way stays on polling.
func TestUpgradeWithPostUnderWay(t *testing.T) {
	o := newOverlap()
	ts := newTestServer(t, Config{}, o.message)

	q := ts.handshake(t, "") // handled
	r := ts.session(t)
	ws := ts.upgrade(t, q)
	probe(t, ws)
	first := make(chan string)
	go func() {
		_, body := ts.do(t, "POST", q, "4block")
		first <- body
	}()
	recv(t, o.entered)
	write(t, ws, "5")
	write(t, ws, "4early")
	expect(t, read(t, ws), "close:1005")
	close(o.release)
	expect(t, recv(t, first), "ok")
	ts.alive(t, q, r)
	expect(t, fmt.Sprint(r.received()), "[block alive?]")

	q = ts.handshake(t, "") // received
	r = ts.session(t)
	ws = ts.upgrade(t, q)
	probe(t, ws)
	body, w := io.Pipe()
	go func() {
		req, _ := http.NewRequest("POST", ts.http.URL+"/socket.io/?"+q, body)
		res, err := ts.client.Do(req)
		if err != nil {
			first <- err.Error()
			return
		}
		_ = res.Body.Close()
		first <- res.Status
	}()
	_, _ = w.Write([]byte("4par"))
	waitFor(t, func() bool {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		return r.s.polling.post != nil && r.s.polling.post.reading
	})
	write(t, ws, "5")
	expect(t, read(t, ws), "close:1005")
	_, _ = w.Write([]byte("t"))
	_ = w.Close()
	expect(t, recv(t, first), "200 OK")
	ts.alive(t, q, r)
	expect(t, fmt.Sprint(r.received()), "[part alive?]")
	if n := o.most.Load(); n != 1 {
		t.Errorf("%d calls at once", n)
	}
}
