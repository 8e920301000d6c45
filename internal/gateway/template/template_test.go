package template

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// values is a client for tests: fields as they are written, and their values.
type values map[string]string

func (v values) lookup(f Field) (string, bool) {
	value, ok := v[f.String()]
	return value, ok
}

var ann = values{
	"user": "ann", "socket": "s1", "namespace": "/tenant/7", "event": "say", "path.id": "7",
	"claims.org.id": "42", `claims."https://app.example/t"`: "t1", "data.team": "red", "args.0": "lobby", "args.1.room.name": "x*y", "args.2": "",
}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"lobby":                            "lobby",
		"{user}":                           "ann",
		"user:{user}":                      "user:ann",
		"{socket}{namespace}{event}":       "s1/tenant/7say",
		"t-{path.id}-{claims.org.id}":      "t-7-42",
		`{claims."https://app.example/t"}`: "t1",

		"{data.team}/{args.0}/{args.1.room.name}": "red/lobby/x*y",

		"{{user}}":   "{user}",
		"{{{user}}}": "{ann}",
		"a}}b{{":     "a}b{",
		"ä*{user}":   "ä*ann",
	} {
		tmpl, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := tmpl.Expand(ann.lookup); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
		if tmpl.String() != text {
			t.Errorf("%s: String is %q", text, tmpl.String())
		}
	}
}

// A field without a value is an error and never an empty text.
func TestExpandMissing(t *testing.T) {
	for text, field := range map[string]string{
		"room-{args.2}":         "args.2", // there, and empty
		"{args.3}":              "args.3",
		"{user}{claims.nobody}": "claims.nobody",
		`{claims."a b".c}`:      `claims."a b".c`,
	} {
		tmpl, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Expand(ann.lookup)
		var missing *MissingError
		if !errors.As(err, &missing) || missing.Field.String() != field || got != "" {
			t.Errorf("%s: %q, %v", text, got, err)
		}
		if _, err := tmpl.ExpandGlob(ann.lookup); !errors.As(err, &missing) {
			t.Errorf("%s as a pattern: %v", text, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "empty",
		strings.Repeat("x", 1025):     "longer than 1024 bytes",
		strings.Repeat("{user}", 17):  "more than 16 fields",
		"{user":                       `"{" without a "}"`,
		"{":                           `"{" without a "}"`,
		"user}":                       `"}" without a "{"`,
		"{user}}":                     `"}" without a "{"`,
		"{}":                          "empty name",
		"{user.}":                     "empty name",
		"{.user}":                     "empty name",
		"{user.name}":                 "nothing can follow user",
		"{path}":                      "{path.NAME}",
		"{path.a.b}":                  "{path.NAME}",
		"{claims}":                    "{claims.NAME}",
		"{data}":                      "{data.NAME}",
		"{args}":                      "{args.0}",
		"{args.x}":                    "0 to 255",
		"{args.-1}":                   "0 to 255",
		"{args.01}":                   "0 to 255",
		"{args.256}":                  "0 to 255",
		"{args.99999999999999999999}": "0 to 255",
		"{nonsense}":                  "there are user, socket",
		"{User}":                      "there are user, socket",
		"{ user }":                    "quote names",
		"{us{er}":                     "quote names",
		`{claims."a}`:                 "quote that does not end",
		`{claims."a"b}`:               "quote that does not end",
		`{claims.""}`:                 "empty name",
		"{claims" + strings.Repeat(".a", 9) + "}":  "more than 8 names",
		"{claims" + strings.Repeat(".a", 99) + "}": "more than 8 names",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: error %v, want %q", text, err, want)
		}
	}
}

func TestFields(t *testing.T) {
	tmpl, err := Parse("a{user}b{args.1.x}")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for f := range tmpl.Fields {
		got = append(got, f.String())
	}
	if !slices.Equal(got, []string{"user", "args.1.x"}) {
		t.Error(got)
	}
	for f := range tmpl.Fields {
		if f.Source != User {
			t.Error("goes on after a break")
		}
		break
	}
}

// A star that comes from a client is no wildcard.
func TestExpandGlob(t *testing.T) {
	for _, tt := range []struct {
		text, s string
		want    bool
	}{
		{"room-*", "room-1", true},
		{"room-*", "room", false},
		{"{user}-*", "ann-1", true},
		{"{user}-*", "bob-1", false},
		{"{args.1.room.name}", "x*y", true},
		{"{args.1.room.name}", "xzy", false},
		{"*-{args.1.room.name}-*", "a-x*y-b", true},
		{"*-{args.1.room.name}-*", "a-xzy-b", false},
		{"*", "", true},
		{"a**b", "ab", true},
		{"{{*}}", "{x}", true},
	} {
		tmpl, err := Parse(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		g, err := tmpl.ExpandGlob(ann.lookup)
		if err != nil || g.Match(tt.s) != tt.want {
			t.Errorf("%s against %s: %v, %v", tt.text, tt.s, !tt.want, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"user:{user}", `{claims."a b".c}{{}}`, "{args.0.x}-*", "{", "}}{"} {
		f.Add(seed, "value")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		tmpl, err := Parse(text)
		if err != nil {
			return
		}
		fields := 0
		for field := range tmpl.Fields {
			fields++
			again, err := Parse("{" + field.String() + "}")
			if err != nil {
				t.Fatalf("%q: field %q is not one again: %v", text, field, err)
			}
			for f := range again.Fields {
				if f.String() != field.String() {
					t.Fatalf("%q became %q", field, f)
				}
			}
		}
		lookup := func(Field) (string, bool) { return value, true }
		got, err := tmpl.Expand(lookup)
		if (err == nil) != (fields == 0 || value != "") {
			t.Fatalf("%q, value %q: %v", text, value, err)
		}
		if err != nil {
			return
		}
		if got == "" || len(got) > len(text)+fields*len(value) {
			t.Fatalf("%q became %q", text, got)
		}
		g, err := tmpl.ExpandGlob(lookup)
		if err != nil || !g.Match(got) { // a pattern fits at least itself
			t.Fatalf("%q: %v, does not match %q", text, err, got)
		}
	})
}
