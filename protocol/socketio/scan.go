package socketio

import (
	"encoding/binary"
	"math/bits"
)

// What a scan returns instead of an index when it stops early.
const (
	notJSON = -1
	tooDeep = -2
)

const defaultDepth = 128 // HRD-05

// Valid reports whether data is one JSON value (RFC 8259) whose arrays and
// objects are nested at most depth deep; zero means 128 (HRD-05). It does not
// recurse. Like encoding/json it leaves the encoding of strings unchecked:
// transports refuse text that is not UTF-8 (HRD-33).
func Valid(data []byte, depth int) bool {
	if depth <= 0 {
		depth = defaultDepth
	}
	return scanAll(data, depth) >= 0
}

// scanAll scans data as one value and returns the index behind it; only space
// may follow there.
func scanAll(data []byte, limit int) int {
	end := scan(data, 0, 0, limit)
	if end >= 0 && skipSpace(data, end) != len(data) {
		return notJSON
	}
	return end
}

// scan checks the JSON from a value that begins at i, behind optional space, to
// the end of the outermost container, and returns the index behind that. The
// value is either outermost itself (depth 0) or an element of one array that
// the caller has opened (depth 1).
func scan(data []byte, i, depth, limit int) int {
	open := nesting{depth: depth}
	for {
		i = skipSpace(data, i)
		if i == len(data) {
			return notJSON
		}
		c := data[i]
		i++
		switch c {
		case '"':
			i = scanString(data, i)
		case '[', '{':
			if open.depth >= limit {
				return tooDeep
			}
			open.push(c)
			i = skipSpace(data, i)
			if i < len(data) && data[i] == c+2 { // the closing bracket
				open.pop()
				i++
				break
			}
			if c == '{' {
				i = scanKey(data, i)
			}
			if i < 0 {
				return i
			}
			continue
		default:
			i = scanPlain(data, i-1)
		}
		if i < 0 {
			return i
		}
		if i = open.next(data, i); i < 0 || open.depth == 0 {
			return i
		}
	}
}

// nesting knows the kinds of the open containers, one bit each.
type nesting struct {
	depth int
	kinds uint64   // of the innermost 64, the last one in bit 0; 1 is an object
	outer []uint64 // of those around them; rarely needed
}

func (n *nesting) push(c byte) {
	if n.depth&63 == 0 && n.depth != 0 {
		n.spill()
	}
	n.depth++
	n.kinds = n.kinds<<1 | uint64(c>>5&1)
}

func (n *nesting) pop() {
	n.depth--
	n.kinds >>= 1
	if n.depth&63 == 0 && n.depth != 0 {
		n.unspill()
	}
}

func (n *nesting) spill() {
	n.outer = append(n.outer, n.kinds)
	n.kinds = 0
}

func (n *nesting) unspill() {
	last := len(n.outer) - 1
	n.kinds = n.outer[last]
	n.outer = n.outer[:last]
}

// next goes from the end of a value to the beginning of the next one, closing
// the containers that end in between, the outermost included.
func (n *nesting) next(data []byte, i int) int {
	for n.depth != 0 {
		i = skipSpace(data, i)
		if i == len(data) {
			return notJSON
		}
		object := byte(n.kinds & 1)
		switch c := data[i]; c {
		case ',':
			if object == 0 {
				return i + 1
			}
			return scanKey(data, skipSpace(data, i+1))
		case ']' | object<<5:
			n.pop()
			i++
		default:
			return notJSON
		}
	}
	return i
}

// scanKey takes the key of an object's member and the colon.
func scanKey(data []byte, i int) int {
	if i == len(data) || data[i] != '"' {
		return notJSON
	}
	i = scanString(data, i+1)
	if i < 0 {
		return i
	}
	i = skipSpace(data, i)
	if i == len(data) || data[i] != ':' {
		return notJSON
	}
	return i + 1
}

// scanPlain takes a number, true, false or null.
func scanPlain(data []byte, i int) int {
	switch data[i] {
	case 't':
		return scanWord(data, i, "true")
	case 'f':
		return scanWord(data, i, "false")
	case 'n':
		return scanWord(data, i, "null")
	}
	return scanNumber(data, i)
}

func scanWord(data []byte, i int, word string) int {
	end := i + len(word)
	if end > len(data) || string(data[i:end]) != word {
		return notJSON
	}
	return end
}

// scanNumber takes a number: sign, integer, fraction, exponent.
func scanNumber(data []byte, i int) int {
	if i < len(data) && data[i] == '-' {
		i++
	}
	first := i
	i = skipDigits(data, i)
	if i == first || data[first] == '0' && i > first+1 {
		return notJSON
	}
	if i < len(data) && data[i] == '.' {
		first = i + 1
		if i = skipDigits(data, first); i == first {
			return notJSON
		}
	}
	if i < len(data) && data[i]|0x20 == 'e' {
		if i++; i < len(data) && (data[i] == '+' || data[i] == '-') {
			i++
		}
		first = i
		if i = skipDigits(data, first); i == first {
			return notJSON
		}
	}
	return i
}

func skipDigits(data []byte, i int) int {
	for i < len(data) && data[i]-'0' <= 9 {
		i++
	}
	return i
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && isSpace(data[i]) {
		i++
	}
	return i
}

func isSpace(c byte) bool {
	return c <= ' ' && uint64(1)<<c&(1<<' '|1<<'\t'|1<<'\n'|1<<'\r') != 0
}

// scanString takes a string from behind its opening quote and returns the index
// behind the closing one.
func scanString(data []byte, i int) int {
	if i+8 <= len(data) { // most strings are short
		m := special(binary.LittleEndian.Uint64(data[i:]))
		end := i + bits.TrailingZeros64(m)>>3
		if m != 0 && data[end] == '"' {
			return end + 1
		}
	}
	return scanLongString(data, i)
}

func scanLongString(data []byte, i int) int {
	for {
		i = skipPlain(data, i)
		if i == len(data) {
			return notJSON
		}
		switch data[i] {
		case '"':
			return i + 1
		case '\\':
			if i = scanEscape(data, i+1); i < 0 {
				return i
			}
		default: // a control character
			return notJSON
		}
	}
}

// skipPlain returns the index of the next byte that means something inside a
// string: a quote, a backslash or a control character.
func skipPlain(data []byte, i int) int {
	for ; i+8 <= len(data); i += 8 {
		if m := special(binary.LittleEndian.Uint64(data[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(data) && data[i] >= ' ' && data[i] != '"' && data[i] != '\\' {
		i++
	}
	return i
}

// special sets the high bit of the first byte of w that is a quote, a backslash
// or a control character. Bits above the lowest one set mean nothing: a borrow
// may have come from below.
func special(w uint64) uint64 {
	const ones = 0x0101010101010101
	quote, backslash := w^ones*'"', w^ones*'\\'
	control := (w - ones*' ') &^ w
	return (control | (quote-ones)&^quote | (backslash-ones)&^backslash) & (ones << 7)
}

// scanEscape takes what follows a backslash.
func scanEscape(data []byte, i int) int {
	if i == len(data) {
		return notJSON
	}
	switch data[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if _, ok := hex4(data[i+1:]); ok {
			return i + 5
		}
	}
	return notJSON
}

// hex4 reads the four digits of a \u escape.
func hex4(p []byte) (r rune, ok bool) {
	if len(p) < 4 {
		return 0, false
	}
	for _, c := range p[:4] {
		d, ok := unhex(c)
		if !ok {
			return 0, false
		}
		r = r<<4 | rune(d)
	}
	return r, true
}

func unhex(c byte) (byte, bool) {
	switch {
	case c-'0' <= 9:
		return c - '0', true
	case c|0x20-'a' <= 5:
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
