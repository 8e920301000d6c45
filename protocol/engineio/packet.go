// Package engineio holds the codecs of Engine.IO 4 and, for older clients,
// Engine.IO 3: packets, polling payloads and the handshake. Bytes in, bytes
// out; no I/O, no goroutines, no clocks.
//
// The names that end in 3 belong to protocol 3.
package engineio

import (
	"bytes"
	"encoding/base64"
)

// PacketType tells what an Engine.IO packet is for (EIO-K-01 to EIO-K-07). On
// the wire it is the digit '0'+t.
type PacketType byte

// Packet types.
const (
	Open PacketType = iota
	Close
	Ping
	Pong
	Message
	Upgrade
	Noop
)

// Packet is one Engine.IO packet.
type Packet struct {
	Type   PacketType
	Binary bool   // only a Message may be binary (EIO-K-10)
	Data   []byte // aliases the decoded input, unless that was base64
}

// DecodeError says why input is not what the protocol allows. Each is a parse
// error of the session (EIO-M).
type DecodeError string

// Errors of the decoders.
const (
	ErrEmpty     DecodeError = "empty packet"
	ErrType      DecodeError = "unknown packet type"
	ErrBase64    DecodeError = "invalid base64"
	ErrPayload   DecodeError = "invalid payload"
	ErrHandshake DecodeError = "invalid handshake"
)

func (e DecodeError) Error() string { return "engineio: " + string(e) }

// DecodeText decodes a text packet of protocol 4: a polling packet or a text
// frame. On both, "b" and base64 is a binary message (EIO-K-11); the alphabet is
// the standard or the URL-safe one, padding may be missing (EIO-K-12).
func DecodeText(p []byte) (Packet, error) {
	if len(p) > 0 && p[0] == 'b' {
		return decodeBase64(p[1:])
	}
	return decodePlain(p)
}

// AppendText appends the text form of p. A binary packet, which is always a
// message, becomes "b" and padded base64.
func AppendText(dst []byte, p Packet) []byte {
	if p.Binary {
		return base64.StdEncoding.AppendEncode(append(dst, 'b'), p.Data)
	}
	return appendPlain(dst, p)
}

// decodePlain decodes a text packet that is not binary, alike in both protocols.
func decodePlain(p []byte) (Packet, error) {
	if len(p) == 0 {
		return Packet{}, ErrEmpty
	}
	t := PacketType(p[0] - '0')
	if t > Noop {
		return Packet{}, ErrType
	}
	return Packet{Type: t, Data: p[1:]}, nil
}

func appendPlain(dst []byte, p Packet) []byte {
	return append(append(dst, '0'+byte(p.Type)), p.Data...)
}

var (
	stdBase64 = base64.RawStdEncoding.Strict()
	urlBase64 = base64.RawURLEncoding.Strict()
)

// decodeBase64 decodes the data of a binary message. Unlike encoding/base64 it
// takes no line breaks.
func decodeBase64(src []byte) (Packet, error) {
	encoding := stdBase64
	if bytes.IndexByte(src, '-') >= 0 || bytes.IndexByte(src, '_') >= 0 {
		encoding = urlBase64
	}
	if bytes.IndexByte(src, '\n') >= 0 || bytes.IndexByte(src, '\r') >= 0 {
		return Packet{}, ErrBase64
	}
	src = trimPadding(src)
	data := make([]byte, encoding.DecodedLen(len(src)))
	n, err := encoding.Decode(data, src)
	if err != nil {
		return Packet{}, ErrBase64
	}
	return Packet{Type: Message, Binary: true, Data: data[:n]}, nil
}

// trimPadding cuts off padding of the right length; any other stays, and is no
// base64.
func trimPadding(src []byte) []byte {
	if len(src) == 0 || len(src)%4 != 0 {
		return src
	}
	if src[len(src)-2] == '=' && src[len(src)-1] == '=' {
		return src[:len(src)-2]
	}
	return bytes.TrimSuffix(src, []byte{'='})
}
