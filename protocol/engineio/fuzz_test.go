package engineio

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/fanwire/fanwire/protocol/testdata"
)

// fuzz is the target of a codec, with the vectors of its file as seeds.
func fuzz(f *testing.F, c codec) {
	for _, v := range testdata.Read[testdata.Engine](c.file) {
		if data := v.Bytes(); len(data) < 10_000 {
			f.Add(data, v.Binary())
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, binary bool) {
		m := message(data, binary)
		packets, err := c.decode(m)
		if err == nil {
			c.checkRoundTrip(t, packets, binary)
		} else {
			_ = family(err)
		}
		checkAllocated(t, len(data), func() { c.count(data, binary) })
	})
}

// count decodes without keeping anything.
func (c codec) count(data []byte, binary bool) (n int) {
	switch c.file {
	case "engineio4.json":
		_, _ = DecodeText(data)
	case "engineio4-payload.json":
		for raw := range SplitPayload(data) {
			if _, err := DecodeText(raw); err != nil {
				break
			}
		}
	case "engineio3.json":
		_, _ = DecodeText3(data)
		_, _ = DecodeBinary3(data)
	default:
		_ = DecodePayload3(data, binary, func(Packet) bool { n++; return true })
	}
	return n
}

// checkAllocated fails when f allocates more than an input of so many bytes may
// cost (HRD-90).
func checkAllocated(t *testing.T, input int, f func()) {
	t.Helper()
	if n, most := testdata.Allocated(f), testdata.MayAllocate(input); n > most {
		t.Fatalf("%d bytes of input allocate %d bytes", input, n)
	}
}

func FuzzDecodeText(f *testing.F)     { fuzz(f, codecs()[0]) }
func FuzzPayload(f *testing.F)        { fuzz(f, codecs()[1]) }
func FuzzDecode3(f *testing.F)        { fuzz(f, codecs()[2]) }
func FuzzDecodePayload3(f *testing.F) { fuzz(f, codecs()[3]) }

func FuzzParseHandshake(f *testing.F) {
	for _, v := range testdata.Read[testdata.Handshake]("handshake.json") {
		f.Add(v.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var h Handshake
		var err error
		checkAllocated(t, len(data), func() { h, err = ParseHandshake(data) })
		if err == nil {
			checkHandshake(t, h)
		}
	})
}

// FuzzUTF16 compares the lengths of protocol 3 with package utf16.
func FuzzUTF16(f *testing.F) {
	f.Add("aé€😀", 3)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if !utf8.ValidString(s) {
			return
		}
		units := utf16.Encode([]rune(s))
		if got := utf16Len([]byte(s)); got != len(units) {
			t.Fatalf("%q has %d units, not %d", s, len(units), got)
		}
		if n < 0 || n > len(units) {
			return
		}
		head := string(utf16.Decode(units[:n]))
		switch i := utf16Index([]byte(s), n); {
		case strings.HasPrefix(s, head) && i != len(head):
			t.Fatalf("%d units of %q end at %d, not %d", n, s, len(head), i)
		case !strings.HasPrefix(s, head) && i >= 0:
			t.Fatalf("%d units of %q end at %d, inside a character", n, s, i)
		}
	})
}

func FuzzAppendHandshake(f *testing.F) {
	f.Add("a.n1", "websocket", 25_000, 20_000, 5)
	f.Fuzz(func(t *testing.T, sid, upgrade string, interval, timeout, size int) {
		h := Handshake{sid, []string{upgrade}, time.Duration(interval) * time.Millisecond, time.Duration(timeout) * time.Millisecond, size}
		data := AppendHandshake(nil, h)
		if !json.Valid(data) {
			t.Fatalf("%+v became %s", h, data)
		}
		again, err := ParseHandshake(data)
		if sid == "" || min(interval, timeout) <= 0 || max(interval, timeout) > maxInterval || size < 0 || len(data) > maxHandshake {
			return
		}
		// What is not UTF-8 becomes U+FFFD, byte by byte.
		h.SID, h.Upgrades[0] = string([]rune(sid)), string([]rune(upgrade))
		if err != nil || !sameHandshake(h, again) {
			t.Fatalf("%+v became %s, then %+v, %v", h, data, again, err)
		}
	})
}
