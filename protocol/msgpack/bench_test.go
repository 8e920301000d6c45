package msgpack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// eventOfSize is the JSON of an ordinary event of about that many bytes.
func eventOfSize(size int) []byte {
	head := `["message",{"id":184467440,"room":"general","user":{"name":"ada","admin":false},"tags":["a","b"],"text":"`
	fill := max(size-len(head)-len(`"}]`), 0)
	return []byte(head + strings.Repeat("the quick brown fox ", fill/20+1)[:fill] + `"}]`)
}

var jsonSamples = []struct {
	name string
	json []byte
	atts [][]byte
}{
	{"event/size=16", []byte(`["say",1,"hello"]`), nil},
	{"event/size=128", eventOfSize(128), nil},
	{"event/size=1024", eventOfSize(1024), nil},
	{"event/size=65536", eventOfSize(65536), nil},
	{"binary/size=128", []byte(`["up",{"_placeholder":true,"num":0}]`), [][]byte{make([]byte, 128)}},
	{"floats/size=1024", []byte("[" + strings.Repeat("-12.345,", 127) + "6.78]"), nil},
	{"integers/size=1024", []byte("[" + strings.Repeat("1234567,", 127) + "89]"), nil},
	{"unicode/size=1024", []byte(`["` + strings.Repeat("привет, мир! ", 46) + `"]`), nil},
	{"escapes/size=1024", []byte(`["` + strings.Repeat(`line \"one\"\n`, 78) + `"]`), nil},
}

func BenchmarkFromJSON(b *testing.B) {
	for _, s := range jsonSamples {
		b.Run(s.name, func(b *testing.B) {
			var dst []byte
			b.SetBytes(int64(len(s.json)))
			b.ReportAllocs()
			for b.Loop() {
				dst, _, _ = AppendFromJSON(dst[:0], s.json, s.atts)
			}
		})
	}
}

func BenchmarkToJSON(b *testing.B) {
	for _, s := range jsonSamples {
		b.Run(s.name, func(b *testing.B) {
			msg, _, err := AppendFromJSON(nil, s.json, s.atts)
			if err != nil {
				b.Fatal(err)
			}
			var dst []byte
			var atts [][]byte
			b.SetBytes(int64(len(s.json)))
			b.ReportAllocs()
			for b.Loop() {
				dst, atts, _, _ = AppendJSON(dst[:0], atts[:0], msg, Limits{})
			}
		})
	}
}

// BenchmarkEnvelope reads the options of a classic broadcast and cuts its data out.
func BenchmarkEnvelope(b *testing.B) {
	for _, size := range []int{128, 65536} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			msg, _, err := AppendFromJSON(nil, []byte(`["3y-k2o",{"type":2,"data":`+string(eventOfSize(size))+`,"nsp":"/"},{"rooms":["r1"],"except":[],"flags":{}}]`), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := readEnvelope(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// readEnvelope walks a classic broadcast as an adapter does.
func readEnvelope(msg []byte) (data []byte, err error) {
	r := NewReader(msg)
	for i := range r.Array() {
		switch i {
		case 0:
			r.Bytes()
		case 1:
			for key := range r.Map() {
				switch string(key) {
				case "type":
					r.Int()
				case "nsp":
					r.Bytes()
				case "data":
					data = r.Raw()
				}
			}
		}
	}
	return data, r.End()
}

func BenchmarkParserDecode(b *testing.B) {
	for _, size := range []int{128, 1024, 65536} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := socketio.Packet{Type: socketio.Event, Namespace: "/chat", ID: 12, HasID: true, Data: eventOfSize(size)}
			msg, _, _, err := Parser.Encode(nil, &p)
			if err != nil {
				b.Fatal(err)
			}
			d := Parser.NewDecoder(socketio.Limits{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(msg, true, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParserEncode(b *testing.B) {
	for _, size := range []int{128, 1024, 65536} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			p := socketio.Packet{Type: socketio.Event, Namespace: "/chat", ID: 12, HasID: true, Data: eventOfSize(size)}
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst, _, _, _ = Parser.Encode(dst[:0], &p)
			}
		})
	}
}

// TestAllocs guards what each publish and each packet pass through.
func TestAllocs(t *testing.T) {
	check := func(name string, want float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, f); got != want {
			t.Errorf("%s: %v allocations, want %v", name, got, want)
		}
	}
	for _, s := range jsonSamples {
		msg, _, err := AppendFromJSON(nil, s.json, s.atts)
		if err != nil {
			t.Fatal(err)
		}
		dst, atts := make([]byte, 0, 2*len(s.json)+1024), make([][]byte, 0, 8)
		check(s.name+" from JSON", 0, func() { _, _, _ = AppendFromJSON(dst, s.json, s.atts) })
		check(s.name+" to JSON", 0, func() { _, _, _, _ = AppendJSON(dst, atts, msg, Limits{}) })
	}
	p := socketio.Packet{Type: socketio.Event, Namespace: "/chat", ID: 12, HasID: true, Data: eventOfSize(128)}
	dst := make([]byte, 0, 1024)
	check("encode", 0, func() { _, _, _, _ = Parser.Encode(dst, &p) })
	msg, _, _, _ := Parser.Encode(nil, &p)
	d := Parser.NewDecoder(socketio.Limits{})
	check("decode", 1, func() { _, _ = d.Decode(msg, true, &p) }) // the JSON
	deep := []byte(strings.Repeat("[", 12) + strings.Repeat("]", 12))
	check("twelve levels", 0, func() { _, _, _ = AppendFromJSON(dst, deep, nil) })

	envelope, _, _ := AppendFromJSON(nil, []byte(`["u",{"type":2,"data":["e",1],"nsp":"/"},{}]`), nil)
	check("envelope", 0, func() { _, _ = readEnvelope(envelope) })
	check("decoder", 1, func() { _ = Parser.NewDecoder(socketio.Limits{}) })
}
