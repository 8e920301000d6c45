package engineio

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"unicode/utf8"
)

// DecodeText3 decodes a text packet of protocol 3: "b4" and base64 is a binary
// message (EIO-3-04).
func DecodeText3(p []byte) (Packet, error) {
	if len(p) == 0 || p[0] != 'b' {
		return decodePlain(p)
	}
	if len(p) < 2 || p[1] != '0'+byte(Message) {
		return Packet{}, ErrType
	}
	return decodeBase64(p[2:])
}

// DecodeBinary3 decodes a binary WebSocket frame of protocol 3: the type as a
// number, then the data (EIO-3-07).
func DecodeBinary3(p []byte) (Packet, error) {
	if len(p) == 0 {
		return Packet{}, ErrEmpty
	}
	if PacketType(p[0]) != Message {
		return Packet{}, ErrType
	}
	return Packet{Type: Message, Binary: true, Data: p[1:]}, nil
}

// AppendText3 appends the text form of p in protocol 3.
func AppendText3(dst []byte, p Packet) []byte {
	if p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, "b4"...), p.Data)
	}
	return appendPlain(dst, p)
}

// AppendBinary3 appends the binary WebSocket frame of the binary message p.
func AppendBinary3(dst []byte, p Packet) []byte {
	return append(append(dst, byte(Message)), p.Data...)
}

// Marks of the binary payload (EIO-3-05).
const (
	textMark   = 0
	binaryMark = 1
	lengthEnd  = 0xff
)

// AppendPayload3 appends a polling body of protocol 3: the text form, with
// base64 (EIO-3-03, EIO-3-04), or the binary one (EIO-3-05). The text of packets
// must be UTF-8.
func AppendPayload3(dst []byte, packets []Packet, binary bool) []byte {
	for _, p := range packets {
		if binary {
			dst = appendBinaryPayload3(dst, p)
		} else {
			dst = appendTextPayload3(dst, p)
		}
	}
	return dst
}

func appendTextPayload3(dst []byte, p Packet) []byte {
	length := 1 + utf16Len(p.Data)
	if p.Binary {
		length = len("b4") + base64.StdEncoding.EncodedLen(len(p.Data))
	}
	dst = strconv.AppendInt(dst, int64(length), 10)
	return AppendText3(append(dst, ':'), p)
}

func appendBinaryPayload3(dst []byte, p Packet) []byte {
	mark := byte(textMark)
	if p.Binary {
		mark = binaryMark
	}
	dst = append(dst, mark)
	from := len(dst)
	dst = strconv.AppendInt(dst, int64(1+len(p.Data)), 10)
	for i := range dst[from:] {
		dst[from+i] -= '0'
	}
	dst = append(dst, lengthEnd)
	if p.Binary {
		return AppendBinary3(dst, p)
	}
	return appendPlain(dst, p)
}

// DecodePayload3 hands the packets of a polling body of protocol 3 to yield, in
// order, until yield returns false or something is wrong; the packets before an
// error have been handed over then (EIO-3-11). Binary tells which of the two
// forms the body has (EIO-3-06).
func DecodePayload3(body []byte, binary bool, yield func(Packet) bool) error {
	next := nextText3
	if binary {
		next = nextBinary3
	}
	if len(body) == 0 {
		return ErrPayload
	}
	for len(body) > 0 {
		p, rest, err := next(body)
		body = rest
		switch {
		case err == errSkip:
		case err != nil:
			return err
		case !yield(p):
			return nil
		}
	}
	return nil
}

// errSkip says that there is nothing at this place, which is no error.
const errSkip DecodeError = "nothing"

// nextText3 takes "<length>:<packet>"; the length counts UTF-16 code units.
func nextText3(body []byte) (p Packet, rest []byte, err error) {
	length, rest, ok := readLength(body, '0', ':')
	if !ok {
		return Packet{}, nil, ErrPayload
	}
	if length == 0 { // "0:", the official form of no packets
		return Packet{}, rest, errSkip
	}
	n := utf16Index(rest, length)
	if n < 0 {
		return Packet{}, nil, ErrPayload
	}
	p, err = DecodeText3(rest[:n:n])
	return p, rest[n:], err
}

// nextBinary3 takes a mark, the length in bytes, and the packet.
func nextBinary3(body []byte) (p Packet, rest []byte, err error) {
	mark := body[0]
	length, rest, ok := readLength(body[1:], 0, lengthEnd)
	if !ok || mark > binaryMark || length > len(rest) {
		return Packet{}, nil, ErrPayload
	}
	raw, rest := rest[:length:length], rest[length:]
	if mark == binaryMark {
		p, err = DecodeBinary3(raw)
		return p, rest, err
	}
	if !utf8.Valid(raw) { // a transport cannot check a part of a body (HRD-33)
		return Packet{}, nil, ErrPayload
	}
	p, err = DecodeText3(raw)
	return p, rest, err
}

// readLength reads decimal digits, of which zero is the first, up to end. Nine
// are enough for any body, and fit an int (HRD-03).
func readLength(p []byte, zero, end byte) (n int, rest []byte, ok bool) {
	i := bytes.IndexByte(p[:min(len(p), 10)], end)
	if i <= 0 {
		return 0, nil, false
	}
	if slices.ContainsFunc(p[:i], func(c byte) bool { return c-zero > 9 }) {
		return 0, nil, false
	}
	for _, c := range p[:i] {
		n = n*10 + int(c-zero)
	}
	return n, p[i+1:], true
}

// utf16Len returns how many UTF-16 code units the UTF-8 text p has: one for each
// character, two for those that take four bytes.
func utf16Len(p []byte) (n int) {
	for _, c := range p {
		n += units(c)
	}
	return n
}

// units returns how many code units begin with the byte c.
func units(c byte) int {
	switch {
	case c >= 0xf0:
		return 2
	case c&0xc0 == 0x80: // inside a character
		return 0
	}
	return 1
}

// utf16Index returns how many bytes the first n code units of p take, or a
// negative number if p has no place where they end.
func utf16Index(p []byte, n int) int {
	if n > len(p) {
		return -1
	}
	for i, c := range p {
		u := units(c)
		if u > 0 && n == 0 {
			return i
		}
		n -= u
		if n < 0 {
			return -1
		}
	}
	if n != 0 {
		return -1
	}
	return len(p)
}
