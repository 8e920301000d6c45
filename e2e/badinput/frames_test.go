package badinput

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node"
)

// refused sends bytes of the frame layer on a fresh connection and checks the
// close code that follows.
func (s *stack) refused(t *testing.T, name string, b []byte, code int) (reason string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		p := s.client(t)
		p.pour(b, 1)
		reason = p.closed(code)
	})
	return reason
}

func TestB22Frames(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		s.refused(t, "unmasked", []byte("\x81\x0242"), 1002)
		for name, first := range map[string]byte{
			"RSV1": 0xc1, "RSV2": 0xa1, "RSV3": 0x91,
			"opcode 3": 0x83, "opcode 7": 0x87, "opcode b": 0x8b, "opcode f": 0x8f,
		} {
			s.refused(t, name, frame(first, `42["msg",1]`), 1002)
		}
	})
}

// header is the header of a masked text frame that announces n bytes.
func header(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{text, 0x80 | 127}, n), 0, 0, 0, 0)
}

func TestB23Lengths(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		for _, n := range []uint64{1 << 63, 1<<63 - 1, 1<<64 - 1, 1 << 40} {
			begin := time.Now()
			s.refused(t, fmt.Sprintf("%x", n), header(n), 1009)
			t.Logf("%x: refused in %v", n, time.Since(begin))
		}
		for range 5 {
			p := s.client(t)
			p.raw(append(header(1<<32), make([]byte, 1024)...))
			p.closed(1009)
		}
	})
}

func TestB24LargeMessages(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		if reason := s.refused(t, "2 MB", frame(text, `42["`+strings.Repeat("x", 2_000_000)+`"]`), 1009); reason != "message too big" {
			t.Errorf("reason %q", reason)
		}
		part := frame(more, strings.Repeat("x", 64<<10))
		t.Run("fragments", func(t *testing.T) {
			p := s.client(t)
			p.raw(frame(begin, "4"))
			sent := p.pour(part, 1000)
			p.closed(1009)
			<-sent
		})
	})
}

func TestB25Fragments(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		for name, part := range map[string][]byte{
			"1,000,000 empty": bytes.Repeat(frame(more, ""), 1000),
			"900,000 of one":  bytes.Repeat(frame(more, "x"), 900),
		} {
			t.Run(name, func(t *testing.T) {
				p := s.client(t)
				p.raw(frame(begin, "4"))
				sent := p.pour(part, 1000)
				p.closed(1008)
				<-sent
			})
		}
	})
}

func TestB26Pings(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		defer s.watch(t)()
		p := s.client(t)
		sent := p.pour(bytes.Repeat(frame(ping, strings.Repeat("p", 125)), 100), 3000)
		eventually(t, "the session is closed", func() bool { return s.node.Stats().Sessions == 1 })
		<-sent // the server has closed, or it would stay
		p.close()

		p = s.client(t) // what comes back of it, if it is read
		p.pour(bytes.Repeat(frame(ping, strings.Repeat("p", 125)), 1000), 1)
		p.closed(1008)
	})
}

func TestB27ControlFramesAndText(t *testing.T) {
	row(t, options{}, func(t *testing.T, s *stack) {
		for _, c := range []struct {
			name  string
			bytes []byte
			code  int
		}{
			{"close of one byte", frame(goaway, "\x03"), 1002},
			{"close 999", frame(goaway, "\x03\xe7"), 1002},
			{"close 1005", frame(goaway, "\x03\xed"), 1002},
			{"close 65535", frame(goaway, "\xff\xff"), 1002},
			{"close reason", frame(goaway, "\x03\xe8\xff\xfe"), 1007},
			{"ping of 126", frame(ping, strings.Repeat("p", 126)), 1002},
			{"ping in parts", frame(0x09, "p"), 1002},
			{"text", frame(text, "42[\"msg\",\"\xff\xfe\xc0\x80\"]"), 1007},
			{"continuation", frame(last, `42["msg",1]`), 1002},
			{"text in a text", append(frame(begin, `42["msg"`), frame(text, `,1]`)...), 1002},
		} {
			s.refused(t, c.name, c.bytes, c.code)
		}
	})
}

// bomb is a deflated text message that inflates to 950 MB of spaces.
func bomb(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	const piece = 1 << 20
	spaces := bytes.Repeat([]byte(" "), piece)
	for range 2 { // the second piece refers to the first, as all further ones would
		out.Reset()
		_, _ = w.Write(spaces)
		_ = w.Flush()
	}
	return bytes.Repeat(out.Bytes(), 950_000_000/piece)
}

func TestB28Compression(t *testing.T) {
	var first bytes.Buffer
	w, _ := flate.NewWriter(&first, flate.BestCompression)
	_, _ = w.Write(append([]byte("4"), bytes.Repeat([]byte(" "), 1<<16)...))
	_ = w.Flush()
	payload := append(first.Bytes(), bomb(t)...)
	t.Logf("%d bytes", len(payload))
	offer := "Sec-WebSocket-Extensions: permessage-deflate\r\n"
	for _, on := range []bool{false, true} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			row(t, options{node: node.Config{PerMessageDeflate: on}}, func(t *testing.T, s *stack) {
				defer s.watch(t)()
				p := s.upgrade(t, "", offer)
				p.read()
				p.send("40")
				p.read()
				sent := p.pour(frame(0xc1, string(payload)), 1)
				if on {
					p.closed(1009)
				} else {
					p.closed(1002)
				}
				<-sent
			})
		})
	}
}
