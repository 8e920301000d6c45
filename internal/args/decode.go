package args

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

var errPlaceholderRange = errors.New("placeholder without its attachment")

// decoder reads one JSON value with attachments. It walks what may take binary
// itself and leaves the rest to encoding/json. Its input has been validated; on
// other input it returns an error, if not always the clearest.
type decoder struct {
	data  []byte
	pos   int
	atts  [][]byte
	depth int
}

// bindSimple handles the types that most handlers take. It reports false where
// the general way has to decide.
func bindSimple(raw []byte, v any) bool {
	switch p := v.(type) {
	case *string:
		s, ok := plainString(raw)
		if ok = ok && p != nil; ok {
			*p = s
		}
		return ok
	case *int:
		n, err := strconv.Atoi(string(raw))
		ok := err == nil && isInteger(raw) && p != nil
		if ok {
			*p = n
		}
		return ok
	case *json.RawMessage:
		if p != nil {
			*p = raw[:len(raw):len(raw)]
		}
		return p != nil
	}
	return false
}

// isInteger tells -0, +1 and 007 from what JSON calls an integer.
func isInteger(raw []byte) bool {
	if raw[0] == '-' {
		raw = raw[1:]
	}
	return len(raw) == 1 || len(raw) > 1 && raw[0] >= '1' && raw[0] <= '9'
}

// plainString returns the text of a JSON string without escapes.
func plainString(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return "", false
	}
	text := raw[1 : len(raw)-1]
	for _, c := range text {
		if c == '\\' || c == '"' || c < ' ' {
			return "", false
		}
	}
	return string(text), utf8.Valid(text)
}

func (d *decoder) value(v reflect.Value) error {
	p := planOf(v.Type())
	if !p.decode {
		return d.leaf(v)
	}
	if d.depth++; d.depth > maxDepth {
		return errDepth
	}
	defer func() { d.depth-- }()
	if p.kind == kindPointer {
		return d.pointer(v)
	}
	if p.kind == kindInterface {
		return d.iface(v)
	}
	if b, ok, err := d.placeholder(); ok || err != nil {
		return setBinary(v, b, p, err)
	}
	switch c := d.peek(); {
	case p.kind == kindStruct && c == '{':
		return d.structure(v, p)
	case p.kind == kindMap && c == '{':
		return d.mapping(v)
	case p.kind == kindSlice && c == '[':
		return d.slice(v)
	case p.kind == kindArray && c == '[':
		return d.array(v)
	}
	return d.leaf(v)
}

// leaf hands the next value to encoding/json.
func (d *decoder) leaf(v reflect.Value) error {
	return json.Unmarshal(d.skip(), v.Addr().Interface())
}

func setBinary(v reflect.Value, b []byte, p *plan, err error) error {
	if err != nil {
		return err
	}
	if p.kind != kindBinary {
		return fmt.Errorf("cannot store a binary attachment in a Go value of type %s", v.Type())
	}
	v.SetBytes(b)
	return nil
}

func (d *decoder) pointer(v reflect.Value) error {
	if d.peek() == 'n' {
		d.skip()
		v.SetZero()
		return nil
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return d.value(v.Elem())
}

func (d *decoder) iface(v reflect.Value) error {
	if v.NumMethod() > 0 {
		return d.leaf(v)
	}
	x, err := d.tree()
	if err != nil {
		return err
	}
	if x == nil {
		v.SetZero()
		return nil
	}
	v.Set(reflect.ValueOf(x))
	return nil
}

func (d *decoder) structure(v reflect.Value, p *plan) error {
	return d.object(func(key []byte) error {
		name, err := unquote(key)
		if err != nil {
			return err
		}
		f := p.lookup(name)
		if f == nil {
			d.skip()
			return nil
		}
		fv, err := f.make(v)
		if err != nil {
			return err
		}
		if f.quoted {
			return d.quoted(fv)
		}
		if err := d.value(fv); err != nil {
			return fmt.Errorf("%s.%s: %w", v.Type(), f.name, err)
		}
		return nil
	})
}

// lookup finds a field by its exact name, else without regard to case.
func (p *plan) lookup(name string) *field {
	if i, ok := p.byName[name]; ok {
		return &p.fields[i]
	}
	for i := range p.fields {
		if strings.EqualFold(p.fields[i].name, name) {
			return &p.fields[i]
		}
	}
	return nil
}

// make is get that allocates embedded structs.
func (f *field) make(v reflect.Value) (reflect.Value, error) {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if !v.CanSet() {
					return v, fmt.Errorf("cannot set embedded pointer to unexported struct %s", v.Type().Elem())
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, nil
}

// quoted reads a field with the option "string".
func (d *decoder) quoted(v reflect.Value) error {
	raw := d.skip()
	if len(raw) == 0 || raw[0] != '"' {
		return json.Unmarshal(raw, v.Addr().Interface())
	}
	inner, err := unquote(raw)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(inner), v.Addr().Interface())
}

func (d *decoder) mapping(v reflect.Value) error {
	t := v.Type()
	if v.IsNil() {
		v.Set(reflect.MakeMap(t))
	}
	return d.object(func(key []byte) error {
		k, err := mapKey(key, t.Key())
		if err != nil {
			return err
		}
		elem := reflect.New(t.Elem()).Elem()
		if err := d.value(elem); err != nil {
			return err
		}
		v.SetMapIndex(k, elem)
		return nil
	})
}

// mapKey converts a member's name as encoding/json does.
func mapKey(key []byte, t reflect.Type) (reflect.Value, error) {
	k := reflect.New(t)
	name, err := unquote(key)
	if err != nil {
		return k, err
	}
	if u, ok := k.Interface().(encoding.TextUnmarshaler); ok {
		err := u.UnmarshalText([]byte(name))
		return k.Elem(), err
	}
	if t.Kind() == reflect.String {
		k.Elem().SetString(name)
		return k.Elem(), nil
	}
	err = json.Unmarshal([]byte(name), k.Interface())
	return k.Elem(), err
}

func (d *decoder) slice(v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	return d.list(func() error {
		n := v.Len()
		v.Grow(1)
		v.SetLen(n + 1)
		v.Index(n).SetZero()
		return d.value(v.Index(n))
	})
}

func (d *decoder) array(v reflect.Value) error {
	n := 0
	v.SetZero()
	return d.list(func() error {
		if n >= v.Len() {
			d.skip()
			return nil
		}
		n++
		return d.value(v.Index(n - 1))
	})
}

// tree reads a value as encoding/json stores it in an any, with attachments as
// Binary.
func (d *decoder) tree() (any, error) {
	if b, ok, err := d.placeholder(); ok || err != nil {
		return Binary(b), err
	}
	if d.depth++; d.depth > maxDepth {
		return nil, errDepth
	}
	defer func() { d.depth-- }()
	switch d.peek() {
	case '{':
		m := make(map[string]any)
		err := d.object(func(key []byte) error {
			name, err := unquote(key)
			if err == nil {
				m[name], err = d.tree()
			}
			return err
		})
		return m, err
	case '[':
		list := []any{}
		err := d.list(func() error {
			x, err := d.tree()
			list = append(list, x)
			return err
		})
		return list, err
	}
	var x any
	err := json.Unmarshal(d.skip(), &x)
	return x, err
}

// placeholder reads the next value if it is a placeholder.
func (d *decoder) placeholder() (b []byte, ok bool, err error) {
	if d.peek() != '{' {
		return nil, false, nil
	}
	n, size, ok := parsePlaceholder(d.data[d.pos:])
	if !ok {
		return nil, false, nil
	}
	if n >= len(d.atts) {
		return nil, true, errPlaceholderRange
	}
	d.pos += size
	return d.atts[n], true, nil
}
