package msgpack

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainLen returns how many bytes of s, from its beginning, stand for themselves
// in a JSON string: all but control characters, quotes and backslashes. ascii
// tells whether none of them is above 0x7f. It looks at eight bytes at once.
func plainLen(s []byte) (n int, ascii bool) {
	var high uint64
	for ; n+8 <= len(s); n += 8 {
		w := binary.LittleEndian.Uint64(s[n:])
		quote, slash := w^(ones*'"'), w^(ones*'\\')
		// A byte's high bit in stop is set if the byte must not be passed over;
		// borrows can only touch bytes above such a one.
		stop := ((w - ones*0x20) | (quote - ones) | (slash - ones)) & ^w & highs
		if stop != 0 {
			k := bits.TrailingZeros64(stop) / 8
			high |= w & (1<<(8*k) - 1)
			return n + k, high&highs == 0
		}
		high |= w
	}
	for ; n < len(s) && s[n] >= 0x20 && s[n] != '"' && s[n] != '\\'; n++ {
		high |= uint64(s[n])
	}
	return n, high&highs == 0
}

// appendQuoted appends s as a JSON string, with the escapes that JavaScript uses
// (SIO-E-02, -03) and U+FFFD for what is not UTF-8.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for {
		n, ascii := plainLen(s)
		if n == len(s) && ascii {
			return append(append(dst, s...), '"')
		}
		dst, _ = appendValid(dst, s[:n], ascii)
		if n == len(s) {
			return append(dst, '"')
		}
		dst = appendEscaped(dst, s[n])
		s = s[n+1:]
	}
}

const hexDigits = "0123456789abcdef"

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\t':
		return append(dst, `\t`...)
	case '\n':
		return append(dst, `\n`...)
	case '\f':
		return append(dst, `\f`...)
	case '\r':
		return append(dst, `\r`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// appendValid appends s, each byte that is not part of UTF-8 replaced by U+FFFD.
// It reports whether nothing had to be replaced.
func appendValid(dst, s []byte, ascii bool) ([]byte, bool) {
	if ascii || utf8.Valid(s) {
		return append(dst, s...), true
	}
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, r)
		s = s[n:]
	}
	return dst, false
}

// appendFloatText appends f as JavaScript's Number.prototype.toString does.
func appendFloatText(dst []byte, f float64) []byte {
	switch abs := math.Abs(f); {
	case f != f:
		return append(dst, "NaN"...)
	case f == 0:
		return append(dst, '0') // also -0
	case f > math.MaxFloat64:
		return append(dst, "Infinity"...)
	case f < -math.MaxFloat64:
		return append(dst, "-Infinity"...)
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes two exponent digits at least, JavaScript as many as it needs.
	if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// maxDate is the last millisecond of a JavaScript Date.
const maxDate = 8.64e15

// appendDate appends the quoted text of a JavaScript Date (CLU-M-16), null for
// one that is out of range.
func appendDate(dst []byte, ms float64) []byte {
	if !(math.Abs(ms) <= maxDate) {
		return append(dst, "null"...)
	}
	t := time.UnixMilli(int64(ms)).UTC() // a Date drops fractions of a millisecond
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(dst, '"')
	switch {
	case year < 0:
		dst = appendPadded(append(dst, '-'), -year, 6)
	case year > 9999:
		dst = appendPadded(append(dst, '+'), year, 6)
	default:
		dst = appendPadded(dst, year, 4)
	}
	dst = appendPadded(append(dst, '-'), int(month), 2)
	dst = appendPadded(append(dst, '-'), day, 2)
	dst = appendPadded(append(dst, 'T'), hour, 2)
	dst = appendPadded(append(dst, ':'), minute, 2)
	dst = appendPadded(append(dst, ':'), second, 2)
	dst = appendPadded(append(dst, '.'), t.Nanosecond()/1e6, 3)
	return append(dst, 'Z', '"')
}

func appendPadded(dst []byte, n, width int) []byte {
	start := len(dst)
	for range width {
		dst = append(dst, '0')
	}
	for i := start + width - 1; n > 0; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}
