package args

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Name string `json:"name"`
	Blob []byte `json:"blob,omitempty"`
}

type Embedded struct {
	Shadow string `json:"shadow"`
	Deep   Binary `json:"deep"`
}

type pointerMarshaler struct{ B []byte }

func (p *pointerMarshaler) MarshalJSON() ([]byte, error) { return []byte(`"mine"`), nil }

type outer struct {
	*Embedded
	Shadow string            `json:"shadow"`
	Inner  inner             `json:"inner"`
	List   []inner           `json:"list"`
	Map    map[string]*inner `json:"map,omitempty"`
	Ints   map[int]Binary    `json:"ints,omitempty"`
	Any    any               `json:"any"`
	Count  int64             `json:"count,string"`
	Text   string            `json:",string"`
	Skip   []byte            `json:"-"`
	When   time.Time         `json:"when,omitzero"`
	IP     net.IP            `json:"ip,omitempty"`
	Own    *pointerMarshaler `json:"own,omitempty"`
	Raw    json.RawMessage   `json:"raw,omitempty"`
	Array  [2]Binary         `json:"array"`
	Next   *outer            `json:"next,omitempty"`
}

func encode(t *testing.T, values ...any) (string, [][]byte) {
	t.Helper()
	raw, atts, err := Append(nil, nil, values...)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid([]byte("[" + string(raw) + "]")) {
		t.Fatalf("not JSON: %s", raw)
	}
	return string(raw), atts
}

func ph(n string) string { return `{"_placeholder":true,"num":` + n + `}` }

func TestAppend(t *testing.T) {
	b1, b2 := []byte{1}, Binary{2, 3}
	for _, test := range []struct {
		name   string
		values []any
		want   string
		atts   [][]byte
	}{
		{"none", nil, ``, nil},
		{"None", []any{None{}, None{}}, ``, nil},
		{"scalars", []any{nil, true, 1, int64(-2), uint64(3), 1.5, float32(2.5), uint8(4)}, `null,true,1,-2,3,1.5,2.5,4`, nil},
		{"floats", []any{1e21, 1e-7, 1e-9, 0.0, 123456789.0}, `1e+21,1e-7,1e-9,0,123456789`, nil},
		{"strings", []any{"a", "<&>", "\"\\\n\r\t\x1e\x00", "é😀", "\xff"}, `"a","<&>","\"\\\n\r\t\u001e\u0000","é😀","\ufffd"`, nil},
		{"raw", []any{json.RawMessage(`{"a": 1}`), json.RawMessage(nil)}, `{"a": 1},null`, nil},
		{"binary", []any{b1, b2, []byte(nil), Binary{}}, ph("0") + "," + ph("1") + ",null," + ph("2"), [][]byte{b1, b2, {}}},
		{
			"order of SIO-B-01",
			[]any{map[string]any{"a": []any{b1, map[string]any{"b": b2}}, "c": b1}, b2},
			`{"a":[` + ph("0") + `,{"b":` + ph("1") + `}],"c":` + ph("2") + `},` + ph("3"),
			[][]byte{b1, b2, b1, b2},
		},
		{"struct without binary", []any{struct{ A, B string }{"<", "b"}}, `{"A":"<","B":"b"}`, nil},
		{"struct", []any{inner{"n", b1}, &inner{Name: "m"}}, `{"name":"n","blob":` + ph("0") + `},{"name":"m"}`, [][]byte{b1}},
		{"maps", []any{map[int]Binary{2: b2, 1: nil}, map[string]Binary(nil)}, `{"1":null,"2":` + ph("0") + `},null`, [][]byte{b2}},
		{"text marshalers", []any{net.IPv4(1, 2, 3, 4)}, `"1.2.3.4"`, nil},
		{"tuple", []any{Tuple3[int, None, Binary]{A: 1, C: b1}, "x"}, `1,` + ph("0") + `,"x"`, [][]byte{b1}},
		{"args", []any{b1, Make([]byte(`"{",`+ph("0")+`,[`+ph("1")+`]`), [][]byte{b2, b1}), Args{}}, ph("0") + `,"{",` + ph("1") + `,[` + ph("2") + `]`, [][]byte{b1, b2, b1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			raw, atts := encode(t, test.values...)
			if raw != test.want {
				t.Errorf("got  %s\nwant %s", raw, test.want)
			}
			if !reflect.DeepEqual(atts, test.atts) {
				t.Errorf("attachments %v, want %v", atts, test.atts)
			}
		})
	}
}

func TestAppendContinues(t *testing.T) {
	raw, atts, err := Append([]byte(`["x",`), [][]byte{{9}}, Binary{1})
	if err != nil || string(raw) != `["x",`+ph("1") || len(atts) != 2 {
		t.Fatalf("%s %v %v", raw, atts, err)
	}
}

type loop struct {
	Blob []byte
	Next *loop
}

func TestAppendErrors(t *testing.T) {
	self := &loop{}
	self.Next = self
	list := []any{nil}
	list[0] = list
	for name, v := range map[string]any{
		"channel": make(chan int), "NaN": math.NaN(), "bad raw": json.RawMessage(`{`), "cycle": self, "list cycle": list,
		"function in a struct": struct {
			B []byte
			F func()
		}{F: func() {}},
	} {
		raw, atts, err := Append([]byte("x"), nil, "ok", Binary{1}, v)
		if err == nil || string(raw) != "x" || len(atts) != 0 {
			t.Errorf("%s: %s, %d attachments, error %v", name, raw, len(atts), err)
		}
	}
}

// What looks like a placeholder is an ordinary value in a packet without
// attachments (SIO-M-22) and refused in one with them.
func TestStrayPlaceholder(t *testing.T) {
	fake := json.RawMessage(`{"num":7, "_placeholder":true}`)
	if _, _, err := Append(nil, nil, fake); err != nil {
		t.Error(err)
	}
	if _, _, err := Append(nil, nil, fake, Binary{1}); !errors.Is(err, ErrPlaceholder) {
		t.Error(err)
	}
	if _, _, err := Append(nil, nil, Binary{1}, Make([]byte(`[`+string(fake)+`]`), nil)); !errors.Is(err, ErrPlaceholder) {
		t.Error(err)
	}
	encode(t, Binary{1}, "_placeholder", map[string]any{"_placeholder": true}, `{"_placeholder":true,"num":0}`)
}

func sample() outer {
	return outer{
		Embedded: &Embedded{Shadow: "hidden", Deep: Binary("deep")},
		Shadow:   "seen",
		Inner:    inner{"a", []byte("blob")},
		List:     []inner{{"b", nil}, {"c", []byte{0}}},
		Map:      map[string]*inner{"x": {"d", []byte("x")}, "nil": nil},
		Ints:     map[int]Binary{3: Binary("three")},
		Any:      map[string]any{"k": []any{Binary("any"), "s", 1.5, nil, true}},
		Count:    1 << 60,
		Text:     "quoted \"text\"",
		When:     time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC),
		IP:       net.IPv4(1, 2, 3, 4),
		Raw:      json.RawMessage(`{"r":[]}`),
		Array:    [2]Binary{Binary("0"), nil},
		Next:     &outer{Inner: inner{Name: "next"}, Any: "leaf"},
	}
}

func TestRoundTrip(t *testing.T) {
	in := sample()
	raw, atts := encode(t, in)
	var out outer
	if err := Bind([]byte(raw), atts, &out); err != nil {
		t.Fatal(err)
	}
	in.Embedded.Shadow = "" // not visible
	if !reflect.DeepEqual(in, out) {
		t.Errorf("in  %+v\nout %+v\nraw %s", in, out, raw)
	}
}

// With attachments written as base64 the text is what encoding/json makes.
func TestLikeEncodingJSON(t *testing.T) {
	in := sample()
	in.Own = &pointerMarshaler{B: []byte("x")}
	for name, v := range map[string]any{"value": in, "pointer": &in, "slice": []outer{in}, "map": map[string]outer{"b": in, "a": {}}, "zero": outer{}} {
		raw, atts := encode(t, v)
		for i, a := range atts {
			text, _ := json.Marshal(a)
			raw = strings.Replace(raw, ph(string(rune('0'+i))), string(text), 1)
		}
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if raw+"\n" != want.String() {
			t.Errorf("%s\ngot  %s\nwant %s", name, raw, want.String())
		}
	}
}

func bind[T any](t *testing.T, raw string, atts ...[]byte) T {
	t.Helper()
	var v T
	if err := Bind([]byte(raw), atts, &v); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return v
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

func TestBind(t *testing.T) {
	a := []byte("att")
	equal(t, bind[string](t, `"x"`), "x")
	equal(t, bind[string](t, `"\u00e9\n"`), "é\n")
	equal(t, bind[int](t, `-12`), -12)
	equal(t, bind[float64](t, `1e3`), 1000.0)
	equal(t, bind[json.RawMessage](t, `[1]`), json.RawMessage(`[1]`))
	equal(t, bind[Binary](t, ph("0"), a), Binary(a))
	equal(t, bind[[]byte](t, ` { "num" : 0 , "_placeholder" : true } `, a), a)
	equal(t, bind[any](t, ph("0"), a), any(Binary(a)))
	equal(t, bind[*Binary](t, `null`, a), (*Binary)(nil))
	equal(t, *bind[*Binary](t, ph("0"), a), Binary(a))
	equal(t, bind[Binary](t, `"YXR0"`, a), Binary(a))
	equal(t, bind[[]Binary](t, `[`+ph("1")+`,`+ph("0")+`,null]`, a, []byte{}), []Binary{{}, a, nil})
	equal(t, bind[[1][]byte](t, `[`+ph("0")+`,`+ph("0")+`]`, a), [1][]byte{a})
	equal(t, bind[any](t, `[{"b":`+ph("0")+`,"n":[]},1,"s",null,{}]`, a), any([]any{map[string]any{"b": Binary(a), "n": []any{}}, 1.0, "s", nil, map[string]any{}}))
	equal(t, bind[map[string]any](t, `{"x":{"num":0}}`, a), map[string]any{"x": map[string]any{"num": 0.0}})
	equal(t, bind[inner](t, `{"NAME":"n","unknown":[`+ph("0")+`],"Blob":`+ph("0")+`}`, a), inner{"n", a})
	equal(t, bind[any](t, ph("0")), any(map[string]any{"_placeholder": true, "num": 0.0})) // SIO-M-22
}

func TestBindErrors(t *testing.T) {
	a := []byte("att")
	for _, test := range []struct {
		raw string
		v   any
	}{
		{ph("0"), new(string)},
		{ph("0"), new(inner)},
		{ph("0"), new([]string)},
		{ph("0"), new(map[string]any)},
		{ph("1"), new(Binary)},
		{`{"name":` + ph("0") + `}`, new(inner)},
		{`[1]`, new(inner)},
		{`[1] x`, new([]any)},
		{`[1`, new([]any)},
		{`{"a" 1}`, new(map[string]any)},
		{`{"a":`, new(any)},
		{`{"blob":1}`, new(inner)},
		{strings.Repeat("[", 100_000), new(any)},
		{ph("0"), inner{}},
		{ph("0"), (*string)(nil)},
		{`"x"`, (*string)(nil)},
	} {
		if err := Bind([]byte(test.raw), [][]byte{a}, test.v); err == nil {
			t.Errorf("%.40s into %T: no error", test.raw, test.v)
		}
	}
}

func TestNotPlaceholders(t *testing.T) {
	for _, raw := range []string{
		`{"_placeholder":true}`, `{"_placeholder":true,"num":0,"x":1}`, `{"_placeholder":"true","num":0}`, `{"_placeholder":true,"num":-1}`,
		`{"_placeholder":true,"num":00}`, `{"_placeholder":true,"num":0.5}`, `{"_placeholder":true,"num":"0"}`, `{"num":0,"num":0}`,
		`{"_placeholder":true,"num":9999999}`, `{`, `{"_placeholder"`, `{"_placeholder":true,`, `{}`, `{"a`, `{"num":`, `{"num":0,"_placeholder":true`,
	} {
		if _, _, ok := parsePlaceholder([]byte(raw)); ok {
			t.Errorf("%s taken for a placeholder", raw)
		}
	}
}

func TestArgs(t *testing.T) {
	a := Make([]byte(`1 , "b,]" ,{"c":[1,2]}, `+ph("0")), [][]byte{{7}})
	equal(t, a.Len(), 4)
	equal(t, string(a.Raw(1)), `"b,]"`)
	equal(t, string(a.Raw(2)), `{"c":[1,2]}`)
	equal(t, a.Raw(4), json.RawMessage(nil))
	var n int
	var s string
	var b Binary
	if err := a.BindAll(&n, &s, new(any), &b, &n); err != nil || n != 1 || s != "b,]" || len(b) != 1 {
		t.Error(n, s, b, err)
	}
	if err := a.Bind(1, &n); err == nil || !strings.Contains(err.Error(), "argument 1") {
		t.Error(err)
	}
	equal(t, Make(nil, nil).Len(), 0)
	of, err := Of(1, Binary{2})
	equal(t, err, nil)
	equal(t, of.String(), `[1,`+ph("0")+`]`)
	hex := func(dst, b []byte) []byte { return fmt.Appendf(dst, `"%x"`, b) }
	text, err := a.AppendJSON([]byte("["), hex)
	equal(t, err, nil)
	equal(t, string(text), `[1 , "b,]" ,{"c":[1,2]}, "07"`)
	if _, err = Make([]byte(ph("1")), [][]byte{{7}}).AppendJSON(nil, hex); err == nil {
		t.Error("a placeholder without its attachment")
	}
}

func TestDecode(t *testing.T) {
	a := Make([]byte(`1,"x",true`), nil)
	one, err := Decode[int](a)
	equal(t, err, nil)
	equal(t, one, 1)
	two, err := Decode[Tuple2[int, string]](a)
	equal(t, err, nil)
	equal(t, two, Tuple2[int, string]{1, "x"})
	three, err := Decode[Tuple3[int, string, bool]](a)
	equal(t, err, nil)
	equal(t, three.C, true)
	all, err := Decode[Args](a)
	equal(t, err, nil)
	equal(t, all.Len(), 3)
	_, err = Decode[None](a)
	equal(t, err, nil)
	zero, err := Decode[*inner](Args{})
	equal(t, err, nil)
	equal(t, zero, (*inner)(nil))
	if _, err := Decode[Tuple2[string, string]](a); err == nil {
		t.Error("no error")
	}
}

// Truncated and arbitrary input must end.
func FuzzBind(f *testing.F) {
	raw, _, _ := Append(nil, nil, sample())
	f.Add(raw)
	f.Add([]byte(`[{"_placeholder":true,"num":0}]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		atts := [][]byte{{1}, {2}}
		for _, v := range []any{new(any), new(outer), new([]Binary), new(map[string]Binary)} {
			_ = Bind(raw, atts, v)
		}
		a := Make(raw, atts)
		_ = a.Len()
		_, _, _ = Append(nil, nil, Binary{}, a)
		if json.Valid(raw) {
			var v, w any
			if err := Bind(raw, [][]byte{}, &v); err == nil {
				_ = json.Unmarshal(raw, &w)
				equal(t, v, w)
			}
		}
	})
}

func TestPrefixes(t *testing.T) {
	raw, atts := encode(t, sample())
	for i := range len(raw) {
		var v outer
		if err := Bind([]byte(raw[:i]), atts, &v); err == nil {
			t.Errorf("prefix of %d bytes: no error", i)
		}
	}
}

type message struct {
	Room string `json:"room"`
	Text string `json:"text"`
	N    int    `json:"n"`
}

func BenchmarkAppend(b *testing.B) {
	for name, v := range map[string]any{
		"string": strings.Repeat("x", 128), "struct": message{"room", strings.Repeat("x", 100), 7}, "raw": json.RawMessage(`{"a":"` + strings.Repeat("x", 120) + `"}`),
		"binary": Binary(make([]byte, 128)), "map": map[string]any{"a": 1, "b": "x", "c": Binary{1}}, "nested": inner{"n", []byte{1}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			dst, atts, values := make([]byte, 0, 512), make([][]byte, 0, 4), []any{v}
			for b.Loop() {
				if _, _, err := Append(dst, atts, values...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	text := Make([]byte(`"`+strings.Repeat("x", 128)+`"`), nil)
	object, _ := Of(message{"room", strings.Repeat("x", 100), 7})
	nested, _ := Of(inner{"n", []byte{1}})
	b.Run("string", func(b *testing.B) { benchDecode[string](b, text) })
	b.Run("struct", func(b *testing.B) { benchDecode[message](b, object) })
	b.Run("nested", func(b *testing.B) { benchDecode[inner](b, nested) })
	b.Run("any", func(b *testing.B) { benchDecode[any](b, nested) })
}

func benchDecode[T any](b *testing.B, a Args) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode[T](a); err != nil {
			b.Fatal(err)
		}
	}
}
