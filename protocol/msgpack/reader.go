package msgpack

import (
	"iter"
	"math"
	"strconv"
	"strings"
)

// Reader walks the values of a message. The first error sticks: later calls
// return zero values, so that callers check Err or End once. Nothing it returns
// was allocated by a length that the message announces; slices alias the message.
type Reader struct {
	b   []byte
	err error
}

// NewReader returns a reader of b.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Rest returns what has not been read.
func (r *Reader) Rest() []byte { return r.b }

// End returns the first error, or [ErrTrailing] if something has not been read
// (CLU-M-17).
func (r *Reader) End() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = ErrTrailing
	}
	return r.err
}

// Kind tells what comes next, [Invalid] if nothing does or the reader has failed.
func (r *Reader) Kind() Kind {
	h, ok := parseHead(r.b)
	switch {
	case !ok || r.err != nil:
		return Invalid
	case isUndefined(r.b):
		return Nil
	}
	return h.kind
}

// Skip passes over one value of any depth.
func (r *Reader) Skip() { r.Raw() }

// Raw returns the bytes of the next value, whatever it is. It is well formed, but
// how deep it is nested has not been checked.
func (r *Reader) Raw() []byte {
	if r.err != nil {
		return nil
	}
	n := skip(r.b)
	if n == 0 {
		r.fail(ErrMalformed)
		return nil
	}
	raw := r.b[:n:n]
	r.b = r.b[n:]
	return raw
}

// IsNil reports whether nil or undefined comes next, and passes over it if so.
func (r *Reader) IsNil() bool {
	if r.Kind() != Nil {
		return false
	}
	r.Skip()
	return true
}

// Bool reads a boolean.
func (r *Reader) Bool() bool { return r.scalar(Bool).n != 0 }

// Int reads an integer that fits, in any form that JavaScript takes for one
// (also a float without a fraction).
func (r *Reader) Int() int64 {
	h := r.integer()
	if h.ext == 0 && h.n > math.MaxInt64 {
		r.fail(ErrType)
		return 0
	}
	return int64(h.n)
}

// Uint reads an integer that is not negative, in any form.
func (r *Reader) Uint() uint64 {
	h := r.integer()
	if h.ext < 0 {
		r.fail(ErrType)
		return 0
	}
	return h.n
}

// Float reads a number.
func (r *Reader) Float() float64 {
	kind := Float
	if h, _ := parseHead(r.b); h.kind == Int {
		kind = Int
	}
	return r.scalar(kind).float()
}

// Bytes reads a string or binary data.
func (r *Reader) Bytes() []byte {
	if h, _ := parseHead(r.b); h.kind == Bin {
		return r.contents(Bin)
	}
	return r.contents(String)
}

// Text reads a string, or a number as its decimal text (CLU-R-11). Bytes that are
// not UTF-8 are replaced.
func (r *Reader) Text() string {
	h, ok := parseHead(r.b)
	if !ok || r.err != nil {
		r.fail(ErrMalformed)
		return ""
	}
	switch h.kind {
	case Int, Float:
		var buf [32]byte
		r.b = r.b[h.size:]
		return string(appendNumber(buf[:0], h))
	}
	return strings.ToValidUTF8(string(r.contents(String)), "\ufffd")
}

// Strings appends to dst an array of strings or numbers, as [Reader.Text] reads
// them; nil and undefined are an empty array. More than limit items are an error:
// a peer fills a megabyte with a million empty strings (HRD-03).
func (r *Reader) Strings(dst []string, limit int) []string {
	if r.IsNil() {
		return dst
	}
	n := r.ArrayLen()
	if n > limit {
		r.fail(ErrTooLarge)
	}
	for ; n > 0 && r.err == nil; n-- {
		dst = append(dst, r.Text())
	}
	return dst
}

// Ext reads a value of an extension type.
func (r *Reader) Ext() (typ int8, data []byte) {
	h, _ := parseHead(r.b)
	data = r.contents(Ext)
	if r.err != nil {
		return 0, nil
	}
	return h.ext, data
}

// ArrayLen reads the beginning of an array; that many values follow.
func (r *Reader) ArrayLen() int { return int(r.scalar(Array).n) }

// MapLen reads the beginning of a map; that many keys with values follow.
func (r *Reader) MapLen() int { return int(r.scalar(Map).n) }

// Map reads a map and yields its keys. The loop's body reads the value; if it
// reads nothing the value is skipped. A key that is no string is yielded as nil.
// After break the reader stands where the body left it.
func (r *Reader) Map() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for n := r.MapLen(); n > 0 && r.err == nil; n-- {
			key := r.key()
			left := len(r.b)
			if r.err != nil || !yield(key) {
				return
			}
			if len(r.b) == left {
				r.Skip()
			}
		}
	}
}

// Array reads an array and yields the index of each item, which the loop's body
// reads or leaves as with [Reader.Map].
func (r *Reader) Array() iter.Seq[int] {
	return func(yield func(int) bool) {
		n := r.ArrayLen()
		for i := 0; i < n && r.err == nil; i++ {
			left := len(r.b)
			if !yield(i) {
				return
			}
			if len(r.b) == left {
				r.Skip()
			}
		}
	}
}

func (r *Reader) key() []byte {
	if h, _ := parseHead(r.b); h.kind == String {
		return r.contents(String)
	}
	r.Skip()
	return nil
}

// scalar reads a head of kind k.
func (r *Reader) scalar(k Kind) head {
	h, ok := parseHead(r.b)
	switch {
	case r.err != nil:
	case !ok:
		r.fail(ErrMalformed)
	case h.kind != k:
		r.fail(ErrType)
	default:
		r.b = r.b[h.size:]
		return h
	}
	return head{}
}

// contents reads a string, binary data or an extension.
func (r *Reader) contents(k Kind) []byte {
	h := r.scalar(k)
	if r.err != nil {
		return nil
	}
	data := r.b[:h.n:h.n]
	r.b = r.b[h.n:]
	return data
}

// integer reads an Int, or a Float whose value is one.
func (r *Reader) integer() head {
	if h, ok := parseHead(r.b); ok && h.kind == Float && r.err == nil {
		r.b = r.b[h.size:]
		i, ok := h.integral()
		if !ok {
			r.fail(ErrType)
		}
		return i
	}
	return r.scalar(Int)
}

func (r *Reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// float is the value of an Int or a Float.
func (h head) float() float64 {
	switch {
	case h.kind != Int:
		return math.Float64frombits(h.n)
	case h.ext < 0:
		return float64(int64(h.n))
	}
	return float64(h.n)
}

// integral converts a Float that holds an integer which a float64 holds exactly.
func (h head) integral() (head, bool) {
	f := h.float()
	if f != math.Trunc(f) || math.Abs(f) > maxExact {
		return head{}, false
	}
	n := int64(f)
	return head{kind: Int, ext: int8(n >> 63), n: uint64(n)}, true
}

// maxExact is 2^53, up to which every integer is a float64.
const maxExact = 1 << 53

// appendNumber appends an Int or a Float as JavaScript prints it, except that all
// digits of a 64-bit integer are kept.
func appendNumber(dst []byte, h head) []byte {
	switch {
	case h.kind == Float:
		return appendFloatText(dst, h.float())
	case h.ext < 0:
		return strconv.AppendInt(dst, int64(h.n), 10)
	}
	return strconv.AppendUint(dst, h.n, 10)
}
