package socketio

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/protocol/testdata"
)

// families are those of the README of testdata.
var families = map[DecodeError]string{
	ErrPayload: "payload", ErrAttachments: "attachments", ErrTooManyAttachments: "attachments", ErrBinary: "order", ErrText: "order",
	ErrNamespace: "namespace", ErrID: "id", ErrEventName: "event", ErrDepth: "depth", ErrTooLarge: "size",
}

func family(err error) string {
	var e DecodeError
	if !errors.As(err, &e) {
		return fmt.Sprintf("no DecodeError: %v", err)
	}
	if strings.HasPrefix(string(e), "unknown packet type ") {
		return "type"
	}
	return families[e]
}

// decode feeds messages to a new decoder until an error or the end.
func decode(messages []testdata.Message) (p Packet, complete bool, err error) {
	d := Text.NewDecoder(Limits{})
	for _, m := range messages {
		if complete, err = d.Decode(m.Bytes(), m.Binary(), &p); err != nil {
			return p, false, err
		}
	}
	return p, complete, nil
}

// encode returns the messages of p.
func encode(t *testing.T, p *Packet) []testdata.Message {
	t.Helper()
	text, binary, rest, err := Text.Encode(nil, p)
	if err != nil || binary {
		t.Fatalf("Encode: binary %v, error %v", binary, err)
	}
	first := testdata.Text(text)
	messages := []testdata.Message{{Text: &first}}
	for _, a := range rest {
		messages = append(messages, testdata.Message{Hex: (*testdata.Hex)(&a)})
	}
	return messages
}

// checkRoundTrip checks that what p encodes to is p again.
func checkRoundTrip(t *testing.T, p Packet) {
	t.Helper()
	again, complete, err := decode(encode(t, &p))
	if err != nil || !complete {
		t.Fatalf("decode of the encoded packet: complete %v, error %v", complete, err)
	}
	if diff := differ(p, again); diff != "" {
		t.Fatalf("encoded and decoded again, %s differs:\n%+v\n%+v", diff, p, again)
	}
}

func differ(a, b Packet) string {
	switch {
	case a.Type != b.Type:
		return "Type"
	case a.Namespace != b.Namespace:
		return "Namespace"
	case a.HasID != b.HasID || a.ID != b.ID:
		return "ID"
	case !bytes.Equal(a.Event, b.Event):
		return "Event"
	case !bytes.Equal(a.Args, b.Args):
		return "Args"
	case !bytes.Equal(a.Data, b.Data) || (a.Data == nil) != (b.Data == nil):
		return "Data"
	case !slices.EqualFunc(a.Attachments, b.Attachments, bytes.Equal):
		return "Attachments"
	}
	return ""
}

// wanted turns the packet of a vector into a Packet; the arguments are compared
// apart.
func wanted(v *testdata.SocketPacket, got Packet) Packet {
	p := Packet{Type: Type(v.Type), Namespace: string(v.Namespace), HasID: v.ID != nil, Args: got.Args}
	if v.ID != nil {
		p.ID = *v.ID
	}
	if v.Event != nil {
		p.Event = []byte(*v.Event)
	}
	if v.Data != nil {
		p.Data = []byte(*v.Data)
	}
	for _, a := range v.Attachments {
		p.Attachments = append(p.Attachments, a)
	}
	return p
}

func TestVectors(t *testing.T) {
	for _, v := range testdata.Read[testdata.Socket]("socketio5.json") {
		t.Run(v.Name, func(t *testing.T) {
			p, complete, err := decode(v.Messages)
			if v.Error != "" {
				if err == nil {
					t.Fatalf("accepted: %+v", p)
				}
				if got := family(err); got != v.Error {
					t.Fatalf("error %q is of family %s, not %s", err, got, v.Error)
				}
				return
			}
			if err != nil || !complete {
				t.Fatalf("complete %v, error %v", complete, err)
			}
			if diff := differ(wanted(v.Packet, p), p); diff != "" {
				t.Fatalf("%s differs: %+v", diff, p)
			}
			checkArgs(t, v.Packet.Args, p.Args)
			checkRoundTrip(t, p)
			if !v.OneWay {
				checkSame(t, v.Messages, encode(t, &p))
			}
		})
	}
}

func checkArgs(t *testing.T, want []testdata.Text, args []byte) {
	t.Helper()
	var got []testdata.Text
	for arg := range SplitArgs(args) {
		got = append(got, testdata.Text(arg))
	}
	if !slices.Equal(want, got) {
		t.Fatalf("arguments %q, not %q", got, want)
	}
}

func checkSame(t *testing.T, want, got []testdata.Message) {
	t.Helper()
	same := func(a, b testdata.Message) bool {
		return a.Binary() == b.Binary() && bytes.Equal(a.Bytes(), b.Bytes())
	}
	if !slices.EqualFunc(want, got, same) {
		t.Fatalf("encoded to %q", got[0].Bytes())
	}
}

// TestPrefixes cuts every message of every vector at every place.
func TestPrefixes(t *testing.T) {
	for _, v := range testdata.Read[testdata.Socket]("socketio5.json") {
		for i, m := range v.Messages {
			data := m.Bytes()
			for n := range testdata.Prefixes(len(data)) {
				checkPrefix(t, v.Messages[:i], m.Binary(), data[:n:n])
			}
		}
	}
}

func checkPrefix(t *testing.T, before []testdata.Message, binary bool, last []byte) {
	t.Helper()
	var p Packet
	d := Text.NewDecoder(Limits{})
	for _, m := range before {
		if _, err := d.Decode(m.Bytes(), m.Binary(), &p); err != nil {
			return
		}
	}
	if complete, err := d.Decode(last, binary, &p); err != nil || !complete {
		return
	}
	if !binary && !bytes.HasSuffix(last, p.Data) {
		t.Fatalf("%.300q decodes to other data: %+v", last, p)
	}
	checkRoundTrip(t, p)
}
