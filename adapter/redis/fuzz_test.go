package redis

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// checkPayload: what is handed to the node is valid JSON within the limits.
func checkPayload(t *testing.T, p adapter.Payload) {
	t.Helper()
	if len(p.Data) == 0 {
		return
	}
	if !socketio.Valid(p.Data, maxDepth) {
		t.Fatalf("handed over %q", p.Data)
	}
	keep := func(dst []byte, num int) []byte { return appendPlaceholder(dst, int64(num)) }
	if _, err := socketio.ReplacePlaceholders(nil, p.Data, len(p.Attachments), keep); err != nil {
		t.Fatalf("handed over %q with %d attachments: %v", p.Data, len(p.Attachments), err)
	}
}

func FuzzBroadcast(f *testing.F) {
	for _, c := range capturedBroadcasts() {
		f.Add(unhex(f, c.hex))
	}
	raw, _, _ := wire{uid: "x", namespace: "/"}.encode(&adapter.Message{Kind: adapter.Broadcast, Packet: event(`["e",1e400]`)})
	f.Add(raw)
	f.Add([]byte("\x93\xa1\x61\x81\xa1\x62\x01\xc0"))
	f.Add([]byte("\x940\x83\xa4type\x02\xa4data\x920000\x80\x81\xa3raw\xab 1000000000")) // raw JSON that is no event
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeBroadcast(b, "/")
		if err != nil {
			return
		}
		checkPayload(t, m.Packet)
		again, request, err := wire{uid: m.From, namespace: "/"}.encode(m)
		if err != nil || request {
			t.Fatalf("%+v does not encode: %v", m, err)
		}
		m2, err := decodeBroadcast(again, "/")
		if err != nil {
			t.Fatalf("%x: %v", again, err)
		}
		if len(m.Packet.Attachments) == 0 { // from here on it stays as it is
			same, _, err := wire{uid: m.From, namespace: "/"}.encode(m2)
			if err != nil || !bytes.Equal(same, again) && same[0] == again[0] {
				t.Fatalf("%x became %x, %v", again, same, err)
			}
		}
		if m.Packet, m2.Packet = (adapter.Payload{}), (adapter.Payload{}); !equalMessages(m, m2) {
			t.Fatalf("%+v became %+v", m, m2)
		}
	})
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{
		`{"uid":"3y-k2o","requestId":"RID","type":0,"rooms":["r1"]}`, `{"type":2,"opts":{"rooms":["r1"],"except":["r2"]},"rooms":["x","y"]}`,
		`{"type":4,"opts":{"rooms":["sid"]},"close":false}`, `{"requestId":"RID","type":3,"sid":"s1","room":"x"}`,
		`{"uid":"3y-k2o","requestId":"RID","type":5,"opts":{"rooms":[7],"except":["r2"],"flags":{"timeout":5,"compress":false}}}`,
		`{"uid":"3y-k2o","requestId":"RID","type":6,"data":["ping2",5]}`, `{"type":0}`, ` {}`, `{"a":{"b":"\"}"}} `,
		"\x83\xa4type\x06\xa4data\x92\xa1e\xc4\x01\x09\xa3uid\xa1x",
	} {
		f.Add([]byte(s))
	}
	f.Add(unhex(f, "85a3756964a633792d6b326fa9726571756573744964a66b6a426f4f58a47479706507a67061636b657483a47479706502a46461746192a171a17aa36e7370a12fa46f70747383a5726f6f6d7391a27231a665786365707490a5666c61677381a774696d656f7574cd01f4"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, single, err := readRequest(wire{uid: "someone", namespace: "/"}, b)
		if err != nil {
			return
		}
		checkPayload(t, m.Packet)
		if single || !sendable(m) {
			return
		}
		w := wire{uid: "me", namespace: "/"}
		again, request, err := w.encode(m)
		if err != nil || !request {
			t.Fatalf("%+v does not encode: %v", m, err)
		}
		m2, _, err := readRequest(wire{uid: "someone", namespace: "/"}, again)
		if err != nil {
			t.Fatalf("%q: %v", again, err)
		}
		if m.RequestID != "" {
			m.RequestID = w.requestID(m)
		}
		m.From = "me"
		if !equalMessages(m, m2) {
			t.Fatalf("%q: %+v became %+v", again, m, m2)
		}
	})
}

// sendable tells whether we would send such a request: requests in JSON carry
// less than those that a peer can make up.
func sendable(m *adapter.Message) bool {
	plain := !m.Target.Volatile && !m.Target.NoCompress && m.Timeout == 0
	return plain && (m.Kind == adapter.Disconnect || !m.Close) && m.Kind != adapter.Broadcast
}

func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		`{"requestId":"mexr","sockets":[]}`, `{"requestId":"meir","sockets":["s1"]}`, `{"requestId":"mexr","rooms":["r1"]}`,
		`{"requestId":"mexr","sockets":[{"id":"s1","handshake":{"issued":1},"rooms":["s1",7],"data":{"name":"bob"}},{"id":"s2"}]}`,
		`{"type":6,"requestId":"mexr","data":{"n":"C"}}`, `{"type":8,"requestId":"mexr","clientCount":1}`, `{"requestId":"mexr"}`,
		"\x83\xa4type\x09\xa9requestId\xa4mexr\xa6packet\xc4\x01\x09",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		w := wire{uid: "me"}
		m, err := w.readAnswer(b)
		if err != nil {
			return
		}
		checkPayload(t, m.Packet)
		for _, s := range m.Sockets {
			checkPayload(t, adapter.Payload{Data: s.Handshake})
			checkPayload(t, adapter.Payload{Data: s.Data})
		}
		plain := *m
		asked := byte(askedOther)
		if m.Kind == adapter.FetchIDsReply {
			asked = askedIDs
		}
		plain.RequestID = w.uid + string(asked) + m.RequestID
		again, err := w.encodeAnswer(&plain)
		if err != nil {
			t.Fatalf("%+v does not encode: %v", m, err)
		}
		m2, err := w.readAnswer(again)
		if err != nil || m2.Kind != m.Kind || m2.Count != m.Count || len(m2.Sockets) != len(m.Sockets) || !bytes.Equal(m2.Packet.Data, m.Packet.Data) {
			t.Fatalf("%q became %q: %+v became %+v, %v", b, again, m, m2, err)
		}
	})
}

// TestAllocation: no message makes us allocate out of proportion (HRD-03).
func TestAllocation(t *testing.T) {
	const n = 1 << 20
	opts := func(rooms []byte) []byte {
		b := append([]byte("\x93\xa1x\x83\xa4type\x02\xa4data\x91\xa1e\xa3nsp\xa1/\x83\xa5rooms"), rooms...)
		return append(b, "\xa6except\x90\xa5flags\x80"...)
	}
	empties := append(msgpack.AppendArray(nil, n), bytes.Repeat([]byte{0xa0}, n)...)
	bins := append(msgpack.AppendArray(nil, n/2+1), append([]byte("\xa1e"), bytes.Repeat([]byte{0xc4, 0}, n/2)...)...)
	packet := append(append([]byte("\x93\xa1x\x83\xa4type\x02\xa4data"), bins...), "\xa3nsp\xa1/\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80"...)
	w := wire{uid: "me", namespace: "/"}
	broadcast := func(b []byte) { _, _ = decodeBroadcast(b, "/") }
	request := func(b []byte) { _, _, _ = readRequest(w, b) }
	answer := func(b []byte) { _, _ = w.readAnswer(b) }
	tests := []struct {
		name string
		read func([]byte)
		b    []byte
	}{
		{"rooms", broadcast, opts(empties)},
		{"huge count", broadcast, opts([]byte("\xdd\xff\xff\xff\xff"))},
		{"binaries", broadcast, packet},
		{"members", request, []byte(`{"a":1` + strings.Repeat(`,"a":1`, n/6) + `}`)},
		{"names", request, []byte(`{"type":2,"opts":{},"rooms":[""` + strings.Repeat(`,""`, n/3) + `]}`)},
		{"escaped names", request, []byte(`{"type":2,"opts":{},"rooms":[""` + strings.Repeat(`,"\n"`, n/5) + `]}`)},
		{"sockets", answer, []byte(`{"requestId":"mexr","sockets":[{"id":0}` + strings.Repeat(`,{"id":0}`, n/9) + `]}`)},
	}
	for _, tt := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		tt.read(tt.b)
		runtime.ReadMemStats(&after)
		// The sum of all there was, while slices grew step by step.
		if got := after.TotalAlloc - before.TotalAlloc; got > 40*n {
			t.Errorf("%s: %d MiB for a message of 1 MiB", tt.name, got>>20)
		}
	}
}
