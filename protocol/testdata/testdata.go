// Package testdata holds the vectors of the wire: examples of every rule, valid
// and invalid ones, as data. The README beside them describes their form. Tests
// of the codecs read them, fuzz targets start from them, and e2e/vectors checks
// each against the official parsers.
package testdata

import (
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"runtime"
	"strings"
)

//go:embed *.json
var files embed.FS

// Vector is what every vector has.
type Vector struct {
	// Name is unique in its file.
	Name string `json:"name"`
	// Rules are the ids of the rules that the vector shows.
	Rules []string `json:"rules"`
	// Error is the family of the error; empty for valid input.
	Error string `json:"error"`
	// Official is the family of the official parser's error, where it differs.
	Official string `json:"official"`
	// Stricter is the id of the rule by which we refuse what the official parser
	// accepts.
	Stricter string `json:"stricter"`
	// OneWay says that the official encoder would not produce this input.
	OneWay bool `json:"oneway"`
}

// Message is a text message or a binary one.
type Message struct {
	Text *Text `json:"text"`
	Hex  *Hex  `json:"hex"`
}

// Binary tells which of the two m is.
func (m Message) Binary() bool { return m.Hex != nil }

// Bytes returns a copy of the message.
func (m Message) Bytes() []byte {
	if m.Hex != nil {
		return bytes.Clone(*m.Hex)
	}
	if m.Text != nil {
		return []byte(*m.Text)
	}
	return nil
}

// EnginePacket is a decoded Engine.IO packet.
type EnginePacket struct {
	Type byte `json:"type"`
	Message
}

// Engine is a vector of an Engine.IO packet or payload.
type Engine struct {
	Vector
	Message
	// Packets are those before the error, if there is one.
	Packets []EnginePacket `json:"packets"`
}

// Handshake is a vector of a handshake's JSON.
type Handshake struct {
	Vector
	Message
	Handshake *struct {
		SID          string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	} `json:"handshake"`
}

// SocketPacket is a decoded Socket.IO packet.
type SocketPacket struct {
	Type        byte    `json:"type"`
	Namespace   Text    `json:"nsp"`
	ID          *uint64 `json:"id"`
	Event       *Text   `json:"event"`
	Args        []Text  `json:"args"`
	Data        *Text   `json:"data"`
	Attachments []Hex   `json:"attachments"`
}

// Socket is a vector of a Socket.IO packet: the messages of one session.
type Socket struct {
	Vector
	Messages []Message     `json:"messages"`
	Packet   *SocketPacket `json:"packet"`
}

// Value is a vector of one MessagePack value and its JSON with placeholders.
type Value struct {
	Vector
	Message
	JSON        *Text `json:"json"`
	Attachments []Hex `json:"attachments"`
}

// Read returns the vectors of a file. It panics when the file is not in order,
// since only tests use it.
func Read[V any](file string) []V {
	data, err := files.ReadFile(file)
	if err != nil {
		panic(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var vectors []V
	if err := d.Decode(&vectors); err != nil {
		panic(fmt.Sprintf("testdata: %s: %v", file, err))
	}
	return vectors
}

// Text is a string, or a list of strings and repetitions.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		return json.Unmarshal(data, (*string)(t))
	}
	var parts []part
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strings.Repeat(p.Repeat, p.Times))
	}
	*t = Text(b.String())
	return nil
}

type part struct {
	Repeat string `json:"repeat"`
	Times  int    `json:"times"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *part) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		p.Times = 1
		return json.Unmarshal(data, &p.Repeat)
	}
	type plain part
	return json.Unmarshal(data, (*plain)(p))
}

// Hex is a string of hexadecimal digits and spaces.
type Hex []byte

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hex) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	*h = raw
	return err
}

// Allocated returns how many bytes f allocates, for the bound of HRD-90. It
// stops the world: for tests and fuzzing only.
func Allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// MayAllocate is the bound of HRD-90 for an input of so many bytes.
func MayAllocate(input int) uint64 { return 4*uint64(input) + 64<<10 }

// Prefixes yields the lengths of the truncated prefixes of n bytes that tests
// try: all of them, or those near both ends when there are many.
func Prefixes(n int) iter.Seq[int] {
	const edge = 400
	return func(yield func(int) bool) {
		for i := 0; i < n; i++ {
			if i == edge && n > 2*edge {
				i = n - edge
			}
			if !yield(i) {
				return
			}
		}
	}
}
