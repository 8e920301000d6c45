package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WriteDefaults writes all settings with their defaults and what they mean, as a file
// that [Load] takes. What a list or map holds is shown in comments.
func WriteDefaults(w io.Writer) error {
	p := printer{comments: true}
	p.line("", "# All settings of fanwire serve, with their defaults. What a file does not have")
	p.line("", "# stays as it is here.")
	p.fields(reflect.ValueOf(Defaults()).Elem(), "", "")
	_, err := w.Write(p.out.Bytes())
	return err
}

// Write writes the configuration as YAML, with where each setting comes from, unless it
// is the default. Secrets are shown as "***".
func (c *Config) Write(w io.Writer) error {
	p := printer{c: c}
	p.fields(reflect.ValueOf(c).Elem(), "", "")
	_, err := w.Write(p.out.Bytes())
	return err
}

// printer writes YAML.
type printer struct {
	out      bytes.Buffer
	c        *Config // whose origins are told, or nil
	comments bool
}

func (p *printer) line(indent, text string) {
	p.out.WriteString(strings.TrimRight(indent+text, " ") + "\n")
}

// fields writes the fields of a struct.
func (p *printer) fields(v reflect.Value, indent, path string) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := f.Tag.Lookup("yaml")
		if !ok {
			continue
		}
		at := join(path, name)
		if p.comments {
			p.comment(f, t.Name(), indent, at)
		}
		p.field(v.Field(i), name, indent, at)
	}
}

// comment writes what a setting is, and a line before each section.
func (p *printer) comment(f reflect.StructField, owner, indent, path string) {
	if indent == "" {
		p.line("", "")
	}
	doc := comments()[owner+"."+f.Name]
	if doc == "" && kindOf(f.Type) == Structure {
		doc = comments()[f.Type.Name()]
	}
	if kindOf(f.Type) == Hidden {
		doc += " A secret: a text or {file: PATH}."
	}
	for _, line := range wrap(doc, 78-len(indent)) {
		p.line(indent, "# "+line)
	}
}

// field writes one setting.
func (p *printer) field(v reflect.Value, name, indent, path string) {
	if kindOf(v.Type()) != Structure {
		p.line(indent, name+": "+textOf(v)+p.origin(path))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		p.line(indent, name+":")
		p.fields(v, indent+"  ", path)
	case reflect.Pointer:
		switch {
		case !v.IsNil():
			p.line(indent, name+":")
			p.fields(v.Elem(), indent+"  ", path)
		case p.comments:
			p.line(indent, "# "+name+":")
			p.sample(v.Type().Elem(), indent, "  ", "  ")
		}
	case reflect.Slice:
		p.list(v, name, indent, path)
	case reflect.Map:
		p.entries(v, name, indent, path)
	}
}

func (p *printer) list(v reflect.Value, name, indent, path string) {
	if v.Len() == 0 {
		p.line(indent, name+": []"+p.origin(path))
		if p.comments {
			p.sample(v.Type().Elem(), indent, "- ", "  ")
		}
		return
	}
	p.line(indent, name+":"+p.origin(path))
	for i := range v.Len() {
		p.item(v.Index(i), indent, index(path, i))
	}
}

// item writes an element of a list, whose first line begins with a dash.
func (p *printer) item(v reflect.Value, indent, path string) {
	inner := printer{c: p.c}
	inner.fields(v, indent+"  ", path)
	text := inner.out.String()
	p.out.WriteString(indent + "- " + text[len(indent)+2:])
}

func (p *printer) entries(v reflect.Value, name, indent, path string) {
	if v.Len() == 0 {
		p.line(indent, name+": {}"+p.origin(path))
		if p.comments {
			p.line(indent, "# NAME:")
			p.sample(v.Type().Elem(), indent, "  ", "  ")
		}
		return
	}
	p.line(indent, name+":"+p.origin(path))
	names := v.MapKeys()
	slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range names {
		at := join(path, keyText(key.String()))
		p.line(indent+"  ", quoteYAML(key.String())+":")
		p.fields(v.MapIndex(key), indent+"    ", at)
	}
}

// sample writes what one element can have, in comments.
func (p *printer) sample(t reflect.Type, indent, first, rest string) {
	v := reflect.New(t).Elem()
	setDefaults(v)
	inner := printer{comments: true}
	inner.fields(v, "", "")
	start := first
	for line := range strings.Lines(inner.out.String()) {
		if line = strings.TrimRight(line, "\n"); line == "" {
			continue
		}
		p.line(indent, "# "+start+line)
		start = rest
	}
}

// origin is a comment that says where a setting was set.
func (p *printer) origin(path string) string {
	if p.c == nil {
		return ""
	}
	o, ok := p.c.origins[path]
	switch {
	case !ok:
		return ""
	case o.Line == 0:
		return "  # " + o.Source
	}
	return fmt.Sprintf("  # %s:%d", o.Source, o.Line)
}

// textOf writes a value that is no structure, as YAML.
func textOf(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case string:
		return quoteYAML(x)
	case Secret:
		return quoteYAML(x.String())
	case Size:
		return x.String()
	case time.Duration:
		return durationText(x)
	case []string:
		quoted := make([]string, len(x))
		for i, s := range x {
			quoted[i] = quoteYAML(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return fmt.Sprint(v.Interface())
}

// durationText is a duration without the zeros at its end.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var plainYAML = regexp.MustCompile(`^[A-Za-z/_][A-Za-z0-9_./-]*$`)

// quoteYAML writes a text so that YAML takes it for one.
func quoteYAML(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null", "_":
	default:
		if plainYAML.MatchString(s) {
			return s
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // what JSON quotes, YAML reads
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string is always valid
	}
	return strings.TrimSpace(b.String())
}

// wrap breaks a text into lines.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Section is a part of the configuration, by the first name in the path.
type Section struct {
	Name, Doc string
}

// Sections returns the parts in order.
func Sections() []Section {
	t := reflect.TypeFor[Config]()
	var all []Section
	for i := range t.NumField() {
		f := t.Field(i)
		if name, ok := f.Tag.Lookup("yaml"); ok {
			doc := comments()["Config."+f.Name]
			if doc == "" {
				doc = comments()[f.Type.Name()]
			}
			all = append(all, Section{name, doc})
		}
	}
	return all
}
