package msgpack

import (
	"encoding/binary"
	"math"
)

// Kind is what a value is.
type Kind uint8

// Kinds of values. Nil includes the undefined of older encoders (CLU-M-14).
const (
	Invalid Kind = iota
	Nil
	Bool
	Int
	Float
	String
	Bin
	Array
	Map
	Ext
)

// head is a value without the contents of strings, binaries, extensions and
// containers.
// Four fields fit into registers, five do not.
type head struct {
	kind Kind
	ext  int8   // type of an Ext; of an Int its sign, -1 or 0
	size int    // bytes of the head
	n    uint64 // the integer (two's complement), the float's bits, 1 for true, else length or count
}

// form says what the first byte of a value announces.
type form struct {
	kind   Kind
	width  uint8 // bytes of n that follow
	n      uint8 // n itself if width is 0
	signed bool
}

var forms = makeForms()

func makeForms() (f [256]form) {
	for i := range f {
		switch c := byte(i); {
		case c < 0x80:
			f[i] = form{kind: Int, n: c}
		case c < 0x90:
			f[i] = form{kind: Map, n: c & 15}
		case c < 0xa0:
			f[i] = form{kind: Array, n: c & 15}
		case c < 0xc0:
			f[i] = form{kind: String, n: c & 31}
		case c >= 0xe0:
			f[i] = form{kind: Int, n: c, signed: true}
		}
	}
	f[0xc0] = form{kind: Nil}
	f[0xc2], f[0xc3] = form{kind: Bool}, form{kind: Bool, n: 1}
	f[0xca], f[0xcb] = form{kind: Float, width: 4}, form{kind: Float, width: 8}
	for i := range 3 {
		w := uint8(1) << i
		f[0xc4+i] = form{kind: Bin, width: w}
		f[0xc7+i] = form{kind: Ext, width: w}
		f[0xd9+i] = form{kind: String, width: w}
	}
	for i := range 2 {
		w := uint8(2) << i
		f[0xdc+i] = form{kind: Array, width: w}
		f[0xde+i] = form{kind: Map, width: w}
	}
	for i := range 4 {
		f[0xcc+i] = form{kind: Int, width: 1 << i}
		f[0xd0+i] = form{kind: Int, width: 1 << i, signed: true}
	}
	for i := range 5 {
		f[0xd4+i] = form{kind: Ext, n: 1 << i}
	}
	return f
}

// parseHead reads the head of the value that b begins with. It fails unless the
// announced contents can be there: a length or a count that it returns is never
// larger than what remains of b (HRD-03).
func parseHead(b []byte) (h head, ok bool) {
	if len(b) == 0 {
		return h, false
	}
	f := forms[b[0]]
	h = head{kind: f.kind, size: 1 + int(f.width), n: uint64(f.n)}
	if len(b) < h.size {
		return h, false
	}
	switch f.width {
	case 1:
		h.n = uint64(b[1])
	case 2:
		h.n = uint64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		h.n = uint64(binary.BigEndian.Uint32(b[1:]))
	case 8:
		h.n = binary.BigEndian.Uint64(b[1:])
	}
	room := uint64(len(b) - h.size)
	switch f.kind {
	case Nil, Bool:
		return h, true
	case Int:
		if f.signed {
			return extendSign(h, f.width), true
		}
		return h, true
	case Float:
		if f.width == 4 {
			h.n = math.Float64bits(float64(math.Float32frombits(uint32(h.n))))
		}
		return h, true
	case String, Bin, Array:
		return h, h.n <= room
	case Map:
		return h, h.n <= room/2
	case Ext:
		if h.n >= room {
			return h, false
		}
		h.ext = int8(b[h.size])
		h.size++
		return h, true
	}
	return h, false
}

func extendSign(h head, width uint8) head {
	shift := 64 - 8*max(width, 1)
	n := int64(h.n<<shift) >> shift
	h.n, h.ext = uint64(n), int8(n>>63)
	return h
}

// contents is the number of bytes after the head that belong to the value itself,
// not to its items.
func (h head) contents() int {
	switch h.kind {
	case String, Bin, Ext:
		return int(h.n)
	}
	return 0
}

// items is the number of values in a container.
func (h head) items() int {
	switch h.kind {
	case Array:
		return int(h.n)
	case Map:
		return 2 * int(h.n)
	}
	return 0
}

// isUndefined reports whether b begins with notepack 2's undefined (SIO-G-03).
func isUndefined(b []byte) bool {
	return len(b) >= 3 && b[0] == 0xd4 && b[1] == 0
}

// skip returns the length of the value that b begins with, 0 if it is malformed.
// It counts the values still to come; how deep they are does not matter, since
// nothing is kept per level.
func skip(b []byte) int {
	pos := 0
	for left := 1; left > 0; left-- {
		if pos < len(b) && (b[pos] < 0x80 || b[pos] >= 0xe0) { // most values: small integers
			pos++
			continue
		}
		h, ok := parseHead(b[pos:])
		if !ok {
			return 0
		}
		pos += h.size + h.contents()
		left += h.items()
		if left-1 > len(b)-pos {
			return 0
		}
	}
	return pos
}
