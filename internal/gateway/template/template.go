// Package template has the two small languages of the configuration: templates,
// texts in which fields in braces stand for values of a client or of its event, and
// globs, texts in which "*" stands for any characters. It knows no sockets: who
// expands a template looks the values up.
package template

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a template as it is written.
const (
	MaxText   = 1024 // bytes
	MaxFields = 16
	MaxNames  = 8 // of one field
	MaxArg    = 255
)

// Source says where the value of a [Field] comes from.
type Source string

// The sources. The first four stand alone, the next three need a name, args needs a
// number.
const (
	User      Source = "user"
	Socket    Source = "socket"
	Namespace Source = "namespace"
	Event     Source = "event"
	Path      Source = "path"   // what a wildcard of the namespace's pattern stands for
	Claims    Source = "claims" // of the token
	Data      Source = "data"   // of the client, as webhooks and the API set it
	Args      Source = "args"   // of the event
)

// Field is what stands between braces: {user}, {path.id}, {claims.org.id},
// {args.0.room}.
type Field struct {
	Source Source
	// Arg is the number of the argument, from 0 to [MaxArg]. Only of args.
	Arg int
	// Names lead into the value, outermost first: none for {user} and {args.0}, one
	// for {path.id}, one or more for claims and data.
	Names []string
}

// String returns the field as it is written, without braces.
func (f Field) String() string {
	var b strings.Builder
	b.WriteString(string(f.Source))
	if f.Source == Args {
		b.WriteByte('.')
		b.WriteString(strconv.Itoa(f.Arg))
	}
	for _, name := range f.Names {
		b.WriteByte('.')
		if plainName(name) {
			b.WriteString(name)
		} else {
			b.WriteString(`"` + name + `"`)
		}
	}
	return b.String()
}

// Template is a parsed template. It does not change and is safe for concurrent use.
type Template struct {
	text  string
	parts []part
}

// part is a text, or a field if its source is set.
type part struct {
	text  string
	field Field
}

// Parse reads a template. "{{" and "}}" stand for braces. The names in a field are of
// letters, digits, "_" and "-"; others stand in double quotes:
// {claims."https://app.example/tenant"}. An empty template is an error, since an
// empty room is never meant.
func Parse(text string) (*Template, error) {
	switch {
	case text == "":
		return nil, errors.New("is empty")
	case len(text) > MaxText:
		return nil, fmt.Errorf("is longer than %d bytes", MaxText)
	}
	t := &Template{text: text}
	fields := 0
	for rest := text; rest != ""; {
		literal, after, err := cutLiteral(rest)
		if err != nil {
			return nil, err
		}
		if literal != "" {
			t.parts = append(t.parts, part{text: literal})
		}
		if rest = after; rest == "" {
			break
		}
		field, after, err := cutField(rest[1:])
		if err != nil {
			return nil, err
		}
		if fields++; fields > MaxFields {
			return nil, fmt.Errorf("has more than %d fields", MaxFields)
		}
		t.parts = append(t.parts, part{field: field})
		rest = after
	}
	return t, nil
}

// cutLiteral takes text up to the next field. What is left is empty or begins with
// the field's brace.
func cutLiteral(s string) (literal, rest string, err error) {
	var b strings.Builder
	for {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			return b.String() + s, "", nil
		}
		b.WriteString(s[:i])
		switch s = s[i:]; {
		case strings.HasPrefix(s, "{{"), strings.HasPrefix(s, "}}"):
			b.WriteByte(s[0])
			s = s[2:]
		case s[0] == '}':
			return "", "", errors.New(`has a "}" without a "{" ("}}" stands for the character)`)
		default:
			return b.String(), s, nil
		}
	}
}

// cutField takes a field, whose opening brace is gone already, and its closing one.
func cutField(s string) (f Field, rest string, err error) {
	var words []string
	for {
		word, after, err := cutWord(s)
		if err != nil {
			return Field{}, "", err
		}
		words = append(words, word)
		if len(words) > MaxNames+2 {
			return Field{}, "", fmt.Errorf("has a field with more than %d names", MaxNames)
		}
		s = after[1:]
		if after[0] == '}' {
			f, err = newField(words)
			return f, s, err
		}
	}
}

// cutWord takes one word of a field; what follows begins with "." or "}".
func cutWord(s string) (word, rest string, err error) {
	if quoted, ok := strings.CutPrefix(s, `"`); ok {
		word, rest, ok = strings.Cut(quoted, `"`)
		if !ok || rest == "" || rest[0] != '.' && rest[0] != '}' {
			return "", "", errors.New("has a field with a quote that does not end")
		}
	} else {
		i := strings.IndexAny(s, ".}")
		if i < 0 {
			return "", "", errors.New(`has a "{" without a "}" ("{{" stands for the character)`)
		}
		word, rest = s[:i], s[i:]
		if word != "" && !plainName(word) {
			return "", "", fmt.Errorf("has a field with the name %q: quote names that are not of letters, digits, _ and -", word)
		}
	}
	if word == "" {
		return "", "", errors.New("has a field with an empty name")
	}
	return word, rest, nil
}

func newField(words []string) (Field, error) {
	f := Field{Source: Source(words[0])}
	names := words[1:]
	bad := func(why string) (Field, error) {
		return Field{}, fmt.Errorf("has the field {%s}: %s", strings.Join(words, "."), why)
	}
	switch f.Source {
	case User, Socket, Namespace, Event:
		if len(names) > 0 {
			return bad("nothing can follow " + words[0])
		}
	case Path:
		if len(names) != 1 {
			return bad("write it as {path.NAME}")
		}
	case Claims, Data:
		if len(names) == 0 {
			return bad("write it as {" + words[0] + ".NAME}")
		}
	case Args:
		if len(names) == 0 {
			return bad("write it as {args.0}")
		}
		n, err := strconv.ParseUint(names[0], 10, 16)
		if err != nil || n > MaxArg || strconv.FormatUint(n, 10) != names[0] {
			return bad(fmt.Sprintf("arguments have numbers from 0 to %d", MaxArg))
		}
		f.Arg, names = int(n), names[1:]
	default:
		return bad("there are user, socket, namespace, event, path.NAME, claims.NAME, data.NAME and args.N")
	}
	if len(names) > MaxNames {
		return bad(fmt.Sprintf("more than %d names", MaxNames))
	}
	if len(names) > 0 {
		f.Names = names
	}
	return f, nil
}

func plainName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != ""
}

// String returns the template as it was written.
func (t *Template) String() string { return t.text }

// Fields calls yield for each field, in order. It is an iter.Seq.
func (t *Template) Fields(yield func(Field) bool) {
	for _, p := range t.parts {
		if p.field.Source != "" && !yield(p.field) {
			return
		}
	}
}

// Lookup returns the value of a field: a text, or a number as it is written. Not ok
// is a value that is not there, or is neither.
type Lookup func(Field) (value string, ok bool)

// MissingError is the error for a field without a value. An empty text is none, so
// that "room-{user}" is never "room-".
type MissingError struct{ Field Field }

func (e *MissingError) Error() string { return "no value for {" + e.Field.String() + "}" }

// Expand puts the values in. The only error is a [*MissingError]. The result is as
// long as the values are: who uses it as a name checks its length. Expand calls
// lookup once for each field, in order, and may run concurrently.
func (t *Template) Expand(lookup Lookup) (string, error) {
	if len(t.parts) == 1 && t.parts[0].field.Source == "" {
		return t.parts[0].text, nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		text, err := p.expand(lookup)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// ExpandGlob is Expand for a template that is a pattern: "*" in the template stands
// for any characters, in a value only for itself. So nobody called "*" may join the
// rooms of all others.
func (t *Template) ExpandGlob(lookup Lookup) (Glob, error) {
	g := Glob{pieces: []string{""}}
	for _, p := range t.parts {
		text, err := p.expand(lookup)
		if err != nil {
			return Glob{}, err
		}
		last := len(g.pieces) - 1
		if p.field.Source != "" {
			g.pieces[last] += text
			continue
		}
		pieces := strings.Split(text, "*")
		g.pieces[last] += pieces[0]
		g.pieces = append(g.pieces, pieces[1:]...)
	}
	return g, nil
}

func (p part) expand(lookup Lookup) (string, error) {
	if p.field.Source == "" {
		return p.text, nil
	}
	value, ok := lookup(p.field)
	if !ok || value == "" {
		return "", &MissingError{p.field}
	}
	return value, nil
}
