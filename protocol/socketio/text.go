package socketio

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// escaped reports whether raw, the inside of a JSON string, has escapes.
func escaped(raw []byte) bool { return bytes.IndexByte(raw, '\\') >= 0 }

// appendUnescaped appends the text of a valid JSON string, of which raw is the
// inside. Half of a surrogate pair becomes U+FFFD, since it has no UTF-8 form.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 || i+1 >= len(raw) {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		raw = raw[i+1:]
		if raw[0] != 'u' {
			dst = append(dst, unescape(raw[0]))
			raw = raw[1:]
			continue
		}
		r, n := unescapeRune(raw)
		dst = utf8.AppendRune(dst, r)
		raw = raw[n:]
	}
}

func unescape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// unescapeRune reads the escape, or the pair of escapes, whose first u is raw[0]
// and returns its length without the first backslash.
func unescapeRune(raw []byte) (r rune, n int) {
	r, ok := hex4(raw[1:])
	if !ok {
		return utf8.RuneError, 1
	}
	if utf16.IsSurrogate(r) {
		if len(raw) > 6 && raw[5] == '\\' && raw[6] == 'u' {
			low, _ := hex4(raw[7:])
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				return pair, 11
			}
		}
		return utf8.RuneError, 5
	}
	return r, 5
}

// number returns the text that JavaScript makes of a JSON number, which is what
// a listener of a numeric event name is registered for (SIO-D-08).
func number(raw []byte) []byte {
	if plainInteger(raw) {
		return raw
	}
	f, _ := strconv.ParseFloat(string(raw), 64) // on overflow f is infinite, as there
	return appendNumber(nil, f)
}

// plainInteger reports whether JavaScript writes raw as it is.
func plainInteger(raw []byte) bool {
	digits := raw
	if raw[0] == '-' {
		digits = raw[1:]
	}
	if len(digits) > 15 || digits[0] == '0' && len(raw) > 1 {
		return false
	}
	return skipDigits(digits, 0) == len(digits)
}

// appendNumber appends f as JavaScript's Number.prototype.toString writes it.
func appendNumber(dst []byte, f float64) []byte {
	switch abs := math.Abs(f); {
	case math.IsInf(f, 0):
		if f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "Infinity"...)
	case f == 0: // also -0
		return append(dst, '0')
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); n > 4 && dst[n-4] == 'e' && dst[n-2] == '0' { // e-07 to e-7
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

// Reserved reports whether name has a meaning of its own at one of the ends, so
// that no event may carry it (SIO-D-07, HRD-43).
func Reserved[T ~string | ~[]byte](name T) bool {
	if len(name) < len("connect") || len(name) > len("removeListener") {
		return false
	}
	switch string(name) {
	case "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener":
		return true
	}
	return false
}
