package redis

import (
	"math"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// readRequest decodes a message of the request channel. single tells that it has
// the old form for one socket, whose owner confirms it (CLU-R-34).
func (w wire) readRequest(f frame) (m *adapter.Message, single bool, err error) {
	m = &adapter.Message{}
	m.From, _ = f.text("uid")
	m.RequestID, _ = f.text("requestId")
	if m.From == w.uid {
		return nil, false, errForeign // applied locally when it was sent (CLU-G-05)
	}
	switch typ := f.number("type"); typ {
	case typeIDs, typeRooms, typeFetch:
		err = readQuestion(f, typ, m)
	case typeJoin, typeLeave, typeDisconnect:
		single, err = readCommand(f, typ, m)
	case typeServerEvent:
		m.Kind = adapter.ServerEvent
		m.Packet, err = f.event("data")
	case typeBroadcast:
		err = w.readAckedBroadcast(f, m)
	case typeNone:
		err = errWire
	default:
		err = errForeign // CLU-R-39
	}
	return m, single, err
}

// readQuestion reads types 0, 1 and 5, which are of no use without an answer.
func readQuestion(f frame, typ int64, m *adapter.Message) (err error) {
	if m.RequestID == "" {
		return errNoAnswer
	}
	switch typ {
	case typeIDs:
		m.Kind = adapter.FetchIDs
		m.Target.Rooms, err = f.texts("rooms")
	case typeRooms:
		m.Kind = adapter.FetchRooms
	case typeFetch:
		m.Kind = adapter.FetchSockets
		m.Target, _, err = f.target("opts")
	}
	return err
}

// readCommand reads types 2, 3 and 4 in their two forms.
func readCommand(f frame, typ int64, m *adapter.Message) (single bool, err error) {
	m.Kind = map[int64]adapter.Kind{typeJoin: adapter.Join, typeLeave: adapter.Leave, typeDisconnect: adapter.Disconnect}[typ]
	m.Close = typ == typeDisconnect && f.truth("close")
	single = !f.truth("opts")
	if single {
		err = readSingle(f, m)
	} else {
		m.Target, _, err = f.target("opts")
		if err == nil && m.Kind != adapter.Disconnect {
			m.Names, err = f.names("rooms")
		}
	}
	return single, err
}

// names returns an array of strings, or one alone.
func (f frame) names(key string) ([]string, error) {
	if s, ok := f.text(key); ok {
		return []string{s}, nil
	}
	list, err := f.texts(key)
	if err == nil && len(list) == 0 {
		err = errWire
	}
	return list, err
}

// readSingle reads {sid, room} or {sid, close} (CLU-R-34).
func readSingle(f frame, m *adapter.Message) error {
	sid, ok := f.text("sid")
	if !ok {
		return errWire
	}
	m.Target.Rooms = []string{sid}
	if m.Kind == adapter.Disconnect {
		return nil
	}
	room, ok := f.text("room")
	if !ok {
		return errWire
	}
	m.Names = []string{room}
	return nil
}

// readAckedBroadcast reads type 7 (CLU-R-28).
func (w wire) readAckedBroadcast(f frame, m *adapter.Message) error {
	if m.RequestID == "" {
		return errNoAnswer
	}
	m.Kind = adapter.Broadcast
	target, timeout, err := f.target("opts")
	if err != nil {
		return err
	}
	m.Target, m.Timeout = target, milliseconds(float64(timeout))
	packet, err := f.object("packet")
	if err != nil {
		return err
	}
	if nsp, ok := packet.text("nsp"); ok && nsp != w.namespace {
		return errForeign
	}
	if typ := packet.number("type"); typ != packetEvent && typ != packetBinaryEvent {
		return errEvent
	}
	packet.extras = f.extras
	m.Packet, err = packet.event("data")
	return err
}

// readAnswer decodes a message of a response channel. Answers to other nodes are
// found out by their request id before anything else is looked at.
func (w wire) readAnswer(b []byte) (*adapter.Message, error) {
	f, err := readFrame(b)
	if err != nil {
		return nil, err
	}
	id, ok := f.text("requestId")
	if !ok {
		return nil, errWire
	}
	asked, requestID, own := w.ownRequestID(id)
	if !own {
		return nil, errForeign
	}
	m := &adapter.Message{RequestID: requestID}
	m.From, _ = f.text("uid")
	switch f.number("type") {
	case typeServerEvent:
		m.Kind = adapter.ServerReply
		m.Packet, err = f.payload("data")
	case typeClientCount:
		m.Kind = adapter.ClientCount
		m.Count, err = f.count("clientCount")
	case typeClientAck:
		m.Kind = adapter.ClientAck
		m.Packet, err = f.payload("packet")
	case typeNone:
		err = readList(f, asked, len(b), m)
	default:
		err = errForeign
	}
	return m, err
}

// count reads a number of things.
func (f frame) count(key string) (int, error) {
	n := f.number(key)
	if n < 0 || n > math.MaxInt32 {
		return 0, errWire
	}
	return int(n), nil
}

// readList reads the answers that have no type: to types 0, 1 and 5. n is the
// size of the message.
func readList(f frame, asked byte, n int, m *adapter.Message) (err error) {
	switch {
	case len(f.get("rooms")) > 0:
		m.Kind = adapter.FetchRoomsReply
		m.Names, err = f.texts("rooms")
	case len(f.get("sockets")) == 0:
		err = errForeign // the confirmation of a single command
	case asked == askedIDs:
		m.Kind = adapter.FetchIDsReply
		m.Names, err = f.texts("sockets")
	default:
		m.Kind = adapter.FetchReply
		m.Sockets, err = readSockets(f, n)
	}
	return err
}

// socketSize is the size of an adapter.SocketInfo.
const socketSize = 88

func readSockets(f frame, n int) ([]adapter.SocketInfo, error) {
	items, ok := f.values.items(f.get("sockets"))
	if !ok {
		return nil, errWire
	}
	limit := maxItems(n, 2*socketSize)
	var list []adapter.SocketInfo
	for item := range items {
		o, err := f.need(f.values.object(item))
		if err != nil {
			return nil, err
		}
		s, err := readSocket(o)
		switch {
		case err != nil:
			return nil, err
		case len(list) == limit:
			return nil, errTooLong
		}
		list = append(list, s)
	}
	return list, nil
}

// readSocket reads an entry of an answer to type 5; all but the id may be missing
// (CLU-R-36).
func readSocket(o frame) (s adapter.SocketInfo, err error) {
	id, ok := o.text("id")
	if !ok {
		return s, errWire
	}
	s.ID = id
	if s.Rooms, err = o.texts("rooms"); err != nil {
		return s, err
	}
	handshake, err := o.payload("handshake")
	if err != nil {
		return s, err
	}
	if s.Handshake = handshake.Data; len(s.Handshake) > 0 && s.Handshake[0] != '{' {
		return s, errWire
	}
	data, err := o.payload("data")
	s.Data = data.Data
	return s, err
}

// milliseconds converts a number that a peer sent; nonsense is 0.
func milliseconds(ms float64) time.Duration {
	if ms > 0 && ms < 1e9 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	return 0
}
