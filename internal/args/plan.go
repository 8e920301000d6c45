package args

import (
	"cmp"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"unicode"
)

type kind uint8

const (
	kindOther kind = iota
	kindBinary
	kindPointer
	kindInterface
	kindMap
	kindSlice
	kindArray
	kindStruct
)

// plan is what we know of a type: whether binary can be somewhere in it, and if
// so how to walk it.
type plan struct {
	kind             kind
	encode           bool // may hold binary that the encoder can see
	decode           bool // may take binary
	pointerMarshaler bool // only its pointer is a Marshaler
	fields           []field
	byName           map[string]int
}

var plans sync.Map // reflect.Type to *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{kind: kindOf(t)}
	p.encode = reaches(t, opaqueToEncode, map[reflect.Type]bool{})
	p.decode = reaches(t, opaqueToDecode, map[reflect.Type]bool{})
	p.pointerMarshaler = t.Kind() != reflect.Pointer && opaqueToEncode(reflect.PointerTo(t))
	if p.kind == kindStruct && (p.encode || p.decode) {
		p.fields = fieldsOf(t)
		p.byName = make(map[string]int, len(p.fields))
		for i, f := range p.fields {
			p.byName[f.name] = i
		}
	}
	actual, _ := plans.LoadOrStore(t, p)
	return actual.(*plan)
}

var (
	marshaler       = reflect.TypeFor[json.Marshaler]()
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

func opaqueToEncode(t reflect.Type) bool {
	return t.Kind() != reflect.Interface && (t.Implements(marshaler) || t.Implements(textMarshaler))
}

func opaqueToDecode(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return t.Kind() != reflect.Interface && (p.Implements(unmarshaler) || p.Implements(textUnmarshaler))
}

func kindOf(t reflect.Type) kind {
	switch t.Kind() {
	case reflect.Pointer:
		return kindPointer
	case reflect.Interface:
		return kindInterface
	case reflect.Map:
		return kindMap
	case reflect.Slice:
		if isBytes(t) {
			return kindBinary
		}
		return kindSlice
	case reflect.Array:
		return kindArray
	case reflect.Struct:
		return kindStruct
	}
	return kindOther
}

// isBytes tells whether encoding/json would write the slice type t as base64.
func isBytes(t reflect.Type) bool {
	p := reflect.PointerTo(t.Elem())
	return t.Elem().Kind() == reflect.Uint8 && !p.Implements(marshaler) && !p.Implements(textMarshaler)
}

// reaches tells whether a value of t can hold binary or anything at all (an
// interface) outside of opaque types.
func reaches(t reflect.Type, opaque func(reflect.Type) bool, seen map[reflect.Type]bool) bool {
	if seen[t] || opaque(t) {
		return false
	}
	seen[t] = true
	switch kindOf(t) {
	case kindBinary, kindInterface:
		return true
	case kindPointer, kindMap, kindSlice, kindArray:
		return reaches(t.Elem(), opaque, seen)
	case kindStruct:
		for i := range t.NumField() {
			f := t.Field(i)
			if (f.IsExported() || f.Anonymous) && reaches(f.Type, opaque, seen) {
				return true
			}
		}
	}
	return false
}

// field is a struct field as JSON sees it.
type field struct {
	name      string
	key       []byte // "name": as it stands in an object
	index     []int
	tagged    bool
	omitEmpty bool
	omitZero  bool
	quoted    bool // option "string" on a type that it applies to
}

// get follows the index from v; false when an embedded pointer is nil.
func (f *field) get(v reflect.Value) (reflect.Value, bool) {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return reflect.Value{}, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

func (f *field) omitted(v reflect.Value) bool {
	return f.omitEmpty && isEmpty(v) || f.omitZero && isZero(v)
}

func isZero(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return true
	}
	x := v.Interface()
	if v.CanAddr() {
		x = v.Addr().Interface()
	}
	if z, ok := x.(interface{ IsZero() bool }); ok {
		return z.IsZero()
	}
	return v.IsZero()
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// fieldsOf lists the fields of struct type t, those of embedded structs
// included, by the visibility rules of encoding/json, in their order.
func fieldsOf(t reflect.Type) []field {
	var all []field
	seen := map[reflect.Type]bool{}
	type level struct {
		t     reflect.Type
		index []int
	}
	for now := []level{{t: t}}; len(now) > 0; {
		var next []level
		for _, l := range now {
			seen[l.t] = true
		}
		for _, l := range now {
			for i := range l.t.NumField() {
				sf := l.t.Field(i)
				index := append(slices.Clip(l.index), i)
				f, embedded, ok := fieldOf(sf, index)
				switch {
				case ok && embedded == nil:
					all = append(all, f)
				case ok && !seen[embedded]:
					next = append(next, level{embedded, index})
				}
			}
		}
		now = next
	}
	return visible(all)
}

// fieldOf reads the tag of sf. embedded is set if its fields take its place.
func fieldOf(sf reflect.StructField, index []int) (f field, embedded reflect.Type, ok bool) {
	base := sf.Type
	if base.Name() == "" && base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	if !sf.IsExported() && (!sf.Anonymous || base.Kind() != reflect.Struct) {
		return f, nil, false
	}
	tag := sf.Tag.Get("json")
	if tag == "-" {
		return f, nil, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if !validName(name) {
		name = ""
	}
	if name == "" && sf.Anonymous && base.Kind() == reflect.Struct {
		return f, base, true
	}
	if !sf.IsExported() {
		return f, nil, false
	}
	f = field{name: cmp.Or(name, sf.Name), index: index, tagged: name != ""}
	f.key = append(appendString(nil, f.name), ':')
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			f.omitEmpty = true
		case "omitzero":
			f.omitZero = true
		case "string":
			f.quoted = isScalar(base)
		}
	}
	return f, nil, true
}

func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64:
		return true
	}
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uintptr
}

func validName(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return s != ""
}

// visible keeps, of the fields of one name, the shallowest, then the tagged
// one; none if two are left.
func visible(all []field) []field {
	weaker := func(f field) int {
		if f.tagged {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b field) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(len(a.index), len(b.index)), cmp.Compare(weaker(a), weaker(b)))
	})
	var out []field
	for i := 0; i < len(all); {
		end := i + 1
		for end < len(all) && all[end].name == all[i].name {
			end++
		}
		alone := end == i+1 || len(all[i].index) != len(all[i+1].index) || all[i].tagged != all[i+1].tagged
		if alone {
			out = append(out, all[i])
		}
		i = end
	}
	slices.SortFunc(out, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return out
}
