package redis

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// Message types of the classic wire on the request and response channels
// (CLU-R-21 to CLU-R-30).
const (
	typeIDs         = 0
	typeRooms       = 1
	typeJoin        = 2
	typeLeave       = 3
	typeDisconnect  = 4
	typeFetch       = 5
	typeServerEvent = 6
	typeBroadcast   = 7
	typeClientCount = 8
	typeClientAck   = 9
	typeNone        = -1 // answers to types 0, 1 and 5 have none
)

// packetEvent and packetBinaryEvent are the packet types of a broadcast. We send
// the first only (CLU-R-13, CLU-R-19); old emitters announce binary data by the
// second.
const (
	packetEvent       = 2
	packetBinaryEvent = 5
)

// maxDepth is how deep a payload may be nested (HRD-05), and maxAround how much
// deeper the messages around it may be.
const (
	maxDepth  = 128
	maxAround = 8
)

var (
	errWire     = errors.New("malformed message")
	errTooLong  = errors.New("too many items")
	errEvent    = errors.New("an event must be a JSON array that begins with its name")
	errKind     = errors.New("not a message of this kind")
	errNotJSON  = errors.New("invalid JSON")
	errNoAnswer = errors.New("nobody waits for an answer")
	errBinary   = errors.New("binary data in a text message")
)

// maxItems is how many items of at least itemSize bytes in memory a message of n
// bytes may make us allocate (HRD-03): legitimate ones need more bytes than that
// on the wire.
func maxItems(n, itemSize int) int { return (64<<10 + 4*n) / itemSize }

// stringSize is the size of a string header.
const stringSize = 16

// wire writes and reads the messages of one namespace of one node, or writes
// those of an emitter.
type wire struct {
	uid       string // of this adapter instance (CLU-A-01), or emitterUID
	namespace string
}

// Request ids on the wire are the uid of the asker, one character for what was
// asked, and the node's request id. Official nodes take it as it is. It tells an
// asker, before decoding, whether an answer on the shared channel is for it, and
// an empty list of sockets from an empty list of ids (both are "sockets":[]).
const (
	askedIDs   = 'i'
	askedRooms = 'r'
	askedOther = 'x'
)

func (w wire) requestID(m *adapter.Message) string {
	if m.RequestID == "" {
		return ""
	}
	asked := string(askedOther)
	switch m.Kind {
	case adapter.FetchIDs:
		asked = string(askedIDs)
	case adapter.FetchRooms:
		asked = string(askedRooms)
	}
	return w.uid + asked + m.RequestID
}

// ownRequestID takes apart what requestID made; own is false for the requests of
// other nodes.
func (w wire) ownRequestID(id string) (asked byte, requestID string, own bool) {
	rest, own := strings.CutPrefix(id, w.uid)
	if !own || len(rest) < 2 {
		return 0, "", false
	}
	return rest[0], rest[1:], true
}

// encode returns m as it is published, and whether on the request channel.
func (w wire) encode(m *adapter.Message) (b []byte, request bool, err error) {
	switch {
	case m.Kind == adapter.Broadcast && m.RequestID == "":
		b, err = w.appendBroadcast(nil, m)
	case m.Kind == adapter.Broadcast:
		b, err = w.appendAckedBroadcast(nil, m)
		request = true
	default:
		b, err = w.appendRequest(nil, m)
		request = true
	}
	return b, request, err
}

// appendBroadcast appends [uid, packet, opts] (CLU-R-12), with the raw JSON as
// fourth element if the packet does not hold it exactly.
func (w wire) appendBroadcast(dst []byte, m *adapter.Message) ([]byte, error) {
	dst = grow(dst, m)
	start := len(dst)
	dst = msgpack.AppendArray(dst, 3)
	dst = msgpack.AppendString(dst, w.uid)
	dst, exact, err := w.appendPacket(dst, m.Packet)
	if err != nil {
		return nil, err
	}
	if w.emits() {
		dst = appendEmitterOpts(dst, m.Target)
	} else {
		dst = appendOpts(dst, m.Target, 0)
	}
	if exact {
		return dst, nil
	}
	dst[start]++ // an array of four
	return appendRaw(dst, m.Packet)
}

// appendAckedBroadcast appends {uid, requestId, type, packet, opts} (CLU-R-28).
func (w wire) appendAckedBroadcast(dst []byte, m *adapter.Message) ([]byte, error) {
	dst = grow(dst, m)
	start := len(dst)
	dst = msgpack.AppendMap(dst, 5)
	dst = appendMember(dst, "uid", w.uid)
	dst = appendMember(dst, "requestId", w.requestID(m))
	dst = msgpack.AppendInt(msgpack.AppendString(dst, "type"), typeBroadcast)
	dst = msgpack.AppendString(dst, "packet")
	dst, exact, err := w.appendPacket(dst, m.Packet)
	if err != nil {
		return nil, err
	}
	dst = msgpack.AppendString(dst, "opts")
	dst = appendOpts(dst, m.Target, m.Timeout)
	if exact {
		return dst, nil
	}
	dst[start]++ // a map of six
	return appendRaw(msgpack.AppendString(dst, extKey), m.Packet)
}

// grow makes room for a message, so that appending rarely has to.
func grow(dst []byte, m *adapter.Message) []byte {
	n := m.Packet.Size() + 128
	for _, list := range [][]string{m.Target.Rooms, m.Target.Except} {
		for _, s := range list {
			n += len(s) + 5
		}
	}
	if cap(dst)-len(dst) >= n {
		return dst
	}
	return append(make([]byte, 0, len(dst)+n), dst...)
}

// appendPacket appends {type, data, nsp} (CLU-R-13). It refuses what official
// nodes could not handle (CLU-G-06).
func (w wire) appendPacket(dst []byte, p adapter.Payload) (_ []byte, exact bool, err error) {
	if !isEvent(p.Data) {
		return nil, false, errEvent
	}
	dst = msgpack.AppendMap(dst, 3)
	dst = msgpack.AppendInt(msgpack.AppendString(dst, "type"), packetEvent)
	dst = msgpack.AppendString(dst, "data")
	dst, exact, err = msgpack.AppendFromJSON(dst, p.Data, p.Attachments)
	if err != nil {
		return nil, false, fmt.Errorf("packet: %w", err)
	}
	return appendMember(dst, "nsp", w.namespace), exact, nil
}

// isEvent tells whether data begins like an event: an array with a name first,
// which may be a number.
func isEvent(data []byte) bool {
	data = trimSpace(data)
	if len(data) == 0 || data[0] != '[' {
		return false
	}
	data = trimSpace(data[1:])
	return len(data) > 0 && (data[0] == '"' || data[0] == '-' || data[0] >= '0' && data[0] <= '9')
}

func trimSpace(data []byte) []byte {
	for len(data) > 0 && (data[0] == ' ' || data[0] == '\n' || data[0] == '\r' || data[0] == '\t') {
		data = data[1:]
	}
	return data
}

func appendMember(dst []byte, key, value string) []byte {
	return msgpack.AppendString(msgpack.AppendString(dst, key), value)
}

// appendOpts appends {rooms, except, flags} (CLU-R-14, CLU-R-15).
func appendOpts(dst []byte, t adapter.Target, timeout time.Duration) []byte {
	dst = msgpack.AppendMap(dst, 3)
	dst = msgpack.AppendStrings(msgpack.AppendString(dst, "rooms"), t.Rooms)
	dst = msgpack.AppendStrings(msgpack.AppendString(dst, "except"), t.Except)
	return appendFlags(dst, t, timeout)
}

// appendFlags appends the member flags.
func appendFlags(dst []byte, t adapter.Target, timeout time.Duration) []byte {
	dst = msgpack.AppendString(dst, "flags")
	flags := len(dst)
	dst = msgpack.AppendMap(dst, 0)
	if t.Volatile {
		dst[flags]++
		dst = msgpack.AppendBool(msgpack.AppendString(dst, "volatile"), true)
	}
	if t.NoCompress {
		dst[flags]++
		dst = msgpack.AppendBool(msgpack.AppendString(dst, "compress"), false)
	}
	if timeout > 0 {
		dst[flags]++
		dst = msgpack.AppendInt(msgpack.AppendString(dst, "timeout"), timeout.Milliseconds())
	}
	return dst
}

// encodeAnswer returns m as it is published on a response channel.
func (w wire) encodeAnswer(m *adapter.Message) ([]byte, error) {
	switch {
	case m.RequestID == "":
		return nil, errNoAnswer
	case m.Kind == adapter.ClientAck:
		return w.appendValueAnswer(nil, typeClientAck, "packet", m)
	case m.Kind == adapter.ServerReply && len(m.Packet.Attachments) > 0:
		return w.appendValueAnswer(nil, typeServerEvent, "data", m)
	}
	return w.appendJSONAnswer(nil, m)
}

// appendValueAnswer appends {type, requestId, <key>} in MessagePack (CLU-R-30),
// without the key if there is no value. The uid is ours: it tells another Fanwire
// node who has answered.
func (w wire) appendValueAnswer(dst []byte, typ int64, key string, m *adapter.Message) ([]byte, error) {
	dst = grow(dst, m)
	start := len(dst)
	dst = msgpack.AppendMap(dst, 3)
	dst = msgpack.AppendInt(msgpack.AppendString(dst, "type"), typ)
	dst = appendMember(dst, "requestId", m.RequestID)
	dst = appendMember(dst, "uid", w.uid)
	if len(m.Packet.Data) == 0 {
		return dst, nil
	}
	dst[start]++
	dst, exact, err := msgpack.AppendFromJSON(msgpack.AppendString(dst, key), m.Packet.Data, m.Packet.Attachments)
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	if exact {
		return dst, nil
	}
	dst[start]++
	return appendRaw(msgpack.AppendString(dst, extKey), m.Packet)
}
