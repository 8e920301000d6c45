package redis

import (
	"unsafe"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// bytesOf returns the bytes of a payload without copying them. Nothing that
// reads them writes: messages are immutable.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// broadcast is a message on a broadcast channel whose payload has not been
// looked at (CLU-R-12).
type broadcast struct {
	uid    string
	packet []byte // MessagePack
	target adapter.Target
	extras extras
}

// readBroadcast reads the array of three, or of more between Fanwire nodes. The
// packet is only passed over.
func readBroadcast(b []byte) (m broadcast, err error) {
	r := msgpack.NewReader(b)
	n := r.ArrayLen()
	if r.Err() == nil && n < 3 {
		return m, errWire
	}
	m.uid = readUID(r)
	m.packet = r.Raw()
	m.target = readOpts(r, len(b))
	for i := 3; i < n && r.Err() == nil; i++ {
		if r.Kind() == msgpack.Map {
			m.extras.readPack(r)
		} else {
			r.Skip()
		}
	}
	return m, r.End()
}

// readUID reads the name of the sender: programs that only emit may have none.
func readUID(r *msgpack.Reader) string {
	if r.IsNil() {
		return ""
	}
	return r.Text()
}

// readOpts reads {rooms, except, flags} of a message of n bytes (CLU-R-14). What
// is missing is empty.
func readOpts(r *msgpack.Reader, n int) (t adapter.Target) {
	for key := range r.Map() {
		switch string(key) {
		case "rooms":
			t.Rooms = r.Strings(nil, maxItems(n, 2*stringSize))
		case "except":
			t.Except = r.Strings(nil, maxItems(n, 2*stringSize))
		case "flags":
			readFlags(r, &t)
		}
	}
	return t
}

// readFlags reads what receivers use (CLU-R-15).
func readFlags(r *msgpack.Reader, t *adapter.Target) {
	if r.IsNil() {
		return
	}
	for key := range r.Map() {
		switch string(key) {
		case "volatile":
			t.Volatile = truthy(r)
		case "compress":
			t.NoCompress = r.Kind() == msgpack.Bool && !r.Bool()
		}
	}
}

// truthy reads a flag. One that is no boolean is set unless it is nil.
func truthy(r *msgpack.Reader) bool {
	if r.Kind() == msgpack.Bool {
		return r.Bool()
	}
	return r.Kind() != msgpack.Nil
}

// packet is a decoded packet.
type packet struct {
	namespace string
	payload   adapter.Payload
}

// readPacket decodes {type, data, nsp} (CLU-R-13) with raw JSON in
// place of data, if it is there.
func readPacket(b, raw []byte) (p packet, err error) {
	p.namespace = "/" // CLU-R-17
	r := msgpack.NewReader(b)
	typ, data := int64(typeNone), []byte(nil)
	for key := range r.Map() {
		switch string(key) {
		case "type":
			typ = r.Int()
		case "data":
			data = r.Raw()
		case "nsp":
			if !r.IsNil() {
				p.namespace = r.Text()
			}
		}
	}
	switch {
	case r.End() != nil:
		return p, r.Err()
	case typ != packetEvent && typ != packetBinaryEvent || !startsWithName(data):
		return p, errEvent
	}
	p.payload, err = readPayload(data, raw)
	if err == nil && !isEvent(p.payload.Data) {
		err = errEvent // raw says so
	}
	return p, err
}

// startsWithName tells whether MessagePack data is an array with a name first.
func startsWithName(data []byte) bool {
	r := msgpack.NewReader(data)
	if r.ArrayLen() == 0 {
		return false
	}
	k := r.Kind()
	return k == msgpack.String || k == msgpack.Int || k == msgpack.Float
}

// readPayload translates one MessagePack value into JSON, which may be four times
// as long (HRD-03). The attachments alias b. Raw JSON takes its place.
func readPayload(b, raw []byte) (p adapter.Payload, err error) {
	lim := msgpack.Limits{Depth: maxDepth, Bytes: 64<<10 + 4*len(b), Attachments: maxItems(len(b), 48)}
	var rest []byte
	p.Data, p.Attachments, rest, err = msgpack.AppendJSON(make([]byte, 0, len(b)+len(b)/4+16), nil, b, lim)
	switch {
	case err != nil:
		return p, err
	case len(rest) > 0:
		return p, msgpack.ErrTrailing
	case len(raw) > 0:
		err = readRaw(&p, raw)
	}
	return p, err
}

// readRaw puts raw JSON in place of p's (HRD-06).
func readRaw(p *adapter.Payload, raw []byte) error {
	if !socketio.Valid(raw, maxDepth) {
		return errNotJSON
	}
	keep := func(dst []byte, num int) []byte { return appendPlaceholder(dst, int64(num)) }
	if _, err := socketio.ReplacePlaceholders(nil, raw, len(p.Attachments), keep); err != nil {
		return err
	}
	p.Data = raw
	return nil
}
