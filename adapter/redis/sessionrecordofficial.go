package redis

import (
	"encoding/base64"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// officialSessions are the records of official nodes: base64 of a MessagePack map
// {sid, pid, rooms, data} (CLU-X-12), with our own members after those.
func officialSessions(prefix string) sessionForm {
	return sessionForm{prefix: prefix, write: encodeSession, read: decodeSession}
}

func encodeSession(r *adapter.Session) ([]byte, error) {
	b := msgpack.AppendMap(make([]byte, 0, 256+len(r.Data)), 7)
	b = appendMember(b, "sid", r.ID)
	b = appendMember(b, "pid", r.PID)
	b = msgpack.AppendStrings(msgpack.AppendString(b, "rooms"), r.Rooms)
	data := r.Data
	if len(data) == 0 {
		data = []byte("{}") // as officially
	}
	b, exact, err := msgpack.AppendFromJSON(msgpack.AppendString(b, "data"), data, nil)
	if err != nil {
		return nil, err
	}
	b = appendMember(b, "offset", r.Offset)
	b = appendMember(b, "owner", r.Owner)
	b = appendMember(b, "epoch", r.Epoch)
	if !exact || len(r.Data) == 0 {
		b[0]++
		b = msgpack.AppendString(msgpack.AppendString(b, extRaw), r.Data)
	}
	return base64.StdEncoding.AppendEncode(nil, b), nil
}

func decodeSession(value []byte) (*adapter.Session, error) {
	b, err := base64.StdEncoding.AppendDecode(nil, value)
	if err != nil {
		return nil, errWire
	}
	f, ok, err := packValues{}.object(b)
	if !ok || err != nil {
		return nil, errWire
	}
	s := &adapter.Session{}
	if s.ID, ok = f.text("sid"); !ok || s.ID == "" {
		return nil, errWire
	}
	if s.PID, ok = f.text("pid"); !ok || s.PID == "" {
		return nil, errWire
	}
	if s.Rooms, err = f.texts("rooms"); err != nil {
		return nil, err
	}
	if s.Data, err = f.sessionData(); err != nil {
		return nil, err
	}
	s.Offset, _ = f.text("offset")
	s.Owner, _ = f.text("owner")
	s.Epoch, _ = f.text("epoch")
	return s, nil
}

// sessionData is the data of a socket, as exact as it is there.
func (f frame) sessionData() ([]byte, error) {
	if raw := f.get(extRaw); len(raw) > 0 {
		r := msgpack.NewReader(raw)
		data := r.Bytes()
		if r.Err() != nil || len(data) > 0 && !validJSON(data) {
			return nil, errWire
		}
		return data, nil // nothing, if official nodes were to see an empty object
	}
	data, err := f.payload("data")
	return data.Data, err
}
