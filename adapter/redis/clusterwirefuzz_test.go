package redis

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

func FuzzCluster(f *testing.F) {
	for _, c := range append(capturedSharded(), capturedEphemeral()...) {
		f.Add(c.bytes(f))
	}
	for _, m := range []adapter.Message{
		{Kind: adapter.Broadcast, Packet: event(`["e",1e400]`)},
		{Kind: adapter.FetchIDs, RequestID: "1"},
		{Kind: adapter.FetchReply, RequestID: "mexr", Sockets: []adapter.SocketInfo{{ID: "s", Data: []byte("1e400")}}},
	} {
		w := clusterWire{uid: "you", namespace: "/"}
		for _, encode := range []func(*adapter.Message) ([]byte, error){w.encode, w.encodePacked} {
			b, _ := encode(&m)
			f.Add(stampPayload(b, extras{number: 5, publisher: "p"}))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := clusterWire{uid: "me", namespace: "/"}
		in, err := w.decode(b)
		if err != nil {
			return
		}
		m := in.msg
		checkHandedOver(t, m)
		if m.From == "me" {
			t.Fatalf("%+v is our own", m)
		}
		you := clusterWire{uid: "you", namespace: "/"}
		for _, encode := range []func(*adapter.Message) ([]byte, error){you.encode, you.encodePacked} {
			again := *m
			if again.RequestID != "" && isReply(m.Kind) {
				again.RequestID = askedAs(m.Kind, m.RequestID)
			}
			enc, err := encode(&again)
			if err != nil {
				t.Fatalf("%+v does not encode: %v", m, err)
			}
			got, err := w.decode(enc)
			if m2 := got.msg; err != nil || m2.Kind != m.Kind || m2.Count != m.Count || len(m2.Sockets) != len(m.Sockets) {
				t.Fatalf("%q: %+v became %+v, %v", enc, m, m2, err)
			}
		}
	})
}

// askedAs makes the request id that an answer of kind has.
func askedAs(k adapter.Kind, id string) string {
	switch k {
	case adapter.FetchIDsReply:
		return "me" + string(askedIDs) + id
	case adapter.FetchRoomsReply:
		return "me" + string(askedRooms) + id
	}
	return "me" + string(askedOther) + id
}

func isReply(k adapter.Kind) bool {
	return clusterTypes[k] == clusterFetched || clusterTypes[k] > clusterServerEvent
}

func checkHandedOver(t *testing.T, m *adapter.Message) {
	t.Helper()
	checkPayload(t, m.Packet)
	for _, s := range m.Sockets {
		checkPayload(t, adapter.Payload{Data: s.Handshake})
		checkPayload(t, adapter.Payload{Data: s.Data})
	}
}

func FuzzEntry(f *testing.F) {
	for _, c := range capturedEntries() {
		f.Add(c.uid, c.typ, c.data, "")
	}
	f.Add("x", typeLocal, `{"packet":{"type":2,"data":["e",1]},"opts":{"rooms":[]}}`, `{"direct":true,"s":7,"local":"n"}`)
	f.Fuzz(func(t *testing.T, uid, typ, data, ext string) {
		w := clusterWire{uid: "me", namespace: "/", node: "n"}
		in, err := w.decodeEntry(clusterEntry{uid: uid, namespace: "/", typ: typ, data: data, ext: ext})
		if err != nil {
			return
		}
		m := in.msg
		checkHandedOver(t, m)
		if isReply(m.Kind) || m.RequestID != "" {
			return // nobody adds those to a stream
		}
		en, err := w.encodeEntry(m)
		if err != nil {
			t.Fatalf("%+v does not encode: %v", m, err)
		}
		again, err := w.decodeEntry(en)
		if err != nil {
			t.Fatalf("%+v: %v", en, err)
		}
		m2 := again.msg
		if m2.Local != m.Local || m2.Direct != m.Direct {
			t.Fatalf("%+v became %+v", in, again)
		}
		if m.Packet, m2.Packet, m.From, m2.From = (adapter.Payload{}), (adapter.Payload{}), "", ""; !equalMessages(m, m2) {
			t.Fatalf("%+v became %+v", m, m2)
		}
	})
}
