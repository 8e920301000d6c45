package redis

import (
	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// appendSession appends a record: a map of MessagePack with the official keys
// (CLU-X-12), data as JSON text, and ours.
func appendSession(dst []byte, s *adapter.Session) []byte {
	dst = msgpack.AppendMap(dst, 7)
	dst = appendMember(dst, "sid", s.ID)
	dst = appendMember(dst, "pid", s.PID)
	dst = msgpack.AppendStrings(msgpack.AppendString(dst, "rooms"), s.Rooms)
	dst = msgpack.AppendString(msgpack.AppendString(dst, "data"), s.Data)
	dst = appendMember(dst, "offset", s.Offset)
	dst = appendMember(dst, "owner", s.Owner)
	return appendMember(dst, "epoch", s.Epoch)
}

// readSession is the reverse of appendSession.
func readSession(b []byte) (*adapter.Session, error) {
	s := new(adapter.Session)
	texts := map[string]*string{"sid": &s.ID, "pid": &s.PID, "offset": &s.Offset, "owner": &s.Owner, "epoch": &s.Epoch}
	r := msgpack.NewReader(b)
	for key := range r.Map() {
		switch to := texts[string(key)]; {
		case to != nil:
			*to = r.Text()
		case string(key) == "rooms":
			s.Rooms = r.Strings(nil, maxItems(len(b), 2*stringSize))
		case string(key) == "data":
			s.Data = r.Bytes()
		}
	}
	switch {
	case r.End() != nil:
		return nil, r.Err()
	case s.ID == "" || s.PID == "":
		return nil, errWire
	case len(s.Data) > 0 && !socketio.Valid(s.Data, maxDepth):
		return nil, errNotJSON
	}
	return s, nil
}

// sameLife tells whether two records are of one life of a session.
func sameLife(a, b *adapter.Session) bool { return a.Owner == b.Owner && a.Epoch == b.Epoch }
