package args

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// encoder appends values as JSON. It writes what may hold binary itself and
// leaves the rest to encoding/json.
type encoder struct {
	dst     []byte
	atts    [][]byte
	start   int // where the elements begin in dst
	depth   int
	written int // placeholders
}

// argument appends one value, or those that it stands for, after a comma if it
// is not the first.
func (e *encoder) argument(v any) error {
	switch v := v.(type) {
	case None, *None:
		return nil
	case Args:
		return e.args(v)
	case Lister:
		for _, v := range v.ArgValues() {
			if err := e.argument(v); err != nil {
				return err
			}
		}
		return nil
	}
	e.separate()
	return e.any(v)
}

func (e *encoder) separate() {
	if len(e.dst) > e.start {
		e.dst = append(e.dst, ',')
	}
}

// args copies arguments as they are, but for the numbers of placeholders: other
// attachments may stand before theirs.
func (e *encoder) args(a Args) error {
	if len(a.raw) == 0 {
		return nil
	}
	e.separate()
	if len(a.atts) == 0 {
		e.dst = append(e.dst, a.raw...)
		return nil
	}
	base, from := len(e.atts), 0
	for i := 0; i < len(a.raw); {
		switch a.raw[i] {
		case '"':
			i = endOfString(a.raw, i)
		case '{':
			n, size, ok := parsePlaceholder(a.raw[i:])
			if !ok {
				i++
				continue
			}
			if n >= len(a.atts) {
				return errPlaceholderRange
			}
			e.dst = append(e.dst, a.raw[from:i]...)
			e.placeholder(base + n)
			i += size
			from = i
		default:
			i++
		}
	}
	e.dst = append(e.dst, a.raw[from:]...)
	e.atts = append(e.atts, a.atts...)
	return nil
}

// any appends one value of a type that is common enough to be written without
// reflection, or goes on to value.
func (e *encoder) any(v any) error {
	switch v := v.(type) {
	case nil:
		e.dst = append(e.dst, "null"...)
	case string:
		e.dst = appendString(e.dst, v)
	case bool:
		e.dst = strconv.AppendBool(e.dst, v)
	case int:
		e.dst = strconv.AppendInt(e.dst, int64(v), 10)
	case int64:
		e.dst = strconv.AppendInt(e.dst, v, 10)
	case uint64:
		e.dst = strconv.AppendUint(e.dst, v, 10)
	case float64:
		return e.float(v)
	case []byte:
		e.binary(v)
	case Binary:
		e.binary(v)
	case json.RawMessage:
		return e.raw(v)
	case map[string]any:
		return e.stringMap(v)
	case []any:
		return e.list(v)
	default:
		return e.value(reflect.ValueOf(v))
	}
	return nil
}

func (e *encoder) value(v reflect.Value) error {
	p := planOf(v.Type())
	if !p.encode || p.pointerMarshaler && v.CanAddr() {
		return e.leaf(v)
	}
	if e.depth++; e.depth > maxDepth {
		return errDepth
	}
	defer func() { e.depth-- }()
	switch p.kind {
	case kindBinary:
		e.binary(v.Bytes())
		return nil
	case kindPointer, kindInterface:
		if v.IsNil() {
			return e.any(nil)
		}
		return e.inner(v.Elem())
	case kindMap:
		return e.mapping(v)
	case kindSlice:
		if v.IsNil() {
			return e.any(nil)
		}
		return e.sequence(v)
	case kindArray:
		return e.sequence(v)
	case kindStruct:
		return e.structure(v, p)
	}
	return e.leaf(v)
}

// inner is value for what may be of a common type.
func (e *encoder) inner(v reflect.Value) error {
	if v.Kind() == reflect.Struct || !v.CanInterface() {
		return e.value(v)
	}
	switch x := v.Interface().(type) {
	case string, bool, int, int64, float64, []byte, Binary, map[string]any, []any:
		return e.any(x)
	}
	return e.value(v)
}

// leaf hands v to encoding/json, by its address where it has one: that is what
// lets methods on pointers be found.
func (e *encoder) leaf(v reflect.Value) error {
	if v.CanAddr() {
		v = v.Addr()
	}
	w := stdEncoders.Get().(*stdEncoder)
	defer stdEncoders.Put(w)
	w.dst = e.dst
	err := w.enc.Encode(v.Interface())
	if err == nil {
		e.dst = w.dst[:len(w.dst)-1] // without the line feed
	}
	w.dst = nil
	return err
}

// stdEncoder is an encoding/json encoder that appends to a slice.
type stdEncoder struct {
	dst []byte
	enc *json.Encoder
}

func (w *stdEncoder) Write(p []byte) (int, error) {
	w.dst = append(w.dst, p...)
	return len(p), nil
}

var stdEncoders = sync.Pool{New: func() any {
	w := new(stdEncoder)
	w.enc = json.NewEncoder(w)
	w.enc.SetEscapeHTML(false)
	return w
}}

func (e *encoder) binary(b []byte) {
	if b == nil {
		e.dst = append(e.dst, "null"...)
		return
	}
	e.placeholder(len(e.atts))
	e.atts = append(e.atts, b)
}

func (e *encoder) raw(m json.RawMessage) error {
	if m == nil {
		e.dst = append(e.dst, "null"...)
		return nil
	}
	if !socketio.Valid(m, 0) { // HRD-05: what a client may send, it may get
		return errRaw
	}
	e.dst = append(e.dst, m...)
	return nil
}

var errRaw = errors.New("raw message is not valid JSON, or too deep")

func (e *encoder) list(list []any) error {
	if list == nil {
		return e.any(nil)
	}
	if e.depth++; e.depth > maxDepth {
		return errDepth
	}
	e.dst = append(e.dst, '[')
	for i, v := range list {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if err := e.any(v); err != nil {
			return err
		}
	}
	e.dst = append(e.dst, ']')
	e.depth--
	return nil
}

func (e *encoder) stringMap(m map[string]any) error {
	if m == nil {
		return e.any(nil)
	}
	if e.depth++; e.depth > maxDepth {
		return errDepth
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	e.dst = append(e.dst, '{')
	for i, k := range keys {
		e.key(i, k)
		if err := e.any(m[k]); err != nil {
			return err
		}
	}
	e.dst = append(e.dst, '}')
	e.depth--
	return nil
}

func (e *encoder) key(i int, k string) {
	if i > 0 {
		e.dst = append(e.dst, ',')
	}
	e.dst = append(appendString(e.dst, k), ':')
}

func (e *encoder) sequence(v reflect.Value) error {
	e.dst = append(e.dst, '[')
	for i := range v.Len() {
		if i > 0 {
			e.dst = append(e.dst, ',')
		}
		if err := e.inner(v.Index(i)); err != nil {
			return err
		}
	}
	e.dst = append(e.dst, ']')
	return nil
}

func (e *encoder) mapping(v reflect.Value) error {
	if v.IsNil() {
		return e.any(nil)
	}
	type member struct {
		key   string
		value reflect.Value
	}
	members := make([]member, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		key, err := keyText(it.Key())
		if err != nil {
			return err
		}
		members = append(members, member{key, it.Value()})
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.key, b.key) })
	e.dst = append(e.dst, '{')
	for i, m := range members {
		e.key(i, m.key)
		if err := e.inner(m.value); err != nil {
			return err
		}
	}
	e.dst = append(e.dst, '}')
	return nil
}

// keyText is the name of a map key, by the rules of encoding/json.
func keyText(k reflect.Value) (string, error) {
	if k.Kind() == reflect.String {
		return k.String(), nil
	}
	if m, ok := k.Interface().(encoding.TextMarshaler); ok {
		if k.Kind() == reflect.Pointer && k.IsNil() {
			return "", nil
		}
		b, err := m.MarshalText()
		return string(b), err
	}
	switch {
	case k.CanInt():
		return strconv.FormatInt(k.Int(), 10), nil
	case k.CanUint():
		return strconv.FormatUint(k.Uint(), 10), nil
	}
	return "", &json.UnsupportedTypeError{Type: k.Type()}
}

func (e *encoder) structure(v reflect.Value, p *plan) error {
	e.dst = append(e.dst, '{')
	first := true
	for i := range p.fields {
		f := &p.fields[i]
		fv, ok := f.get(v)
		if !ok || f.omitted(fv) {
			continue
		}
		if !first {
			e.dst = append(e.dst, ',')
		}
		first = false
		e.dst = append(e.dst, f.key...)
		if err := e.field(f, fv); err != nil {
			return fmt.Errorf("%s.%s: %w", v.Type(), f.name, err)
		}
	}
	e.dst = append(e.dst, '}')
	return nil
}

func (e *encoder) field(f *field, v reflect.Value) error {
	if !f.quoted {
		return e.inner(v)
	}
	mark := len(e.dst)
	if err := e.leaf(v); err != nil {
		return err
	}
	if text := string(e.dst[mark:]); text != "null" {
		e.dst = appendString(e.dst[:mark], text)
	}
	return nil
}

// float writes a number as JavaScript and encoding/json do.
func (e *encoder) float(f float64) error {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return &json.UnsupportedValueError{Value: reflect.ValueOf(f), Str: strconv.FormatFloat(f, 'g', -1, 64)}
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	e.dst = strconv.AppendFloat(e.dst, f, format, -1, 64)
	if n := len(e.dst); format == 'e' && n >= 4 && e.dst[n-4] == 'e' && e.dst[n-3] == '-' && e.dst[n-2] == '0' {
		e.dst[n-2] = e.dst[n-1] // e-09 to e-9
		e.dst = e.dst[:n-1]
	}
	return nil
}

func (e *encoder) placeholder(n int) {
	e.written++
	e.dst = append(e.dst, `{"_placeholder":true,"num":`...)
	e.dst = append(strconv.AppendInt(e.dst, int64(n), 10), '}')
}

const hex = "0123456789abcdef"

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[start:i]...)
			dst = append(dst, `\ufffd`...)
			start = i + 1
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
