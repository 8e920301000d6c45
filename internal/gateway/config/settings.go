package config

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// prefix begins the name of every variable.
const prefix = "FANWIRE_"

// Setting is one thing that can be set in the file.
type Setting struct {
	// Path as in "redis.tls.enabled". What is in a list or map has "[]" or ".NAME" in
	// it: "namespaces[].routes[].events", "webhooks.NAME.url".
	Path string
	// Variable sets it in the environment. Empty for what is in a list or map: the
	// variable of that takes the whole, as YAML.
	Variable string
	// Flag tells whether --PATH sets it: there is a variable, and no secret in it.
	Flag bool
	Kind Kind
	// Default as written in the file, empty if there is none.
	Default string
	// Doc is the comment of the field up to the first empty line, on one line.
	Doc string
	// Reload tells whether it may change while the gateway runs.
	Reload bool

	index []int // of the field in Config, where there is a variable
}

// Kind is how a value is written.
type Kind string

// The kinds.
const (
	Text      Kind = "text"
	Integer   Kind = "number"
	Decimal   Kind = "decimal"
	Bool      Kind = "true or false"
	Duration  Kind = "duration" // as in 1m30s
	Bytes     Kind = "size"     // as in 1MiB
	Hidden    Kind = "secret"
	List      Kind = "list"
	Structure Kind = "structure" // a list, map or block of other settings
)

// Settings returns all settings in the order of the structure: those that have a
// variable, and after each list or map what is in it.
func Settings() []Setting { return slices.Clone(allSettings()) }

var allSettings = sync.OnceValue(func() []Setting {
	w := settingsWalker{docs: comments()}
	w.fields(reflect.TypeFor[Config](), Setting{Variable: strings.TrimSuffix(prefix, "_")})
	return w.all
})

type settingsWalker struct {
	docs map[string]string // by "Type.Field"
	all  []Setting
}

// fields adds what is in a struct. outer is the setting that the struct is.
func (w *settingsWalker) fields(t reflect.Type, outer Setting) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		s := Setting{
			Path:    join(outer.Path, name),
			Kind:    kindOf(f.Type),
			Default: f.Tag.Get("default"),
			Doc:     w.docs[t.Name()+"."+f.Name],
			Reload:  outer.Reload,
			index:   append(slices.Clone(outer.index), i),
		}
		if tag, ok := f.Tag.Lookup("reload"); ok {
			s.Reload = tag == "true"
		}
		if outer.Variable != "" {
			s.Variable = outer.Variable + "_" + strings.ToUpper(name)
			s.Flag = !hasSecret(f.Type)
		}
		if f.Type.Kind() == reflect.Struct && s.Kind == Structure { // a block is no setting by itself
			w.fields(f.Type, s)
			continue
		}
		w.all = append(w.all, s)
		if s.Kind == Structure {
			s.Variable = ""
			switch f.Type.Kind() {
			case reflect.Slice:
				s.Path += "[]"
			case reflect.Map:
				s.Path += ".NAME"
			}
			w.fields(f.Type.Elem(), s)
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

var (
	secretType   = reflect.TypeFor[Secret]()
	sizeType     = reflect.TypeFor[Size]()
	durationType = reflect.TypeFor[time.Duration]()
)

func kindOf(t reflect.Type) Kind {
	switch t {
	case secretType:
		return Hidden
	case sizeType:
		return Bytes
	case durationType:
		return Duration
	}
	switch t.Kind() {
	case reflect.String:
		return Text
	case reflect.Int:
		return Integer
	case reflect.Float64:
		return Decimal
	case reflect.Bool:
		return Bool
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return List
		}
		return Structure
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return Structure
	}
	panic("config: no kind for " + t.String())
}

// hasSecret tells whether a value of the type can hold a secret.
func hasSecret(t reflect.Type) bool {
	switch {
	case t == secretType:
		return true
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Map, t.Kind() == reflect.Pointer:
		return hasSecret(t.Elem())
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && hasSecret(f.Type) {
				return true
			}
		}
	}
	return false
}

// Defaults returns the configuration that nothing has been set in. It is valid.
func Defaults() *Config {
	c := new(Config)
	setDefaults(reflect.ValueOf(c).Elem())
	return c
}

// setDefaults fills the fields of a struct by their tags.
func setDefaults(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		switch tag := f.Tag.Get("default"); {
		case !f.IsExported():
		case tag != "":
			if message := setText(v.Field(i), tag); message != "" {
				panic("config: default of " + v.Type().Name() + "." + f.Name + " " + message)
			}
		case f.Type.Kind() == reflect.Struct && kindOf(f.Type) == Structure:
			setDefaults(v.Field(i))
		}
	}
}
