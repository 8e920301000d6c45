package redis

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// extKey is the key of what only Fanwire reads in objects; in the broadcast array
// it is what follows the third element (CLU-G-12). It is a map with the keys
// below; others are passed over.
const (
	extKey = "fanwire"

	extRaw       = "raw"
	extNumber    = "s"
	extKept      = "j"
	extPublisher = "p"
	extAsk       = "ask"
	extLocal     = "local"
	extDirect    = "direct"
	extHole      = "hole"
	extTrace     = "trace"
)

// extras are what only Fanwire reads in a message. All are optional.
type extras struct {
	raw       []byte // JSON that MessagePack cannot hold exactly (HRD-06)
	number    uint64 // of the message, among those of its publisher in its channel (HRD-62)
	kept      uint64 // of the event, in the journal of its publisher
	publisher string // where the uid does not name it
	ask       string // what a question wants less than it says (clusterwire.go)
	local     string // id of the node whose sockets it is for ([adapter.Message.Local])
	direct    bool   // [adapter.Message.Direct]
	hole      bool   // its publisher has lost something that should stand before it
	trace     string // [adapter.Message.Trace]
}

// stampPayload adds x, all but raw, to a finished message: an array or object of
// MessagePack with less than 15 items, or an object of JSON that is not empty. A
// message that holds a map of extras already gets a second one.
func stampPayload(b []byte, x extras) []byte {
	switch {
	case x.number == 0 && x.kept == 0 && x.publisher == "" && x.trace == "":
		return b
	case b[0] == '{':
		b = append(b[:len(b)-1], `,"`+extKey+`":`...)
		return append(x.appendJSON(b), '}')
	case b[0]>>4 == 0x8:
		b = msgpack.AppendString(b, extKey)
	}
	b[0]++
	return x.appendPack(b)
}

// appendPack appends the map as MessagePack.
func (x extras) appendPack(dst []byte) []byte {
	start := len(dst)
	dst = msgpack.AppendMap(dst, 0)
	for _, n := range [...]struct {
		key string
		n   uint64
	}{{extNumber, x.number}, {extKept, x.kept}} {
		if n.n > 0 {
			dst[start]++
			dst = msgpack.AppendInt(msgpack.AppendString(dst, n.key), int64(n.n))
		}
	}
	if x.publisher != "" {
		dst[start]++
		dst = appendMember(dst, extPublisher, x.publisher)
	}
	if x.trace != "" {
		dst[start]++
		dst = appendMember(dst, extTrace, x.trace)
	}
	return dst
}

// appendJSON appends the object as JSON.
func (x extras) appendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	if x.number > 0 {
		dst = strconv.AppendUint(append(dst, `"s":`...), x.number, 10)
	}
	if x.kept > 0 {
		dst = strconv.AppendUint(append(comma(dst), `"j":`...), x.kept, 10)
	}
	if x.publisher != "" {
		dst = appendString(append(comma(dst), `"p":`...), x.publisher)
	}
	if x.trace != "" {
		dst = appendString(append(comma(dst), `"trace":`...), x.trace)
	}
	if x.local != "" {
		dst = appendString(append(comma(dst), `"local":`...), x.local)
	}
	if x.direct {
		dst = append(comma(dst), `"direct":true`...)
	}
	if x.hole {
		dst = append(comma(dst), `"hole":true`...)
	}
	return append(dst, '}')
}

// text is the JSON, empty if there are none.
func (x extras) text() string {
	b := x.appendJSON(make([]byte, 0, 64))
	if len(b) == len("{}") {
		return ""
	}
	return string(b)
}

// merge adds what y has to x.
func (x extras) merge(y extras) extras {
	x.number = cmp.Or(y.number, x.number)
	x.kept = cmp.Or(y.kept, x.kept)
	x.publisher = cmp.Or(y.publisher, x.publisher)
	x.trace = cmp.Or(y.trace, x.trace)
	return x
}

// traceOf is what is passed on of [adapter.Message.Trace].
func traceOf(m *adapter.Message) string { return shortTrace(m.Trace) }

func shortTrace(trace string) string {
	if len(trace) > adapter.MaxTrace {
		return ""
	}
	return trace
}

// comma separates what follows from what stands before it in an object.
func comma(dst []byte) []byte {
	if dst[len(dst)-1] == '{' {
		return dst
	}
	return append(dst, ',')
}

// readPack reads the map of MessagePack that comes next.
func (x *extras) readPack(r *msgpack.Reader) {
	for key := range r.Map() {
		switch string(key) {
		case extRaw:
			x.raw = r.Bytes()
		case extNumber:
			x.number = r.Uint()
		case extKept:
			x.kept = r.Uint()
		case extPublisher:
			x.publisher = r.Text()
		case extAsk:
			x.ask = r.Text()
		case extTrace:
			x.trace = r.Text()
		}
	}
}

// readJSON reads the value of extKey in JSON.
func (x *extras) readJSON(v []byte) error {
	f, ok, err := jsonValues{}.object(v)
	if !ok || err != nil {
		return errWire
	}
	for _, m := range f.fields {
		err := error(nil)
		switch string(m.key) {
		case extNumber:
			x.number, err = strconv.ParseUint(string(m.value), 10, 64)
		case extKept:
			x.kept, err = strconv.ParseUint(string(m.value), 10, 64)
		case extPublisher:
			x.publisher, ok = f.values.text(m.value)
		case extAsk:
			x.ask, ok = f.values.text(m.value)
		case extLocal:
			x.local, ok = f.values.text(m.value)
		case extTrace:
			x.trace, ok = f.values.text(m.value)
		case extDirect:
			x.direct = f.values.truth(m.value)
		case extHole:
			x.hole = f.values.truth(m.value)
		}
		if !ok || err != nil {
			return errWire
		}
	}
	return nil
}

// appendRaw appends the map with the raw JSON of p, its placeholders numbered in
// the order in which a receiver finds the attachments.
func appendRaw(dst []byte, p adapter.Payload) ([]byte, error) {
	raw, err := rawOf(p)
	return msgpack.AppendString(appendRawHead(dst), raw), err
}

// rawOf returns the JSON of p as appendRaw writes it.
func rawOf(p adapter.Payload) ([]byte, error) {
	next := int64(0)
	raw, err := socketio.ReplacePlaceholders(nil, p.Data, len(p.Attachments), func(dst []byte, _ int) []byte {
		dst = appendPlaceholder(dst, next)
		next++
		return dst
	})
	if err != nil {
		return nil, fmt.Errorf("packet: %w", err)
	}
	return raw, nil
}

func appendRawHead(dst []byte) []byte {
	return msgpack.AppendString(msgpack.AppendMap(dst, 1), extRaw)
}
