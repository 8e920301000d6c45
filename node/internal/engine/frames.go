package engine

import "encoding/binary"

// frameTracker follows the frames of a WebSocket's input, so that what gorilla
// gets never goes beyond the end of a frame: then nothing is left in gorilla's
// buffer between messages, and the reader can wait with a shallow stack.
type frameTracker struct {
	left   uint64 // payload bytes of the current frame to come
	header [14]byte
	have   uint8 // bytes of the next header so far
	odd    bool  // there was a close frame of one byte, which gorilla takes for an empty one
}

// observe follows bytes that were handed on already.
func (t *frameTracker) observe(b []byte) {
	for len(b) > 0 {
		b = b[t.take(b):]
	}
}

// take returns how many of the bytes b may be handed on at once.
func (t *frameTracker) take(b []byte) (n int) {
	for n < len(b) {
		if t.left > 0 {
			k := min(t.left, uint64(len(b)-n))
			t.left -= k
			n += int(k)
			if t.left == 0 {
				return n
			}
			continue
		}
		t.header[t.have] = b[n]
		t.have++
		n++
		if int(t.have) == t.headerSize() {
			t.have = 0
			t.left = t.payloadSize()
			t.odd = t.odd || t.header[0]&0x0f == opClose&0x0f && t.left == 1
			if t.left == 0 {
				return n
			}
		}
	}
	return n
}

// headerSize is the size of a header that starts like the one at hand (RFC 6455,
// section 5.2).
func (t *frameTracker) headerSize() int {
	if t.have < 2 {
		return 2
	}
	n := 2
	switch t.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if t.header[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (t *frameTracker) payloadSize() uint64 {
	switch n := t.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(t.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(t.header[2:])
	default:
		return uint64(n)
	}
}
