package redis

import (
	"errors"
	"iter"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// maxKeys is how many members an object may have that is taken apart.
const maxKeys = 64

// frame is a request or an answer taken apart but not understood. Every type may
// come as JSON or as MessagePack (CLU-M-18); values knows which. The fields alias
// the message.
type frame struct {
	values values
	fields []field
	extras extras
}

type field struct{ key, value []byte }

// values reads encoded values. An empty value is an absent one.
type values interface {
	// number returns an integer, typeNone for anything else.
	number(v []byte) int64
	// text returns a string, or a number as its text (CLU-R-11); ok is false for
	// anything else.
	text(v []byte) (s string, ok bool)
	// truth returns a boolean as JavaScript takes it.
	truth(v []byte) bool
	// isNull tells whether v is absent or null.
	isNull(v []byte) bool
	// object takes an object apart; ok is false for anything else.
	object(v []byte) (f frame, ok bool, err error)
	// items yields the items of an array; ok is false for anything else.
	items(v []byte) (seq iter.Seq[[]byte], ok bool)
	// payload translates v into JSON with attachments; raw takes its place.
	payload(v, raw []byte) (adapter.Payload, error)
}

// readFrame takes a message apart. JSON begins with a brace, anything else is
// MessagePack (CLU-M-18).
func readFrame(b []byte) (frame, error) {
	var v values = packValues{}
	if len(b) > 0 && b[0] == '{' {
		if !socketio.Valid(b, maxDepth+maxAround) {
			return frame{}, errNotJSON
		}
		v = jsonValues{}
	}
	f, ok, err := v.object(b)
	if err == nil && !ok {
		err = errWire
	}
	return f, err
}

func (f *frame) add(key, value []byte) error {
	if len(f.fields) == maxKeys {
		return errTooLong
	}
	f.fields = append(f.fields, field{key, value})
	return nil
}

// get returns the value of key, empty if it is absent. The last one counts.
func (f frame) get(key string) []byte {
	for i := len(f.fields) - 1; i >= 0; i-- {
		if string(f.fields[i].key) == key {
			return f.fields[i].value
		}
	}
	return nil
}

func (f frame) number(key string) int64          { return f.values.number(f.get(key)) }
func (f frame) text(key string) (string, bool)   { return f.values.text(f.get(key)) }
func (f frame) truth(key string) bool            { return f.values.truth(f.get(key)) }
func (f frame) object(key string) (frame, error) { return f.need(f.values.object(f.get(key))) }
func (f frame) need(o frame, ok bool, err error) (frame, error) {
	if err == nil && !ok {
		err = errWire
	}
	return o, err
}

// texts returns an array of strings; what is absent or null is empty.
func (f frame) texts(key string) ([]string, error) {
	v := f.get(key)
	if f.values.isNull(v) {
		return nil, nil
	}
	items, ok := f.values.items(v)
	if !ok {
		return nil, errWire
	}
	limit := maxItems(len(v), 2*stringSize)
	var list []string
	for item := range items {
		s, ok := f.values.text(item)
		switch {
		case !ok:
			return nil, errWire
		case len(list) == limit:
			return nil, errTooLong
		}
		list = append(list, s)
	}
	return list, nil
}

// payload returns the value of key as JSON with attachments, empty if it is
// absent.
func (f frame) payload(key string) (adapter.Payload, error) {
	v := f.get(key)
	if len(v) == 0 {
		return adapter.Payload{}, nil
	}
	return f.values.payload(v, f.extras.raw)
}

// event is payload for an array that begins with a name.
func (f frame) event(key string) (p adapter.Payload, err error) {
	if items, ok := f.values.items(f.get(key)); ok {
		for first := range items {
			if _, ok = f.values.text(first); ok {
				p, err = f.payload(key)
			}
			break
		}
	}
	if err == nil && !isEvent(p.Data) {
		err = errEvent
	}
	return p, err
}

// target reads {rooms, except, flags} (CLU-R-14); timeout is in milliseconds.
func (f frame) target(key string) (t adapter.Target, timeout int64, err error) {
	opts, err := f.object(key)
	if err != nil {
		return t, 0, err
	}
	var errs [2]error
	t.Rooms, errs[0] = opts.texts("rooms")
	t.Except, errs[1] = opts.texts("except")
	if err := errors.Join(errs[:]...); err != nil {
		return t, 0, err
	}
	flags, ok, err := opts.values.object(opts.get("flags"))
	if !ok || err != nil {
		return t, 0, err
	}
	t.Volatile = flags.truth("volatile")
	t.NoCompress = isFalse(flags.get("compress"))
	return t, flags.number("timeout"), nil
}

// isFalse tells whether v is false and nothing like it, in either encoding.
func isFalse(v []byte) bool { return string(v) == "false" || string(v) == "\xc2" }
