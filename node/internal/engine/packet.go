package engine

import (
	"encoding/base64"
	"encoding/binary"
	"sync/atomic"

	"github.com/fanwire/fanwire/protocol/engineio"
)

// Packet is one message for any number of sessions, with the binary messages
// that must follow it at once (SIO-B-06). Each form it takes on a wire is built
// once, when the first session needs it, and shared. A Packet is immutable.
type Packet struct {
	typ         engineio.PacketType
	binary      bool // data is the message itself, not text
	noCompress  bool
	data        []byte
	attachments [][]byte
	size        int // what it counts in a queue
	forms       [8]atomic.Pointer[[]byte]
}

// NewPacket makes a message packet. It keeps the slices, which must not change
// any more. Text comes without the Engine.IO type. compress is a wish for
// transports that compress (EIO-Z-01).
func NewPacket(data []byte, binary bool, attachments [][]byte, compress bool) *Packet {
	p := &Packet{typ: engineio.Message, binary: binary, noCompress: !compress, data: data, attachments: attachments}
	p.size = len(data) + frameOverhead
	for _, a := range attachments {
		p.size += len(a) + frameOverhead
	}
	return p
}

func control(t engineio.PacketType, data string) *Packet {
	return &Packet{typ: t, data: []byte(data), noCompress: true, size: len(data) + frameOverhead}
}

// Control packets, shared by all sessions.
var (
	pingPacket = control(engineio.Ping, "")
	pongPacket = control(engineio.Pong, "")
	noopPacket = control(engineio.Noop, "")
	closing    = control(engineio.Close, "")
	probePong  = control(engineio.Pong, "probe")
)

// frameOverhead is what a packet costs in a queue besides its bytes.
const frameOverhead = 11

// form is a way to write packets as WebSocket frames.
type form uint8

const (
	formBase64  form = 1 << iota // binary as text (EIO-W-13)
	formV3                       // protocol 3: binary with its type (EIO-3-07)
	formDeflate                  // permessage-deflate without context takeover
)

// frames returns p as WebSocket frames, built on first use.
func (p *Packet) frames(f form) []byte {
	if !p.binary && len(p.attachments) == 0 {
		f &= formDeflate // text is the same everywhere
	}
	if b := p.forms[f].Load(); b != nil {
		return *b
	}
	b := p.appendFrames(make([]byte, 0, p.size+16), f)
	p.forms[f].Store(&b)
	return b
}

func (p *Packet) appendFrames(dst []byte, f form) []byte {
	deflate := f&formDeflate != 0 && !p.noCompress
	if p.binary {
		dst = appendBinaryFrame(dst, p.data, f, deflate)
	} else {
		dst = appendTextFrame(dst, p.typ, p.data, deflate)
	}
	for _, a := range p.attachments {
		dst = appendBinaryFrame(dst, a, f, deflate)
	}
	return dst
}

func appendTextFrame(dst []byte, t engineio.PacketType, text []byte, deflate bool) []byte {
	if deflate && len(text)+1 >= deflateThreshold {
		return appendDeflated(dst, opText, []byte{'0' + byte(t)}, text)
	}
	dst = appendFrameHeader(dst, opText, len(text)+1)
	dst = append(dst, '0'+byte(t))
	return append(dst, text...)
}

func appendBinaryFrame(dst, data []byte, f form, deflate bool) []byte {
	var prefix []byte
	op := byte(opBinary)
	switch {
	case f&formBase64 != 0:
		op = opText
		prefix = []byte{'b'}
		if f&formV3 != 0 {
			prefix = []byte{'b', '0' + byte(engineio.Message)}
		}
		data = base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(len(data))), data)
	case f&formV3 != 0:
		prefix = []byte{byte(engineio.Message)}
	}
	if deflate && len(prefix)+len(data) >= deflateThreshold {
		return appendDeflated(dst, op, prefix, data)
	}
	dst = appendFrameHeader(dst, op, len(prefix)+len(data))
	dst = append(dst, prefix...)
	return append(dst, data...)
}

// WebSocket opcodes with FIN set (RFC 6455, section 5.2).
const (
	opText   = 0x81
	opBinary = 0x82
	opClose  = 0x88
	opPong   = 0x8a
	rsv1     = 0x40
)

func appendFrameHeader(dst []byte, op byte, n int) []byte {
	switch {
	case n < 126:
		return append(dst, op, byte(n))
	case n < 1<<16:
		return append(dst, op, 126, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, op, 127), uint64(n))
	}
}

// appendCloseFrame appends a close frame; code 0 is none (EIO-C-09).
func appendCloseFrame(dst []byte, code int, text string) []byte {
	if code == 0 {
		return append(dst, opClose, 0)
	}
	dst = append(dst, opClose, byte(2+len(text)), byte(code>>8), byte(code))
	return append(dst, text...)
}

// appendPolling appends the packets of p as they stand in a payload of
// protocol 4, each followed by the separator.
func (p *Packet) appendPolling(dst []byte) []byte {
	dst = engineio.AppendText(dst, engineio.Packet{Type: p.typ, Binary: p.binary, Data: p.data})
	for _, a := range p.attachments {
		dst = append(dst, separator)
		dst = engineio.AppendText(dst, engineio.Packet{Type: engineio.Message, Binary: true, Data: a})
	}
	return dst
}

// separator stands between the packets of a payload (EIO-P-01).
const separator = 0x1e

// appendPackets appends the parts of p for a payload of protocol 3.
func (p *Packet) appendPackets(dst []engineio.Packet) []engineio.Packet {
	dst = append(dst, engineio.Packet{Type: p.typ, Binary: p.binary, Data: p.data})
	for _, a := range p.attachments {
		dst = append(dst, engineio.Packet{Type: engineio.Message, Binary: true, Data: a})
	}
	return dst
}
