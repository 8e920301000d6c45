package socketio

import "math"

// Limits bound what a decoder accepts. A field that is zero or negative means
// the default.
type Limits struct {
	Attachments int // of one packet; default 10, at most 999 (HRD-41)
	Depth       int // of nested JSON arrays and objects; default 128 (HRD-05)
	EventName   int // in bytes; default 256 (HRD-43)
	Namespace   int // in bytes; default 256 (HRD-43)
	Bytes       int // of the text and the attachments of one packet together; default 1,000,000 (HRD-41)
}

const (
	defaultAttachments = 10 // since the official parser 4.2.6
	maxAttachments     = 999
)

// limits are Limits with the defaults filled in, small enough for a session.
type limits struct {
	attachments, depth, eventName, namespace, bytes int32
}

func (l Limits) compact() limits {
	return limits{
		attachments: orDefault(min(l.Attachments, maxAttachments), defaultAttachments),
		depth:       orDefault(l.Depth, defaultDepth),
		eventName:   orDefault(l.EventName, 256),
		namespace:   orDefault(l.Namespace, 256),
		bytes:       orDefault(l.Bytes, 1_000_000),
	}
}

func orDefault(n, value int) int32 {
	if n <= 0 {
		n = value
	}
	return int32(min(n, math.MaxInt32))
}

// Parser turns packets into Engine.IO messages and back. It is safe for
// concurrent use.
type Parser interface {
	// Encode appends the first Engine.IO message of p to dst. Binary tells whether
	// that is a binary message; rest are the binary messages that follow it at
	// once, and alias p. Both ends must use the same parser.
	Encode(dst []byte, p *Packet) (msg []byte, binary bool, rest [][]byte, err error)
	// NewDecoder returns the decoder of one Engine.IO session.
	NewDecoder(Limits) Decoder
}

// Decoder puts the packets of one Engine.IO session together, of all its
// namespaces (SIO-D-09). It is not safe for concurrent use.
type Decoder interface {
	// Decode takes the next Engine.IO message and keeps it: p aliases data, which
	// must not change as long as p is in use. Text is valid UTF-8; the transports
	// see to that (HRD-33). When it reports true, p is complete;
	// otherwise p has no meaning, and attachments are awaited. After an error the
	// session must be closed.
	Decode(data []byte, binary bool, p *Packet) (complete bool, err error)
	// Pending reports whether attachments are awaited.
	Pending() bool
}
