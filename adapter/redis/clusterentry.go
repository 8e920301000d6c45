package redis

import (
	"encoding/base64"
	"strconv"

	"github.com/fanwire/fanwire/adapter"
)

// clusterEntry is a message as it stands in a stream (CLU-X-02).
type clusterEntry struct {
	uid       string
	namespace string
	typ       string
	data      string
	ext       string // extras, a JSON object; empty for none
}

// typeLocal is the type of what is only for Fanwire: events that are kept for the
// sockets of one node (extras.local), and marks (extras.hole). Official nodes take
// no notice of it.
const typeLocal = "fanwire"

// encodeEntry returns m as a stream keeps it: JSON, or MessagePack in base64 if it
// holds binary data (CLU-X-03).
func (c clusterWire) encodeEntry(m *adapter.Message) (clusterEntry, error) {
	x := extras{direct: m.Direct}
	en := clusterEntry{uid: c.uid, namespace: c.namespace, typ: strconv.FormatInt(clusterTypes[m.Kind], 10)}
	if m.Local {
		en.typ, x.local = typeLocal, c.node
	}
	en.ext = x.text()
	if len(m.Packet.Attachments) == 0 {
		e := &jsonEncoder{dst: grow(nil, m)}
		c.appendData(e, m)
		en.data = string(e.dst)
		return en, e.err
	}
	e := &packEncoder{dst: grow(nil, m)}
	c.appendData(e, m)
	en.data = base64.StdEncoding.EncodeToString(e.dst)
	return en, e.err
}

// size is about how many bytes the entry takes.
func (en *clusterEntry) size() int {
	return len(en.uid) + len(en.namespace) + len(en.typ) + len(en.data) + len(en.ext) + entryAround
}

// entryAround is about what an entry takes besides its values.
const entryAround = 48

// readEntry makes an entry of the fields that go-redis has read.
func readEntry(fields map[string]any) (en clusterEntry) {
	for key, to := range map[string]*string{
		"uid": &en.uid, "nsp": &en.namespace, "type": &en.typ, "data": &en.data, extKey: &en.ext,
	} {
		*to, _ = fields[key].(string)
	}
	return en
}

// decodeEntry reads a message of a stream. Sender and extras are valid also with
// errForeign. What this node has sent is not foreign here: it comes back in its
// place (see streams.go).
func (c clusterWire) decodeEntry(en clusterEntry) (in incoming, err error) {
	if en.namespace != c.namespace {
		return in, errForeign
	}
	in.from = en.uid
	if in.extras, err = readEntryExtras(en.ext); err != nil {
		return in, err
	}
	typ, err := en.number(in.extras)
	if err != nil {
		return in, err
	}
	data, size, err := readEntryData(en.data)
	if err != nil {
		return in, err
	}
	if in.msg, err = c.read(en.uid, typ, data, size); err == nil {
		in.msg.Local, in.msg.Direct = en.typ == typeLocal, in.extras.direct
	}
	return in, err
}

// number returns the type of the message.
func (en clusterEntry) number(x extras) (int64, error) {
	if en.typ == typeLocal {
		if x.local == "" {
			return 0, errForeign
		}
		return clusterBroadcast, nil
	}
	typ, err := strconv.ParseInt(en.typ, 10, 32)
	switch {
	case err != nil:
		return 0, errWire
	case !isClusterType(typ):
		return 0, errForeign
	}
	return typ, nil
}

func readEntryExtras(ext string) (x extras, err error) {
	switch {
	case ext == "":
	case !validJSON(bytesOf(ext)):
		err = errNotJSON
	default:
		err = x.readJSON(bytesOf(ext))
	}
	return x, err
}

// readEntryData reads JSON, which begins with a brace, or MessagePack in base64
// (CLU-X-03).
func readEntryData(data string) (f frame, size int, err error) {
	b := bytesOf(data)
	if len(data) == 0 || data[0] != '{' {
		b, err = base64.StdEncoding.DecodeString(data)
		if err != nil {
			return f, 0, errWire
		}
		if len(b) == 0 || b[0] == '{' { // that would be JSON once more
			return f, 0, errWire
		}
	}
	f, err = readFrame(b)
	return f, len(b), err
}
