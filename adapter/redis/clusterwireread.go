package redis

import (
	"slices"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// decode reads a message in either form (CLU-M-18). Sender and extras are valid
// also with errForeign: a message that concerns nobody here has arrived all the
// same.
func (c clusterWire) decode(b []byte) (in incoming, err error) {
	f, err := readFrame(b)
	if err != nil {
		return in, err
	}
	if nsp, ok := f.text("nsp"); !ok || nsp != c.namespace {
		return in, errForeign
	}
	in.from, _ = f.text("uid")
	in.extras = f.extras
	typ := f.number("type")
	if in.from == c.uid || !isClusterType(typ) {
		return in, errForeign // our own, heartbeats, and what may come
	}
	data, err := f.object("data")
	if err == nil {
		in.msg, err = c.read(in.from, typ, data, len(b))
	}
	return in, err
}

func isClusterType(typ int64) bool { return typ >= clusterBroadcast && typ <= clusterClientAck }

// read reads what message typ of uid says in data. size is that of the whole
// message.
func (c clusterWire) read(uid string, typ int64, data frame, size int) (m *adapter.Message, err error) {
	m = &adapter.Message{}
	if uid != emitterUID { // nobody hears an answer to that
		m.From = uid
	}
	m.RequestID, _ = data.text("requestId")
	switch typ {
	case clusterBroadcast:
		err = c.readBroadcast(data, m)
	case clusterJoin, clusterLeave, clusterDisconnect:
		err = c.readCommand(data, typ, m)
	case clusterFetch:
		err = c.readQuestion(data, m)
	case clusterServerEvent:
		m.Kind = adapter.ServerEvent
		m.Packet, err = data.event("packet")
	default:
		err = c.readAnswer(data, typ, size, m)
	}
	return m, err
}

// selects reads opts, and tells whether m concerns this node.
func (c clusterWire) selects(data frame, m *adapter.Message) error {
	target, timeout, err := data.target("opts")
	if err != nil {
		return err
	}
	m.Target, m.Timeout = target, milliseconds(float64(timeout))
	if m.RequestID == "" && c.concerns != nil && !c.concerns(target) {
		return errForeign
	}
	return nil
}

// readBroadcast looks at the options first, and at the payload only if a socket
// is here for it.
func (c clusterWire) readBroadcast(data frame, m *adapter.Message) error {
	m.Kind = adapter.Broadcast
	if err := c.selects(data, m); err != nil {
		return err
	}
	packet, err := data.object("packet")
	if err != nil {
		return err
	}
	if typ := packet.number("type"); typ != packetEvent && typ != packetBinaryEvent {
		return errEvent
	}
	packet.extras = data.extras
	m.Packet, err = packet.event("data")
	return err
}

func (c clusterWire) readCommand(data frame, typ int64, m *adapter.Message) (err error) {
	m.Kind = map[int64]adapter.Kind{clusterJoin: adapter.Join, clusterLeave: adapter.Leave, clusterDisconnect: adapter.Disconnect}[typ]
	m.Close = typ == clusterDisconnect && data.truth("close")
	if typ != clusterDisconnect {
		if m.Names, err = data.names("rooms"); err != nil {
			return err
		}
		m.RequestID = ""
	}
	return c.selects(data, m)
}

func (c clusterWire) readQuestion(data frame, m *adapter.Message) error {
	if m.RequestID == "" {
		return errNoAnswer
	}
	m.Kind = adapter.FetchSockets
	switch data.extras.ask {
	case askIDs:
		m.Kind = adapter.FetchIDs
	case askRooms:
		m.Kind = adapter.FetchRooms
	}
	return c.selects(data, m)
}

// readAnswer reads types 8 and 10 to 12. The request id tells whether it is for
// this node, whatever the channel.
func (c clusterWire) readAnswer(data frame, typ int64, size int, m *adapter.Message) (err error) {
	if m.RequestID == "" {
		return errWire
	}
	asked, id, own := wire{uid: c.uid}.ownRequestID(m.RequestID)
	if !own {
		return errForeign
	}
	m.RequestID = id
	switch typ {
	case clusterServerReply:
		m.Kind = adapter.ServerReply
		m.Packet, err = data.payload("packet")
	case clusterClientCount:
		m.Kind = adapter.ClientCount
		m.Count, err = data.count("clientCount")
	case clusterClientAck:
		m.Kind = adapter.ClientAck
		m.Packet, err = data.payload("packet")
	default:
		err = readFetched(data, asked, size, m)
	}
	return err
}

// readFetched reads type 8 as the answer to what was asked. Official nodes
// describe their sockets in any case.
func readFetched(data frame, asked byte, size int, m *adapter.Message) (err error) {
	if asked == askedRooms && len(data.get("rooms")) > 0 {
		m.Kind = adapter.FetchRoomsReply
		m.Names, err = data.texts("rooms")
		return err
	}
	m.Kind = adapter.FetchReply
	m.Sockets, err = data.sockets(size)
	if err != nil || asked == askedOther {
		return err
	}
	for _, s := range m.Sockets {
		if asked == askedIDs {
			m.Names = append(m.Names, s.ID)
		} else {
			m.Names = append(m.Names, s.Rooms...)
		}
	}
	m.Sockets = nil
	m.Kind = adapter.FetchIDsReply
	if asked == askedRooms {
		m.Kind = adapter.FetchRoomsReply
		slices.Sort(m.Names)
		m.Names = slices.Compact(m.Names)
	}
	return nil
}

// sockets reads the list, or the JSON that stands in its place.
func (f frame) sockets(size int) ([]adapter.SocketInfo, error) {
	if raw := f.extras.raw; len(raw) > 0 {
		if !socketio.Valid(raw, maxDepth+maxAround) {
			return nil, errNotJSON
		}
		f = frame{values: jsonValues{}, fields: []field{{[]byte("sockets"), raw}}}
	}
	return readSockets(f, size)
}
