package args

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errSyntax = errors.New("args: not valid JSON")

var placeholderKey = []byte(`"_placeholder"`)

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// space skips white space.
func (d *decoder) space() {
	for d.pos < len(d.data) && isSpace(d.data[d.pos]) {
		d.pos++
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (d *decoder) peek() byte {
	d.space()
	if d.pos == len(d.data) {
		return 0
	}
	return d.data[d.pos]
}

// more tells whether another element of a list without brackets follows.
func (d *decoder) more() bool { return d.peek() != 0 }

// comma skips a comma.
func (d *decoder) comma() {
	if d.peek() == ',' {
		d.pos++
	}
}

// skip moves past the next value and returns its text. It always moves.
func (d *decoder) skip() []byte {
	d.space()
	start, depth := d.pos, 0
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; c {
		case '"':
			d.pos = endOfString(d.data, d.pos)
		case '{', '[':
			depth++
			d.pos++
		case '}', ']':
			depth--
			d.pos++
		case ',', ':', ' ', '\t', '\n', '\r':
			d.pos++
			continue
		default:
			d.pos = endOfWord(d.data, d.pos)
		}
		if depth <= 0 {
			break
		}
	}
	return d.data[start:d.pos]
}

// endOfString returns the position after the string that begins at i.
func endOfString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// endOfWord returns the position after the number or literal that begins at i.
func endOfWord(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case ',', ':', ']', '}', ' ', '\t', '\n', '\r', '"', '[', '{':
			return i
		}
	}
	return i
}

// object calls member for each name of the object that comes next, quotes
// included; member reads the value.
func (d *decoder) object(member func(key []byte) error) error {
	d.pos++ // the brace
	for first := true; ; first = false {
		c := d.peek()
		if c == '}' {
			d.pos++
			return nil
		}
		if c == ',' && !first {
			d.pos++
			c = d.peek()
		}
		if c != '"' {
			return errSyntax
		}
		key := d.skip()
		if d.peek() != ':' {
			return errSyntax
		}
		d.pos++
		if err := member(key); err != nil {
			return err
		}
	}
}

// list calls element for each element of the array that comes next; element
// reads it.
func (d *decoder) list(element func() error) error {
	d.pos++ // the bracket
	for {
		switch d.peek() {
		case ']':
			d.pos++
			return nil
		case ',':
			d.pos++
		case 0:
			return errSyntax
		}
		if err := element(); err != nil {
			return err
		}
	}
}

// unquote returns the text of a JSON string.
func unquote(raw []byte) (string, error) {
	if s, ok := plainString(raw); ok {
		return s, nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

// parsePlaceholder reads an exact placeholder (SIO-B-03) at the start of data:
// two members, in any order. The number is as in HRD-42.
func parsePlaceholder(data []byte) (num, size int, ok bool) {
	d := decoder{data: data}
	marked, numbered := false, false
	for i := range 2 {
		d.pos++ // the brace, the comma
		switch key := d.name(); {
		case bytes.Equal(key, placeholderKey) && !marked:
			marked = string(d.skip()) == "true"
		case bytes.Equal(key, []byte(`"num"`)) && !numbered:
			num, numbered = parseNumber(d.skip())
		default:
			return 0, 0, false
		}
		if end := [2]byte{',', '}'}[i]; d.peek() != end {
			return 0, 0, false
		}
	}
	return num, d.pos + 1, marked && numbered
}

// name reads a member's name and the colon; nil if there is none.
func (d *decoder) name() []byte {
	if d.peek() != '"' {
		return nil
	}
	start := d.pos
	d.pos = endOfString(d.data, d.pos)
	key := d.data[start:d.pos]
	if d.peek() != ':' {
		return nil
	}
	d.pos++
	return key
}

func parseNumber(raw []byte) (n int, ok bool) {
	if len(raw) == 0 || len(raw) > 6 || len(raw) > 1 && raw[0] == '0' {
		return 0, false
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
