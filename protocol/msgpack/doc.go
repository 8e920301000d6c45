// Package msgpack reads and writes MessagePack as Socket.IO programs do: the
// Redis wires of the cluster (reference: CLU-M) and the msgpack parser of clients
// (SIO-G). It never builds Go values from a message: [Reader] walks the bytes and
// cuts them, [AppendJSON] and [AppendFromJSON] translate between MessagePack and
// JSON with attachments in one pass, the Append functions write.
//
// All of it may be fed hostile bytes. No length or count that a peer announces
// leads to an allocation (HRD-03), nesting is counted and bounded (HRD-05), and
// nothing recurses.
package msgpack

import "errors"

// Errors. Those of the two conversions and of [Reader] wrap or are one of these.
var (
	ErrMalformed   = errors.New("msgpack: malformed or truncated value")
	ErrType        = errors.New("msgpack: value of an unexpected type")
	ErrDepth       = errors.New("msgpack: nested too deep")
	ErrTooLarge    = errors.New("msgpack: too large")
	ErrTrailing    = errors.New("msgpack: trailing bytes")
	ErrAttachments = errors.New("msgpack: illegal attachments")
	ErrJSON        = errors.New("msgpack: invalid JSON")
)

// Limits bound what [AppendJSON] accepts. Zero fields mean the defaults.
type Limits struct {
	Depth       int // nested arrays and maps; 128 (HRD-05)
	Attachments int // binary values in one message; no limit of their own
	Bytes       int // JSON and attachments together; 4 MiB (HRD-60)
}

const (
	defaultDepth = 128
	defaultBytes = 4 << 20
)

func (l Limits) withDefaults() Limits {
	if l.Depth == 0 {
		l.Depth = defaultDepth
	}
	if l.Attachments == 0 {
		l.Attachments = int(^uint(0) >> 1)
	}
	if l.Bytes == 0 {
		l.Bytes = defaultBytes
	}
	return l
}
