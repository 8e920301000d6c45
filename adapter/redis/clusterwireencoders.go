package redis

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// jsonEncoder writes JSON. Payloads with attachments are refused: it is for the
// caller to choose MessagePack then.
type jsonEncoder struct {
	dst []byte
	err error
}

func (e *jsonEncoder) fail(err error) { e.err = cmp.Or(e.err, err) }

func (e *jsonEncoder) open(int) int {
	e.dst = append(e.dst, '{')
	return 0
}

func (e *jsonEncoder) end(int) { e.dst = append(e.dst, '}') }

func (e *jsonEncoder) endData(_ int, asked string) {
	if asked != "" {
		e.dst = appendString(append(e.dst, `,"`+extKey+`":{"`+extAsk+`":`...), asked)
		e.dst = append(e.dst, '}')
	}
	e.dst = append(e.dst, '}')
}

func (e *jsonEncoder) key(key string) {
	if e.dst[len(e.dst)-1] != '{' {
		e.dst = append(e.dst, ',')
	}
	e.dst = append(append(append(e.dst, '"'), key...), '"', ':')
}

func (e *jsonEncoder) text(s string)       { e.dst = appendString(e.dst, s) }
func (e *jsonEncoder) number(n int64)      { e.dst = strconv.AppendInt(e.dst, n, 10) }
func (e *jsonEncoder) truth(v bool)        { e.dst = strconv.AppendBool(e.dst, v) }
func (e *jsonEncoder) texts(list []string) { e.dst = appendList(e.dst, list) }

func (e *jsonEncoder) payload(p adapter.Payload) {
	switch {
	case len(p.Attachments) > 0:
		e.fail(errBinary)
	case !validJSON(p.Data):
		e.fail(errNotJSON)
	}
	e.dst = append(e.dst, p.Data...)
}

func (e *jsonEncoder) sockets(list []adapter.SocketInfo) {
	dst, err := appendSockets(append(e.dst, '['), list)
	if err != nil {
		e.fail(err)
		return
	}
	e.dst = dst
}

// packEncoder writes MessagePack.
type packEncoder struct {
	dst []byte
	raw []byte // JSON that dst does not hold exactly
	err error
}

func (e *packEncoder) fail(err error) { e.err = cmp.Or(e.err, err) }

func (e *packEncoder) open(n int) int {
	at := len(e.dst)
	e.dst = msgpack.AppendMap(e.dst, n)
	return at
}

func (e *packEncoder) end(int) {}

func (e *packEncoder) endData(at int, asked string) {
	if asked == "" && e.raw == nil {
		return
	}
	e.dst[at]++ // one member more
	e.dst = msgpack.AppendString(e.dst, extKey)
	head := e.open(0)
	if asked != "" {
		e.dst[head]++
		e.dst = appendMember(e.dst, extAsk, asked)
	}
	if e.raw != nil {
		e.dst[head]++
		e.dst = msgpack.AppendString(msgpack.AppendString(e.dst, extRaw), e.raw)
	}
}

func (e *packEncoder) key(key string)      { e.text(key) }
func (e *packEncoder) text(s string)       { e.dst = msgpack.AppendString(e.dst, s) }
func (e *packEncoder) number(n int64)      { e.dst = msgpack.AppendInt(e.dst, n) }
func (e *packEncoder) truth(v bool)        { e.dst = msgpack.AppendBool(e.dst, v) }
func (e *packEncoder) texts(list []string) { e.dst = msgpack.AppendStrings(e.dst, list) }

func (e *packEncoder) payload(p adapter.Payload) {
	if exact := e.fromJSON(p); exact || e.err != nil {
		return
	}
	raw, err := rawOf(p)
	if err != nil {
		e.fail(err)
	}
	e.raw = raw
}

func (e *packEncoder) fromJSON(p adapter.Payload) (exact bool) {
	dst, exact, err := msgpack.AppendFromJSON(e.dst, p.Data, p.Attachments)
	if err != nil {
		e.fail(fmt.Errorf("payload: %w", err))
		return false
	}
	e.dst = dst
	return exact
}

// sockets translates the JSON form, which stays in raw if need be.
func (e *packEncoder) sockets(list []adapter.SocketInfo) {
	json, err := appendSockets([]byte{'['}, list)
	if err != nil {
		e.fail(err)
		return
	}
	if exact := e.fromJSON(adapter.Payload{Data: json}); !exact {
		e.raw = json
	}
}
