package args

import (
	"encoding/json"
	"fmt"
	"iter"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// Args are the arguments of an event or an ack as they came: raw JSON, with the
// attachments it refers to. The zero Args has no arguments. Given to Append it
// stands for all of its arguments, which are passed on untouched.
type Args struct {
	raw  []byte
	atts [][]byte
}

// Make returns the arguments in raw, which is what stands in the JSON array,
// without the brackets and, for an event, without the name. raw must be valid.
func Make(raw []byte, atts [][]byte) Args { return Args{raw: raw, atts: atts} }

// Of encodes values as Append does.
func Of(values ...any) (Args, error) {
	raw, atts, err := Append(nil, nil, values...)
	return Args{raw: raw, atts: atts}, err
}

// Len returns the number of arguments.
func (a Args) Len() int {
	n := 0
	for range a.All() {
		n++
	}
	return n
}

// All yields the raw JSON of each argument. It must not be changed.
func (a Args) All() iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		d := decoder{data: a.raw}
		for d.more() {
			if !yield(d.skip()) {
				return
			}
			d.comma()
		}
	}
}

// Raw returns the raw JSON of argument i, nil if there is none. It must not be
// changed.
func (a Args) Raw(i int) json.RawMessage {
	for raw := range a.All() {
		if i == 0 {
			return raw
		}
		i--
	}
	return nil
}

// Bind stores argument i in the value that v points to, which it leaves alone if
// there is no such argument.
func (a Args) Bind(i int, v any) error {
	raw := a.Raw(i)
	if raw == nil {
		return nil
	}
	if err := Bind(raw, a.atts, v); err != nil {
		return fmt.Errorf("argument %d: %w", i, err)
	}
	return nil
}

// BindAll stores the arguments in the values that vs point to, in order.
// Arguments beyond them are ignored, values beyond the arguments left alone.
func (a Args) BindAll(vs ...any) error {
	i := 0
	for raw := range a.All() {
		if i == len(vs) {
			break
		}
		if err := Bind(raw, a.atts, vs[i]); err != nil {
			return fmt.Errorf("argument %d: %w", i, err)
		}
		i++
	}
	return nil
}

// From returns the arguments from i on.
func (a Args) From(i int) Args {
	d := decoder{data: a.raw}
	for ; i > 0 && d.more(); i-- {
		d.skip()
		d.comma()
	}
	return Args{raw: a.raw[d.pos:], atts: a.atts}
}

// JSON returns the raw arguments, separated by commas, without brackets. It must
// not be changed.
func (a Args) JSON() []byte { return a.raw }

// AppendJSON appends the raw arguments, separated by commas, without brackets; in
// the place of each placeholder it appends what binary appends for its attachment.
// It is an error if a placeholder has none.
func (a Args) AppendJSON(dst []byte, binary func(dst, attachment []byte) []byte) ([]byte, error) {
	return socketio.ReplacePlaceholders(dst, a.raw, len(a.atts), func(dst []byte, num int) []byte {
		return binary(dst, a.atts[num])
	})
}

// Attachments returns the binary parts that placeholders in the arguments refer
// to.
func (a Args) Attachments() [][]byte { return a.atts }

// String is the JSON array, placeholders included.
func (a Args) String() string { return "[" + string(a.raw) + "]" }

// None stands for no arguments.
type None struct{}

// Tuple2 stands for two arguments.
type Tuple2[A, B any] struct {
	A A
	B B
}

// UnmarshalArgs implements Unmarshaler.
func (t *Tuple2[A, B]) UnmarshalArgs(a Args) error { return a.BindAll(&t.A, &t.B) }

// ArgValues implements Lister.
func (t Tuple2[A, B]) ArgValues() []any { return []any{t.A, t.B} }

// Tuple3 stands for three arguments.
type Tuple3[A, B, C any] struct {
	A A
	B B
	C C
}

// UnmarshalArgs implements Unmarshaler.
func (t *Tuple3[A, B, C]) UnmarshalArgs(a Args) error { return a.BindAll(&t.A, &t.B, &t.C) }

// ArgValues implements Lister.
func (t Tuple3[A, B, C]) ArgValues() []any { return []any{t.A, t.B, t.C} }

// Unmarshaler is implemented by types that read all arguments themselves.
type Unmarshaler interface {
	UnmarshalArgs(a Args) error
}

// Lister is implemented by types that stand for several arguments.
type Lister interface {
	ArgValues() []any
}

// Decode reads a as a T: the whole if T is Args, None or has UnmarshalArgs,
// else the first argument, T's zero value if there is none.
func Decode[T any](a Args) (T, error) {
	var v T
	err := DecodeInto(a, &v)
	return v, err
}

// DecodeInto is Decode for a value that v points to.
func DecodeInto(a Args, v any) error {
	switch p := v.(type) {
	case *Args:
		*p = a
	case *None:
	case Unmarshaler:
		return p.UnmarshalArgs(a)
	default:
		return a.Bind(0, v)
	}
	return nil
}
