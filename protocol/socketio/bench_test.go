package socketio

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// eventOfSize is an event with one ordinary object of about that many bytes.
func eventOfSize(size int) []byte {
	head := `12["message",{"id":184467440,"room":"general","user":{"name":"ada","admin":false},"tags":["a","b"],"text":"`
	tail := `"}]`
	fill := max(size-len(head)-len(tail)-1, 0)
	text := strings.Repeat("the quick brown fox ", fill/20+1)[:fill]
	return []byte("2" + head + text + tail)
}

func BenchmarkDecodeEvent(b *testing.B) {
	for _, size := range []int{16, 128, 1024, 65536} {
		data := eventOfSize(size)
		if size == 16 {
			data = []byte(`2["say",1,"hi!"]`)
		}
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) { benchmarkDecode(b, data) })
	}
}

func BenchmarkDecodeNamespaceEvent(b *testing.B) {
	benchmarkDecode(b, []byte("2/chat,"+string(eventOfSize(128)[1:])))
}

func benchmarkDecode(b *testing.B, data []byte) {
	d := Text.NewDecoder(Limits{})
	var p Packet
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(data, false, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBinaryEvent(b *testing.B) {
	text, data := []byte(`51-["up",{"_placeholder":true,"num":0}]`), make([]byte, 128)
	d := Text.NewDecoder(Limits{})
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		d.Decode(text, false, &p)
		if ok, err := d.Decode(data, true, &p); !ok || err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	data := eventOfSize(128)[3:]
	p := &Packet{Type: Event, Namespace: "/chat", ID: 12, HasID: true, Data: data}
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := Text.Encode(buf, p); err != nil {
			b.Fatal(err)
		}
	}
}

// documents are payloads of different kinds.
func documents() map[string][]byte {
	numbers := make([]string, 500)
	for i := range numbers {
		numbers[i] = fmt.Sprintf("%d.%d", i*7919, i)
	}
	return map[string][]byte{
		"event":   eventOfSize(128)[3:],
		"text":    eventOfSize(16384)[3:],
		"escapes": []byte(`["` + strings.Repeat(`line\n\"q\" \u00e9 `, 200) + `"]`),
		"utf8":    []byte(`["` + strings.Repeat(`Grüße, 世界! `, 200) + `"]`),
		"numbers": []byte("[" + strings.Join(numbers, ",") + "]"),
		"nested":  []byte(strings.Repeat(`{"a":[`, 60) + strings.Repeat("]}", 60)),
		"indent":  []byte("[\n" + strings.Repeat("    {\n        \"key\": true\n    },\n", 100) + "    null\n]"),
	}
}

func BenchmarkValid(b *testing.B) {
	for name, data := range documents() {
		for _, v := range []struct {
			by    string
			valid func([]byte) bool
		}{
			{"fanwire", func(data []byte) bool { return Valid(data, 0) }},
			{"encoding-json", json.Valid},
		} {
			b.Run(fmt.Sprintf("doc=%s/by=%s", name, v.by), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if !v.valid(data) {
						b.Fatal("refused")
					}
				}
			})
		}
	}
}

func BenchmarkSplitArgs(b *testing.B) {
	args := []byte(`1,"two",{"three":[3,{"x":"y"}]},null`)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range SplitArgs(args) {
			n++
		}
		if n != 4 {
			b.Fatal(n)
		}
	}
}

func BenchmarkReplacePlaceholders(b *testing.B) {
	data := []byte(`["up",{"name":"a.png","body":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]`)
	buf := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		_, err := ReplacePlaceholders(buf, data, 2, func(dst []byte, num int) []byte { return append(dst, 'x') })
		if err != nil {
			b.Fatal(err)
		}
	}
}
