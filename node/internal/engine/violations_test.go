package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// rawFrame is a client's frame whose first byte is b0, masked with zeros.
func rawFrame(b0 byte, payload []byte) []byte {
	f := []byte{b0}
	switch n := len(payload); {
	case n < 126:
		f = append(f, 0x80|byte(n))
	case n < 1<<16:
		f = append(f, 0x80|126, byte(n>>8), byte(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), uint64(n))
	}
	f = append(f, 0, 0, 0, 0)
	return append(f, payload...)
}

// announced is the header of a text frame of n bytes.
func announced(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{0x81, 0x80 | 127}, n), 0, 0, 0, 0)
}

// TestFrameViolations: EIO-W-07, -08, HRD-30, -31, -33, rows B22 to B25, B27.
func TestFrameViolations(t *testing.T) {
	text := func(s string) []byte { return rawFrame(0x81, []byte(s)) }
	for _, c := range []struct {
		name  string
		bytes []byte
		code  int
	}{
		{"unmasked", []byte{0x81, 2, '4', 'a'}, 1002},
		{"RSV1", rawFrame(0xc1, []byte("4a")), 1002},
		{"RSV2", rawFrame(0xa1, []byte("4a")), 1002},
		{"RSV3", rawFrame(0x91, []byte("4a")), 1002},
		{"opcode 3", rawFrame(0x83, []byte("4a")), 1002},
		{"opcode 7", rawFrame(0x87, []byte("4a")), 1002},
		{"opcode b", rawFrame(0x8b, []byte("4a")), 1002},
		{"opcode f", rawFrame(0x8f, []byte("4a")), 1002},
		{"continuation of nothing", rawFrame(0x80, []byte("4a")), 1002},
		{"text in a text", append(rawFrame(0x01, []byte("4a")), text("4b")...), 1002},
		{"binary in a text", append(rawFrame(0x01, []byte("4a")), rawFrame(0x82, []byte("4b"))...), 1002},
		{"ping of 126 bytes", rawFrame(0x89, make([]byte, 126)), 1002},
		{"ping in parts", rawFrame(0x09, []byte("a")), 1002},
		{"close in parts", rawFrame(0x08, []byte{3, 232}), 1002},
		{"close of one byte", rawFrame(0x88, []byte{3}), 1002},
		{"close 999", rawFrame(0x88, []byte{3, 231}), 1002},
		{"close 1005", rawFrame(0x88, []byte{3, 237}), 1002},
		{"close 1006", rawFrame(0x88, []byte{3, 238}), 1002},
		{"close 65535", rawFrame(0x88, []byte{255, 255}), 1002},
		{"close with bad UTF-8", rawFrame(0x88, []byte{3, 232, 0xff, 0xfe}), 1007},
		{"bad UTF-8", text("4\xff\xfe\xc0\x80"), 1007},
		{"surrogate", text("4\xed\xa0\x80"), 1007},
		{"UTF-8 cut in the middle", text("4\xe2\x82"), 1007},
		{"one byte too many", rawFrame(0x81, bytes.Repeat([]byte("4"), 1_000_001)), 1009},
		{"binary too big", rawFrame(0x82, make([]byte, 1_000_001)), 1009},
		{"2 MB", rawFrame(0x81, bytes.Repeat([]byte("4"), 2_000_000)), 1009},
		{"2^40 announced", announced(1 << 40), 1009},
		{"2^63-1 announced", announced(1<<63 - 1), 1009},
		{"2^63 announced", announced(1 << 63), 1009},
		{"2^64-1 announced", announced(1<<64 - 1), 1009},
		{"fragments too big", append(rawFrame(0x01, []byte("4")), bytes.Repeat(rawFrame(0x00, make([]byte, 64<<10)), 20)...), 1009},
		{"empty fragments", append(rawFrame(0x01, []byte("4")), bytes.Repeat(rawFrame(0x00, nil), 300_000)...), 1008},
		{"fragments of a byte", append(rawFrame(0x01, []byte("4")), bytes.Repeat(rawFrame(0x00, []byte("a")), 300_000)...), 1008},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := newTestServer(t, Config{}, nil)
			ws := ts.open(t)
			go func() { _, _ = ws.NetConn().Write(c.bytes) }() // it may not take all
			_, _, err := ws.ReadMessage()
			ce, ok := err.(*websocket.CloseError)
			if !ok || ce.Code != c.code {
				t.Fatalf("got %v, want %d", err, c.code)
			}
			if c.code == 1009 && ce.Text != "message too big" {
				t.Errorf("reason %q", ce.Text)
			}
			r := ts.session(t)
			expect(t, r.waitClosed(t), ReasonTransportError)
			if r.cause == nil {
				t.Error("no cause")
			}
			expect(t, fmt.Sprint(r.received()), "[]")
			_ = ws.Close()
		})
	}
}

// TestLegalFrames: what looks odd but is allowed.
func TestLegalFrames(t *testing.T) {
	ts := newTestServer(t, Config{}, echo)
	big := strings.Repeat("x", 999_999)
	for _, c := range []struct {
		name   string
		frames [][]byte
		want   string
	}{
		{"fragments", [][]byte{rawFrame(0x01, []byte("4")), rawFrame(0x00, []byte("a")), rawFrame(0x00, nil), rawFrame(0x80, []byte("b"))}, "4ab"},
		{"ping between fragments", [][]byte{rawFrame(0x01, []byte("4")), rawFrame(0x89, []byte("p")), rawFrame(0x80, []byte("b"))}, "4b"},
		{"character over two fragments", [][]byte{rawFrame(0x01, []byte("4\xe2\x82")), rawFrame(0x80, []byte("\xac"))}, "4€"},
		{"unasked pong", [][]byte{rawFrame(0x8a, []byte("p")), rawFrame(0x81, []byte("4a"))}, "4a"},
		{"exactly the limit", [][]byte{rawFrame(0x81, []byte("4"+big))}, "4" + big},
		{"exactly the limit, in parts", [][]byte{rawFrame(0x01, []byte("4"+big[:500_000])), rawFrame(0x80, []byte(big[500_000:]))}, "4" + big},
		{"binary of the limit", [][]byte{rawFrame(0x82, []byte("4"+big))}, "bin:4" + big},
		{"a length longer than needed", [][]byte{append(announced(2), "4a"...)}, "4a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ws := ts.open(t)
			go func() { _, _ = ws.NetConn().Write(bytes.Join(c.frames, nil)) }()
			if got := read(t, ws); got != c.want {
				t.Errorf("got %d bytes %.20q, want %d %.20q", len(got), got, len(c.want), c.want)
			}
		})
	}
}

// The same where the connection has no descriptor, as under TLS.
func TestCloseOfOneByteWithoutDescriptor(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		go func() { _, _ = ws.NetConn().Write(rawFrame(0x88, []byte{3})) }()
		expect(t, read(t, ws), "close:1002")
	})
}

// TestPings: EIO-W-09, HRD-34. Pings are answered with their data, ten a second
// and fifty at once.
func TestPings(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		pongs := make(chan string, 1000)
		ws.SetPongHandler(func(data string) error {
			pongs <- data
			return nil
		})
		got := frames(t, ws)
		ping := func(i int) {
			t.Helper()
			data := fmt.Sprint("ping ", i)
			if err := ws.WriteControl(websocket.PingMessage, []byte(data), time.Now().Add(time.Second)); err != nil {
				t.Fatal(err)
			}
			expect(t, recv(t, pongs), data)
		}
		for i := range 50 {
			ping(i)
		}
		for i := range 20 {
			time.Sleep(100 * time.Millisecond)
			ping(i)
		}
		for range 2 {
			_ = ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
		}
		expect(t, recv(t, got).text, "close:1008")
		expect(t, ts.session(t).waitClosed(t), ReasonTransportError)
	})
}

// Of the pongs for a client that does not read only the newest waits, and
// nothing follows a close frame.
func TestOnePongWaits(t *testing.T) {
	inBubble(t, Config{}, nil, func(t *testing.T, ts *testServer) {
		ws := ts.open(t)
		r := ts.session(t)
		r.s.SendText([]byte("in the way"))
		synctest.Wait()
		for i := range 49 {
			_ = ws.WriteControl(websocket.PingMessage, fmt.Append(nil, i), time.Now().Add(time.Second))
		}
		write(t, ws, "4sync")
		for fmt.Sprint(r.received()) != "[sync]" {
			recv(t, r.changed)
		}
		var pongs []string
		ws.SetPongHandler(func(data string) error {
			pongs = append(pongs, data)
			return nil
		})
		r.s.SendText([]byte("after"))
		expect(t, read(t, ws), "4in the way")
		expect(t, read(t, ws), "4after")
		r.s.SendText([]byte("in the way"))
		synctest.Wait()
		_ = ws.WriteControl(websocket.PingMessage, []byte("late"), time.Now().Add(time.Second))
		synctest.Wait()
		r.s.Close(Close{})
		expect(t, read(t, ws), "4in the way")
		expect(t, read(t, ws), "close:1005")
		expect(t, fmt.Sprint(pongs), "[48]")
	})
}

// TestBadPackets: EIO-M-01, -02, -05, -06, -08, EIO-W-02, -11, -12, row B29.
func TestBadPackets(t *testing.T) {
	ts := newTestServer(t, Config{}, nil)
	for _, c := range []struct {
		packet string
		reason string // "" for alive
		cause  error
	}{
		{"", ReasonParseError, nil},
		{"9", ReasonParseError, nil},
		{"x", ReasonParseError, nil},
		{"abc", ReasonParseError, nil},
		{"\x00", ReasonParseError, nil},
		{"b!!!", ReasonParseError, nil},
		{"2", ReasonTransportError, errHeartbeatDirection},
		{"1", ReasonTransportClose, nil},
		{"1data", ReasonTransportClose, nil},
		{"0{}", "", nil},
		{"3", "", nil},
		{"3abc", "", nil},
		{"5", "", nil},
		{"6", "", nil},
		{"4", "", nil},
		{"bAAAA", "", nil},
	} {
		t.Run(fmt.Sprintf("%q", c.packet), func(t *testing.T) {
			ws := ts.open(t)
			r := ts.session(t)
			write(t, ws, c.packet)
			if c.reason == "" {
				write(t, ws, "4on")
				waitFor(t, func() bool {
					got := r.received()
					return len(got) > 0 && got[len(got)-1] == "on"
				})
				return
			}
			expect(t, read(t, ws), "close:1005")
			expect(t, r.waitClosed(t), c.reason)
			if c.cause != nil && r.cause != c.cause {
				t.Error(r.cause)
			}
		})
	}
}
