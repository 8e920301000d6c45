//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"strconv"
)

const (
	opText  = 1
	opClose = 8
)

// Frames that every client sends. The masking key is zero, so that masked and
// plain bytes are the same.
var (
	framePong    = appendFrame(nil, opText, "3")
	frameConnect = appendFrame(nil, opText, "40")
	frameLeave   = appendFrame(appendFrame(nil, opText, "41"), opClose, "\x03\xe8")
)

var errFrame = errors.New("malformed frame")

// nextFrame finds the first frame of data, as a server sends them: final and
// unmasked. size is 0 when the frame is not complete.
func nextFrame(data []byte) (opcode byte, payload []byte, size int, err error) {
	if len(data) < 2 {
		return 0, nil, 0, nil
	}
	if data[0]&0xf0 != 0x80 || data[1]&0x80 != 0 {
		return 0, nil, 0, errFrame
	}
	head, n := 2, int(data[1])
	switch n {
	case 126:
		head = 4
		if len(data) < head {
			return 0, nil, 0, nil
		}
		n = int(binary.BigEndian.Uint16(data[2:]))
	case 127:
		return 0, nil, 0, errFrame // nothing here is that long
	}
	if len(data) < head+n {
		return 0, nil, 0, nil
	}
	return data[0] & 0x0f, data[head : head+n], head + n, nil
}

// appendFrame appends a masked frame made of parts, together under 64 KiB.
func appendFrame(dst []byte, opcode byte, parts ...string) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	dst = append(dst, 0x80|opcode)
	if n < 126 {
		dst = append(dst, 0x80|byte(n))
	} else {
		dst = append(dst, 0x80|126, byte(n>>8), byte(n))
	}
	dst = append(dst, 0, 0, 0, 0)
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

// sequenceDigits is the width of the sequence number that begins a payload.
const sequenceDigits = 12

// payload is the argument of every event: a sequence number and filling.
type payload struct {
	filling string
	offset  bool // events end with an offset, a string more
}

func newPayload(size int, offset bool) payload {
	const text = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, max(size-sequenceDigits, 0))
	for i := range b {
		b[i] = text[i%len(text)]
	}
	return payload{string(b), offset}
}

// text is the payload with number seq.
func (p payload) text(seq uint64) string {
	var digits [sequenceDigits]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = '0' + byte(seq%10)
		seq /= 10
	}
	return string(digits[:]) + p.filling
}

// parse reads the sequence number of b when b is prefix, a payload and
// suffix, and nothing else but, if there has to be one, an offset.
func (p payload) parse(b []byte, prefix, suffix string) (uint64, bool) {
	end := len(prefix) + sequenceDigits + len(p.filling)
	if len(b) < end || string(b[:len(prefix)]) != prefix || !p.ends(string(b[end:]), suffix) {
		return 0, false
	}
	b = b[len(prefix):end]
	if string(b[sequenceDigits:]) != p.filling {
		return 0, false
	}
	var seq uint64
	for _, d := range b[:sequenceDigits] {
		if d < '0' || d > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(d-'0')
	}
	return seq, true
}

// ends tells whether tail may follow a payload.
func (p payload) ends(tail, suffix string) bool {
	if !p.offset {
		return tail == suffix
	}
	const open, shut = `","`, `"]`
	return len(tail) > len(open)+len(shut) && tail[:len(open)] == open && tail[len(tail)-len(shut):] == shut
}

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
