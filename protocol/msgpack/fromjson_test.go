package msgpack

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// What the vectors cannot say, since the way back gives other text.
func TestFromJSON(t *testing.T) {
	tests := []struct {
		json, hex string
		lossless  bool // HRD-06
	}{
		{`-0`, "00", false}, // CLU-M-04
		{`-0.0`, "00", false},
		{`-0e5`, "00", false},
		{`0.0`, "00", true},
		{`0e400`, "00", true},
		{`1.0`, "01", true},
		{`1e0`, "01", true},
		{`10E-1`, "01", true},
		{`-1.50`, "cbbff8000000000000", true},
		{`1e3`, "cd03e8", true},
		{`-32000e-3`, "e0", true},
		{`1234567890123456789`, "cf112210f47de98115", true},
		{`18446744073709551615`, "cfffffffffffffffff", true},
		{`-9223372036854775808`, "d38000000000000000", true},
		{`18446744073709551616`, "cb43f0000000000000", false}, // 2^64 prints as 18446744073709552000
		{`-9223372036854775809`, "cbc3e0000000000000", false},
		{`100000000000000000000`, "cb4415af1d78b58c40", true}, // CLU-G-08
		{`1e20`, "cb4415af1d78b58c40", true},
		{`1e17`, "cb4376345785d8a000", true},
		{`9007199254740992.0`, "cf0020000000000000", true},
		{`9007199254740993.0`, "cf0020000000000000", false},
		{`9007199254740994.0`, "cb4340000000000001", true},
		{`900719925474099.3e1`, "cf0020000000000000", false},
		{`-9007199254740992e0`, "d3ffe0000000000000", true},
		{`1e22`, "cb4480f0cf064dd592", true},
		{`1e23`, "cb44b52d02c7e14af6", true},
		{`123456789e-30`, "cb3b62a800d15b2fe8", true},
		{`1e-7`, "cb3e7ad7f29abcaf48", true},
		{`0.1`, "cb3fb999999999999a", true},
		{`0.10000000000000000`, "cb3fb999999999999a", true},
		{`0.100000000000000000000000000000000`, "cb3fb999999999999a", true},
		{`0.10000000000000001`, "cb3fb999999999999a", false},
		{`0.1000000000000000055511151231257827`, "cb3fb999999999999a", false},
		{`0.30000000000000004`, "cb3fd3333333333334", true},
		{`0.00000000000000000030000000000000004e18`, "cb3fd3333333333334", true},
		{`3000000000000000.4e-16`, "cb3fd3333333333334", true},
		{`123456789012345678901234567890`, "cb45f8ee90ff6c373e", false},
		{`123456789012345680000000000000`, "cb45f8ee90ff6c373e", true},
		{`1.7976931348623157e308`, "cb7fefffffffffffff", true},
		{`1.7976931348623157081e308`, "cb7fefffffffffffff", false},
		{`1.8e308`, "cb7ff0000000000000", false},
		{`1e400`, "cb7ff0000000000000", false}, // as JavaScript reads it; receivers show null
		{`-1e400`, "cbfff0000000000000", false},
		{`1E+999999`, "cb7ff0000000000000", false},
		{`1e-400`, "00", false},
		{`-1e-400`, "00", false},
		{`5e-324`, "cb0000000000000001", true},
		{`4.9406564584124654e-324`, "cb0000000000000001", false},
		{`2.2250738585072014e-308`, "cb0010000000000000", true},

		{`"\/\b\f\n\r\t\"\\"`, "a82f080c0a0d09225c", true},
		{`"\u0041\u00e9\u20AC\ud83d\uDE00"`, "aa41c3a9e282acf09f9880", true},
		{`"\ud800"`, "a3efbfbd", false},
		{`"\ude00\ud83d"`, "a6efbfbdefbfbd", false},
		{`"\ud83d\ud83d\ude00"`, "a7efbfbdf09f9880", false},
		{`"\ud83d\u0041"`, "a4efbfbd41", false},
		{"\"a\xff\"", "a461efbfbd", false},
		{"\"\xed\xa0\x80\"", "a9efbfbdefbfbdefbfbd", false},
		{`"\u0000"`, "a100", true},
		{"\"\u2028\x7f\"", "a4e280a87f", true},
		{`"` + strings.Repeat(`\u0061`, 31) + `"`, "bf" + strings.Repeat("61", 31), true},
		{`"` + strings.Repeat(`\u0061`, 32) + `"`, "d920" + strings.Repeat("61", 32), true},
		{`"` + strings.Repeat("a", 31) + `\n"`, "d920" + strings.Repeat("61", 31) + "0a", true},
		{`"` + strings.Repeat("\xff", 11) + `"`, "d921" + strings.Repeat("efbfbd", 11), false},
		{`"` + strings.Repeat("b", 65535) + `"`, "daffff" + strings.Repeat("62", 65535), true},
		{`"` + strings.Repeat("b", 65536) + `"`, "db00010000" + strings.Repeat("62", 65536), true},

		{" \t\r\n[ 1 , { \"a\" : [ ] , \"b\" : { } } ] \n", "920182a16190a16280", true},
		{`{"a":1,"a":2}`, "82a16101a16102", true},
		{`{"__proto__":{"\u0061":1}}`, "81a95f5f70726f746f5f5f81a16101", true},
		{`[` + strings.Repeat("1,", 65535) + `1]`, "dd00010000" + strings.Repeat("01", 65536), true},
		{`[` + strings.Repeat("1,", 65534) + `1]`, "dcffff" + strings.Repeat("01", 65535), true},
		{`{` + strings.Repeat(`"":1,`, 65535) + `"":1}`, "df00010000" + strings.Repeat("a001", 65536), true},
	}
	for _, tt := range tests {
		t.Run(short(tt.json), func(t *testing.T) {
			msg, lossless, err := AppendFromJSON([]byte("x"), []byte(tt.json), nil)
			if got := hex.EncodeToString(msg); got != "78"+tt.hex || lossless != tt.lossless || err != nil {
				t.Errorf("got %s, %v, %v\nwant %s, %v", short(got[2:]), lossless, err, short(tt.hex), tt.lossless)
			}
		})
	}
}

func short(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%s...%s(%d)", s[:30], s[len(s)-10:], len(s))
	}
	return s
}

func TestFromInvalidJSON(t *testing.T) {
	for _, json := range []string{
		``, ` `, `x`, `[`, `]`, `{`, `}`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `{"a":1]`, `{a:1}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{1:2}`,
		`1 2`, `[1]]`, `tru`, `True`, `truee`, `nul`, `fals`, `-`, `01`, `-01`, `1.`, `.5`, `1e`, `1e+`, `+1`, `0x1`, `NaN`, `Infinity`, `1.e5`, `1_0`, `--1`,
		`"`, `"a`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\u"`, `"\ud83d\u12"`, "\"a\nb\"", "\"\x00\"", "\"\x1f\\n\"", "\xef\xbb\xbf1", "1\x00", "[\x001]", "[1]\x00", `'a'`, `[1]/**/`, "\v1", "\u00a01",
	} {
		if msg, _, err := AppendFromJSON(nil, []byte(json), nil); err != ErrJSON {
			t.Errorf("%q: %x, error %v", json, msg, err)
		}
	}
}

// Placeholders: SIO-B-03, SIO-M-21, SIO-M-22, HRD-42.
func TestFromJSONAttachments(t *testing.T) {
	atts := [][]byte{{0xaa}, {}, {0xbb, 0xcc}}
	tests := []struct{ json, hex string }{
		{`[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]`, "93c401aac400c402bbcc"},
		{`[{"_placeholder":true,"num":2},{"_placeholder":true,"num":2}]`, "92c402bbccc402bbcc"},
		{`{"_placeholder":true,"num":0}`, "c401aa"},
		{` { "num" : 0 , "_placeholder" : true } `, "c401aa"},
		{`{"\u005fplaceholder":true,"n\u0075m":0}`, "c401aa"},
		{`{"a":{"b":[{"_placeholder":true,"num":0}]}}`, "81a16181a16291c401aa"},
		{`[1]`, "9101"},
		{`{"_placeholder":false,"num":0}`, "82ac5f706c616365686f6c646572c2a36e756d00"},
		{`{"_placeholder":"true","num":0}`, "82ac5f706c616365686f6c646572a474727565a36e756d00"},
		{`{"_placeholder":1}`, "81ac5f706c616365686f6c64657201"},
		{`{"num":0}`, "81a36e756d00"},
		{`{"_placeholder":true,"num":3}`, ""},
		{`{"_placeholder":true,"num":-1}`, ""},
		{`{"_placeholder":true,"num":0.5}`, ""},
		{`{"_placeholder":true,"num":1e9}`, ""},
		{`{"_placeholder":true,"num":1e400}`, ""},
		{`{"_placeholder":true,"num":18446744073709551615}`, ""},
		{`{"_placeholder":true,"num":"splice"}`, ""},
		{`{"_placeholder":true,"num":null}`, ""},
		{`{"_placeholder":true,"num":{}}`, ""},
		{`{"_placeholder":true,"num":{"_placeholder":true,"num":0}}`, ""},
		{`{"_placeholder":true}`, ""},
		{`{"_placeholder":true,"x":0}`, ""},
		{`{"_placeholder":true,"num":0,"x":1}`, ""},
		{`{"x":true,"_placeholder":true}`, ""},
		{`{"_placeholder":true,"_placeholder":true}`, ""},
		{`{"_placeholder":false,"_placeholder":true}`, ""},
		{`{"_placeholder":{},"_placeholder":true}`, ""},
		{`[[{"a":{"_placeholder":true}}]]`, ""},
	}
	for _, tt := range tests {
		msg, _, err := AppendFromJSON(nil, []byte(tt.json), atts)
		if tt.hex == "" {
			if err != ErrAttachments {
				t.Errorf("%s: %x, error %v", tt.json, msg, err)
			}
		} else if hex.EncodeToString(msg) != tt.hex || err != nil {
			t.Errorf("%s: %x, error %v\nwant %s", tt.json, msg, err, tt.hex)
		}
		if _, _, err := AppendFromJSON(nil, []byte(tt.json), nil); err != nil {
			t.Errorf("%s without attachments: %v", tt.json, err)
		}
	}
}

// HRD-04: a small text must not multiply a large attachment.
func TestFromJSONRepeatedAttachment(t *testing.T) {
	const placeholder = `{"_placeholder":true,"num":0}`
	att := [][]byte{make([]byte, 100_000)}
	for n, want := range map[int]error{1: nil, 11: nil, 12: ErrTooLarge, 10_000: ErrTooLarge} {
		json := "[" + strings.Repeat(placeholder+",", n-1) + placeholder + "]"
		msg, _, err := AppendFromJSON(nil, []byte(json), att)
		if err != want || len(msg) > 2<<20 {
			t.Errorf("%d times: %d bytes, error %v", n, len(msg), err)
		}
	}
}

func TestFromJSONDepth(t *testing.T) {
	for n, want := range map[int]error{128: nil, 1000: nil, 1001: ErrDepth, 400_000: ErrDepth} {
		json := strings.Repeat("[", n) + strings.Repeat("]", n)
		if _, _, err := AppendFromJSON(nil, []byte(json), nil); err != want {
			t.Errorf("depth %d: error %v", n, err)
		}
	}
	json := strings.Repeat(`{"a":[1,`, 500) + "2" + strings.Repeat("]}", 500)
	msg, lossless, err := AppendFromJSON(nil, []byte(json), nil)
	if err != nil || !lossless {
		t.Fatal(err)
	}
	back, _, _, err := AppendJSON(nil, nil, msg, Limits{Depth: 1000})
	if err != nil || string(back) != json {
		t.Errorf("back: %s, %v", short(string(back)), err)
	}
}

// Long containers inside each other would shift the same bytes at each level.
func TestFromJSONWide(t *testing.T) {
	items := strings.Repeat("1,", 20)
	json := strings.Repeat("["+items, 100) + "[" + strings.Repeat(`"text",`, 20_000) + `{"a":{"_placeholder":true,"num":0}}]` + strings.Repeat("]", 100)
	msg, lossless, err := AppendFromJSON([]byte("x"), []byte(json), [][]byte{{9}})
	if err != nil || !lossless || !bytes.HasPrefix(msg, []byte("x\xdd\x00\x00\x00\x15\x01")) {
		t.Fatalf("%.10x, %v, %v", msg, lossless, err)
	}
	back, atts, err := toJSON(msg[1:])
	if err != nil || string(back) != json || len(atts) != 1 {
		t.Errorf("back: %s, %v", short(string(back)), err)
	}
}
