package redis

import (
	"iter"
	"math"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// packValues reads MessagePack.
type packValues struct{}

func (packValues) isNull(v []byte) bool {
	return len(v) == 0 || msgpack.NewReader(v).Kind() == msgpack.Nil
}

func (packValues) number(v []byte) int64 {
	r := msgpack.NewReader(v)
	n := r.Int()
	if r.Err() != nil || n < math.MinInt32 || n > math.MaxInt32 {
		return typeNone
	}
	return n
}

func (packValues) text(v []byte) (string, bool) {
	r := msgpack.NewReader(v)
	s := r.Text()
	return s, r.Err() == nil
}

func (packValues) truth(v []byte) bool {
	r := msgpack.NewReader(v)
	switch r.Kind() {
	case msgpack.Invalid, msgpack.Nil:
		return false
	case msgpack.Bool:
		return r.Bool()
	case msgpack.Int, msgpack.Float:
		return r.Float() != 0
	case msgpack.String:
		return len(r.Bytes()) > 0
	}
	return true
}

func (packValues) items(v []byte) (iter.Seq[[]byte], bool) {
	r := msgpack.NewReader(v)
	if r.Kind() != msgpack.Array {
		return nil, false
	}
	return func(yield func([]byte) bool) {
		for range r.Array() {
			if !yield(r.Raw()) {
				return
			}
		}
	}, true
}

func (p packValues) object(v []byte) (f frame, ok bool, err error) {
	r := msgpack.NewReader(v)
	if r.Kind() != msgpack.Map {
		return frame{}, false, nil
	}
	f.values = p
	for key := range r.Map() {
		if string(key) == extKey && r.Kind() == msgpack.Map {
			f.extras.readPack(r)
			continue
		}
		if err := f.add(key, r.Raw()); err != nil {
			return frame{}, false, err
		}
	}
	return f, r.End() == nil, r.End()
}

func (packValues) payload(v, raw []byte) (adapter.Payload, error) {
	return readPayload(v, raw)
}
