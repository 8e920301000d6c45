// Package args turns Go values into the arguments of a Socket.IO event or ack
// and back. It is shared by packages node and client, so that a value means the
// same on both sides.
//
// On the wire the arguments are one JSON array in which each binary value is
// replaced by {"_placeholder":true,"num":N}, N being its place among the
// attachments that follow (SIO-B-01, SIO-B-03). This package writes and reads
// the elements of that array; the array itself, the event name and the packet
// belong to protocol/socketio.
//
// Values follow the rules of encoding/json (tags, Marshaler, embedding) with
// three differences: <, > and & are not escaped (SIO-E-02), a byte slice becomes
// an attachment instead of base64 text wherever the walk can see it, and a value
// may stand for several arguments ([Args], [None], [Tuple2], [Tuple3]). What a
// json.Marshaler returns is opaque.
package args

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Binary is a byte slice that travels as a binary attachment. A []byte in a
// struct, map or slice travels likewise; the type matters where values are read
// into an any: there an attachment is a Binary. Nil is JSON null.
type Binary []byte

// ErrPlaceholder says that a value looks like the placeholder of an attachment,
// in a packet that has attachments: the receiver could not tell them apart, and
// official ones close the connection when the number is out of range.
var ErrPlaceholder = errors.New("args: value looks like a binary placeholder")

// maxDepth ends the walk over a value that contains itself.
const maxDepth = 1000

var errDepth = errors.New("nested too deeply")

// Append appends values to dst as elements of a JSON array, separated by commas
// and without the brackets, and their binary parts to atts. Placeholders are
// numbered from len(atts). The attachments alias the values. After an error dst
// and atts are returned as they were.
func Append(dst []byte, atts [][]byte, values ...any) ([]byte, [][]byte, error) {
	e := encoder{dst: dst, atts: atts, start: len(dst)}
	for i, v := range values {
		if err := e.argument(v); err != nil {
			return dst, atts, fmt.Errorf("args: argument %d: %w", i, err)
		}
	}
	if len(e.atts) > 0 && e.strayPlaceholder() {
		return dst, atts, ErrPlaceholder
	}
	return e.dst, e.atts, nil
}

// Bind stores one argument in the value that v points to. raw must be valid
// JSON; its placeholders stand for atts, which v may alias afterwards, as it may
// alias raw when it is a *json.RawMessage. Without attachments nothing is
// replaced (SIO-M-22).
func Bind(raw []byte, atts [][]byte, v any) error {
	if done := bindSimple(raw, v); done {
		return nil
	}
	if len(atts) == 0 {
		return json.Unmarshal(raw, v)
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return &json.InvalidUnmarshalError{Type: reflect.TypeOf(v)}
	}
	d := decoder{data: raw, atts: atts}
	if err := d.value(rv.Elem()); err != nil {
		return err
	}
	if d.space(); d.pos != len(d.data) {
		return errSyntax
	}
	return nil
}

// strayPlaceholder tells whether the elements hold exact placeholders that were
// not written as such.
func (e *encoder) strayPlaceholder() bool {
	elems := e.dst[e.start:]
	if bytes.Count(elems, placeholderKey) == e.written {
		return false
	}
	n := 0
	for i := 0; i < len(elems); i++ {
		switch elems[i] {
		case '"':
			i = endOfString(elems, i) - 1
		case '{':
			if _, _, ok := parsePlaceholder(elems[i:]); ok {
				n++
			}
		}
	}
	return n > e.written
}
