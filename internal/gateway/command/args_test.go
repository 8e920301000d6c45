package command

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/node"
)

func placeholder(n int) string { return fmt.Sprintf(`{"_placeholder":true,"num":%d}`, n) }

func bin(b ...byte) string {
	return `{"$binary":"` + base64.StdEncoding.EncodeToString(b) + `"}`
}

func TestParseArgs(t *testing.T) {
	for _, test := range []struct {
		name, in, want string
		atts           [][]byte
	}{
		{"nothing", `[]`, ``, nil},
		{"null", ` null `, ``, nil},
		{"as it is", ` [1e400, 12345678901234567890 ,"\u00e9<&>"] `, `1e400, 12345678901234567890 ,"\u00e9<&>"`, nil},
		{"binary", `[` + bin(1, 2) + `]`, placeholder(0), [][]byte{{1, 2}}},
		{"empty binary", `[` + bin() + `]`, placeholder(0), [][]byte{{}}},
		{
			"everywhere", `[{"a":[` + bin(1) + `,{"b":` + bin(2) + `}]}, "x", ` + bin(3) + ` ]`,
			`{"a":[` + placeholder(0) + `,{"b":` + placeholder(1) + `}]}, "x", ` + placeholder(2),
			[][]byte{{1}, {2}, {3}},
		},
		{"spaces", "[ { \"$binary\" \t:\n\"AQ==\" } ]", placeholder(0), [][]byte{{1}}},
		{"escaped name", `[{"\u0024binary":"AQ=="}]`, placeholder(0), [][]byte{{1}}},
		{"escaped slash, as by PHP", `[{"$binary":"\/\/8="}]`, placeholder(0), [][]byte{{0xff, 0xff}}},
		{"lines, as by MIME", `[{"$binary":"AQ\r\n=="}]`, placeholder(0), [][]byte{{1}}},
		{"inside itself", `[{"$binary":` + bin(1) + `}]`, `{"$binary":` + placeholder(0) + `}`, [][]byte{{1}}},
		{"more members", `[{"$binary":"AQ==","x":1}]`, `{"$binary":"AQ==","x":1}`, nil},
		{"not the first member", `[{"x":1,"$binary":"AQ=="}]`, `{"x":1,"$binary":"AQ=="}`, nil},
		{"not a text", `[{"$binary":5},{"$binary":null},{"$binary":["AQ=="]}]`, `{"$binary":5},{"$binary":null},{"$binary":["AQ=="]}`, nil},
		{"in a text", `["{\"$binary\":\"AQ==\"}"]`, `"{\"$binary\":\"AQ==\"}"`, nil},
		{"placeholder alone", `[` + placeholder(0) + `]`, placeholder(0), nil},
		{"like a placeholder", `[{"_placeholder":"your name","num":0},` + bin(1) + `]`, `{"_placeholder":"your name","num":0},` + placeholder(0), [][]byte{{1}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := ParseArgs([]byte(test.in))
			if err != nil || string(a.JSON()) != test.want || !reflect.DeepEqual(a.Attachments(), test.atts) {
				t.Errorf("got %s %x %v", a, a.Attachments(), err)
			}
		})
	}
}

func TestParseArgsRefuses(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if _, err := ParseArgs([]byte(deep(128))); err != nil { // HRD-05
		t.Error(err)
	}
	for name, in := range map[string]string{
		"nothing":             ``,
		"object":              `{"0":1}`,
		"text":                `"[]"`,
		"two arrays":          `[1],[2]`,
		"cut":                 `[1`,
		"rest":                `[1]]`,
		"comma":               `[1,]`,
		"not JSON":            `[nope]`,
		"too deep":            deep(129),
		"far too deep":        deep(400_000),
		"not UTF-8":           "[\"\xff\"]",
		"not base64":          `[{"$binary":"?"}]`,
		"no padding":          `[{"$binary":"AQ"}]`,
		"URL alphabet":        `[{"$binary":"__8="}]`,
		"loose bits":          `[{"$binary":"AR=="}]`,
		"a claim":             `[` + placeholder(0) + `,` + bin(1) + `]`,
		"an escaped claim":    `[{"\u005fplaceholder": true,"num":0},` + bin(1) + `]`,
		"a wrong claim":       `[{"_placeholder":true,"num":-1},` + bin(1) + `]`,
		"a claim in the deep": `[` + bin(1) + `,[[{"a":{"x":1,"_placeholder":true,"num":0}}]]]`,
		"too many":            `[` + strings.Repeat(bin(1)+",", maxBinary) + bin(1) + `]`,
	} {
		if a, err := ParseArgs([]byte(in)); err == nil {
			t.Errorf("%s: taken for %.100s", name, a)
		}
	}
	_, err := ParseArgs([]byte(`[{"a":[1,2]},"x,y",{"$binary":"?"}]`))
	if err == nil || err.Error() != "argument 2: $binary is not base64" {
		t.Error(err)
	}
}

// Every prefix of valid arguments is refused, and nothing else happens.
func TestParseArgsPrefixes(t *testing.T) {
	whole := `[{"a":[` + bin(1, 2, 3) + `,{"\u0024binary":"AQ=="}]},"\\\"",-1.5e3]`
	for i := range len(whole) {
		if a, err := ParseArgs([]byte(whole[:i])); err == nil {
			t.Errorf("%s is taken for %s", whole[:i], a)
		}
	}
}

func TestArgsInJSON(t *testing.T) {
	made, err := node.NewArgs(map[string]any{"photo": []byte("jpeg")}, "<b>", node.Binary{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := Args{made}.Append(nil)
	want := `[{"photo":{"$binary":"anBlZw=="}},"<b>",{"$binary":""}]`
	if err != nil || string(text) != want {
		t.Errorf("got %s %v", text, err)
	}
	in := []byte(`{"args":` + want + `}`)
	var w struct {
		Args Args `json:"args,omitzero"`
		None Args `json:"none,omitzero"`
	}
	if err := json.Unmarshal(in, &w); err != nil {
		t.Fatal(err)
	}
	clear(in) // what encoding/json hands over is its own
	if !bytes.Equal(w.Args.JSON(), made.JSON()) || !reflect.DeepEqual(w.Args.Attachments(), made.Attachments()) {
		t.Errorf("got %s %q", w.Args, w.Args.Attachments())
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w); err != nil || buf.String() != `{"args":`+want+"}\n" {
		t.Errorf("got %s %v", buf.String(), err)
	}
	if w.Args.Size() != len(made.JSON())+4 {
		t.Error(w.Args.Size())
	}
	if text, err := (Args{}).Append(nil); err != nil || string(text) != "[]" {
		t.Errorf("got %s %v", text, err)
	}
}

func TestCheckJSON(t *testing.T) {
	for raw, ok := range map[string]bool{
		`{"a":1}`: true, ` 1 `: true, ``: false, `1,2`: false, `{`: false, "\"\xff\"": false,
		strings.Repeat("[", 128) + strings.Repeat("]", 128): false,
	} {
		if err := CheckJSON([]byte(raw)); (err == nil) != ok {
			t.Errorf("%.50s: %v", raw, err)
		}
	}
}

// pair is a member of an object; objects are lists of them, so that doubles count.
type pair struct {
	name  string
	value any
}

// tree reads arguments the slow way: as values, with binary ones where the text has
// them. atts collects these in their order.
func tree(t *testing.T, raw []byte, atts *[][]byte) any {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v := treeValue(t, d, atts)
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("rest: %v", err)
	}
	return v
}

func treeValue(t *testing.T, d *json.Decoder, atts *[][]byte) any {
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	switch token {
	case json.Delim('['):
		list := []any{}
		for d.More() {
			list = append(list, treeValue(t, d, atts))
		}
		_, _ = d.Token()
		return list
	case json.Delim('{'):
		object := []pair{}
		for d.More() {
			name, _ := d.Token()
			object = append(object, pair{name.(string), treeValue(t, d, atts)})
		}
		_, _ = d.Token()
		if len(object) == 1 && object[0].name == "$binary" {
			if text, ok := object[0].value.(string); ok {
				b, err := base64.StdEncoding.Strict().DecodeString(text)
				if err != nil {
					t.Fatalf("not base64: %q", text)
				}
				*atts = append(*atts, b)
				return node.Binary(b)
			}
		}
		return object
	}
	return token
}

// What is read means the same as the text, and what is written the same again.
func FuzzParseArgs(f *testing.F) {
	for _, in := range []string{
		`[]`, `null`, `[1,"a",null]`, `[` + bin(1, 2) + `,{"x":` + bin() + `}]`, `[{"\u0024binary":"\/\/8="}]`,
		`[` + placeholder(0) + `]`, `[` + placeholder(0) + `,` + bin(1) + `]`, `[{"$binary":{"$binary":"AQ=="}}]`,
		`[{"$binary":"AQ==","$binary":"AQ=="}]`, `[{"_placeholder":"x","num":0},` + bin(1) + `]`, `[1e400,-0,"\ud800"]`,
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := ParseArgs(bytes.Clone(raw))
		if err != nil {
			return
		}
		if string(trim(raw)) == "null" {
			raw = []byte("[]")
		}
		out, err := a.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		var before, after [][]byte
		if want, got := tree(t, raw, &before), tree(t, out, &after); !reflect.DeepEqual(want, got) {
			t.Fatalf("%s became %s", raw, out)
		}
		if len(before) != len(a.Attachments()) || len(before) > 0 && !reflect.DeepEqual(before, a.Attachments()) {
			t.Fatalf("attachments of %s: %x", raw, a.Attachments())
		}
		again, err := ParseArgs(out)
		if err != nil || !bytes.Equal(again.JSON(), a.JSON()) || !reflect.DeepEqual(again.Attachments(), a.Attachments()) {
			t.Fatalf("%s became %s (%v)", a, again, err)
		}
	})
}

func TestArgsAllocate(t *testing.T) {
	plain := []byte(`["say",{"room":"general","text":"hello"},17]`)
	if n := testing.AllocsPerRun(100, func() { _, _ = ParseArgs(plain) }); n != 0 {
		t.Errorf("parsing allocates %v times", n)
	}
	a, err := ParseArgs([]byte(`[` + bin(make([]byte, 1000)...) + `,"x"]`))
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { _, _ = a.Append(dst) }); n > 1 { // the closure
		t.Errorf("writing allocates %v times", n)
	}
}

func BenchmarkArgs(b *testing.B) {
	text := []byte(`[{"room":"general","text":"` + strings.Repeat("x", 100) + `"},17]`)
	photo := []byte(`[{"photo":` + bin(make([]byte, 10_000)...) + `},17]`)
	for _, in := range []struct {
		name string
		raw  []byte
	}{{"text", text}, {"binary=10000", photo}} {
		b.Run("Parse/"+in.name, func(b *testing.B) {
			b.SetBytes(int64(len(in.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseArgs(in.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Append/"+in.name, func(b *testing.B) {
			a, err := ParseArgs(in.raw)
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, len(in.raw))
			b.SetBytes(int64(len(in.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if dst, err = a.Append(dst[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
