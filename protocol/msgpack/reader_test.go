package msgpack

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReader(t *testing.T) {
	skip := func(r *Reader) any { r.Skip(); return nil }
	raw := func(r *Reader) any { return hex.EncodeToString(r.Raw()) }
	integer := func(r *Reader) any { return r.Int() }
	unsigned := func(r *Reader) any { return r.Uint() }
	float := func(r *Reader) any { return r.Float() }
	boolean := func(r *Reader) any { return r.Bool() }
	text := func(r *Reader) any { return r.Text() }
	contents := func(r *Reader) any { return string(r.Bytes()) }
	list := func(r *Reader) any { return r.Strings(nil, 3) }
	isNil := func(r *Reader) any { return r.IsNil() }
	kind := func(r *Reader) any { return r.Kind() }
	ext := func(r *Reader) any { typ, data := r.Ext(); return [2]any{typ, string(data)} }
	array := func(r *Reader) any { return r.ArrayLen() }
	keys := func(r *Reader) any {
		var all []string
		for key := range r.Map() {
			all = append(all, string(key))
		}
		return all
	}
	tests := []struct {
		hex  string
		read func(*Reader) any
		want any
		rest string
		err  error
	}{
		{"07", integer, int64(7), "", nil},
		{"e0 01", integer, int64(-32), "01", nil},
		{"cf7fffffffffffffff", integer, int64(math.MaxInt64), "", nil},
		{"cf8000000000000000", integer, int64(0), "", ErrType},
		{"d38000000000000000", integer, int64(math.MinInt64), "", nil},
		{"cb4008000000000000", integer, int64(3), "", nil}, // JavaScript sees no difference
		{"cac0400000", integer, int64(-3), "", nil},
		{"cb8000000000000000", integer, int64(0), "", nil},
		{"cb3ff8000000000000", integer, int64(0), "", ErrType},
		{"cb43e0000000000000", integer, int64(0), "", ErrType}, // 2^63
		{"cb7ff8000000000000", integer, int64(0), "", ErrType}, // NaN
		{"a131", integer, int64(0), "a131", ErrType},
		{"cd01", integer, int64(0), "cd01", ErrMalformed},
		{"", integer, int64(0), "", ErrMalformed},
		{"cfffffffffffffffff", unsigned, uint64(math.MaxUint64), "", nil},
		{"ff", unsigned, uint64(0), "", ErrType},
		{"cbbff0000000000000", unsigned, uint64(0), "", ErrType},
		{"cb3ff8000000000000", float, 1.5, "", nil},
		{"ca3fc00000", float, 1.5, "", nil},
		{"d0df", float, -33.0, "", nil},
		{"cfffffffffffffffff", float, float64(1 << 64), "", nil},
		{"c0", float, 0.0, "c0", ErrType},
		{"c3", boolean, true, "", nil},
		{"c2", boolean, false, "", nil},
		{"01", boolean, false, "01", ErrType},
		{"a161", text, "a", "", nil},
		{"07", text, "7", "", nil}, // CLU-R-11
		{"d1ff7f", text, "-129", "", nil},
		{"cb3ff8000000000000", text, "1.5", "", nil},
		{"cfffffffffffffffff", text, "18446744073709551615", "", nil},
		{"a3 61ff62", text, "a\ufffdb", "", nil},
		{"c40161", text, "", "c40161", ErrType},
		{"c0", text, "", "c0", ErrType},
		{"a2 61", text, "", "a261", ErrMalformed},
		{"a161", contents, "a", "", nil},
		{"c40161", contents, "a", "", nil},
		{"07", contents, "", "07", ErrType},
		{"93 a161 07 a0", list, []string{"a", "7", ""}, "", nil},
		{"90", list, []string(nil), "", nil},
		{"c0", list, []string(nil), "", nil},
		{"d40000", list, []string(nil), "", nil},
		{"94 a0a0a0a0", list, []string(nil), "a0a0a0a0", ErrTooLarge},
		{"92 a0 c0", list, []string{"", ""}, "c0", ErrType},
		{"ddffffffff a0", list, []string(nil), "ddffffffffa0", ErrMalformed}, // HRD-03
		{"a161", list, []string(nil), "a161", ErrType},
		{"c0 01", isNil, true, "01", nil},
		{"d40000 01", isNil, true, "01", nil}, // CLU-M-14
		{"01", isNil, false, "01", nil},
		{"", isNil, false, "", nil},
		{"", kind, Invalid, "", nil},
		{"c1", kind, Invalid, "c1", nil},
		{"c0", kind, Nil, "c0", nil},
		{"d40007", kind, Nil, "d40007", nil},
		{"d40107", kind, Ext, "d40107", nil},
		{"dcffff", kind, Invalid, "dcffff", nil},
		{"80", kind, Map, "80", nil},
		{"90", kind, Array, "90", nil},
		{"c400", kind, Bin, "c400", nil},
		{"a0", kind, String, "a0", nil},
		{"ff", kind, Int, "ff", nil},
		{"ca00000000", kind, Float, "ca00000000", nil},
		{"c2", kind, Bool, "c2", nil},
		{"c70205 6162", ext, [2]any{int8(5), "ab"}, "", nil},
		{"d4ff61", ext, [2]any{int8(-1), "a"}, "", nil},
		{"a0", ext, [2]any{int8(0), ""}, "a0", ErrType},
		{"92 0102", array, 2, "0102", nil},
		{"92 01", array, 0, "9201", ErrMalformed},
		{"92 01 81a161a0 02", raw, "920181a161a0", "02", nil},
		{"d40000", raw, "d40000", "", nil},
		{"9201", raw, "", "9201", ErrMalformed},
		{"9292", skip, nil, "9292", ErrMalformed},
		{"82a16101a16202", keys, []string{"a", "b"}, "", nil},
		{"8300010001a16202", keys, []string{"", "", "b"}, "", nil},
		{"82a16101a162", keys, []string{"a", "b"}, "", ErrMalformed},
		{"90", keys, []string(nil), "90", ErrType},
	}
	for _, tt := range tests {
		r := NewReader(unhex(t, tt.hex))
		got := tt.read(r)
		if !reflect.DeepEqual(got, tt.want) || r.Err() != tt.err || !bytes.Equal(r.Rest(), unhex(t, tt.rest)) {
			t.Errorf("%s: %#v, rest %x, %v\nwant %#v, rest %s, %v", tt.hex, got, r.Rest(), r.Err(), tt.want, tt.rest, tt.err)
		}
	}
}

func TestReaderErrorSticks(t *testing.T) {
	r := NewReader(unhex(t, "a161 01 c3 91 01"))
	r.Bool()
	if r.Int() != 0 || r.Text() != "" || r.Bool() || r.Raw() != nil || r.Bytes() != nil || r.ArrayLen() != 0 || r.Kind() != Invalid || r.IsNil() {
		t.Error("something was read after the error")
	}
	if !errors.Is(r.End(), ErrType) {
		t.Errorf("error %v", r.End())
	}
}

func TestReaderEnd(t *testing.T) {
	r := NewReader([]byte{1, 2})
	r.Int()
	if r.End() != ErrTrailing { // CLU-M-17
		t.Errorf("error %v", r.End())
	}
}

// A loop's body that leaves early or reads some values only.
func TestReaderLoops(t *testing.T) {
	r := NewReader(unhex(t, "93 01 91a161 03"))
	var read []int64
	for i := range r.Array() {
		if i != 1 {
			read = append(read, r.Int())
		}
	}
	if !reflect.DeepEqual(read, []int64{1, 3}) || r.End() != nil {
		t.Errorf("read %v, %v", read, r.End())
	}
	r = NewReader(unhex(t, "82 a16101 a16202"))
	for range r.Map() {
		break
	}
	if r.Int() != 1 || r.Err() != nil {
		t.Errorf("the reader does not stand behind the first key: %v", r.Err())
	}
}
