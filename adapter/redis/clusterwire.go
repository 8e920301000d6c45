package redis

import (
	"strings"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Types of the common cluster messages (CLU-B-05 to CLU-B-14). Their numbers
// differ from those of the classic wire.
const (
	clusterBroadcast   = 3
	clusterJoin        = 4
	clusterLeave       = 5
	clusterDisconnect  = 6
	clusterFetch       = 7
	clusterFetched     = 8
	clusterServerEvent = 9
	clusterServerReply = 10
	clusterClientCount = 11
	clusterClientAck   = 12
)

// clusterTypes are the types of our kinds. There is no official question for ids
// or rooms alone: both are asked as FetchSockets, which official nodes answer
// with all that is needed. extras.ask tells Fanwire nodes that less will do.
var clusterTypes = map[adapter.Kind]int64{
	adapter.Broadcast:       clusterBroadcast,
	adapter.Join:            clusterJoin,
	adapter.Leave:           clusterLeave,
	adapter.Disconnect:      clusterDisconnect,
	adapter.FetchSockets:    clusterFetch,
	adapter.FetchIDs:        clusterFetch,
	adapter.FetchRooms:      clusterFetch,
	adapter.FetchReply:      clusterFetched,
	adapter.FetchIDsReply:   clusterFetched,
	adapter.FetchRoomsReply: clusterFetched,
	adapter.ServerEvent:     clusterServerEvent,
	adapter.ServerReply:     clusterServerReply,
	adapter.ClientCount:     clusterClientCount,
	adapter.ClientAck:       clusterClientAck,
}

// What a FetchSockets asks for, in the extras of its data.
const (
	askIDs   = "ids"
	askRooms = "rooms"
)

// clusterWire writes and reads the common cluster messages (CLU-B) of one
// namespace of one node: those of the sharded and of the streams adapters, as JSON
// or MessagePack. Where a form holds less than the payload, the rest travels in
// the extras of data.
type clusterWire struct {
	uid       string // of this adapter instance (CLU-A-01)
	namespace string
	node      string // id of the node
	// concerns tells whether a socket of this node can be among the target. What
	// concerns nobody here is foreign, and its payload is not looked at. Nil takes
	// everything.
	concerns func(adapter.Target) bool
}

// encode returns m as JSON, or as MessagePack if it holds binary data: the form
// of the sharded wire (CLU-H-07).
func (c clusterWire) encode(m *adapter.Message) ([]byte, error) {
	if len(m.Packet.Attachments) > 0 {
		return c.encodePacked(m)
	}
	e := &jsonEncoder{dst: grow(nil, m)}
	c.append(e, m)
	return e.dst, e.err
}

// encodePacked returns m as MessagePack: the form of what the streams wire does
// not keep (CLU-X-04).
func (c clusterWire) encodePacked(m *adapter.Message) ([]byte, error) {
	e := &packEncoder{dst: grow(nil, m)}
	c.append(e, m)
	return e.dst, e.err
}

// append writes {type, data, uid, nsp} (CLU-B-01).
func (c clusterWire) append(e encoder, m *adapter.Message) {
	at := e.open(4)
	e.key("type")
	e.number(clusterTypes[m.Kind])
	e.key("data")
	c.appendData(e, m)
	e.key("uid")
	e.text(c.uid)
	e.key("nsp")
	e.text(c.namespace)
	e.end(at)
}

// appendData writes data, with the members in the order of official nodes.
func (c clusterWire) appendData(e encoder, m *adapter.Message) {
	switch m.Kind {
	case adapter.Broadcast:
		c.appendBroadcast(e, m)
	case adapter.Join, adapter.Leave:
		at := e.open(2)
		appendTarget(e, m)
		e.key("rooms")
		e.texts(m.Names)
		e.end(at)
	case adapter.Disconnect:
		c.appendDisconnect(e, m)
	case adapter.FetchSockets, adapter.FetchIDs, adapter.FetchRooms:
		c.appendQuestion(e, m)
	case adapter.ServerEvent:
		c.appendServerEvent(e, m)
	default:
		appendClusterAnswer(e, m)
	}
}

// appendBroadcast writes {packet, opts}, with an answer wanted {packet,
// requestId, opts}. It refuses what official nodes could not handle (CLU-G-06).
func (c clusterWire) appendBroadcast(e encoder, m *adapter.Message) {
	if !isEvent(m.Packet.Data) {
		e.fail(errEvent)
	}
	n := 2
	if m.RequestID != "" {
		n = 3
	}
	at := e.open(n)
	e.key("packet")
	c.appendPacket(e, m)
	if m.RequestID != "" {
		e.key("requestId")
		e.text(c.requestID(m))
	}
	if c.emits() {
		appendEmitterTarget(e, m)
	} else {
		appendTarget(e, m)
	}
	e.endData(at, "")
}

// appendPacket writes {type, data}, that of an emitter {type, data, nsp}
// (CLU-E-06).
func (c clusterWire) appendPacket(e encoder, m *adapter.Message) {
	n := 2
	if c.emits() {
		n = 3
	}
	at := e.open(n)
	e.key("type")
	e.number(packetEvent)
	e.key("data")
	e.payload(m.Packet)
	if c.emits() {
		e.key("nsp")
		e.text(c.namespace)
	}
	e.end(at)
}

// appendDisconnect writes {opts, close}. The requestId of one that wants to know
// when it is done is ours; official nodes do not answer.
func (c clusterWire) appendDisconnect(e encoder, m *adapter.Message) {
	n := 2
	if m.RequestID != "" {
		n = 3
	}
	at := e.open(n)
	appendTarget(e, m)
	e.key("close")
	e.truth(m.Close)
	if m.RequestID != "" {
		e.key("requestId")
		e.text(c.requestID(m))
	}
	e.end(at)
}

func (c clusterWire) appendQuestion(e encoder, m *adapter.Message) {
	if m.RequestID == "" {
		e.fail(errNoAnswer)
	}
	at := e.open(2)
	appendTarget(e, m)
	e.key("requestId")
	e.text(c.requestID(m))
	switch m.Kind {
	case adapter.FetchIDs:
		e.endData(at, askIDs)
	case adapter.FetchRooms:
		e.endData(at, askRooms)
	default:
		e.end(at)
	}
}

func (c clusterWire) appendServerEvent(e encoder, m *adapter.Message) {
	if !isEvent(m.Packet.Data) {
		e.fail(errEvent)
	}
	if m.RequestID == "" {
		at := e.open(1)
		e.key("packet")
		e.payload(m.Packet)
		e.endData(at, "")
		return
	}
	at := e.open(2)
	e.key("requestId")
	e.text(c.requestID(m))
	e.key("packet")
	e.payload(m.Packet)
	e.endData(at, "")
}

// appendClusterAnswer writes the data of answers. An absent value has no member,
// as in JSON (CLU-B-12).
func appendClusterAnswer(e encoder, m *adapter.Message) {
	if m.RequestID == "" {
		e.fail(errNoAnswer)
	}
	n := 2
	if len(m.Packet.Data) == 0 && (m.Kind == adapter.ServerReply || m.Kind == adapter.ClientAck) {
		n = 1
	}
	at := e.open(n)
	e.key("requestId")
	e.text(m.RequestID)
	switch m.Kind {
	case adapter.ServerReply, adapter.ClientAck:
		if n == 2 {
			e.key("packet")
			e.payload(m.Packet)
		}
	case adapter.ClientCount:
		e.key("clientCount")
		e.number(int64(m.Count))
	case adapter.FetchReply, adapter.FetchIDsReply:
		e.key("sockets")
		e.sockets(socketsOf(m))
	case adapter.FetchRoomsReply:
		e.key("rooms")
		e.texts(m.Names)
	default:
		e.fail(errKind)
	}
	e.endData(at, "")
}

// socketsOf returns the sockets of an answer; those of FetchIDsReply are ids.
func socketsOf(m *adapter.Message) []adapter.SocketInfo {
	if m.Kind == adapter.FetchReply {
		return m.Sockets
	}
	list := make([]adapter.SocketInfo, len(m.Names))
	for i, id := range m.Names {
		list[i].ID = id
	}
	return list
}

// appendTarget writes opts (CLU-B-02).
func appendTarget(e encoder, m *adapter.Message) {
	e.key("opts")
	at := e.open(3)
	e.key("rooms")
	e.texts(m.Target.Rooms)
	e.key("except")
	e.texts(m.Target.Except)
	e.key("flags")
	writeFlags(e, m)
	e.end(at)
}

// writeFlags writes those of CLU-R-15.
func writeFlags(e encoder, m *adapter.Message) {
	timeout := m.Timeout.Milliseconds()
	n := 0
	for _, set := range []bool{m.Target.Volatile, m.Target.NoCompress, timeout > 0} {
		if set {
			n++
		}
	}
	at := e.open(n)
	if m.Target.Volatile {
		e.key("volatile")
		e.truth(true)
	}
	if m.Target.NoCompress {
		e.key("compress")
		e.truth(false)
	}
	if timeout > 0 {
		e.key("timeout")
		e.number(timeout)
	}
	e.end(at)
}

func (c clusterWire) requestID(m *adapter.Message) string {
	return wire{uid: c.uid}.requestID(m)
}

// ownTail is how far from the end own looks: there stand uid, namespace and extras.
const ownTail = 256

// own tells whether a message is our own, without decoding it. It may fail to
// notice; then decode does.
func (c clusterWire) own(payload string) bool {
	if len(payload) == 0 {
		return false
	}
	tail := payload[max(0, len(payload)-ownTail-len(c.namespace)):]
	if payload[0] != '{' {
		return strings.Contains(tail, packedTail(c.uid, c.namespace))
	}
	head := `,"uid":"` + c.uid + `","nsp":`
	i := strings.LastIndex(tail, head)
	if i < 0 {
		return false
	}
	rest, ok := strings.CutPrefix(tail[i+len(head):], string(appendString(nil, c.namespace)))
	return ok && (rest == "}" || strings.HasPrefix(rest, `,"`+extKey+`":`))
}

func packedTail(uid, namespace string) string {
	return string(appendMember(appendMember(nil, "uid", uid), "nsp", namespace))
}

// encoder writes what values reads: JSON or MessagePack. The first error sticks.
type encoder interface {
	// open begins an object of n members, which end finishes.
	open(n int) (at int)
	end(at int)
	// endData finishes data with the extras that belong to it: what was asked, and
	// the JSON that the encoding does not hold exactly.
	endData(at int, asked string)
	key(key string)
	text(s string)
	number(n int64)
	truth(v bool)
	texts(list []string)
	payload(p adapter.Payload)
	sockets(list []adapter.SocketInfo)
	fail(err error)
}

// validJSON tells whether data is JSON that every receiver takes (CLU-G-06).
func validJSON(data []byte) bool { return socketio.Valid(data, maxDepth) }
