package engineio

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fanwire/fanwire/protocol/testdata"
)

// families are those of the README of testdata.
var families = map[DecodeError]string{
	ErrEmpty: "type", ErrType: "type", ErrBase64: "base64", ErrPayload: "payload", ErrHandshake: "handshake",
}

func family(err error) string {
	var e DecodeError
	if !errors.As(err, &e) || families[e] == "" {
		return fmt.Sprintf("no family: %v", err)
	}
	return families[e]
}

// codec is one of the things that vectors are about.
type codec struct {
	file   string
	decode func(m testdata.Message) ([]Packet, error)
	encode func(packets []Packet, binary bool) []byte
}

func codecs() []codec {
	return []codec{
		{"engineio4.json", decodeOne, func(p []Packet, _ bool) []byte { return AppendText(nil, p[0]) }},
		{"engineio4-payload.json", decodePayload, func(p []Packet, _ bool) []byte { return encodePayload(p) }},
		{"engineio3.json", decodeOne3, encodeOne3},
		{"engineio3-payload.json", decodePayload3, encodePayload3},
	}
}

func decodeOne(m testdata.Message) ([]Packet, error) { return one(DecodeText(m.Bytes())) }

func one(p Packet, err error) ([]Packet, error) {
	if err != nil {
		return nil, err
	}
	return []Packet{p}, nil
}

func decodePayload(m testdata.Message) (packets []Packet, err error) {
	for raw := range SplitPayload(m.Bytes()) {
		p, err := DecodeText(raw)
		if err != nil {
			return packets, err
		}
		packets = append(packets, p)
	}
	return packets, nil
}

func encodePayload(packets []Packet) (dst []byte) {
	for i, p := range packets {
		if i > 0 {
			dst = append(dst, Separator)
		}
		dst = AppendText(dst, p)
	}
	return dst
}

func decodeOne3(m testdata.Message) ([]Packet, error) {
	if m.Binary() {
		return one(DecodeBinary3(m.Bytes()))
	}
	return one(DecodeText3(m.Bytes()))
}

func encodeOne3(packets []Packet, binary bool) []byte {
	if binary {
		return AppendBinary3(nil, packets[0])
	}
	return AppendText3(nil, packets[0])
}

func decodePayload3(m testdata.Message) (packets []Packet, err error) {
	err = DecodePayload3(m.Bytes(), m.Binary(), func(p Packet) bool {
		packets = append(packets, p)
		return true
	})
	return packets, err
}

// encodePayload3 is the whole of what a server sends: no packets are "0:".
func encodePayload3(packets []Packet, binary bool) []byte {
	if len(packets) == 0 && !binary {
		return []byte("0:")
	}
	return AppendPayload3(nil, packets, binary)
}

func samePackets(a, b []Packet) bool {
	return slices.EqualFunc(a, b, func(a, b Packet) bool {
		return a.Type == b.Type && a.Binary == b.Binary && bytes.Equal(a.Data, b.Data)
	})
}

func wanted(vectors []testdata.EnginePacket) (packets []Packet) {
	for _, v := range vectors {
		packets = append(packets, Packet{Type: PacketType(v.Type), Binary: v.Binary(), Data: v.Bytes()})
	}
	return packets
}

func message(data []byte, binary bool) testdata.Message {
	if binary {
		return testdata.Message{Hex: (*testdata.Hex)(&data)}
	}
	text := testdata.Text(data)
	return testdata.Message{Text: &text}
}

// checkRoundTrip checks that what packets encode to are the packets again.
func (c codec) checkRoundTrip(t *testing.T, packets []Packet, binary bool) {
	t.Helper()
	encoded := c.encode(packets, binary)
	again, err := c.decode(message(encoded, binary))
	if err != nil || !samePackets(packets, again) {
		t.Fatalf("%s: %+v encoded to %.300q, decoded to %+v, %v", c.file, packets, encoded, again, err)
	}
}

func TestVectors(t *testing.T) {
	for _, c := range codecs() {
		for _, v := range testdata.Read[testdata.Engine](c.file) {
			t.Run(c.file+"/"+v.Name, func(t *testing.T) { c.check(t, v) })
		}
	}
}

func (c codec) check(t *testing.T, v testdata.Engine) {
	packets, err := c.decode(v.Message)
	if v.Packets != nil && !samePackets(wanted(v.Packets), packets) {
		t.Fatalf("packets %+v", packets)
	}
	if v.Error != "" {
		if err == nil || family(err) != v.Error {
			t.Fatalf("%v is not of family %s", err, v.Error)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	c.checkRoundTrip(t, packets, v.Binary())
	if v.OneWay {
		return
	}
	if encoded := c.encode(packets, v.Binary()); !bytes.Equal(encoded, v.Bytes()) {
		t.Fatalf("encoded to %.300q", encoded)
	}
}

// TestPrefixes cuts every vector at every place.
func TestPrefixes(t *testing.T) {
	for _, c := range codecs() {
		for _, v := range testdata.Read[testdata.Engine](c.file) {
			data := v.Bytes()
			for n := range testdata.Prefixes(len(data)) {
				packets, err := c.decode(message(data[:n:n], v.Binary()))
				if err == nil {
					c.checkRoundTrip(t, packets, v.Binary())
				}
			}
		}
	}
}

func TestHandshakeVectors(t *testing.T) {
	for _, v := range testdata.Read[testdata.Handshake]("handshake.json") {
		t.Run(v.Name, func(t *testing.T) {
			h, err := ParseHandshake(v.Bytes())
			if v.Error != "" {
				if err == nil || family(err) != v.Error {
					t.Fatalf("%v is not of family %s", err, v.Error)
				}
				return
			}
			w := v.Handshake
			want := Handshake{w.SID, w.Upgrades, time.Duration(w.PingInterval) * time.Millisecond, time.Duration(w.PingTimeout) * time.Millisecond, w.MaxPayload}
			if err != nil || !sameHandshake(h, want) {
				t.Fatalf("%+v, %v", h, err)
			}
			checkHandshake(t, h)
			if encoded := AppendHandshake(nil, h); !v.OneWay && !bytes.Equal(encoded, v.Bytes()) {
				t.Fatalf("encoded to %s", encoded)
			}
		})
	}
}

func TestHandshakePrefixes(t *testing.T) {
	for _, v := range testdata.Read[testdata.Handshake]("handshake.json") {
		data := v.Bytes()
		for n := range testdata.Prefixes(len(data)) {
			if h, err := ParseHandshake(data[:n]); err == nil {
				checkHandshake(t, h)
			}
		}
	}
}

func sameHandshake(a, b Handshake) bool {
	return a.SID == b.SID && slices.Equal(a.Upgrades, b.Upgrades) &&
		a.PingInterval == b.PingInterval && a.PingTimeout == b.PingTimeout && a.MaxPayload == b.MaxPayload
}

func checkHandshake(t *testing.T, h Handshake) {
	t.Helper()
	encoded := AppendHandshake(nil, h)
	if again, err := ParseHandshake(encoded); len(encoded) <= maxHandshake && (err != nil || !sameHandshake(h, again)) {
		t.Fatalf("%+v encoded to %s, parsed to %+v, %v", h, encoded, again, err)
	}
}
