package redis

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// appendRequest appends a request of types 0 to 6. They are JSON, but for events
// with binary data: in JSON those would arrive as {"type":"Buffer"} (CLU-R-37),
// and a receiver takes MessagePack for every type.
func (w wire) appendRequest(dst []byte, m *adapter.Message) ([]byte, error) {
	if m.Kind == adapter.ServerEvent {
		return w.appendServerEvent(dst, m)
	}
	dst = append(dst, '{')
	if !w.emits() { // emitters do not say it here (CLU-E-03)
		dst = append(appendString(append(dst, `"uid":`...), w.uid), ',')
	}
	if id := w.requestID(m); id != "" {
		dst = append(appendString(append(dst, `"requestId":`...), id), ',')
	} else if isQuestion(m.Kind) {
		return nil, errNoAnswer
	}
	dst = append(dst, `"type":`...)
	switch m.Kind {
	case adapter.FetchIDs:
		dst = appendList(append(dst, `0,"rooms":`...), m.Target.Rooms)
	case adapter.FetchRooms:
		dst = append(dst, '1')
	case adapter.Join:
		dst = appendList(append(appendJSONOpts(append(dst, '2'), m.Target), `,"rooms":`...), m.Names)
	case adapter.Leave:
		dst = appendList(append(appendJSONOpts(append(dst, '3'), m.Target), `,"rooms":`...), m.Names)
	case adapter.Disconnect:
		dst = strconv.AppendBool(append(appendJSONOpts(append(dst, '4'), m.Target), `,"close":`...), m.Close)
	case adapter.FetchSockets:
		dst = appendJSONOpts(append(dst, '5'), m.Target)
	default:
		return nil, errKind
	}
	return append(dst, '}'), nil
}

// isQuestion tells whether a request makes no sense without an answer.
func isQuestion(k adapter.Kind) bool {
	return k == adapter.FetchIDs || k == adapter.FetchRooms || k == adapter.FetchSockets
}

// appendServerEvent appends type 6 (CLU-R-27).
func (w wire) appendServerEvent(dst []byte, m *adapter.Message) ([]byte, error) {
	if !isEvent(m.Packet.Data) || !socketio.Valid(m.Packet.Data, maxDepth) {
		return nil, errEvent // only what every receiver can take is published (CLU-G-06)
	}
	id := w.requestID(m)
	if len(m.Packet.Attachments) > 0 {
		return w.appendBinaryServerEvent(dst, id, m)
	}
	dst = appendString(append(dst, `{"uid":`...), w.uid)
	if id != "" {
		dst = appendString(append(dst, `,"requestId":`...), id)
	}
	dst = append(append(dst, `,"type":6,"data":`...), m.Packet.Data...)
	return append(dst, '}'), nil
}

func (w wire) appendBinaryServerEvent(dst []byte, id string, m *adapter.Message) ([]byte, error) {
	dst = grow(dst, m)
	start := len(dst)
	dst = appendMember(msgpack.AppendMap(dst, 3), "uid", w.uid)
	if id != "" {
		dst[start]++
		dst = appendMember(dst, "requestId", id)
	}
	dst = msgpack.AppendInt(msgpack.AppendString(dst, "type"), typeServerEvent)
	dst, exact, err := msgpack.AppendFromJSON(msgpack.AppendString(dst, "data"), m.Packet.Data, m.Packet.Attachments)
	if err != nil {
		return nil, fmt.Errorf("server event: %w", err)
	}
	if exact {
		return dst, nil
	}
	dst[start]++
	return appendRaw(msgpack.AppendString(dst, extKey), m.Packet)
}

// appendJSONAnswer appends the answers that are JSON (CLU-R-21 to CLU-R-29). The
// uid is ours, see appendValueAnswer.
func (w wire) appendJSONAnswer(dst []byte, m *adapter.Message) ([]byte, error) {
	dst = append(dst, '{')
	switch m.Kind {
	case adapter.ServerReply:
		dst = append(dst, `"type":6,`...)
	case adapter.ClientCount:
		dst = append(dst, `"type":8,`...)
	}
	dst = appendString(append(dst, `"requestId":`...), m.RequestID)
	switch m.Kind {
	case adapter.ServerReply:
		if len(m.Packet.Data) > 0 && !socketio.Valid(m.Packet.Data, maxDepth) {
			return nil, errNotJSON
		}
		if len(m.Packet.Data) > 0 {
			dst = append(append(dst, `,"data":`...), m.Packet.Data...)
		}
	case adapter.ClientCount:
		dst = strconv.AppendInt(append(dst, `,"clientCount":`...), int64(m.Count), 10)
	case adapter.FetchIDsReply:
		dst = appendList(append(dst, `,"sockets":`...), m.Names)
	case adapter.FetchRoomsReply:
		dst = appendList(append(dst, `,"rooms":`...), m.Names)
	case adapter.FetchReply:
		var err error
		if dst, err = appendSockets(append(dst, `,"sockets":[`...), m.Sockets); err != nil {
			return nil, err
		}
	default:
		return nil, errKind
	}
	dst = appendString(append(dst, `,"uid":`...), w.uid)
	return append(dst, '}'), nil
}

// appendSockets appends the entries and the closing bracket (CLU-R-36).
func appendSockets(dst []byte, sockets []adapter.SocketInfo) (_ []byte, err error) {
	for i, s := range sockets {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `{"id":`...), s.ID)
		if dst, err = appendObject(append(dst, `,"handshake":`...), s.Handshake); err != nil {
			return nil, fmt.Errorf("handshake of %s: %w", s.ID, err)
		}
		dst = appendList(append(dst, `,"rooms":`...), s.Rooms)
		if dst, err = appendObject(append(dst, `,"data":`...), s.Data); err != nil {
			return nil, fmt.Errorf("data of %s: %w", s.ID, err)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// appendObject appends JSON; what is empty is an object, as with official nodes.
func appendObject(dst, json []byte) ([]byte, error) {
	if len(json) == 0 {
		return append(dst, "{}"...), nil
	}
	if !socketio.Valid(json, maxDepth) {
		return nil, errNotJSON
	}
	return append(dst, json...), nil
}

func appendJSONOpts(dst []byte, t adapter.Target) []byte {
	dst = appendList(append(dst, `,"opts":{"rooms":`...), t.Rooms)
	dst = appendList(append(dst, `,"except":`...), t.Except)
	return append(dst, '}')
}

func appendPlaceholder(dst []byte, num int64) []byte {
	dst = append(dst, `{"_placeholder":true,"num":`...)
	return append(strconv.AppendInt(dst, num, 10), '}')
}

func appendList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

// appendString appends s as JSON.stringify writes it. Bytes that are not UTF-8
// become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
	}
	return append(dst, '"')
}
