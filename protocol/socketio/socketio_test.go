package socketio

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"unsafe"

	"github.com/fanwire/fanwire/protocol/testdata"
)

// TestDecodeAllocates guards the hot path (design.md section 5): an ordinary
// event costs no allocation, whatever its namespace.
func TestDecodeAllocates(t *testing.T) {
	for _, text := range []string{
		`2["say",1,"hi"]`,
		`2/chat,12["message",{"id":1,"tags":["a","b"],"text":"a \"quoted\" text, über alles"}]`,
		`2[5,{"a":{"b":[[[]]]}}]`,
		`3/chat,7[]`,
		`37["ok",{"a":1}]`,
		`0/chat,{"token":"x"}`,
		`1/chat,`,
	} {
		d := Text.NewDecoder(Limits{})
		data := []byte(text)
		var p Packet
		n := testing.AllocsPerRun(100, func() {
			if ok, err := d.Decode(data, false, &p); !ok || err != nil {
				t.Fatal(ok, err)
			}
			for range SplitArgs(p.Args) {
				continue
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func TestEncodeAllocates(t *testing.T) {
	p := &Packet{Type: Event, Namespace: "/chat", ID: 1, HasID: true, Data: []byte(`["a",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1}}}
	buf := make([]byte, 0, 256)
	n := testing.AllocsPerRun(100, func() {
		if _, _, _, err := Text.Encode(buf, p); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReservedAllocates(t *testing.T) {
	for _, name := range []string{"say", "connect", "removeListener", strings.Repeat("long", 60)} {
		raw := []byte(name)
		if n := testing.AllocsPerRun(100, func() { Reserved(raw) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if Reserved(raw) != Reserved(name) {
			t.Errorf("%s: text and bytes differ", name)
		}
	}
}

func TestDecoderSize(t *testing.T) {
	if size := unsafe.Sizeof(textDecoder{}); size > 48 {
		t.Errorf("an idle decoder takes %d bytes", size)
	}
}

func TestPending(t *testing.T) {
	d := Text.NewDecoder(Limits{})
	var p Packet
	text := []byte(`52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]`)
	for i, step := range []struct {
		data     []byte
		binary   bool
		complete bool
	}{{text, false, false}, {[]byte("x"), true, false}, {[]byte("y"), true, true}} {
		if complete, err := d.Decode(step.data, step.binary, &p); complete != step.complete || err != nil {
			t.Fatalf("message %d: complete %v, error %v", i, complete, err)
		}
		if d.Pending() == step.complete {
			t.Fatalf("message %d: Pending is %v", i, d.Pending())
		}
	}
	if p.Type != Event || len(p.Attachments) != 2 || string(p.Attachments[1]) != "y" {
		t.Fatalf("%+v", p)
	}
	// The decoder is as new.
	if complete, err := d.Decode([]byte(`2["b"]`), false, &p); !complete || err != nil || string(p.Event) != "b" || p.Attachments != nil {
		t.Fatalf("complete %v, error %v, %+v", complete, err, p)
	}
}

// TestOfficialTexts pins the words of the official parser (SIO-M).
func TestOfficialTexts(t *testing.T) {
	for text, want := range map[string]string{
		`7`:            "unknown packet type 7",
		`a`:            "unknown packet type NaN",
		``:             "unknown packet type undefined",
		`2{}`:          "invalid payload",
		`50-["a"]`:     "illegal attachments",
		`511-["a"]`:    "too many attachments",
		`2["connect"]`: "invalid payload",
	} {
		var p Packet
		if _, err := Text.NewDecoder(Limits{}).Decode([]byte(text), false, &p); err == nil || err.Error() != want {
			t.Errorf("%q: %v, not %s", text, err, want)
		}
	}
	d := Text.NewDecoder(Limits{})
	var p Packet
	if _, err := d.Decode([]byte("x"), true, &p); !errors.Is(err, ErrBinary) || err.Error() != "got binary data when not reconstructing a packet" {
		t.Error(err)
	}
	if _, err := d.Decode([]byte(`51-["a"]`), false, &p); err != nil {
		t.Error(err)
	}
	if _, err := d.Decode([]byte(`2["a"]`), false, &p); !errors.Is(err, ErrText) || err.Error() != "got plaintext data when reconstructing a packet" {
		t.Error(err)
	}
}

// TestLimits moves each limit and tries both sides of it.
func TestLimits(t *testing.T) {
	binary := `52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`
	for _, c := range []struct {
		name  string
		lim   Limits
		texts []string // the attachments are xxxx each
		want  error
	}{
		{"attachments at it", Limits{Attachments: 2}, []string{binary}, nil},
		{"attachments over it", Limits{Attachments: 1}, []string{binary}, ErrTooManyAttachments},
		{"attachments never over 999", Limits{Attachments: 5000}, []string{`51000-["a"]`}, ErrTooManyAttachments},
		{"depth at it", Limits{Depth: 2}, []string{`2["a",[1]]`}, nil},
		{"depth over it", Limits{Depth: 2}, []string{`2["a",[[1]]]`}, ErrDepth},
		{"depth of one", Limits{Depth: 1}, []string{`2["a",1]`}, nil},
		{"depth far up", Limits{Depth: 5000}, []string{`2["a",` + strings.Repeat("[", 4999) + strings.Repeat("]", 4999) + `]`}, nil},
		{"event at it", Limits{EventName: 3}, []string{`2["abc"]`}, nil},
		{"event over it", Limits{EventName: 3}, []string{`2["abcd"]`}, ErrEventName},
		{"namespace at it", Limits{Namespace: 3}, []string{`2/ab,["a"]`}, nil},
		{"namespace over it", Limits{Namespace: 3}, []string{`2/abc,["a"]`}, ErrNamespace},
		{"bytes of text at it", Limits{Bytes: 6}, []string{`2["a"]`}, nil},
		{"bytes of text over it", Limits{Bytes: 5}, []string{`2["a"]`}, ErrTooLarge},
		{"bytes of all at it", Limits{Bytes: len(binary) + 8}, []string{binary}, nil},
		{"bytes of all over it", Limits{Bytes: len(binary) + 7}, []string{binary}, ErrTooLarge},
	} {
		d := Text.NewDecoder(c.lim)
		var p Packet
		var err error
		for _, text := range c.texts {
			_, err = d.Decode([]byte(text), false, &p)
		}
		for d.Pending() && err == nil {
			_, err = d.Decode([]byte("xxxx"), true, &p)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", c.name, err, c.want)
		}
	}
}

// TestHugeCounts decodes what announces more than it brings (HRD-03).
func TestHugeCounts(t *testing.T) {
	for _, text := range []string{`5100000000-["x"]`, `5` + strings.Repeat("1", 100_000), `510-["x"]`, `2["x",` + strings.Repeat("[", 400_000)} {
		n := testdata.Allocated(func() {
			var p Packet
			_, _ = Text.NewDecoder(Limits{}).Decode([]byte(text), false, &p)
		})
		if n > uint64(len(text))+64<<10 {
			t.Errorf("%.20s: %d bytes", text, n)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	eleven := make([][]byte, 11)
	for _, c := range []struct {
		p      Packet
		parser Parser
		want   error
	}{
		{Packet{Type: 7}, Text, ErrEncodeType},
		{Packet{Type: Connect, Attachments: eleven[:1]}, Text, ErrEncodeAttachments},
		{Packet{Type: Event, Attachments: eleven}, Text, ErrEncodeAttachments},
		{Packet{Type: Event, Attachments: eleven}, TextParser{MaxAttachments: 11}, nil},
		{Packet{Type: BinaryAck, Attachments: eleven[:10]}, Text, nil},
	} {
		if _, _, _, err := c.parser.Encode(nil, &c.p); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, not %v", c.p, err, c.want)
		}
	}
}

func TestAppendHeader(t *testing.T) {
	for _, c := range []struct {
		t           Type
		attachments int
		namespace   string
		id          uint64
		hasID       bool
		want        string
	}{
		{Event, 0, "/", 0, false, "x2"},
		{Event, 0, "", 0, true, "x20"},
		{Event, 2, "/a", 3, true, "x52-/a,3"},
		{BinaryEvent, 0, "/", 0, false, "x2"},
		{BinaryAck, 1, "/", 7, true, "x61-7"},
		{Ack, 0, "/a", maxID, true, "x3/a,9007199254740991"},
		{Connect, 0, "/a", 0, false, "x0/a,"},
	} {
		if got := AppendHeader([]byte("x"), c.t, c.attachments, c.namespace, c.id, c.hasID); string(got) != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestReplacePlaceholders(t *testing.T) {
	letter := func(dst []byte, num int) []byte { return append(dst, 'A'+byte(num)) }
	for _, c := range []struct {
		data string
		n    int
		want string
	}{
		{`[]`, 1, `>[]`},
		{`["a",{"_placeholder":true,"num":1}, {"x":[{ "num" :0,"_placeholder":true}]}]`, 2, `>["a",B, {"x":[A]}]`},
		{`{"_placeholder":true,"num":0}`, 1, `>A`},
		{`{"_placeholder":true,"num":5}`, 0, `>{"_placeholder":true,"num":5}`},
		{`"{\"_placeholder\":true,\"num\":5}"`, 1, `>"{\"_placeholder\":true,\"num\":5}"`},
	} {
		got, err := ReplacePlaceholders([]byte(">"), []byte(c.data), c.n, letter)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v", c.data, got, err)
		}
	}
	if _, err := ReplacePlaceholders(nil, []byte(`[{"_placeholder":true,"num":1}]`), 1, letter); !errors.Is(err, ErrAttachments) {
		t.Error(err)
	}
}

func TestNumber(t *testing.T) {
	for raw, want := range map[string]string{
		"0": "0", "-0": "0", "1": "1", "-1": "-1", "999999999999999": "999999999999999", "-0.0": "0", "1e2": "100", "1E+2": "100",
		"100000000000000000000": "100000000000000000000", "1e20": "100000000000000000000", "1e21": "1e+21", "1.5e300": "1.5e+300",
		"0.000001": "0.000001", "0.0000001": "1e-7", "1.25e-9": "1.25e-9", "1e-10": "1e-10", "1e-400": "0", "1e400": "Infinity", "-1e400": "-Infinity",
		"123456789012345678": "123456789012345680",
	} {
		if got := number([]byte(raw)); string(got) != want {
			t.Errorf("%s: %s, not %s", raw, got, want)
		}
	}
	// encoding/json prints numbers as JavaScript does.
	for _, f := range []float64{math.Pi, 1e6, 1e-6, 1e-7, 9e20, 1e21, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, -2.5e-8} {
		want, _ := json.Marshal(f)
		if got := appendNumber(nil, f); string(got) != string(want) {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

// TestValid compares with encoding/json over all short texts of an alphabet that
// reaches every state.
func TestValid(t *testing.T) {
	const alphabet = `[]{}",:0.-eE\u1tnx` + " \n\x1e"
	var try func(text []byte, left int)
	try = func(text []byte, left int) {
		if Valid(text, 0) != json.Valid(text) {
			t.Fatalf("Valid(%q) is %v", text, Valid(text, 0))
		}
		if left == 0 {
			return
		}
		for i := range len(alphabet) {
			try(append(text, alphabet[i]), left-1)
		}
	}
	try(make([]byte, 0, 8), 4)
}

// CheckArgs takes what Valid takes between brackets.
func TestCheckArgs(t *testing.T) {
	const alphabet = `[]{}",:0t1` + " \n"
	var try func(text []byte, left int)
	try = func(text []byte, left int) {
		if err := CheckArgs(text, 0); (err == nil) != json.Valid([]byte("["+string(text)+"]")) {
			t.Fatalf("CheckArgs(%q): %v", text, err)
		}
		if left == 0 {
			return
		}
		for i := range len(alphabet) {
			try(append(text, alphabet[i]), left-1)
		}
	}
	try(make([]byte, 0, 8), 4)
	deep := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	for _, test := range []struct {
		args        []byte
		attachments int
		want        error
	}{
		{deep(127), 0, nil},
		{deep(128), 0, ErrDepth},
		{[]byte(`1,{"_placeholder":true,"num":1}`), 2, nil},
		{[]byte(`1,{"_placeholder":true,"num":2}`), 2, ErrAttachments},
		{[]byte(`1,{"_placeholder":true,"num":2}`), 0, nil},
		{[]byte(`1,{"_placeholder":true,"num":-2}`), 2, ErrAttachments},
	} {
		if err := CheckArgs(test.args, test.attachments); err != test.want {
			t.Errorf("%.50s: %v, want %v", test.args, err, test.want)
		}
	}
}

// TestValidDocuments compares with encoding/json over cut and changed documents.
func TestValidDocuments(t *testing.T) {
	compare := func(text []byte) {
		if Valid(text, 0) != json.Valid(text) {
			t.Fatalf("Valid(%q) is %v", text, Valid(text, 0))
		}
	}
	for _, doc := range documents() {
		doc = bytes.Clone(doc[len(doc)-min(len(doc), 1000):])
		doc[0] = '['
		for i, old := range doc {
			compare(doc[:i])
			for _, c := range []byte("\"\\]}\x00\x1f\x80") {
				doc[i] = c
				compare(doc)
			}
			doc[i] = old
		}
		compare(doc)
	}
}
