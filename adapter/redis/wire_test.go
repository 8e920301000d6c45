package redis

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// uidA is the uid of the official node whose messages were captured.
const uidA = "3y-k2o"

// capturedBroadcast is a message of an official node or emitter (CLU-R-12,
// CLU-E-02).
type capturedBroadcast struct {
	name      string
	namespace string
	hex       string
	want      adapter.Message
	same      bool // ours is the same, byte for byte
}

func event(data string, attachments ...[]byte) adapter.Payload {
	return adapter.Payload{Data: []byte(data), Attachments: attachments}
}

func capturedBroadcasts() []capturedBroadcast {
	bc := func(from string, p adapter.Payload, t adapter.Target) adapter.Message {
		return adapter.Message{Kind: adapter.Broadcast, From: from, Packet: p, Target: t}
	}
	r1 := []string{"r1"}
	return []capturedBroadcast{
		{
			"io.emit", "/", "93a633792d6b326f83a47479706502a46461746192a16501a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677380",
			bc(uidA, event(`["e",1]`), adapter.Target{}), true,
		},
		{
			"io.to", "/", "93a633792d6b326f83a47479706502a46461746192a165a178a36e7370a12f83a5726f6f6d7391a27231a665786365707490a5666c61677380",
			bc(uidA, event(`["e","x"]`), adapter.Target{Rooms: r1}), true,
		},
		{
			"two rooms, except", "/", "93a633792d6b326f83a47479706502a46461746192a16581a16b93c3c0cb3ff8000000000000a36e7370a12f83a5726f6f6d7392a27231a27232a665786365707491a27233a5666c61677380",
			bc(uidA, event(`["e",{"k":[true,null,1.5]}]`), adapter.Target{Rooms: []string{"r1", "r2"}, Except: []string{"r3"}}), true,
		},
		{
			"volatile, no compression", "/", "93a633792d6b326f83a47479706502a46461746191a165a36e7370a12f83a5726f6f6d7390a665786365707490a5666c61677382a8766f6c6174696c65c3a8636f6d7072657373c2",
			bc(uidA, event(`["e"]`), adapter.Target{Volatile: true, NoCompress: true}), true,
		},
		{
			"binary, date, undefined", "/", "93a633792d6b326f83a47479706502a46461746198a162c403010203c4020405d7ff1d5353006553f100c0fbcd012ccf00000002540be400a36e7370a12f83a5726f6f6d7391a27231a665786365707490a5666c61677380",
			bc(uidA, event(`["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},"2023-11-14T22:13:20.123Z",null,-5,300,10000000000]`,
				[]byte{1, 2, 3}, []byte{4, 5}), adapter.Target{Rooms: r1}), false, // the date is text by then
		},
		{
			"socket.broadcast", "/", "93a633792d6b326f83a47479706502a46461746192a165a26263a36e7370a12f83a5726f6f6d7390a665786365707491b4534a476748494364705859435039644d41414141a5666c61677380",
			bc(uidA, event(`["e","bc"]`), adapter.Target{Except: []string{"SJGgHICdpXYCP9dMAAAA"}}), true,
		},
		{
			"another namespace", "/chat", "93a6596943564c6683a47479706502a46461746192a165a6c3a9f09f9880a36e7370a52f6368617483a5726f6f6d7391a472c3b66da665786365707490a5666c61677380",
			bc("YiCVLf", event(`["e","é😀"]`), adapter.Target{Rooms: []string{"röm"}}), true,
		},
		{
			"remote socket", "/", "93a633792d6b326f83a47479706502a46461746191a165a36e7370a12f83a5726f6f6d7391a27231a665786365707490a5666c61677381b4657870656374" +
				"53696e676c65526573706f6e7365c3",
			bc(uidA, event(`["e"]`), adapter.Target{Rooms: r1}), false, // a flag that no receiver reads
		},
		{
			"emitter", "/", "93a7656d697474657283a47479706502a46461746192a16501a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490",
			bc("emitter", event(`["e",1]`), adapter.Target{}), false, // another order of opts
		},
		{
			"emitter to room", "/", "93a7656d697474657283a47479706502a46461746192a165a178a36e7370a12f83a5726f6f6d7391a27231a5666c61677380a665786365707490",
			bc("emitter", event(`["e","x"]`), adapter.Target{Rooms: r1}), false,
		},
		{
			"emitter, binary", "/", "93a7656d697474657283a47479706502a46461746192a162c403010203a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490",
			bc("emitter", event(`["b",{"_placeholder":true,"num":0}]`, []byte{1, 2, 3}), adapter.Target{}), false,
		},
		{
			"emitter of", "/chat", "93a7656d697474657283a47479706502a46461746192a16501a36e7370a52f6368617483a5726f6f6d7391a27231a5666c61677380a665786365707490",
			bc("emitter", event(`["e",1]`), adapter.Target{Rooms: r1}), false,
		},
		{
			"old emitter: no except, type 5, undefined", "/", "93a7656d697474657283a47479706505a46461746192a162d40000a36e7370a12f82a5726f6f6d7390a5666c61677380",
			bc("emitter", event(`["b",null]`), adapter.Target{}), false,
		},
		{
			"no uid, no nsp, numbers as rooms", "/", "93c082a47479706502a46461746191a16582a5726f6f6d739207cb3ff8000000000000a665786365707490",
			bc("", event(`["e"]`), adapter.Target{Rooms: []string{"7", "1.5"}}), false,
		},
		{
			"wider forms", "/", "dd00000003d906" + hex.EncodeToString([]byte(uidA)) + "de0003d90474797065cc02d90464617461dc0001d90165a36e7370d9012f83a5726f6f6d73dd00000000a6657863657074c0a5666c616773df00000000",
			bc(uidA, event(`["e"]`), adapter.Target{}), false,
		},
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCapturedBroadcasts(t *testing.T) {
	for _, tt := range capturedBroadcasts() {
		t.Run(tt.name, func(t *testing.T) {
			b := unhex(t, tt.hex)
			got, err := decodeBroadcast(b, tt.namespace)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, &tt.want) {
				t.Errorf("got %s %+v\nwant %s %+v", got.Packet.Data, got, tt.want.Packet.Data, tt.want)
			}
			if !tt.same {
				return
			}
			w := wire{uid: tt.want.From, namespace: tt.namespace}
			enc, request, err := w.encode(&tt.want)
			if err != nil || request || !bytes.Equal(enc, b) {
				t.Errorf("encoded %x, %v, %v\nwant    %x", enc, request, err, b)
			}
		})
	}
}

// decodeBroadcast is the two steps of the worker in one.
func decodeBroadcast(b []byte, namespace string) (*adapter.Message, error) {
	m, err := readBroadcast(b)
	if err != nil {
		return nil, err
	}
	p, err := readPacket(m.packet, m.extras.raw)
	if err == nil && p.namespace != namespace {
		err = errForeign
	}
	return &adapter.Message{Kind: adapter.Broadcast, From: m.uid, Target: m.target, Packet: p.payload}, err
}

// readRequest is what the worker does with a request.
func readRequest(w wire, b []byte) (*adapter.Message, bool, error) {
	f, err := readFrame(b)
	if err != nil {
		return nil, false, err
	}
	return w.readRequest(f)
}

// TestTruncatedBroadcasts: no prefix of a message is a message.
func TestTruncatedBroadcasts(t *testing.T) {
	for _, tt := range capturedBroadcasts() {
		b := unhex(t, tt.hex)
		for n := range b {
			if _, err := decodeBroadcast(b[:n], tt.namespace); err == nil {
				t.Errorf("%s: the first %d bytes were taken", tt.name, n)
			}
		}
		if _, err := decodeBroadcast(append(b, 0xc0), tt.namespace); err == nil {
			t.Errorf("%s: trailing bytes were taken", tt.name) // CLU-M-17
		}
	}
}

// TestRequests holds the requests as official nodes write them (CLU-R-21 to
// CLU-R-28). RID stands for the request id.
func TestRequests(t *testing.T) {
	r1 := adapter.Target{Rooms: []string{"r1"}}
	r1not2 := adapter.Target{Rooms: []string{"r1"}, Except: []string{"r2"}}
	tests := []struct {
		wire string
		want adapter.Message
		same bool
	}{
		{`{"uid":"3y-k2o","requestId":"RID","type":0,"rooms":["r1"]}`, adapter.Message{Kind: adapter.FetchIDs, Target: r1}, true},
		{`{"uid":"3y-k2o","requestId":"RID","type":1}`, adapter.Message{Kind: adapter.FetchRooms}, true},
		{`{"uid":"3y-k2o","type":2,"opts":{"rooms":["r1"],"except":[]},"rooms":["x","y"]}`, adapter.Message{Kind: adapter.Join, Target: r1, Names: []string{"x", "y"}}, true},
		{`{"uid":"3y-k2o","type":3,"opts":{"rooms":["r1"],"except":["r2"]},"rooms":["x"]}`, adapter.Message{Kind: adapter.Leave, Target: r1not2, Names: []string{"x"}}, true},
		{`{"uid":"3y-k2o","type":4,"opts":{"rooms":["r1"],"except":[]},"close":true}`, adapter.Message{Kind: adapter.Disconnect, Target: r1, Close: true}, true},
		{`{"uid":"3y-k2o","requestId":"RID","type":5,"opts":{"rooms":["r1"],"except":["r2"]}}`, adapter.Message{Kind: adapter.FetchSockets, Target: r1not2}, true},
		{`{"uid":"3y-k2o","type":6,"data":["hello",1,{"a":"b"}]}`, adapter.Message{Kind: adapter.ServerEvent, Packet: event(`["hello",1,{"a":"b"}]`)}, true},
		{`{"uid":"3y-k2o","requestId":"RID","type":6,"data":["ping2",5]}`, adapter.Message{Kind: adapter.ServerEvent, Packet: event(`["ping2",5]`)}, true},
		// Emitters have no uid for commands (CLU-E-03).
		{`{"type":2,"opts":{"rooms":["r1"],"except":["r2"]},"rooms":["x","y"]}`, adapter.Message{Kind: adapter.Join, Target: r1not2, Names: []string{"x", "y"}}, false},
		{`{"type":3,"opts":{"rooms":[],"except":[]},"rooms":["x"]}`, adapter.Message{Kind: adapter.Leave, Names: []string{"x"}}, false},
		{`{"type":4,"opts":{"rooms":["sid"]},"close":false}`, adapter.Message{Kind: adapter.Disconnect, Target: adapter.Target{Rooms: []string{"sid"}}}, false}, // CLU-R-35
		{`{"uid":"emitter","type":6,"data":["hello",1,"w"]}`, adapter.Message{Kind: adapter.ServerEvent, From: "emitter", Packet: event(`["hello",1,"w"]`)}, false},
		// The old forms for one socket (CLU-R-34).
		{`{"requestId":"RID","type":2,"sid":"s1","room":"x"}`, adapter.Message{Kind: adapter.Join, Target: adapter.Target{Rooms: []string{"s1"}}, Names: []string{"x"}}, false},
		{`{"requestId":"RID","type":3,"sid":"s1","room":"x"}`, adapter.Message{Kind: adapter.Leave, Target: adapter.Target{Rooms: []string{"s1"}}, Names: []string{"x"}}, false},
		{`{"requestId":"RID","type":4,"sid":"s1","close":true}`, adapter.Message{Kind: adapter.Disconnect, Target: adapter.Target{Rooms: []string{"s1"}}, Close: true}, false},
		// Odd but harmless.
		{` {"type":1}`, adapter.Message{}, false},
		{`{"requestId":null,"uid":"3y-k2o","type":6,"data":["e"]}`, adapter.Message{Kind: adapter.ServerEvent, Packet: event(`["e"]`)}, false}, // CLU-R-38
		{`{"type":2,"opts":{"rooms":[7],"except":null},"rooms":"x","more":[{}]}`, adapter.Message{Kind: adapter.Join, Target: adapter.Target{Rooms: []string{"7"}}, Names: []string{"x"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.wire, func(t *testing.T) { checkRequest(t, tt.wire, tt.want, tt.same) })
	}
}

func checkRequest(t *testing.T, text string, want adapter.Message, same bool) {
	t.Helper()
	if strings.Contains(text, `"requestId":"RID"`) {
		want.RequestID = "RID"
	}
	if strings.Contains(text, uidA) {
		want.From = uidA
	}
	got, _, err := readRequest(wire{uid: "someone", namespace: "/"}, []byte(text))
	if want.Kind == 0 {
		if err == nil {
			t.Fatalf("taken: %+v", got)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if !equalMessages(got, &want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if !same {
		return
	}
	// Ours is the same but for the request id.
	w := wire{uid: uidA, namespace: "/"}
	enc, request, err := w.encode(&want)
	text = strings.Replace(text, `"requestId":"RID"`, `"requestId":"`+w.requestID(&want)+`"`, 1)
	if err != nil || !request || string(enc) != text {
		t.Errorf("encoded %s, %v, %v\nwant    %s", enc, request, err, text)
	}
	if _, _, err := readRequest(w, enc); !errors.Is(err, errForeign) {
		t.Errorf("our own request came back: %v", err) // CLU-G-05
	}
}

// equalMessages compares with empty and nil slices alike.
func equalMessages(a, b *adapter.Message) bool {
	x, y := *a, *b
	for _, m := range []*adapter.Message{&x, &y} {
		for _, list := range []*[]string{&m.Target.Rooms, &m.Target.Except, &m.Names} {
			if len(*list) == 0 {
				*list = nil
			}
		}
		if len(m.Packet.Data) == 0 {
			m.Packet.Data = nil
		}
	}
	return reflect.DeepEqual(x, y)
}

// TestAckedBroadcast is type 7 as captured (CLU-R-28).
func TestAckedBroadcast(t *testing.T) {
	const captured = "85a3756964a633792d6b326fa9726571756573744964a66b6a426f4f58a47479706507a67061636b657483a47479706502a46461746192a171a17aa36e7370a12fa46f70747383a5726f6f6d7391a27231a665786365707490a5666c61677381a774696d656f7574cd01f4"
	want := &adapter.Message{
		Kind: adapter.Broadcast, From: uidA, RequestID: "kjBoOX", Timeout: 500 * time.Millisecond,
		Target: adapter.Target{Rooms: []string{"r1"}}, Packet: event(`["q","z"]`),
	}
	b := unhex(t, captured)
	got, _, err := readRequest(wire{uid: "someone", namespace: "/"}, b)
	if err != nil || !equalMessages(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, _, err := readRequest(wire{uid: "someone", namespace: "/chat"}, b); !errors.Is(err, errForeign) {
		t.Errorf("taken in another namespace: %v", err)
	}
	w := wire{uid: uidA, namespace: "/"}
	enc, request, err := w.encode(want)
	id := msgpack.AppendString(nil, w.requestID(want))
	if plain := bytes.Replace(enc, id, msgpack.AppendString(nil, "kjBoOX"), 1); err != nil || !request || !bytes.Equal(plain, b) {
		t.Errorf("encoded %x, %v, %v", enc, request, err)
	}
}

// TestAnswers holds answers as official nodes write them. The asker's uid is
// kjBo, so that it takes kjBoOX for its own request X.
func TestAnswers(t *testing.T) {
	tests := []struct {
		name, wire string
		want       adapter.Message
	}{
		{"sockets", `{"requestId":"kjBoOX","sockets":[]}`, adapter.Message{Kind: adapter.FetchReply}},
		{"ids", `{"requestId":"kjBoiX","sockets":[]}`, adapter.Message{Kind: adapter.FetchIDsReply}},
		{"ids", `{"requestId":"kjBoiX","sockets":["s1"]}`, adapter.Message{Kind: adapter.FetchIDsReply, Names: []string{"s1"}}},
		{"rooms", `{"requestId":"kjBoOX","rooms":["zPMYWyoNo9ol6nPrAAAB","r1"]}`, adapter.Message{Kind: adapter.FetchRoomsReply, Names: []string{"zPMYWyoNo9ol6nPrAAAB", "r1"}}},
		{"socket", `{"requestId":"kjBoOX","sockets":[{"id":"s1","handshake":{"issued":1},"rooms":["s1",7],"data":{"name":"bob"}},{"id":"s2"}]}`, adapter.Message{Kind: adapter.FetchReply, Sockets: []adapter.SocketInfo{
			{ID: "s1", Handshake: []byte(`{"issued":1}`), Rooms: []string{"s1", "7"}, Data: []byte(`{"name":"bob"}`)}, {ID: "s2"},
		}}},
		{"reply", `{"type":6,"requestId":"kjBoOX","data":{"n":"C"}}`, adapter.Message{Kind: adapter.ServerReply, Packet: event(`{"n":"C"}`)}},
		{"no reply", `{"type":6,"requestId":"kjBoOX"}`, adapter.Message{Kind: adapter.ServerReply}},
		{"count", `{"type":8,"requestId":"kjBoOX","clientCount":1}`, adapter.Message{Kind: adapter.ClientCount, Count: 1}},
		{"ack", "83a47479706509a9726571756573744964a66b6a426f4f58a67061636b6574a172", adapter.Message{Kind: adapter.ClientAck, Packet: event(`"r"`)}},
		{"binary ack", "83a47479706509a9726571756573744964a66b6a426f4f58a67061636b6574c40109", adapter.Message{Kind: adapter.ClientAck, Packet: event(`{"_placeholder":true,"num":0}`, []byte{9})}},
		{"empty ack", "82a47479706509a9726571756573744964a66b6a426f4f58", adapter.Message{Kind: adapter.ClientAck}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := []byte(tt.wire)
			if b[0] != '{' {
				b = unhex(t, tt.wire)
			}
			tt.want.RequestID = "X"
			got, err := wire{uid: "kjBo"}.readAnswer(b)
			if err != nil || !equalMessages(got, &tt.want) {
				t.Errorf("got %+v, %v", got, err)
			}
			if _, err := (wire{uid: "other"}).readAnswer(b); !errors.Is(err, errForeign) {
				t.Errorf("taken by another asker: %v", err)
			}
		})
	}
}

// TestOwnAnswers: what we answer has what official nodes read, in their words,
// and our uid besides (CLU-G-12).
func TestOwnAnswers(t *testing.T) {
	w := wire{uid: "me", namespace: "/"}
	tests := []struct {
		want string
		m    adapter.Message
	}{
		{`{"requestId":"r","sockets":[],"uid":"me"}`, adapter.Message{Kind: adapter.FetchReply}},
		{
			`{"requestId":"r","sockets":[{"id":"s","handshake":{},"rooms":["s","é"],"data":{}}],"uid":"me"}`,
			adapter.Message{Kind: adapter.FetchReply, Sockets: []adapter.SocketInfo{{ID: "s", Rooms: []string{"s", "é"}}}},
		},
		{`{"requestId":"r","sockets":["s"],"uid":"me"}`, adapter.Message{Kind: adapter.FetchIDsReply, Names: []string{"s"}}},
		{`{"requestId":"r","rooms":[],"uid":"me"}`, adapter.Message{Kind: adapter.FetchRoomsReply}},
		{`{"type":6,"requestId":"r","data":1e400,"uid":"me"}`, adapter.Message{Kind: adapter.ServerReply, Packet: event(`1e400`)}},
		{`{"type":6,"requestId":"r","uid":"me"}`, adapter.Message{Kind: adapter.ServerReply}},
		{`{"type":8,"requestId":"r","clientCount":0,"uid":"me"}`, adapter.Message{Kind: adapter.ClientCount}},
		{"\x84\xa4type\x09\xa9requestId\xa1r\xa3uid\xa2me\xa6packet\xa1r", adapter.Message{Kind: adapter.ClientAck, Packet: event(`"r"`)}},
		{"\x83\xa4type\x09\xa9requestId\xa1r\xa3uid\xa2me", adapter.Message{Kind: adapter.ClientAck}},
		{"\x84\xa4type\x06\xa9requestId\xa1r\xa3uid\xa2me\xa4data\xc4\x01\x09", adapter.Message{Kind: adapter.ServerReply, Packet: event(`{"_placeholder":true,"num":0}`, []byte{9})}},
	}
	for _, tt := range tests {
		tt.m.RequestID = "r"
		got, err := w.encodeAnswer(&tt.m)
		if err != nil || string(got) != tt.want {
			t.Errorf("got %q, %v; want %q", got, err, tt.want)
		}
	}
}

// TestEncodeRefuses: nothing leaves that official nodes could not take (CLU-G-06).
func TestEncodeRefuses(t *testing.T) {
	w := wire{uid: "me", namespace: "/"}
	bad := []string{``, `1`, `{}`, `[]`, `[null]`, `[{}]`, `["e"`, `["e",]`, `["e"]x`, `["e",01]`, `"e"`}
	for _, kind := range []adapter.Kind{adapter.Broadcast, adapter.ServerEvent} {
		for _, data := range bad {
			for _, id := range []string{"", "r"} {
				m := &adapter.Message{Kind: kind, RequestID: id, Packet: event(data)}
				if b, _, err := w.encode(m); err == nil {
					t.Errorf("%d: %q was encoded: %q", kind, data, b)
				}
			}
		}
	}
	for _, kind := range []adapter.Kind{0, adapter.FetchSockets, adapter.FetchRooms, adapter.FetchIDs, adapter.FetchReply, 99} {
		if b, _, err := w.encode(&adapter.Message{Kind: kind}); err == nil {
			t.Errorf("kind %d without request id was encoded: %q", kind, b)
		}
	}
	answers := []adapter.Message{
		{Kind: adapter.ServerReply},
		{Kind: adapter.ServerReply, RequestID: "r", Packet: event(`{`)},
		{Kind: adapter.ClientAck, RequestID: "r", Packet: event(`{`)},
		{Kind: adapter.FetchReply, RequestID: "r", Sockets: []adapter.SocketInfo{{ID: "s", Handshake: []byte("{")}}},
		{Kind: adapter.FetchReply, RequestID: "r", Sockets: []adapter.SocketInfo{{ID: "s", Data: []byte("1,2")}}},
		{Kind: adapter.Broadcast, RequestID: "r"},
	}
	for _, m := range answers {
		if b, err := w.encodeAnswer(&m); err == nil {
			t.Errorf("answer %+v was encoded: %q", m, b)
		}
	}
}

// TestRawNumbers: what MessagePack cannot hold travels beside it (HRD-06), and
// official nodes see an array whose first three elements are as ever.
func TestRawNumbers(t *testing.T) {
	w := wire{uid: "me", namespace: "/"}
	p := event(`["e",{"_placeholder":true,"num":1},1e400,{"_placeholder":true,"num":0}]`, []byte{1}, []byte{2})
	b, _, err := w.encode(&adapter.Message{Kind: adapter.Broadcast, Packet: p})
	if err != nil {
		t.Fatal(err)
	}
	if b[0] != 0x94 {
		t.Errorf("the array begins with %x", b[0])
	}
	got, err := decodeBroadcast(b, "/")
	if err != nil {
		t.Fatal(err)
	}
	want := event(`["e",{"_placeholder":true,"num":0},1e400,{"_placeholder":true,"num":1}]`, []byte{2}, []byte{1})
	if !reflect.DeepEqual(got.Packet, want) {
		t.Errorf("got %s %x", got.Packet.Data, got.Packet.Attachments)
	}
	b, _, _ = w.encode(&adapter.Message{Kind: adapter.Broadcast, Packet: event(`["e",9007199254740993,1.5]`)})
	if b[0] != 0x93 {
		t.Error("an exact message has a fourth element")
	}
}

// TestBadRaw: raw JSON from a peer is checked like any other.
func TestBadRaw(t *testing.T) {
	deep := strings.Repeat("[", 129) + strings.Repeat("]", 129)
	for _, raw := range []string{`["e",`, `["e",{"_placeholder":true,"num":7}]`, deep} {
		b := msgpack.AppendArray(nil, 4)
		b = msgpack.AppendString(b, "x")
		b, _, err := wire{namespace: "/"}.appendPacket(b, event(`["e",{"_placeholder":true,"num":0}]`, []byte{1}))
		if err != nil {
			t.Fatal(err)
		}
		b = appendOpts(b, adapter.Target{}, 0)
		b = msgpack.AppendString(appendRawHead(b), raw)
		if m, err := decodeBroadcast(b, "/"); err == nil {
			t.Errorf("%.40s was taken: %.40s", raw, m.Packet.Data)
		}
	}
}

// TestDepth: 128 levels pass, in every direction; 129 do not (HRD-05).
func TestDepth(t *testing.T) {
	nested := func(n int) string {
		return `["e",` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `]`
	}
	w := wire{uid: "me", namespace: "/"}
	other := wire{uid: "other", namespace: "/"}
	for _, m := range []adapter.Message{{Kind: adapter.Broadcast}, {Kind: adapter.Broadcast, RequestID: "r"}, {Kind: adapter.ServerEvent}} {
		m.Packet = event(nested(128))
		b, request, err := w.encode(&m)
		if err != nil {
			t.Fatal(err)
		}
		var got *adapter.Message
		if request {
			got, _, err = readRequest(other, b)
		} else {
			got, err = decodeBroadcast(b, "/")
		}
		if err != nil || string(got.Packet.Data) != nested(128) {
			t.Errorf("kind %d: 128 levels: %v", m.Kind, err)
		}
	}
	for _, text := range []string{nested(129), nested(5000)} {
		if _, _, err := readRequest(other, []byte(`{"type":6,"data":`+text+`}`)); err == nil {
			t.Error("JSON nested too deep was taken")
		}
		b := append([]byte{0x93, 0xa0}, "\x83\xa4type\x02\xa4data"...)
		data, _, _ := msgpack.AppendFromJSON(nil, []byte(nested(129)), nil)
		b = append(append(b, data...), "\xa3nsp\xa1/"...)
		if _, err := decodeBroadcast(appendOpts(b, adapter.Target{}, 0), "/"); err == nil {
			t.Error("MessagePack nested too deep was taken")
		}
	}
}
