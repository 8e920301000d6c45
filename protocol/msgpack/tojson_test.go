package msgpack

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// What the vectors cannot say, since the official decoder gives something else.
func TestToJSON(t *testing.T) {
	tests := []struct {
		name, hex, json string
		err             error
	}{
		{"key __proto__ is plain data (HRD-06)", "81a95f5f70726f746f5f5f01", `{"__proto__":1}`, nil},
		{"key repeated", "82a16101a16102", `{"a":1,"a":2}`, nil},
		{"keys in the order given", "82a13202a13101", `{"2":2,"1":1}`, nil},
		{"key NaN", "81cb7ff800000000000001", `{"NaN":1}`, nil},
		{"key -Infinity", "81cbfff000000000000001", `{"-Infinity":1}`, nil},
		{"key false", "81c201", `{"false":1}`, nil},
		{"key undefined", "81d4000001", `{"undefined":1}`, nil},
		{"key a date", "81d6ff0000000001", `{"1970-01-01T00:00:00.000Z":1}`, nil},
		{"key of 64 bits", "81cfffffffffffffffff01", `{"18446744073709551615":1}`, nil},
		{"key with escapes", "81a3220a5c01", `{"\"\n\\":1}`, nil},
		{"key not UTF-8", "81a1ff01", `{"` + "\ufffd" + `":1}`, nil},
		{"key a date out of range", "81d7007fffffffffffffff01", "", ErrType},
		{"key a map", "818001", "", ErrType},
		{"key an extension", "81d4050901", "", ErrType},
		{"key missing", "8101", "", ErrMalformed},
		{"bytes that are not UTF-8, one by one", "a5e282f09f98", `"` + strings.Repeat("\ufffd", 5) + `"`, nil},
		{"placeholder false", "9282ac5f706c616365686f6c646572c2a36e756d00c40101", `[{"_placeholder":false,"num":0},{"_placeholder":true,"num":0}]`, nil},
		{"placeholder after the attachment", "92c4010182ac5f706c616365686f6c646572c3a36e756d00", "", ErrAttachments},
		{"placeholder with more members", "9383ac5f706c616365686f6c646572c3a36e756d00a17801c4010101", "", ErrAttachments},
		{"placeholder by a binary key", "9281c40c5f706c616365686f6c646572c3c40101", "", ErrAttachments},
		{"placeholder alone", "81ac5f706c616365686f6c646572c3", `{"_placeholder":true}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src, err := hex.DecodeString(tt.hex)
			if err != nil {
				t.Fatal(err)
			}
			json, _, err := toJSON(src)
			if err != tt.err || err == nil && string(json) != tt.json {
				t.Errorf("got %s, %v\nwant %s, %v", json, err, tt.json, tt.err)
			}
		})
	}
}

// AppendJSON continues what the caller has, and numbers attachments from there.
func TestToJSONAppends(t *testing.T) {
	src := []byte{0x91, 0xc4, 1, 7, 0xc4, 1, 8}
	json, atts, rest, err := AppendJSON([]byte("["), [][]byte{{1}}, src, Limits{})
	if string(json) != `[[{"_placeholder":true,"num":1}]` || len(atts) != 2 || !bytes.Equal(rest, src[4:]) || err != nil {
		t.Errorf("got %s, %x, %x, %v", json, atts, rest, err)
	}
	if &atts[1][0] != &src[3] || cap(atts[1]) != 1 {
		t.Error("the attachment is no sub-slice of its own length")
	}
}

func TestToJSONLimits(t *testing.T) {
	text := AppendString(nil, strings.Repeat("x", 98)) // 100 bytes of JSON
	binary := append(AppendBin(AppendArray(nil, 2), make([]byte, 70)), 0xc4, 0)
	nested := func(n int) []byte { return append(bytes.Repeat([]byte{0x91}, n-1), 0x90) }
	tests := []struct {
		name string
		src  []byte
		lim  Limits
		err  error
	}{
		{"bytes, all", text, Limits{Bytes: 100}, nil},
		{"bytes, one more", text, Limits{Bytes: 99}, ErrTooLarge},
		{"bytes, escapes count", AppendString(nil, strings.Repeat("\n", 49)+"x"), Limits{Bytes: 100}, ErrTooLarge},
		{"bytes, attachments count", binary, Limits{Bytes: 130}, ErrTooLarge},
		{"bytes, attachments fit", binary, Limits{Bytes: 131}, nil},
		{"attachments, all", binary, Limits{Attachments: 2}, nil},
		{"attachments, one more", binary, Limits{Attachments: 1}, ErrAttachments},
		{"depth 1", nested(1), Limits{Depth: 1}, nil},
		{"depth 2", nested(2), Limits{Depth: 1}, ErrDepth},
		{"depth of a placeholder", []byte{0xc4, 0}, Limits{Depth: 1}, nil},
		{"depth of a placeholder in an array", []byte{0x91, 0xc4, 0}, Limits{Depth: 1}, ErrDepth},
		{"depth of an extension", []byte{0xd4, 5, 9}, Limits{Depth: 1}, ErrDepth},
		{"depth 300", nested(300), Limits{Depth: 300}, nil},
		{"depth 301", nested(301), Limits{Depth: 300}, ErrDepth},
		{"depth 128 by default", nested(128), Limits{}, nil},
		{"depth 129 by default", nested(129), Limits{}, ErrDepth},
		{"depth 400,000", nested(400_000), Limits{}, ErrDepth},
		{"4 MiB by default", AppendString(nil, strings.Repeat("x", 4<<20-2)), Limits{}, nil},
		{"more by default", AppendString(nil, strings.Repeat("x", 4<<20-1)), Limits{}, ErrTooLarge},
	}
	for _, tt := range tests {
		json, _, _, err := AppendJSON(nil, nil, tt.src, tt.lim)
		if err != tt.err {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if depth := tt.lim.withDefaults().Depth; err == nil && !socketio.Valid(json, depth) {
			t.Errorf("%s: invalid or deeper than %d: %.100s", tt.name, depth, json)
		}
	}
}

// Every position of every special byte in strings around the eight bytes that
// plainLen looks at.
func TestQuoted(t *testing.T) {
	special := []byte{0, 0x1f, '"', '\\', ' ', 0x7f, 0x80, 0xff, '!', '#', '[', ']'}
	for length := range 20 {
		for at := range length {
			for _, c := range special {
				s := bytes.Repeat([]byte{'a'}, length)
				s[at] = c
				want := length
				if c < 0x20 || c == '"' || c == '\\' {
					want = at
				}
				if n, ascii := plainLen(s); n != want || ascii != (n <= at || c < 0x80) {
					t.Fatalf("plainLen(%q) = %d, %v", s, n, ascii)
				}
			}
		}
	}
}
