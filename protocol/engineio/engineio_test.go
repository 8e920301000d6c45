package engineio

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/protocol/testdata"
)

func TestDecodeAllocates(t *testing.T) {
	payload := []byte(strings.Repeat("42[\"msg\",1]\x1e", 20) + "2")
	body3 := AppendPayload3(nil, []Packet{{Type: Message, Data: []byte("2[\"é\"]")}, {Type: Ping}}, false)
	n := testing.AllocsPerRun(100, func() {
		for raw := range SplitPayload(payload) {
			if _, err := DecodeText(raw); err != nil {
				t.Fatal(err)
			}
		}
		if err := DecodePayload3(body3, false, func(Packet) bool { return true }); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDecodeAliases(t *testing.T) {
	for _, in := range []string{"4hello", "bAQID"} {
		data := []byte(in)
		p, err := DecodeText(data)
		if err != nil || !bytes.Equal(data, []byte(in)) {
			t.Fatalf("%s: the input became %s, error %v", in, data, err)
		}
		if aliases := !p.Binary; aliases != (&p.Data[0] == &data[1]) {
			t.Errorf("%s: aliasing is not %v", in, aliases)
		}
	}
}

func TestAppendBehind(t *testing.T) {
	text, binary := Packet{Type: Message, Data: []byte("hi")}, Packet{Type: Message, Binary: true, Data: []byte{1}}
	h := Handshake{"s", []string{"websocket"}, 25 * time.Second, 20 * time.Second, 1_000_000}
	for want, got := range map[string][]byte{
		"x4hi":                                 AppendText([]byte("x"), text),
		"xbAQ==":                               AppendText([]byte("x"), binary),
		"x4hi ":                                append(AppendText3([]byte("x"), text), ' '),
		"xb4AQ==":                              AppendText3([]byte("x"), binary),
		"x\x04\x01":                            AppendBinary3([]byte("x"), binary),
		"x3:4hi6:b4AQ==":                       AppendPayload3([]byte("x"), []Packet{text, binary}, false),
		"x\x00\x03\xff4hi\x01\x02\xff\x04\x01": AppendPayload3([]byte("x"), []Packet{text, binary}, true),
		`0{"sid":"s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`: AppendHandshake([]byte("0"), h),
	} {
		if string(got) != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}

// TestStop checks that no packet comes after the receiver has had enough.
func TestStop(t *testing.T) {
	n := 0
	for range SplitPayload([]byte("2\x1e2\x1e2")) {
		if n++; n == 2 {
			break
		}
	}
	err := DecodePayload3([]byte("1:21:2x"), false, func(Packet) bool { n++; return n < 4 })
	if n != 4 || err != nil {
		t.Errorf("%d packets, error %v", n, err)
	}
}

// TestHugeLengths decodes what announces more than it brings (HRD-03).
func TestHugeLengths(t *testing.T) {
	for _, c := range []struct {
		body   string
		binary bool
	}{
		{"999999999:4", false},
		{"999999999999999999999999:4", false},
		{"\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff\x04", true},
		{"\x00" + strings.Repeat("\x01", 100_000), true},
	} {
		n := testdata.Allocated(func() {
			if err := DecodePayload3([]byte(c.body), c.binary, func(Packet) bool { return true }); err == nil {
				t.Errorf("%.30q: accepted", c.body)
			}
		})
		if n > uint64(len(c.body))+64<<10 {
			t.Errorf("%.30q: %d bytes", c.body, n)
		}
	}
}

func BenchmarkDecodeText(b *testing.B) {
	for name, p := range map[string]Packet{
		"message": {Type: Message, Data: bytes.Repeat([]byte("x"), 128)},
		"base64":  {Type: Message, Binary: true, Data: make([]byte, 128)},
	} {
		b.Run("packet="+name, func(b *testing.B) {
			data := AppendText(nil, p)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeText(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkPayload(b *testing.B) {
	for _, packets := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("packets=%d", packets), func(b *testing.B) {
			payload := []byte(strings.Repeat("42[\"msg\",1]\x1e", packets-1) + "2")
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				for raw := range SplitPayload(payload) {
					if _, err := DecodeText(raw); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkAppendHandshake(b *testing.B) {
	h := Handshake{"0123456789abcdefghijklmnopq.n1", []string{"websocket"}, 25 * time.Second, 20 * time.Second, 1_000_000}
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendHandshake(buf[:0], h)
	}
}
