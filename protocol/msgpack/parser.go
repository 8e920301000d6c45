package msgpack

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// Parser speaks the wire of socket.io-msgpack-parser 3.0.2 (SIO-G): each packet is
// one binary message, in which binary data stands where it belongs. Numbers that
// MessagePack cannot hold reach such clients rounded. Encode allocates nothing but
// dst.
var Parser socketio.Parser = parser{}

type parser struct{}

// Encode implements socketio.Parser. The order of the members is the official one.
func (parser) Encode(dst []byte, p *socketio.Packet) (msg []byte, binary bool, rest [][]byte, err error) {
	t := p.Type
	switch t {
	case socketio.BinaryEvent:
		t = socketio.Event
	case socketio.BinaryAck:
		t = socketio.Ack
	}
	if t > socketio.ConnectError {
		return dst, true, nil, socketio.ErrEncodeType
	}
	members := byte(2)
	if p.HasID {
		members++
	}
	if p.Data != nil {
		members++
	}
	dst = append(dst, 0x80|members)
	if t == socketio.Ack {
		dst = appendID(dst, p)
	}
	dst = append(append(dst, "\xa4type"...), byte(t))
	if p.Data != nil {
		dst = append(dst, "\xa4data"...)
		if dst, _, err = AppendFromJSON(dst, p.Data, p.Attachments); err != nil {
			return dst, true, nil, err
		}
	}
	if t != socketio.Ack {
		dst = appendID(dst, p)
	}
	return AppendString(append(dst, "\xa3nsp"...), p.Namespace), true, nil, nil
}

func appendID(dst []byte, p *socketio.Packet) []byte {
	if !p.HasID {
		return dst
	}
	return AppendUint(append(dst, "\xa2id"...), p.ID)
}

// NewDecoder implements socketio.Parser.
func (parser) NewDecoder(l socketio.Limits) socketio.Decoder {
	return &decoder{
		attachments: orDefault(l.Attachments, 10),
		depth:       orDefault(l.Depth, defaultDepth),
		eventName:   orDefault(l.EventName, 256),
		namespace:   orDefault(l.Namespace, 256),
		bytes:       orDefault(l.Bytes, 1_000_000),
	}
}

func orDefault(n, value int) int32 {
	if n <= 0 {
		n = value
	}
	return int32(min(n, math.MaxInt32))
}

// Errors of the official parser; the others are socketio's (SIO-G-05).
const (
	errParse socketio.DecodeError = "Could not parse"
	errType  socketio.DecodeError = "invalid packet type"
)

// decoder takes 40 bytes and the name of the namespace used last.
type decoder struct {
	last                                            string
	attachments, depth, eventName, namespace, bytes int32
}

// Pending implements socketio.Decoder: nothing ever is.
func (*decoder) Pending() bool { return false }

// Decode implements socketio.Decoder. It allocates the packet's JSON.
func (d *decoder) Decode(data []byte, binary bool, p *socketio.Packet) (complete bool, err error) {
	if !binary {
		return false, errParse // SIO-G-01
	}
	if len(data) > int(d.bytes) {
		return false, socketio.ErrTooLarge
	}
	*p = socketio.Packet{}
	var m members
	if err := d.read(data, p, &m); err != nil {
		return false, err
	}
	if err := d.check(p, &m); err != nil {
		return false, err
	}
	return true, nil
}

// members are the raw values of a packet; one that is missing or undefined is nil
// (SIO-G-03).
type members struct {
	typ, namespace, id []byte
	data               []byte // not cut off at its end
}

// read finds the members. Their order is free, unknown ones are skipped (clients
// send "options"), and as in JavaScript the last one of a name counts.
func (d *decoder) read(data []byte, p *socketio.Packet, m *members) error {
	r := Reader{b: data}
	switch r.Kind() {
	case Map:
	case Invalid:
		return errParse
	default:
		return errType
	}
	for n := r.MapLen(); n > 0 && r.err == nil; n-- {
		switch key := r.key(); {
		case isUndefined(r.b):
			r.Skip()
			m.forget(key, p)
		case string(key) == "type":
			m.typ = r.Raw()
		case string(key) == "nsp":
			m.namespace = r.Raw()
		case string(key) == "id":
			m.id = r.Raw()
		case string(key) == "data":
			m.data = r.b
			if err := d.json(&r, p); err != nil {
				return err
			}
		default:
			r.Skip()
		}
	}
	switch {
	case r.err != nil:
		return errParse
	case len(r.b) > 0:
		return socketio.DecodeError(strconv.Itoa(len(r.b)) + " trailing bytes") // CLU-M-17
	}
	return nil
}

func (m *members) forget(key []byte, p *socketio.Packet) {
	switch string(key) {
	case "type":
		m.typ = nil
	case "nsp":
		m.namespace = nil
	case "id":
		m.id = nil
	case "data":
		m.data, p.Data, p.Attachments = nil, nil, nil
	}
}

// json translates the packet's data.
func (d *decoder) json(r *Reader, p *socketio.Packet) (err error) {
	lim := Limits{Depth: int(d.depth), Attachments: int(d.attachments), Bytes: int(d.bytes)}
	dst := p.Data[:0]
	if dst == nil {
		dst = make([]byte, 0, jsonSize(r.b))
	}
	p.Data, p.Attachments, r.b, err = AppendJSON(dst, nil, r.b, lim)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrDepth):
		return socketio.ErrDepth
	case errors.Is(err, ErrTooLarge):
		return socketio.ErrTooLarge
	case errors.Is(err, ErrAttachments) && len(p.Attachments) >= lim.Attachments:
		return socketio.ErrTooManyAttachments
	case errors.Is(err, ErrAttachments):
		return socketio.ErrAttachments
	case errors.Is(err, ErrType):
		return socketio.ErrPayload
	}
	return errParse
}

// jsonSize estimates how much room the JSON of a value takes, given the rest of
// the message from its beginning.
func jsonSize(b []byte) int {
	n := len(b)
	if n > 1024 {
		// Binary data, which is not part of the JSON, may be most of it.
		for pos := 0; pos < len(b); {
			h, ok := parseHead(b[pos:])
			if !ok {
				break
			}
			pos += h.size + h.contents()
			if h.kind == Bin || h.kind == Ext {
				n -= h.contents()
			}
		}
	}
	return n + n/4 + 32
}

// check validates the members in the official order.
func (d *decoder) check(p *socketio.Packet, m *members) error {
	r := Reader{b: m.typ}
	t := r.Uint()
	if r.err != nil || t > uint64(socketio.ConnectError) {
		return errType
	}
	p.Type = socketio.Type(t)
	if err := d.name(p, m.namespace); err != nil {
		return err
	}
	if err := d.payload(p, m.data); err != nil {
		return err
	}
	if m.id == nil {
		return nil
	}
	r = Reader{b: m.id}
	p.ID, p.HasID = r.Uint(), true
	if r.err != nil || p.ID >= maxExact { // HRD-46
		return socketio.ErrID
	}
	return nil
}

// name checks the namespace as the text parser does (SIO-F-08, HRD-43).
func (d *decoder) name(p *socketio.Packet, raw []byte) error {
	r := Reader{b: raw}
	name := r.contents(String)
	switch {
	case string(name) == "/":
		p.Namespace = "/"
		return nil
	case len(name) == 0 || name[0] != '/' || len(name) > int(d.namespace):
		return socketio.ErrNamespace
	case string(name) == d.last:
		p.Namespace = d.last
		return nil
	case !utf8.Valid(name) || bytes.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == ',' }):
		return socketio.ErrNamespace
	}
	d.last = string(name)
	p.Namespace = d.last
	return nil
}

// payload checks that the data fit the type (SIO-G-05). raw begins with them.
func (d *decoder) payload(p *socketio.Packet, raw []byte) error {
	h, _ := parseHead(raw)
	ok := false
	switch p.Type {
	case socketio.Connect:
		ok = raw == nil || h.kind == Map
	case socketio.Disconnect:
		ok = raw == nil
	case socketio.ConnectError:
		ok = h.kind == Map || h.kind == String
	case socketio.Event:
		if h.kind == Array && h.n > 0 {
			return d.event(p, raw[h.size:])
		}
	case socketio.Ack:
		ok = h.kind == Array
		if ok {
			p.Args = p.Data[1 : len(p.Data)-1]
		}
	}
	if !ok {
		return socketio.ErrPayload
	}
	return nil
}

// event finds the name, which raw begins with, and the arguments.
func (d *decoder) event(p *socketio.Packet, raw []byte) error {
	h, _ := parseHead(raw)
	end := scalarEnd(p.Data, 1)
	switch h.kind {
	case String:
		name := raw[h.size : h.size+int(h.n) : h.size+int(h.n)]
		if len(name) > int(d.eventName) || !utf8.Valid(name) || bytes.IndexByte(name, 0) >= 0 {
			return socketio.ErrEventName // HRD-43
		}
		if socketio.Reserved(name) {
			return socketio.ErrPayload // HRD-43; officially let through
		}
		p.Event = name
		if end-3 == len(name) { // no escapes: let go of the message
			p.Event = p.Data[2 : end-1 : end-1]
		}
	case Int, Float:
		f := h.float()
		switch {
		case math.IsNaN(f) || math.IsInf(f, 0):
			return socketio.ErrPayload
		case h.kind == Int && math.Abs(f) < maxExact:
			p.Event = p.Data[1:end:end]
		default:
			p.Event = appendFloatText(nil, f)
		}
	default:
		return socketio.ErrPayload
	}
	if p.Data[end] == ',' {
		p.Args = p.Data[end+1 : len(p.Data)-1]
	}
	return nil
}

// scalarEnd returns the index behind the JSON string or number at i, in JSON that
// we wrote.
func scalarEnd(json []byte, i int) int {
	if json[i] != '"' {
		for json[i] != ',' && json[i] != ']' {
			i++
		}
		return i
	}
	for i++; json[i] != '"'; i++ {
		if json[i] == '\\' {
			i++
		}
	}
	return i + 1
}
