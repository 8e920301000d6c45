package msgpack

import (
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// string writes the string whose opening quote is next.
func (c *converter) string() error {
	c.i++
	text := c.src[c.i:]
	n, ascii := plainLen(text)
	if n < len(text) && text[n] == '"' && (ascii || utf8.Valid(text[:n])) {
		c.dst = AppendString(c.dst, text[:n])
		c.i += n + 1
		return nil
	}
	return c.escapedString()
}

// escapedString writes a string with escapes, or one that is not UTF-8.
func (c *converter) escapedString() error {
	start := len(c.dst)
	c.dst = append(c.dst, 0)
	for {
		n, ascii := plainLen(c.src[c.i:])
		dst, valid := appendValid(c.dst, c.src[c.i:c.i+n], ascii)
		c.dst, c.lossless = dst, c.lossless && valid
		if c.i += n; c.i == len(c.src) {
			return ErrJSON
		}
		switch c.src[c.i] {
		case '"':
			c.i++
			var head [5]byte
			c.dst = slices.Replace(c.dst, start, start+1, appendStringHead(head[:0], len(c.dst)-start-1)...)
			return nil
		case '\\':
			if !c.escape() {
				return ErrJSON
			}
		default: // a control character
			return ErrJSON
		}
	}
}

// escape writes what the escape at c.i stands for.
func (c *converter) escape() bool {
	text := c.src[c.i:]
	if len(text) < 2 {
		return false
	}
	if text[1] == 'u' {
		return c.unicode(text)
	}
	b := text[1]
	switch b {
	case '"', '\\', '/':
	case 'b':
		b = '\b'
	case 'f':
		b = '\f'
	case 'n':
		b = '\n'
	case 'r':
		b = '\r'
	case 't':
		b = '\t'
	default:
		return false
	}
	c.dst = append(c.dst, b)
	c.i += 2
	return true
}

// unicode writes the character of a \u escape or of a pair of them.
func (c *converter) unicode(text []byte) bool {
	r := hex4(text)
	if r < 0 {
		return false
	}
	c.i += 6
	if utf16.IsSurrogate(r) {
		r = utf16.DecodeRune(r, hex4(text[6:]))
		if r == utf8.RuneError {
			c.lossless = false // half a pair has no UTF-8 form
		} else {
			c.i += 6
		}
	}
	c.dst = utf8.AppendRune(c.dst, r)
	return true
}

// hex4 returns the number in a \u escape that text begins with, or -1.
func hex4(text []byte) (r rune) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	for _, b := range text[2:6] {
		switch lower := b | 0x20; {
		case b-'0' <= 9:
			r = r<<4 | rune(b-'0')
		case lower-'a' <= 5:
			r = r<<4 | rune(lower-'a'+10)
		default:
			return -1
		}
	}
	return r
}
