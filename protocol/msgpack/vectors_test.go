package msgpack

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/fanwire/fanwire/protocol/socketio"
	"github.com/fanwire/fanwire/protocol/testdata"
)

// families are the errors of the conversions by their names in the vectors.
var families = map[error]string{
	ErrMalformed:   "msgpack",
	ErrTrailing:    "msgpack",
	ErrType:        "payload",
	ErrDepth:       "depth",
	ErrTooLarge:    "size",
	ErrAttachments: "attachments",
}

// toJSON translates a message that is one value.
func toJSON(src []byte) (json []byte, atts [][]byte, err error) {
	json, atts, rest, err := AppendJSON(nil, nil, src, Limits{})
	if err == nil && len(rest) > 0 {
		err = ErrTrailing
	}
	return json, atts, err
}

func sameBytes[A, B ~[]byte](a []A, b []B) bool {
	return slices.EqualFunc(a, b, func(x A, y B) bool { return bytes.Equal(x, y) })
}

func TestValueVectors(t *testing.T) {
	for _, v := range testdata.Read[testdata.Value]("msgpack-values.json") {
		t.Run(v.Name, func(t *testing.T) {
			src := v.Bytes()
			json, atts, err := toJSON(src)
			if got := families[err]; got != v.Error {
				t.Fatalf("error %v, want family %q", err, v.Error)
			}
			if v.Error != "" {
				return
			}
			if string(json) != string(*v.JSON) || !sameBytes(atts, v.Attachments) {
				t.Errorf("got %s and %x\nwant %s and %x", json, atts, *v.JSON, v.Attachments)
			}
			msg, lossless, err := AppendFromJSON(nil, json, atts)
			if err != nil || !lossless || !v.OneWay && !bytes.Equal(msg, src) {
				t.Errorf("back: %x, %v, %v\nwant %x", msg, lossless, err, src)
			}
			again, attsAgain, err := toJSON(msg)
			if err != nil || !bytes.Equal(again, json) || !sameBytes(attsAgain, atts) {
				t.Errorf("and again: %s, %x, %v", again, attsAgain, err)
			}
		})
	}
}

func TestValuePrefixes(t *testing.T) {
	for _, v := range testdata.Read[testdata.Value]("msgpack-values.json") {
		if v.Error != "" {
			continue
		}
		src := v.Bytes()
		for n := range src {
			cut := src[:n:n]
			if _, _, err := toJSON(cut); err != ErrMalformed {
				t.Errorf("%s: %d bytes: error %v", v.Name, n, err)
			}
			if r := NewReader(cut); r.Raw() != nil || r.Err() != ErrMalformed {
				t.Errorf("%s: %d bytes: reader's error %v", v.Name, n, r.Err())
			}
		}
	}
}

// family names the errors of the parser.
func family(err error, binary bool) string {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case err == nil:
		return ""
	case !binary:
		return "order"
	case err == errParse, bytes.HasSuffix([]byte(text), []byte(" trailing bytes")):
		return "msgpack"
	case err == errType:
		return "type"
	}
	names := map[error]string{
		socketio.ErrNamespace:          "namespace",
		socketio.ErrPayload:            "payload",
		socketio.ErrID:                 "id",
		socketio.ErrEventName:          "event",
		socketio.ErrDepth:              "depth",
		socketio.ErrTooLarge:           "size",
		socketio.ErrAttachments:        "attachments",
		socketio.ErrTooManyAttachments: "attachments",
	}
	return names[err]
}

func TestParserVectors(t *testing.T) {
	for _, v := range testdata.Read[testdata.Socket]("msgpack.json") {
		t.Run(v.Name, func(t *testing.T) {
			m := v.Messages[0]
			var p socketio.Packet
			d := Parser.NewDecoder(socketio.Limits{})
			complete, err := d.Decode(m.Bytes(), m.Binary(), &p)
			if got := family(err, m.Binary()); got != v.Error || complete != (err == nil) || d.Pending() {
				t.Fatalf("error %v, want family %q", err, v.Error)
			}
			var e socketio.DecodeError
			if v.Error != "" {
				if !errors.As(err, &e) {
					t.Fatalf("%T is no DecodeError", err)
				}
				return
			}
			checkPacket(t, &p, v.Packet)
			msg, binary, rest, err := Parser.Encode(nil, &p)
			if err != nil || !binary || rest != nil || !v.OneWay && !bytes.Equal(msg, m.Bytes()) {
				t.Errorf("back: %x, %v, %v\nwant %x", msg, rest, err, m.Bytes())
			}
			var again socketio.Packet
			if _, err := d.Decode(msg, true, &again); err != nil {
				t.Fatal(err)
			}
			checkPacket(t, &again, v.Packet)
		})
	}
}

func checkPacket(t *testing.T, p *socketio.Packet, want *testdata.SocketPacket) {
	t.Helper()
	switch {
	case byte(p.Type) != want.Type, p.Namespace != string(want.Namespace):
		t.Errorf("type %d of %q, want %d of %q", p.Type, p.Namespace, want.Type, want.Namespace)
	case p.HasID != (want.ID != nil), p.HasID && p.ID != *want.ID:
		t.Errorf("id %v %d, want %v", p.HasID, p.ID, want.ID)
	case (p.Data != nil) != (want.Data != nil), want.Data != nil && string(p.Data) != string(*want.Data):
		t.Errorf("data %s, want %v", p.Data, want.Data)
	case want.Event != nil && string(p.Event) != string(*want.Event), want.Event == nil && p.Event != nil:
		t.Errorf("event %q, want %v", p.Event, want.Event)
	case !sameBytes(p.Attachments, want.Attachments):
		t.Errorf("attachments %x, want %x", p.Attachments, want.Attachments)
	}
	var args []testdata.Text
	for a := range socketio.SplitArgs(p.Args) {
		args = append(args, testdata.Text(a))
	}
	if !slices.Equal(args, want.Args) {
		t.Errorf("args %q, want %q", args, want.Args)
	}
}

// TestParserPrefixes cuts every vector off, at every length. Only a message with
// trailing bytes holds a whole one.
func TestParserPrefixes(t *testing.T) {
	for _, v := range testdata.Read[testdata.Socket]("msgpack.json") {
		for _, m := range v.Messages {
			msg := m.Bytes()
			for n := range msg {
				checkPrefix(t, v, msg[:n:n], m.Binary(), len(msg))
			}
		}
	}
}

func checkPrefix(t *testing.T, v testdata.Socket, cut []byte, binary bool, size int) {
	t.Helper()
	var p socketio.Packet
	d := Parser.NewDecoder(socketio.Limits{})
	complete, err := d.Decode(cut, binary, &p)
	whole := v.Error == "msgpack" && skip(cut) == len(cut) && len(cut) > 0
	switch {
	case d.Pending() || complete != (err == nil):
		t.Errorf("%s: %d of %d bytes: complete %v, pending %v, error %v", v.Name, len(cut), size, complete, d.Pending(), err)
	case err == nil && !whole, err != nil && family(err, binary) == "":
		t.Errorf("%s: %d of %d bytes: error %v", v.Name, len(cut), size, err)
	case v.Error == "" && err != errParse:
		t.Errorf("%s: %d of %d bytes: error %v, want %v", v.Name, len(cut), size, err, errParse)
	}
}
