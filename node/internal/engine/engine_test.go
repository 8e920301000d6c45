package engine

import (
	"testing"

	"github.com/gorilla/websocket"
)

func TestWebSocketEcho(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	c := ts.open(t)
	for _, m := range []string{"4hello", "4", "4äöü"} {
		write(t, c, m)
		expect(t, read(t, c), m)
	}
	if err := c.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	expect(t, read(t, c), "bin:\x01\x02\x03")
}

func TestPollingEcho(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	q := ts.handshake(t, "")
	status, body := ts.do(t, "POST", q, "4hello\x1e4\x1ebAQID")
	if status != 200 || body != "ok" {
		t.Fatalf("%d %q", status, body)
	}
	_, body = ts.do(t, "GET", q, "")
	expect(t, body, "4hello\x1e4\x1ebAQID")
}

func TestUpgrade(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	q := ts.handshake(t, "")
	polled := make(chan string)
	go func() {
		_, body := ts.do(t, "GET", q, "")
		polled <- body
	}()
	c := ts.dial(t, "EIO=4&transport=websocket&"+q[len("EIO=4&transport=polling&"):])
	write(t, c, "2probe")
	expect(t, read(t, c), "3probe")
	expect(t, <-polled, "6")
	write(t, c, "5")
	write(t, c, "4hi")
	expect(t, read(t, c), "4hi")
	if status, body := ts.do(t, "GET", q, ""); status != 400 {
		t.Fatalf("%d %q", status, body)
	}
	r := ts.session(t)
	_ = c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1001, ""))
	expect(t, read(t, c), "close:1001")
	expect(t, r.waitClosed(t), ReasonTransportClose)
}
