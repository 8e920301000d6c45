package engineio

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// Handshake is the content of the open packet (EIO-H-06).
type Handshake struct {
	SID          string
	Upgrades     []string
	PingInterval time.Duration // whole milliseconds on the wire
	PingTimeout  time.Duration
	MaxPayload   int // in bytes; zero when the peer has not said (EIO-J-08)
}

// AppendHandshake appends the JSON of h in the official order of keys, without
// the packet type.
func AppendHandshake(dst []byte, h Handshake) []byte {
	dst = appendString(append(dst, `{"sid":`...), h.SID)
	dst = append(dst, `,"upgrades":[`...)
	for i, name := range h.Upgrades {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
	}
	dst = strconv.AppendInt(append(dst, `],"pingInterval":`...), h.PingInterval.Milliseconds(), 10)
	dst = strconv.AppendInt(append(dst, `,"pingTimeout":`...), h.PingTimeout.Milliseconds(), 10)
	dst = strconv.AppendInt(append(dst, `,"maxPayload":`...), int64(h.MaxPayload), 10)
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string has no error
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// What ParseHandshake takes at most: a real handshake has some 120 bytes.
const (
	maxHandshake = 4096
	maxNesting   = 16
	maxInterval  = 1<<31 - 1 // the longest timer of a JavaScript peer, in ms
)

// ParseHandshake parses the JSON of an open packet. Keys it does not know are
// ignored. Sid, pingInterval and pingTimeout must be there.
func ParseHandshake(data []byte) (Handshake, error) {
	if len(data) > maxHandshake || nestingOf(data) > maxNesting || !json.Valid(data) {
		return Handshake{}, ErrHandshake
	}
	var h Handshake
	var interval, timeout int64
	fields := map[string]any{
		"sid": &h.SID, "upgrades": &h.Upgrades, "pingInterval": &interval, "pingTimeout": &timeout, "maxPayload": &h.MaxPayload,
	}
	if err := decodeFields(data, fields); err != nil {
		return Handshake{}, ErrHandshake
	}
	h.PingInterval, h.PingTimeout = time.Duration(interval)*time.Millisecond, time.Duration(timeout)*time.Millisecond
	if h.SID == "" || interval <= 0 || interval > maxInterval || timeout <= 0 || timeout > maxInterval || h.MaxPayload < 0 {
		return Handshake{}, ErrHandshake
	}
	return h, nil
}

// decodeFields decodes the members of a JSON object by the exact names of their
// keys; json.Unmarshal would take "SID" for "sid".
func decodeFields(data []byte, fields map[string]any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ErrHandshake
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := key.(string)
		into, known := fields[name]
		if !known {
			into = new(json.RawMessage)
		}
		if err := d.Decode(into); err != nil {
			return err
		}
	}
	return nil
}

// nestingOf returns how deep brackets are nested outside strings.
func nestingOf(data []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}
