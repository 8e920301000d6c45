package redis

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// shardedUID and streamed are the uids of the official nodes whose messages were
// captured on either wire.
const (
	shardedUID = "6f3468e93ebd7e98"
	streamed   = "6a0e240b0a281f2a"
)

// capturedCluster is a message of an official node (cluster.md sections 5 and 6).
type capturedCluster struct {
	name string
	wire string // hex, if it does not begin with a brace
	uid  string // of who reads an answer; empty for other messages
	want adapter.Message
	same bool // ours is the same, byte for byte, but for request ids
}

// rid makes an official answer one to a question of ours: official nodes give
// request ids back as they are.
func rid(s, official, ours string) string { return strings.Replace(s, official, ours, 1) }

func r1Target() adapter.Target { return adapter.Target{Rooms: []string{"r1"}} }

func capturedSharded() []capturedCluster {
	tail := `,"uid":"` + shardedUID + `","nsp":"/"}`
	opts := `"opts":{"rooms":["r1"],"except":[],"flags":{}}`
	bin := []byte{1, 2, 3}
	return []capturedCluster{
		{
			"io.emit", `{"type":3,"data":{"packet":{"type":2,"data":["e",1]},"opts":{"rooms":[],"except":[],"flags":{}}}` + tail, "",
			adapter.Message{Kind: adapter.Broadcast, From: shardedUID, Packet: event(`["e",1]`)},
			true,
		},
		{
			"io.to", `{"type":3,"data":{"packet":{"type":2,"data":["e","x"]},` + opts + `}` + tail, "",
			adapter.Message{Kind: adapter.Broadcast, From: shardedUID, Packet: event(`["e","x"]`), Target: r1Target()},
			true,
		},
		{
			"binary", "84a47479706503a46461746182a67061636b657482a47479706502a46461746198a162c403010203c4020405d7ff1d5353006553f100c0fbcd012ccf00000002540be400" +
				"a46f70747383a5726f6f6d7391a27231a665786365707490a5666c61677380a3756964b036663334363865393365626437653938a36e7370a12f", "",
			adapter.Message{Kind: adapter.Broadcast, From: shardedUID, Target: r1Target(), Packet: event(
				`["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},"2023-11-14T22:13:20.123Z",null,-5,300,10000000000]`, bin, []byte{4, 5},
			)},
			false, // the date is text by then
		},
		{
			"emit with ack", `{"type":3,"data":{"packet":{"type":2,"data":["q","z"]},"requestId":"0eef123d56c5712d","opts":{"rooms":["r1"],"except":[],"flags":{"timeout":500}}}` + tail, "",
			adapter.Message{Kind: adapter.Broadcast, From: shardedUID, RequestID: "0eef123d56c5712d", Target: r1Target(), Timeout: 500 * time.Millisecond, Packet: event(`["q","z"]`)},
			true,
		},
		{
			"client count", rid(`{"type":11,"data":{"requestId":"0eef123d56c5712d","clientCount":1}`, "0eef123d56c5712d", "mexr") + tail, "me",
			adapter.Message{Kind: adapter.ClientCount, From: shardedUID, RequestID: "r", Count: 1},
			true,
		},
		{
			"client ack", rid(`{"type":12,"data":{"requestId":"0eef123d56c5712d","packet":"r"}`, "0eef123d56c5712d", "mexr") + tail, "me",
			adapter.Message{Kind: adapter.ClientAck, From: shardedUID, RequestID: "r", Packet: event(`"r"`)},
			true,
		},
		{
			"binary client ack", "84a4747970650ca46461746182a9726571756573744964a46d657872a67061636b6574c40109a3756964b035633239666231653337356365393835a36e7370a12f", "me",
			adapter.Message{Kind: adapter.ClientAck, From: "5c29fb1e375ce985", RequestID: "r", Packet: event(`{"_placeholder":true,"num":0}`, []byte{9})},
			true,
		},
		{
			"fetchSockets", `{"type":7,"data":{"opts":{"rooms":["r1"],"except":["r2"],"flags":{}},"requestId":"ec3788a5708fabde"}` + tail, "",
			adapter.Message{Kind: adapter.FetchSockets, From: shardedUID, RequestID: "ec3788a5708fabde", Target: adapter.Target{Rooms: []string{"r1"}, Except: []string{"r2"}}},
			true,
		},
		{
			"no sockets", `{"type":8,"data":{"requestId":"mexr","sockets":[]}` + tail, "me",
			adapter.Message{Kind: adapter.FetchReply, From: shardedUID, RequestID: "r"},
			true,
		},
		{
			"socketsJoin", `{"type":4,"data":{` + opts + `,"rooms":["x","y"]}` + tail, "",
			adapter.Message{Kind: adapter.Join, From: shardedUID, Target: r1Target(), Names: []string{"x", "y"}},
			true,
		},
		{
			"socketsLeave", `{"type":5,"data":{"opts":{"rooms":["r1"],"except":["r2"],"flags":{}},"rooms":["x"]}` + tail, "",
			adapter.Message{Kind: adapter.Leave, From: shardedUID, Target: adapter.Target{Rooms: []string{"r1"}, Except: []string{"r2"}}, Names: []string{"x"}},
			true,
		},
		{
			"disconnectSockets", `{"type":6,"data":{` + opts + `,"close":true}` + tail, "",
			adapter.Message{Kind: adapter.Disconnect, From: shardedUID, Target: r1Target(), Close: true},
			true,
		},
		{
			"serverSideEmit", `{"type":9,"data":{"packet":["hello",1,{"a":"b"}]}` + tail, "",
			adapter.Message{Kind: adapter.ServerEvent, From: shardedUID, Packet: event(`["hello",1,{"a":"b"}]`)},
			true,
		},
		{
			"serverSideEmit with ack", `{"type":9,"data":{"requestId":"c5ad5f56707cf54a","packet":["ping2",5]}` + tail, "",
			adapter.Message{Kind: adapter.ServerEvent, From: shardedUID, RequestID: "c5ad5f56707cf54a", Packet: event(`["ping2",5]`)},
			true,
		},
		{
			"server answer", `{"type":10,"data":{"requestId":"mexr","packet":"pongB5"}` + tail, "me",
			adapter.Message{Kind: adapter.ServerReply, From: shardedUID, RequestID: "r", Packet: event(`"pongB5"`)},
			true,
		},
		{
			"server answer without a value", `{"type":10,"data":{"requestId":"mexr"}` + tail, "me",
			adapter.Message{Kind: adapter.ServerReply, From: shardedUID, RequestID: "r"},
			true,
		},
	}
}

// capturedEphemeral are the messages that the streams wire publishes.
func capturedEphemeral() []capturedCluster {
	return []capturedCluster{
		{
			"fetchSockets", "84a47479706507a46461746182a46f70747383a5726f6f6d7391a27231a665786365707491a27232a5666c61677380a9726571756573744964b033613137383137306564386539336631" +
				"a3756964b036613065323430623061323831663261a36e7370a12f", "",
			adapter.Message{Kind: adapter.FetchSockets, From: streamed, RequestID: "3a178170ed8e93f1", Target: adapter.Target{Rooms: []string{"r1"}, Except: []string{"r2"}}},
			true,
		},
		{
			"emit with ack", "84a47479706503a46461746183a67061636b657482a47479706502a46461746192a171a17aa9726571756573744964b038663466663063376237396233613234" +
				"a46f70747383a5726f6f6d7391a27231a665786365707490a5666c61677381a774696d656f7574cd01f4a3756964b036613065323430623061323831663261a36e7370a12f", "",
			adapter.Message{Kind: adapter.Broadcast, From: streamed, RequestID: "8f4ff0c7b79b3a24", Target: r1Target(), Timeout: 500 * time.Millisecond, Packet: event(`["q","z"]`)},
			true,
		},
		{
			"client count", "84a4747970650ba46461746182a9726571756573744964a46d657872ab636c69656e74436f756e7401a3756964b036333265633039356231336639363166a36e7370a12f", "me",
			adapter.Message{Kind: adapter.ClientCount, From: "632ec095b13f961f", RequestID: "r", Count: 1},
			true,
		},
		{
			"serverSideEmit", "84a47479706509a46461746181a67061636b657493a568656c6c6f0181a161a162a3756964b036613065323430623061323831663261a36e7370a12f", "",
			adapter.Message{Kind: adapter.ServerEvent, From: streamed, Packet: event(`["hello",1,{"a":"b"}]`)},
			true,
		},
	}
}

func (c capturedCluster) bytes(t testing.TB) []byte {
	if c.wire[0] == '{' {
		return []byte(c.wire)
	}
	return unhex(t, c.wire)
}

func TestCapturedClusterMessages(t *testing.T) {
	for form, list := range map[string][]capturedCluster{"sharded": capturedSharded(), "ephemeral": capturedEphemeral()} {
		for _, tt := range list {
			t.Run(form+"/"+tt.name, func(t *testing.T) { testCaptured(t, tt, form == "ephemeral") })
		}
	}
}

func testCaptured(t *testing.T, tt capturedCluster, packed bool) {
	b := tt.bytes(t)
	in, err := clusterWire{uid: tt.uid, namespace: "/"}.decode(b)
	if err != nil || !reflect.DeepEqual(in.extras, extras{}) {
		t.Fatalf("%+v, %v", in, err)
	}
	got := in.msg
	if !reflect.DeepEqual(normalSockets(got), &tt.want) {
		t.Errorf("got  %s %+v\nwant %s %+v", got.Packet.Data, got, tt.want.Packet.Data, tt.want)
	}
	if _, err := (clusterWire{uid: tt.uid, namespace: "/x"}).decode(b); !errors.Is(err, errForeign) {
		t.Errorf("in another namespace: %v", err)
	}
	if !tt.same {
		return
	}
	w := clusterWire{uid: tt.want.From, namespace: "/"}
	m := tt.want
	if tt.uid != "" {
		m.RequestID = "mexr"
	}
	enc, err := w.encode(&m)
	if packed {
		enc, err = w.encodePacked(&m)
	}
	if err != nil {
		t.Fatal(err)
	}
	if m.RequestID != "" && tt.uid == "" { // ours carry the uid
		enc = replaceID(enc, w.requestID(&m), m.RequestID)
	}
	if !bytes.Equal(enc, b) {
		t.Errorf("encoded %q\nwant    %q", enc, b)
	}
	if !w.own(string(enc)) {
		t.Error("not taken for our own")
	}
}

// replaceID puts an official request id in the place of ours.
func replaceID(b []byte, ours, official string) []byte {
	if b[0] == '{' {
		return bytes.Replace(b, []byte(`"`+ours+`"`), []byte(`"`+official+`"`), 1)
	}
	member := func(id string) []byte { return appendMember(nil, "requestId", id) }
	return bytes.Replace(b, member(ours), member(official), 1)
}

func normalSockets(m *adapter.Message) *adapter.Message {
	if len(m.Sockets) == 0 {
		m.Sockets = nil
	}
	return m
}

// capturedEntry is what an official node or emitter adds to a stream.
type capturedEntry struct {
	name string
	uid  string
	typ  string
	data string
	want adapter.Message
	same bool
}

func capturedEntries() []capturedEntry {
	opts := `"opts":{"rooms":["r1"],"except":[],"flags":{}}`
	return []capturedEntry{
		{
			"io.emit", streamed, "3", `{"packet":{"type":2,"data":["e",1]},"opts":{"rooms":[],"except":[],"flags":{}}}`,
			adapter.Message{Kind: adapter.Broadcast, From: streamed, Packet: event(`["e",1]`)},
			true,
		},
		{
			"binary", streamed, "3", "gqZwYWNrZXSCpHR5cGUCpGRhdGGYoWLEAwECA8QCBAXX/x1TUwBlU/EAwPvNASzPAAAAAlQL5ACkb3B0c4Olcm9vbXORonIxpmV4Y2VwdJClZmxhZ3OA",
			adapter.Message{Kind: adapter.Broadcast, From: streamed, Target: r1Target(), Packet: event(
				`["b",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},"2023-11-14T22:13:20.123Z",null,-5,300,10000000000]`, []byte{1, 2, 3}, []byte{4, 5},
			)},
			false,
		},
		{
			"socketsJoin", streamed, "4", `{` + opts + `,"rooms":["x","y"]}`,
			adapter.Message{Kind: adapter.Join, From: streamed, Target: r1Target(), Names: []string{"x", "y"}},
			true,
		},
		{
			"socketsLeave", streamed, "5", `{"opts":{"rooms":["r1"],"except":["r2"],"flags":{}},"rooms":["x"]}`,
			adapter.Message{Kind: adapter.Leave, From: streamed, Target: adapter.Target{Rooms: []string{"r1"}, Except: []string{"r2"}}, Names: []string{"x"}},
			true,
		},
		{
			"disconnectSockets", streamed, "6", `{` + opts + `,"close":true}`,
			adapter.Message{Kind: adapter.Disconnect, From: streamed, Target: r1Target(), Close: true},
			true,
		},
		{
			"emitter", "emitter", "3", `{"packet":{"type":2,"data":["e",1],"nsp":"/"},"opts":{"rooms":[],"flags":{},"except":[]}}`,
			adapter.Message{Kind: adapter.Broadcast, Packet: event(`["e",1]`)},
			true,
		},
		{
			"emitter, serverSideEmit", "emitter", "9", `{"packet":["hello",1,"w"]}`,
			adapter.Message{Kind: adapter.ServerEvent, Packet: event(`["hello",1,"w"]`)},
			true,
		},
	}
}

func (c capturedEntry) entry() clusterEntry {
	return readEntry(map[string]any{"uid": c.uid, "nsp": "/", "type": c.typ, "data": c.data})
}

func TestCapturedEntries(t *testing.T) {
	for _, tt := range capturedEntries() {
		t.Run(tt.name, func(t *testing.T) {
			in, err := clusterWire{uid: "me", namespace: "/"}.decodeEntry(tt.entry())
			if err != nil {
				t.Fatal(err)
			}
			got := in.msg
			if !reflect.DeepEqual(got, &tt.want) {
				t.Errorf("got  %s %+v\nwant %s %+v", got.Packet.Data, got, tt.want.Packet.Data, tt.want)
			}
			if !tt.same {
				return
			}
			enc, err := clusterWire{uid: tt.uid, namespace: "/"}.encodeEntry(&tt.want)
			if err != nil || enc != tt.entry() {
				t.Errorf("encoded %+v, %v\nwant    %+v", enc, err, tt.entry())
			}
		})
	}
}

// TestClusterRoundTrip: what one of our nodes sends arrives as it was, in each form.
func TestClusterRoundTrip(t *testing.T) {
	big := event(`["e",18446744073709551616,1e400]`)
	bin := event(`["b",{"_placeholder":true,"num":0},1e400]`, []byte{1})
	sockets := []adapter.SocketInfo{{ID: "s1", Handshake: []byte(`{"x":"é"}`), Rooms: []string{"s1", "r"}, Data: []byte(`18446744073709551616`)}}
	messages := []adapter.Message{
		{Kind: adapter.Broadcast, Packet: big, Target: adapter.Target{Rooms: []string{"r"}, Except: []string{"x"}, Volatile: true, NoCompress: true}},
		{Kind: adapter.Broadcast, Packet: bin},
		{Kind: adapter.Broadcast, Packet: bin, RequestID: "1", Timeout: time.Second},
		{Kind: adapter.Join, Names: []string{"a", "\"\n"}},
		{Kind: adapter.Leave, Names: []string{"a"}, Target: r1Target()},
		{Kind: adapter.Disconnect, Target: r1Target(), Close: true},
		{Kind: adapter.Disconnect, Target: r1Target(), RequestID: "1"},
		{Kind: adapter.FetchSockets, RequestID: "1"},
		{Kind: adapter.FetchIDs, RequestID: "1", Target: r1Target()},
		{Kind: adapter.FetchRooms, RequestID: "1"},
		{Kind: adapter.ServerEvent, Packet: big},
		{Kind: adapter.ServerEvent, Packet: bin, RequestID: "1"},
		{Kind: adapter.FetchReply, RequestID: "mexr", Sockets: sockets},
		{Kind: adapter.FetchIDsReply, RequestID: "meir", Names: []string{"s1", "s2"}},
		{Kind: adapter.FetchRoomsReply, RequestID: "merr", Names: []string{"r1"}},
		{Kind: adapter.FetchRoomsReply, RequestID: "merr"},
		{Kind: adapter.ServerReply, RequestID: "mexr", Packet: event(`1e400`)},
		{Kind: adapter.ServerReply, RequestID: "mexr"},
		{Kind: adapter.ClientCount, RequestID: "mexr", Count: 7},
		{Kind: adapter.ClientAck, RequestID: "mexr", Packet: event(`{"_placeholder":true,"num":0}`, []byte{1})},
	}
	x := extras{number: 1 << 40, kept: 3, publisher: `p"`, trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	w := clusterWire{uid: "you", namespace: "/é"}
	for _, m := range messages {
		text, err := w.encode(&m)
		packed, err2 := w.encodePacked(&m)
		if err := errors.Join(err, err2); err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		for _, b := range [][]byte{text, packed} {
			b = stampPayload(b, x)
			if !w.own(string(b)) {
				t.Errorf("%q is not taken for our own", b)
			}
			in, err := clusterWire{uid: "me", namespace: "/é"}.decode(b)
			if err != nil || !reflect.DeepEqual(in.extras, x) {
				t.Fatalf("%q: %+v, %v", b, in, err)
			}
			checkRoundTrip(t, w, m, in.msg)
		}
		checkEntryRoundTrip(t, w, m)
	}
}

func checkEntryRoundTrip(t *testing.T, w clusterWire, m adapter.Message) {
	t.Helper()
	m.Direct = m.Kind == adapter.Broadcast
	en, err := w.encodeEntry(&m)
	if err != nil {
		t.Fatal(err)
	}
	in, err := clusterWire{uid: "me", namespace: "/é"}.decodeEntry(en)
	if err != nil || !reflect.DeepEqual(in.extras, extras{direct: m.Direct}) {
		t.Fatalf("%+v: %+v, %v", en, in, err)
	}
	checkRoundTrip(t, w, m, in.msg)
}

func checkRoundTrip(t *testing.T, w clusterWire, m adapter.Message, got *adapter.Message) {
	t.Helper()
	m.From = w.uid
	if m.RequestID != "" && len(m.RequestID) == 1 {
		m.RequestID = w.requestID(&m)
	} else if m.RequestID != "" {
		m.RequestID = "r"
	}
	if !equalMessages(&m, got) || string(m.Packet.Data) != string(got.Packet.Data) {
		t.Errorf("sent %s %+v\ngot  %s %+v", m.Packet.Data, m, got.Packet.Data, got)
	}
}

// TestClusterAnswersOfOfficialNodes: they answer our questions for ids and rooms
// with whole sockets.
func TestClusterAnswersOfOfficialNodes(t *testing.T) {
	sockets := `"sockets":[{"id":"s1","handshake":{},"rooms":["s1","r"],"data":{}},{"id":"s2","handshake":{},"rooms":["s2","r"],"data":{}}]`
	for id, want := range map[string]adapter.Message{
		"meir": {Kind: adapter.FetchIDsReply, From: "o", RequestID: "r", Names: []string{"s1", "s2"}},
		"merr": {Kind: adapter.FetchRoomsReply, From: "o", RequestID: "r", Names: []string{"r", "s1", "s2"}},
	} {
		in, err := clusterWire{uid: "me", namespace: "/"}.decode([]byte(`{"type":8,"data":{"requestId":"` + id + `",` + sockets + `},"uid":"o","nsp":"/"}`))
		if err != nil || !reflect.DeepEqual(in.msg, &want) {
			t.Errorf("%s: %+v, %v", id, in.msg, err)
		}
	}
}

func TestForeignClusterMessages(t *testing.T) {
	nobody := func(adapter.Target) bool { return false }
	packet := `"packet":{"type":2,"data":["e"]},`
	for _, tt := range []struct {
		name, text string
		err        error
	}{
		{"own", `{"type":9,"data":{"packet":["e"]},"uid":"me","nsp":"/"}`, errForeign},
		{"heartbeat", `{"type":2,"uid":"you","nsp":"/"}`, errForeign},
		{"unknown type", `{"type":14,"data":{},"uid":"you","nsp":"/"}`, errForeign},
		{"no namespace", `{"type":9,"data":{"packet":["e"]},"uid":"you"}`, errForeign},
		{"nobody here", `{"type":3,"data":{` + packet + `"opts":{"rooms":["r"]}},"uid":"you","nsp":"/"}`, errForeign},
		{"nobody here to join", `{"type":4,"data":{"opts":{"rooms":["r"]},"rooms":["x"]},"uid":"you","nsp":"/"}`, errForeign},
		{"nobody here but an answer is wanted", `{"type":3,"data":{` + packet + `"requestId":"1","opts":{"rooms":["r"]}},"uid":"you","nsp":"/"}`, nil},
		{"answer to another node", `{"type":11,"data":{"requestId":"xy","clientCount":1},"uid":"you","nsp":"/"}`, errForeign},
		{"no opts", `{"type":3,"data":{"packet":{"type":2,"data":["e"]}},"uid":"you","nsp":"/"}`, errWire},
		{"no data", `{"type":3,"uid":"you","nsp":"/"}`, errWire},
		{"no event", `{"type":3,"data":{"packet":{"type":2,"data":[{}]},"opts":{"rooms":[]}},"uid":"you","nsp":"/"}`, errForeign},
		{"no packet", `{"type":9,"data":{},"uid":"you","nsp":"/"}`, errEvent},
		{"cut", `{"type":9,"data":{`, errNotJSON},
	} {
		_, err := clusterWire{uid: "me", namespace: "/", concerns: nobody}.decode([]byte(tt.text))
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
	}
}

func TestClusterEncodeErrors(t *testing.T) {
	w := clusterWire{uid: "me", namespace: "/"}
	for name, m := range map[string]adapter.Message{
		"no event":            {Kind: adapter.Broadcast, Packet: event(`{}`)},
		"no JSON":             {Kind: adapter.Broadcast, Packet: event(`["e",`)},
		"too deep":            {Kind: adapter.Broadcast, Packet: event(`["e",` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `]`)},
		"bad placeholder":     {Kind: adapter.Broadcast, Packet: event(`["e",{"_placeholder":true,"num":1}]`, []byte{1})},
		"question, no id":     {Kind: adapter.FetchRooms},
		"answer, no id":       {Kind: adapter.ClientCount},
		"no kind":             {RequestID: "1"},
		"bad data of sockets": {Kind: adapter.FetchReply, RequestID: "1", Sockets: []adapter.SocketInfo{{ID: "x", Data: []byte("{")}}},
	} {
		if b, err := w.encode(&m); err == nil {
			t.Errorf("%s: %q", name, b)
		}
		if en, err := w.encodeEntry(&m); err == nil {
			t.Errorf("%s: %+v", name, en)
		}
	}
}

// TestTruncatedClusterMessages: no prefix of a message is taken for one.
func TestTruncatedClusterMessages(t *testing.T) {
	for _, c := range append(capturedSharded(), capturedEphemeral()...) {
		b := c.bytes(t)
		for i := range b {
			if in, err := (clusterWire{uid: c.uid, namespace: "/"}).decode(b[:i:i]); err == nil {
				t.Fatalf("%s: %d of %d bytes: %+v", c.name, i, len(b), in.msg)
			}
		}
	}
	for _, c := range capturedEntries() {
		for i := range c.data {
			en := c.entry()
			en.data = en.data[:i]
			if in, err := (clusterWire{uid: "me", namespace: "/"}).decodeEntry(en); err == nil {
				t.Fatalf("%s: %d of %d bytes: %+v", c.name, i, len(c.data), in.msg)
			}
		}
	}
}
