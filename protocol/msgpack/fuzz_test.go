package msgpack

import (
	"bytes"
	stdjson "encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fanwire/fanwire/protocol/socketio"
	"github.com/fanwire/fanwire/protocol/testdata"
)

// checkAllocated fails when f allocates more than an input of so many bytes may
// cost (HRD-90), of which what it produces is a part: five bytes of JSON for a nil.
func checkAllocated(t *testing.T, input int, f func() (output int)) {
	t.Helper()
	output := 0
	n := testdata.Allocated(func() { output = f() })
	if n > testdata.MayAllocate(input+output) {
		t.Fatalf("%d bytes of input and %d of output allocate %d bytes", input, output, n)
	}
	if output > 40*input+64 {
		t.Fatalf("%d bytes of input give %d bytes", input, output)
	}
}

func FuzzReader(f *testing.F) {
	for _, v := range testdata.Read[testdata.Value]("msgpack-values.json") {
		f.Add(v.Bytes(), []byte("arms"))
	}
	f.Fuzz(func(t *testing.T, src, calls []byte) {
		checkAllocated(t, len(src), func() int {
			r := NewReader(src)
			for _, c := range calls {
				call(r, c)
			}
			if r.Err() == nil && !bytes.HasSuffix(src, r.Rest()) {
				t.Fatalf("rest %x", r.Rest())
			}
			return 0
		})
	})
}

// call makes one of the reader's calls.
func call(r *Reader, c byte) {
	switch c {
	case 'a':
		for range r.Array() {
			call(r, 't')
		}
	case 'm':
		for range r.Map() {
			r.Int()
		}
	case 'r':
		r.Raw()
	case 's':
		r.Strings(nil, 1000)
	case 't':
		_ = r.Text()
	case 'i':
		r.Int()
	case 'u':
		r.Uint()
	case 'f':
		r.Float()
	case 'b':
		r.Bytes()
	case 'e':
		r.Ext()
	case 'n':
		r.IsNil()
	case 'A':
		r.ArrayLen()
	case 'M':
		r.MapLen()
	}
}

func FuzzToJSON(f *testing.F) {
	for _, v := range testdata.Read[testdata.Value]("msgpack-values.json") {
		f.Add(v.Bytes())
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var json, rest []byte
		var atts [][]byte
		var err error
		checkAllocated(t, len(src), func() int {
			json, atts, rest, err = AppendJSON(nil, nil, src, Limits{})
			return len(json)
		})
		size := skip(src)
		if err != nil {
			if (err == ErrMalformed) != (size == 0) && err != ErrDepth && err != ErrType && err != ErrAttachments && err != ErrTooLarge {
				t.Fatalf("error %v, but the value has %d bytes", err, size)
			}
			return
		}
		if len(src)-len(rest) != size {
			t.Fatalf("%d bytes read, not %d", len(src)-len(rest), size)
		}
		if !socketio.Valid(json, defaultDepth) || !utf8.Valid(json) {
			t.Fatalf("invalid: %q", json)
		}
		if _, err := socketio.ReplacePlaceholders(nil, json, len(atts), func(dst []byte, _ int) []byte { return dst }); err != nil {
			t.Fatalf("%s: %v", json, err)
		}
		checkBack(t, json, atts)
	})
}

// checkBack translates JSON that we made to MessagePack and back.
func checkBack(t *testing.T, json []byte, atts [][]byte) {
	t.Helper()
	msg, lossless, err := AppendFromJSON(nil, json, atts)
	if err != nil || !lossless {
		t.Fatalf("%s: %v, %v", json, lossless, err)
	}
	again, attsAgain, err := toJSON(msg)
	if err == ErrDepth {
		return // deeper than clients may
	}
	if err != nil || !bytes.Equal(again, json) || !sameBytes(attsAgain, atts) {
		t.Fatalf("%s with %x\nbecame %s with %x, %v", json, atts, again, attsAgain, err)
	}
}

func FuzzFromJSON(f *testing.F) {
	for _, v := range testdata.Read[testdata.Value]("msgpack-values.json") {
		if v.JSON != nil {
			f.Add([]byte(*v.JSON), []byte{1})
		}
	}
	for _, v := range testdata.Read[testdata.Socket]("socketio5.json") {
		if v.Packet != nil && v.Packet.Data != nil && len(*v.Packet.Data) < 10_000 {
			f.Add([]byte(*v.Packet.Data), []byte{1})
		}
	}
	f.Fuzz(func(t *testing.T, json, att []byte) {
		valid := socketio.Valid(json, maxOwnDepth)
		for _, atts := range [][][]byte{nil, {att}} {
			var msg []byte
			var lossless bool
			var err error
			checkAllocated(t, len(json)+len(att), func() int {
				msg, lossless, err = AppendFromJSON(nil, json, atts)
				return min(len(msg), maxRepeated)
			})
			switch {
			case err == ErrJSON && valid, err == nil && !valid:
				t.Fatalf("%q: valid is %v, error %v", json, valid, err)
			case err == nil:
				checkMeaning(t, json, atts, msg, lossless)
			}
		}
	})
}

// checkMeaning compares JSON with what comes back, by the standard library.
func checkMeaning(t *testing.T, json []byte, atts [][]byte, msg []byte, lossless bool) {
	t.Helper()
	back, attsBack, rest, err := AppendJSON(nil, nil, msg, Limits{Depth: maxOwnDepth + 1})
	if err == ErrTooLarge {
		return
	}
	if err != nil || len(rest) > 0 {
		t.Fatalf("%q became %x: %v", json, msg, err)
	}
	want, got := parse(t, json, atts), parse(t, back, attsBack)
	if lossless && !reflect.DeepEqual(want, got) {
		t.Fatalf("%q became %q", json, back)
	}
	checkBack(t, back, attsBack)
}

// parse builds a tree, with attachments as []byte and numbers as their decimal value.
func parse(t *testing.T, json []byte, atts [][]byte) any {
	t.Helper()
	if len(atts) > 0 {
		var err error
		json, err = socketio.ReplacePlaceholders(nil, json, len(atts), func(dst []byte, num int) []byte {
			text, _ := stdjson.Marshal(map[string]any{"attachment": atts[num]})
			return append(dst, text...)
		})
		if err != nil {
			t.Skip("1.0 as num")
		}
	}
	d := stdjson.NewDecoder(bytes.NewReader(json))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Skip(err) // deeper than the standard library goes
	}
	return normal(v)
}

// normal writes each number as its digits and exponent.
func normal(v any) any {
	switch v := v.(type) {
	case stdjson.Number:
		return digits(string(v))
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	}
	return v
}

// digits is an independent form of parseDecimal, for any length.
func digits(s string) any {
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	exp := 0
	if exponent != "" {
		var err error
		if exp, err = strconv.Atoi(exponent); err != nil {
			return s
		}
	}
	all := whole + fraction
	exp += len(whole)
	trimmed := strings.TrimLeft(all, "0")
	exp -= len(all) - len(trimmed)
	trimmed = strings.TrimRight(trimmed, "0")
	if trimmed == "" {
		exp = 0
	}
	return [3]any{sign, trimmed, exp}
}

func FuzzParser(f *testing.F) {
	for _, v := range testdata.Read[testdata.Socket]("msgpack.json") {
		if v.Messages[0].Binary() {
			f.Add(v.Messages[0].Bytes())
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var p socketio.Packet
		var complete bool
		var err error
		checkAllocated(t, len(msg), func() int {
			complete, err = Parser.NewDecoder(socketio.Limits{}).Decode(msg, true, &p)
			return len(p.Data)
		})
		if err != nil {
			if family(err, true) == "" {
				t.Fatalf("error without a family: %v", err)
			}
			return
		}
		if !complete {
			t.Fatal("incomplete")
		}
		again, _, _, err := Parser.Encode(nil, &p)
		if err != nil {
			t.Fatal(err)
		}
		var q socketio.Packet
		if _, err := Parser.NewDecoder(socketio.Limits{}).Decode(again, true, &q); err != nil {
			t.Fatalf("%x became %x: %v", msg, again, err)
		}
		if !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v", p, q)
		}
	})
}

// FuzzFloat holds the text of floats against JavaScript's rules, as encoding/json
// follows them.
func FuzzFloat(f *testing.F) {
	for _, v := range []float64{0, 1e21, 1e-7, 123456.789, math.MaxFloat64, 5e-324} {
		f.Add(math.Float64bits(v))
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		v := math.Float64frombits(bits)
		want, err := stdjson.Marshal(v)
		if err != nil || v == 0 {
			return
		}
		msg := AppendFloat(nil, v)
		json, _, err := toJSON(msg)
		if err != nil || !bytes.Equal(json, want) {
			t.Fatalf("%s, want %s", json, want)
		}
		checkBack(t, json, nil)
	})
}
