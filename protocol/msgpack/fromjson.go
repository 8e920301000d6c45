package msgpack

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// maxOwnDepth bounds the nesting of JSON that AppendFromJSON takes. What clients
// send was held to the configured depth before (HRD-05); this only keeps a mistake
// there from costing memory.
const maxOwnDepth = 1000

// maxRepeated is how many bytes attachments may add by being used more than once
// (SIO-M-21): a text with ten thousand placeholders for the same megabyte would
// become ten gigabytes (HRD-04).
const maxRepeated = 1 << 20

// AppendFromJSON appends the MessagePack form of one JSON value, the attachments
// in place of their placeholders; without attachments nothing is a placeholder
// (SIO-M-22). It writes what notepack.io 3.0.1 writes for the same value, but for
// two things: integers keep all their 64 bits, and other integral numbers beyond
// 2^53 are floats (CLU-G-08). It allocates nothing but dst, save for nesting beyond
// twelve levels and for numbers of more than 32 characters.
//
// lossless is false if [AppendJSON] would not give back a value equal to json,
// since official decoders cannot hold it (HRD-06): a number that neither 64 bits
// nor the shortest text of a float64 show exactly, minus zero, half a surrogate
// pair, bytes that are not UTF-8.
//
// On error, what was appended is without meaning.
func AppendFromJSON(dst, json []byte, atts [][]byte) (msg []byte, lossless bool, err error) {
	c := converter{src: json, dst: dst, atts: atts, lossless: true}
	err = c.run()
	if err == errShift {
		c = converter{src: json, dst: dst, atts: atts, lossless: true, wide: true}
		err = c.run()
	}
	return c.dst, c.lossless, err
}

// converter is the state of AppendFromJSON.
type converter struct {
	src      []byte
	i        int // of the next byte in src
	dst      []byte
	atts     [][]byte
	binary   int // bytes that attachments may still add
	open     stack[container]
	lossless bool

	// The head of an array or a map depends on the number of its items, known at
	// its end. One byte is left free for it; a longer head shifts what stands
	// behind it. At each level of nesting this may happen to the same bytes, so
	// only so many are shifted. Then the conversion starts again and is wide: five
	// bytes are left free and used, which every decoder takes.
	shift int
	wide  bool
}

var errShift = errors.New("msgpack: too much to shift")

// container is an array or object whose end has not been reached.
type container struct {
	head  int    // index in dst
	items uint32 // or members
	end   byte
	claim bool // it has a member "_placeholder": true
}

func (c *converter) run() error {
	c.shift = 16*len(c.src) + 64<<10
	c.binary = maxRepeated
	for _, a := range c.atts {
		c.binary += len(a)
	}
	for more := true; more; {
		opened, err := c.value()
		if err == nil && !opened {
			more, err = c.next()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// space skips white space and returns the byte after it, 0 at the end.
func (c *converter) space() byte {
	for ; c.i < len(c.src); c.i++ {
		if b := c.src[c.i]; b > ' ' || b != ' ' && b != '\n' && b != '\r' && b != '\t' {
			return b
		}
	}
	return 0
}

// value writes a scalar, an empty container, or the beginning of one that is
// then opened: its first value comes next.
func (c *converter) value() (opened bool, err error) {
	switch b := c.space(); b {
	case '"':
		return false, c.string()
	case '[', '{':
		return c.begin(b)
	case 't':
		return false, c.word("true", 0xc3)
	case 'f':
		return false, c.word("false", 0xc2)
	case 'n':
		return false, c.word("null", 0xc0)
	}
	return false, c.number()
}

func (c *converter) word(text string, code byte) error {
	end := c.i + len(text)
	if end > len(c.src) || string(c.src[c.i:end]) != text {
		return ErrJSON
	}
	c.i = end
	c.dst = append(c.dst, code)
	return nil
}

func (c *converter) begin(bracket byte) (opened bool, err error) {
	if c.open.n >= maxOwnDepth {
		return false, ErrDepth
	}
	top := container{head: len(c.dst), end: bracket + 2}
	c.dst = append(c.dst, 0)
	if c.wide {
		c.dst = append(c.dst, 0, 0, 0, 0)
	}
	c.i++
	if c.space() == top.end {
		c.i++
		return false, c.end(top)
	}
	c.open.push(top)
	if bracket == '{' {
		err = c.key()
	}
	return true, err
}

// next follows a value: it closes the containers that end, and goes to the next
// value. more is false at the end of everything.
func (c *converter) next() (more bool, err error) {
	for c.open.n > 0 {
		top := c.open.top()
		top.items++
		switch b := c.space(); {
		case b == ',':
			c.i++
			if top.end == '}' {
				err = c.key()
			}
			return true, err
		case b != top.end:
			return false, ErrJSON
		}
		c.i++
		if err := c.end(*top); err != nil {
			return false, err
		}
		c.open.pop()
	}
	if c.space(); c.i < len(c.src) {
		return false, ErrJSON
	}
	return false, nil
}

// key writes a member's key and goes to its value.
func (c *converter) key() error {
	if c.space() != '"' {
		return ErrJSON
	}
	start := len(c.dst)
	if err := c.string(); err != nil {
		return err
	}
	if c.space() != ':' {
		return ErrJSON
	}
	c.i++
	if len(c.atts) > 0 && c.space() == 't' && string(c.dst[start:]) == "\xac_placeholder" {
		c.open.top().claim = true
	}
	return nil
}

// end completes a container, whose items have been written.
func (c *converter) end(top container) error {
	if top.claim {
		return c.attach(top)
	}
	fix, code := byte(0x90), byte(0xdc)
	if top.end == '}' {
		fix, code = 0x80, 0xde
	}
	var wide [5]byte
	head := appendCount(wide[:0], fix, code, int(top.items))
	switch {
	case c.wide:
		wide[0] = code + 1
		binary.BigEndian.PutUint32(wide[1:], top.items)
		copy(c.dst[top.head:], wide[:])
	case len(head) == 1:
		c.dst[top.head] = head[0]
	default:
		if c.shift -= len(c.dst) - top.head; c.shift < 0 {
			return errShift
		}
		c.dst = slices.Replace(c.dst, top.head, top.head+1, head...)
	}
	return nil
}

// attach replaces a placeholder, written as the map that it looks like, by its
// attachment (SIO-B-03, HRD-42).
func (c *converter) attach(top container) error {
	body := c.dst[top.head+1:]
	if c.wide {
		body = body[4:]
	}
	r := Reader{b: body}
	num := uint64(math.MaxUint64)
	for range 2 {
		switch key := r.Bytes(); {
		case string(key) == "num":
			num = r.Uint()
		default: // _placeholder, or there would be no claim
			r.Bool()
		}
	}
	if top.items != 2 || r.End() != nil || num >= uint64(len(c.atts)) {
		return ErrAttachments
	}
	data := c.atts[num]
	if c.binary -= len(data); c.binary < 0 {
		return ErrTooLarge
	}
	c.dst = AppendBin(c.dst[:top.head], data)
	return nil
}
