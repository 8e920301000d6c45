package engine

import "sync"

// shareFrom is the size in bytes from which frames are referenced by an outbox
// instead of copied into it.
const shareFrom = 4 << 10

// outbox is the output of a session that has not been handed to the kernel. A
// WebSocket takes finished frames as bytes; polling keeps packets until a poll
// comes. At most one of the two is in use. Its session's mutex guards it.
type outbox struct {
	raw     *frameBuffer // nil while there is nothing to write
	packets []*Packet
	size    int // bytes that wait here
}

// frameBuffer holds finished frames: own bytes, interspersed with shared ones.
type frameBuffer struct {
	own    []byte
	shared []sharedFrame
	size   int // bytes in all
}

// sharedFrame follows own[:at].
type sharedFrame struct {
	at   int
	data []byte
}

var frameBuffers = sync.Pool{New: func() any {
	return &frameBuffer{own: make([]byte, 0, 1024)}
}}

// release gives b back. Large ones are left to the collector, lest one burst
// stays for ever.
func (b *frameBuffer) release() {
	if cap(b.own) > 64<<10 || cap(b.shared) > 256 {
		return
	}
	clear(b.shared)
	*b = frameBuffer{own: b.own[:0], shared: b.shared[:0]}
	frameBuffers.Put(b)
}

func (b *frameBuffer) append(frames []byte) {
	b.size += len(frames)
	if len(frames) > shareFrom {
		b.shared = append(b.shared, sharedFrame{len(b.own), frames})
		return
	}
	b.own = append(b.own, frames...)
}

// next returns the pieces of b from byte offset off on, in dst.
func (b *frameBuffer) pieces(dst [][]byte, off int) [][]byte {
	take := func(p []byte) {
		if off >= len(p) {
			off -= len(p)
			return
		}
		dst = append(dst, p[off:])
		off = 0
	}
	from := 0
	for _, s := range b.shared {
		if s.at > from {
			take(b.own[from:s.at])
			from = s.at
		}
		take(s.data)
	}
	if from < len(b.own) {
		take(b.own[from:])
	}
	return dst
}

// buffer returns the bytes to append frames to.
func (o *outbox) buffer() *frameBuffer {
	if o.raw == nil {
		o.raw = frameBuffers.Get().(*frameBuffer)
	}
	return o.raw
}

// addFrames queues finished frames.
func (o *outbox) addFrames(frames []byte) {
	o.buffer().append(frames)
	o.size += len(frames)
}

// addPacket queues a packet for polling.
func (o *outbox) addPacket(p *Packet) {
	o.packets = append(o.packets, p)
	o.size += p.size
}

func (o *outbox) empty() bool { return o.raw == nil && len(o.packets) == 0 }

// takeRaw empties o and returns its frames; nil if there are none.
func (o *outbox) takeRaw() *frameBuffer {
	b := o.raw
	o.raw, o.size = nil, 0
	return b
}

// takePackets empties o and returns its packets.
func (o *outbox) takePackets() []*Packet {
	p := o.packets
	o.packets, o.size = nil, 0
	return p
}

// discard drops what waits and returns how many bytes that was.
func (o *outbox) discard() int {
	n := o.size
	if o.raw != nil {
		o.raw.release()
	}
	*o = outbox{}
	return n
}
