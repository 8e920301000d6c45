package config

import (
	"fmt"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// decoder puts one YAML text into the structure.
type decoder struct {
	l      *loader
	source string // for problems: a file, variable or flag
	values int    // seen so far
	full   bool   // a bound was passed: give up
}

func (d *decoder) problem(n *yaml.Node, path, message string) {
	if !d.full {
		d.l.problem(Problem{Path: path, Source: d.source, Line: n.Line, Message: message})
		d.full = len(d.l.problems) >= maxProblems
	}
}

// note reports what has no effect on a setting.
func (d *decoder) note(line int, path, message string) {
	if !d.full {
		d.l.add(Problem{Path: path, Source: d.source, Line: line, Message: message})
		d.full = len(d.l.problems) >= maxProblems
	}
}

// value decodes n into v. Null leaves v as it is.
func (d *decoder) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	n = d.resolve(n)
	if !d.checkTag(n, path) {
		return
	}
	kind := kindOf(v.Type())
	if isNull(n) && (kind != Structure || v.Kind() != reflect.Pointer) {
		return
	}
	d.l.origins[path] = Origin{d.source, n.Line}
	switch {
	case kind == Hidden:
		d.secret(n, v, path, depth)
	case kind == List:
		d.list(n, v, path, depth)
	case kind == Structure:
		d.structure(n, v, path, depth)
	case n.Kind != yaml.ScalarNode:
		d.problem(n, path, "must be a "+string(kind)+", and is "+what(n))
	default:
		if message := setText(v, n.Value); message != "" {
			d.problem(n, path, message)
		}
	}
}

// checkTag refuses tags that change what a value is, !!binary above all.
func (d *decoder) checkTag(n *yaml.Node, path string) bool {
	switch n.ShortTag() {
	case "!!null", "!!bool", "!!int", "!!float", "!!str", "!!seq", "!!map", "!!timestamp", "!!merge":
		return true
	}
	d.problem(n, path, "has the tag "+quote(n.Tag)+", which means nothing here")
	return false
}

// structure decodes into a struct, or into a pointer, list or map of structs.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	if v.Kind() == reflect.Slice {
		d.structures(n, v, path, depth)
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
		setDefaults(v)
		if isNull(n) { // "relay:" alone is one with the defaults
			return
		}
	}
	if n.Kind != yaml.MappingNode {
		d.problem(n, path, "must be a mapping, and is "+what(n))
		return
	}
	if v.Kind() == reflect.Map {
		d.entries(n, v, path, depth)
		return
	}
	fields := fieldsOf(v.Type())
	for _, p := range d.pairs(n, path, depth) {
		i, ok := fields[p.key]
		if !ok {
			d.note(p.line, join(path, keyText(p.key)), "unknown"+suggest(p.key, keys(fields)))
			continue
		}
		d.value(p.value, v.Field(i), join(path, p.key), depth+1)
	}
}

// structures decodes a list of structs.
func (d *decoder) structures(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "must be a list, and is "+what(n))
		return
	}
	if v.SetZero(); len(n.Content) == 0 || !d.enter(n, path, depth) {
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		setDefaults(list.Index(i))
		at := path + "[" + strconv.Itoa(i) + "]"
		if isNull(d.resolve(item)) {
			d.problem(item, at, "is empty")
			continue
		}
		d.value(item, list.Index(i), at, depth+1)
	}
	v.Set(list)
}

// entries decodes a map of structs.
func (d *decoder) entries(n *yaml.Node, v reflect.Value, path string, depth int) {
	entries := reflect.MakeMap(v.Type())
	for _, p := range d.pairs(n, path, depth) {
		entry := reflect.New(v.Type().Elem()).Elem()
		setDefaults(entry)
		d.value(p.value, entry, join(path, keyText(p.key)), depth+1)
		entries.SetMapIndex(reflect.ValueOf(p.key), entry)
	}
	v.Set(entries)
}

// list decodes a list of texts.
func (d *decoder) list(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		d.problem(n, path, "must be a list, as in [a, b], and is "+what(n))
		return
	}
	if !d.enter(n, path, depth) {
		return
	}
	var list []string
	for i, item := range n.Content {
		item = d.resolve(item)
		at := path + "[" + strconv.Itoa(i) + "]"
		if item.Kind != yaml.ScalarNode || isNull(item) {
			d.problem(item, at, "must be a text, and is "+what(item))
			continue
		}
		if d.checkTag(item, at) {
			d.l.origins[at] = Origin{d.source, item.Line}
			list = append(list, item.Value)
		}
	}
	v.Set(reflect.ValueOf(list))
}

// secret decodes a secret: its text, or {file: PATH}.
func (d *decoder) secret(n *yaml.Node, v reflect.Value, path string, depth int) {
	switch n.Kind {
	case yaml.ScalarNode:
		if message := setText(v, n.Value); message != "" {
			d.problem(n, path, message)
		}
		d.l.plain = d.l.plain || n.Value != ""
	case yaml.MappingNode:
		pairs := d.pairs(n, path, depth)
		if len(pairs) != 1 || pairs[0].key != "file" || d.resolve(pairs[0].value).Kind != yaml.ScalarNode {
			d.problem(n, path, "must be a text or {file: PATH}")
			return
		}
		d.l.secretFile(v, d.resolve(pairs[0].value).Value, path, d.source, n.Line)
	default:
		d.problem(n, path, "must be a text or {file: PATH}, and is "+what(n))
	}
}

// fieldsOf returns the fields of a struct by their names in the file.
func fieldsOf(t reflect.Type) map[string]int {
	fields := make(map[string]int)
	for i := range t.NumField() {
		if name, ok := t.Field(i).Tag.Lookup("yaml"); ok {
			fields[name] = i
		}
	}
	return fields
}

func keys(fields map[string]int) []string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	return names
}

// suggest returns "; did you mean ...?" if one of the names is near.
func suggest(given string, names []string) string {
	best, distance := "", 3
	if len(given) <= 4 {
		distance = 2
	}
	if len(given) > 80 {
		return ""
	}
	for _, name := range names {
		if n := editDistance(given, name); n < distance || n == distance && best != "" && name < best {
			best, distance = name, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance counts the letters to change, add, drop or swap with the next one.
func editDistance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := range len(a) {
		before, last, row := rows[0], rows[1], rows[2]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		rows[0], rows[1], rows[2] = last, row, before
	}
	return rows[1][len(b)]
}
