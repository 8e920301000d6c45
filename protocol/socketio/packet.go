// Package socketio holds the codec of the Socket.IO protocol, revision 5: its
// packets, the text parser, and what a server needs to handle their JSON
// without building Go values. Bytes in, bytes out; no I/O, no goroutines, no
// clocks.
package socketio

import "strconv"

// Type tells what a packet is for (SIO-F-00 to SIO-F-06).
type Type byte

// Packet types.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

// maxID is the largest number that JavaScript counts to exactly (HRD-46).
const maxID = 1<<53 - 1

// Packet is one Socket.IO packet with its attachments.
type Packet struct {
	// Type of a decoded binary event is Event, that of a binary ack is Ack, with
	// Attachments set. Encoders choose between the two forms by Attachments.
	Type Type
	// HasID tells whether ID counts.
	HasID bool
	// ID is the ack id, at most 2^53-1 (HRD-46).
	ID uint64
	// Namespace is "/" when the wire omits it.
	Namespace string
	// Event is the name of an event: unescaped text, or the canonical JavaScript
	// text of a number (SIO-D-08). It aliases Data where it can.
	Event []byte
	// Args is the raw JSON of the arguments of an event or ack, without the
	// event's name and without the brackets: `1,{"a":2}`. See SplitArgs.
	Args []byte
	// Data is the whole raw JSON, nil when there is none. Encoders read Data, not
	// Event and Args.
	Data []byte
	// Attachments are what the placeholders in Data point to.
	Attachments [][]byte
}

// AppendHeader appends everything that stands before the JSON: the type, the
// number of attachments, the namespace unless it is "/" or empty, and the ack
// id. Of an event and an ack it chooses the binary form if there are attachments
// and the other one if there are none. The namespace has no comma (SIO-F-08).
func AppendHeader(dst []byte, t Type, attachments int, namespace string, id uint64, hasID bool) []byte {
	if attachments > 0 {
		dst = append(dst, '0'+byte(t.binary()))
		dst = strconv.AppendInt(dst, int64(attachments), 10)
		dst = append(dst, '-')
	} else {
		dst = append(dst, '0'+byte(t.plain()))
	}
	if namespace != "/" && namespace != "" {
		dst = append(dst, namespace...)
		dst = append(dst, ',')
	}
	if hasID {
		dst = strconv.AppendUint(dst, id, 10)
	}
	return dst
}

// binary returns the type that t has with attachments.
func (t Type) binary() Type {
	switch t {
	case Event:
		return BinaryEvent
	case Ack:
		return BinaryAck
	}
	return t
}

// plain returns the type that t has without attachments.
func (t Type) plain() Type {
	switch t {
	case BinaryEvent:
		return Event
	case BinaryAck:
		return Ack
	}
	return t
}
