package socketio

import "errors"

// DecodeError says why a message is not one that the peer may send now. The
// texts are those of the official parser where it has one. The constants are
// comparable; an unknown packet type has a text of its own each time.
type DecodeError string

// Errors of the decoders.
const (
	ErrPayload            DecodeError = "invalid payload"
	ErrAttachments        DecodeError = "illegal attachments"
	ErrTooManyAttachments DecodeError = "too many attachments"
	ErrBinary             DecodeError = "got binary data when not reconstructing a packet"
	ErrText               DecodeError = "got plaintext data when reconstructing a packet"
	ErrNamespace          DecodeError = "invalid namespace"       // HRD-43
	ErrID                 DecodeError = "invalid packet id"       // HRD-46
	ErrEventName          DecodeError = "invalid event name"      // HRD-43
	ErrDepth              DecodeError = "payload nested too deep" // HRD-05
	ErrTooLarge           DecodeError = "packet too large"        // HRD-41
)

func (e DecodeError) Error() string { return string(e) }

// unknownType has the official text: "NaN" stands for what is not a digit,
// "undefined" for an empty message.
func unknownType(data []byte) error {
	const text DecodeError = "unknown packet type "
	switch {
	case len(data) == 0:
		return text + "undefined"
	case data[0]-'0' > 9:
		return text + "NaN"
	}
	return text + DecodeError(data[:1])
}

// Errors of the encoders.
var (
	ErrEncodeType        = errors.New("socketio: packet type cannot be encoded")
	ErrEncodeAttachments = errors.New("socketio: too many attachments, or a packet type that has none")
)
