package engine

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

func TestLargeFramesAreShared(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 3*shareFrom)
	p := NewPacket(big, false, [][]byte{bytes.Repeat([]byte("y"), 70_000), {1}}, true)
	ts := newTestServer(t, Config{}, func(r *recorder, data []byte, _, _ bool) {
		for range 3 {
			r.s.Send(NewPacket([]byte("small"), false, nil, true), false)
			r.s.Send(p, false)
		}
	})
	c := ts.open(t)
	write(t, c, "4go")
	for range 3 {
		expect(t, read(t, c), "4small")
		expect(t, read(t, c), "4"+string(big))
		if got := read(t, c); len(got) != 70_004 || !strings.HasPrefix(got, "bin:y") {
			t.Fatalf("%d bytes, %.10q", len(got), got)
		}
		expect(t, read(t, c), "bin:\x01")
	}
}

// stopReading shrinks the client's receive buffer, so that the server's writes
// stop soon.
func smallBuffers(t *testing.T, c *websocket.Conn) {
	t.Helper()
	if err := c.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
}

func TestSlowConsumerIsClosed(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	c := ts.open(t)
	smallBuffers(t, c)
	r := ts.session(t)
	p := NewPacket(bytes.Repeat([]byte("x"), 1024), false, nil, true)
	n := 0
	for r.s.Send(p, false) {
		n++
	}
	if reason := r.waitClosed(t); reason != ReasonForcedClose || r.cause != errSlowConsumer {
		t.Fatalf("%s: %v", reason, r.cause)
	}
	if ts.Stats().SlowConsumers != 1 {
		t.Error("not counted")
	}
	if n < 1000 {
		t.Errorf("closed after %d KiB", n)
	}
	t.Logf("%d KiB taken", n)
}

// A client that reads slowly but steadily gets everything, in order.
func TestStalledWritesGoOn(t *testing.T) {
	ts := newTestServer(t, Config{MaxQueue: 64 << 20}, nil)
	c := ts.open(t)
	smallBuffers(t, c)
	r := ts.session(t)
	const messages = 2000
	for i := range messages {
		body := bytes.Repeat([]byte{'a' + byte(i%26)}, 8<<10)
		if !r.s.Send(NewPacket(body, false, nil, true), false) {
			t.Fatal("not taken")
		}
	}
	for i := range messages {
		if got := read(t, c); len(got) != 8<<10+1 || got[1] != 'a'+byte(i%26) {
			t.Fatalf("message %d: %d bytes, %.10q", i, len(got), got)
		}
	}
}

func TestVolatileNeedsAnEmptyQueue(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	q := ts.handshake(t, "")
	r := ts.session(t)
	p := NewPacket([]byte("v"), false, nil, true)
	if r.s.Send(p, true) {
		t.Error("sent without a poll")
	}
	body := make(chan string)
	go func() {
		_, b := ts.do(t, "GET", q, "")
		body <- b
	}()
	waitFor(t, r.s.Writable)
	if !r.s.Send(p, true) {
		t.Error("dropped although a poll waits")
	}
	if r.s.Send(p, true) {
		t.Error("two for one poll")
	}
	expect(t, <-body, "4v")
}

func waitFor(t testing.TB, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience()); !cond(); {
		if time.Now().After(end) {
			t.Fatal("condition not met")
		}
		time.Sleep(time.Millisecond) // polling a condition, bounded
	}
}

// A peer that is not read from is not read: back-pressure instead of memory
// (HRD-48).
func TestNoReadingForThoseWhoDoNotListen(t *testing.T) {
	ts := newTestServer(t, Config{MaxQueue: 256 << 10}, echo)
	c := ts.open(t)
	smallBuffers(t, c)
	r := ts.session(t)
	_ = c.SetWriteDeadline(time.Now().Add(2 * time.Second))
	body := "4" + strings.Repeat("x", 8<<10)
	for i := 0; ; i++ {
		if err := c.WriteMessage(websocket.TextMessage, []byte(body)); err != nil {
			break // the server has stopped reading
		}
		if i > 20_000 {
			t.Fatal("the server reads on for a client that does not")
		}
	}
	if q := r.s.Queued(); q > 256<<10+16<<10 {
		t.Errorf("%d bytes queued", q)
	}
}
