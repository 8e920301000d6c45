package redis

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// newTestEmitter returns an emitter whose messages go nowhere but into sent.
func newTestEmitter(t testing.TB, cfg EmitterConfig) (e *Emitter, sent func() []item) {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	cfg.NoJournal = true
	e, err := NewEmitter(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &collected{}
	e.batch = c
	return e, func() (items []item) {
		for _, p := range c.parcels {
			items = append(items, p.item)
		}
		return items
	}
}

// text shows an item: the channel, and the payload, in hex unless it is text.
func (it item) text() string {
	if strings.HasPrefix(string(it.payload), "{") {
		return it.channel + " " + string(it.payload)
	}
	return it.channel + " " + hex.EncodeToString(it.payload)
}

// emitterVector is a call and what the official emitter published for it (CLU-E).
type emitterVector struct {
	name string
	call func(ctx context.Context, e *Emitter) error
	want string
}

// officialEmitter is what npm @socket.io/redis-emitter 5.1.0 published. The suite
// e2e/suite/emit.test.mjs compares with the emitter itself.
func officialEmitter() []emitterVector {
	bin := []byte{1, 2, 3}
	type m = map[string]any
	return []emitterVector{
		{
			`emit("e", 1)`, func(ctx context.Context, e *Emitter) error { return e.Emit(ctx, "e", 1) },
			"socket.io#/# 93a7656d697474657283a47479706502a46461746192a16501a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490",
		},
		{
			`to("r1").emit("e", "x")`, func(ctx context.Context, e *Emitter) error { return e.To("r1").Emit(ctx, "e", "x") },
			"socket.io#/#r1# 93a7656d697474657283a47479706502a46461746192a165a178a36e7370a12f83a5726f6f6d7391a27231a5666c61677380a665786365707490",
		},
		{
			`emit("b", Buffer)`, func(ctx context.Context, e *Emitter) error { return e.Emit(ctx, "b", bin) },
			"socket.io#/# 93a7656d697474657283a47479706502a46461746192a162c403010203a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490",
		},
		{
			`of("/chat").to("r1").emit("e", 1)`, func(ctx context.Context, e *Emitter) error { return e.Of("/chat").To("r1").Emit(ctx, "e", 1) },
			"socket.io#/chat#r1# 93a7656d697474657283a47479706502a46461746192a16501a36e7370a52f6368617483a5726f6f6d7391a27231a5666c61677380a665786365707490",
		},
		{
			`of("chat").emit("e")`, func(ctx context.Context, e *Emitter) error { return e.Of("chat").Emit(ctx, "e") },
			"socket.io#/chat# 93a7656d697474657283a47479706502a46461746191a165a36e7370a52f6368617483a5726f6f6d7390a5666c61677380a665786365707490",
		},
		{
			"several rooms and exceptions, every kind of value", func(ctx context.Context, e *Emitter) error {
				value := json.RawMessage(`{"k":[true,null,1.5,-5,300,1e10,"é😀"],"n":{}}`)
				return e.To("r1", "r2").Except("x", "y").Emit(ctx, "e", value, []int{})
			},
			"socket.io#/# 93a7656d697474657283a47479706502a46461746193a16582a16b97c3c0cb3ff8000000000000fbcd012ccf00000002540be400a6c3a9f09f9880a16e8090a36e7370a12f83a5726f6f6d7392a27231a27232a5666c61677380a665786365707492a178a179",
		},
		{
			`to("r1").to("r1").emit("e")`, func(ctx context.Context, e *Emitter) error { return e.To("r1").To("r1").Emit(ctx, "e") },
			"socket.io#/#r1# 93a7656d697474657283a47479706502a46461746191a165a36e7370a12f83a5726f6f6d7391a27231a5666c61677380a665786365707490",
		},
		{
			`volatile.compress(false).emit("e")`, func(ctx context.Context, e *Emitter) error { return e.Volatile().Compress(false).Emit(ctx, "e") },
			"socket.io#/# 93a7656d697474657283a47479706502a46461746191a165a36e7370a12f83a5726f6f6d7390a5666c61677382a8766f6c6174696c65c3a8636f6d7072657373c2a665786365707490",
		},
		{
			`to("").emit("e")`, func(ctx context.Context, e *Emitter) error { return e.To("").Emit(ctx, "e") },
			"socket.io#/## 93a7656d697474657283a47479706502a46461746191a165a36e7370a12f83a5726f6f6d7391a0a5666c61677380a665786365707490",
		},
		{
			"binary anywhere", func(ctx context.Context, e *Emitter) error {
				return e.To("röm").Emit(ctx, "e", m{"a": m{"b": bin, "c": []any{bin}}})
			},
			"socket.io#/#röm# 93a7656d697474657283a47479706502a46461746192a16581a16182a162c403010203a16391c403010203a36e7370a12f83a5726f6f6d7391a472c3b66da5666c61677380a665786365707490",
		},
		{
			`in("r1").except("r2").socketsJoin(["x", "y"])`, func(ctx context.Context, e *Emitter) error { return e.In("r1").Except("r2").Join(ctx, "x", "y") },
			`socket.io-request#/# {"type":2,"opts":{"rooms":["r1"],"except":["r2"]},"rooms":["x","y"]}`,
		},
		{
			`socketsLeave("x")`, func(ctx context.Context, e *Emitter) error { return e.Leave(ctx, "x") },
			`socket.io-request#/# {"type":3,"opts":{"rooms":[],"except":[]},"rooms":["x"]}`,
		},
		{
			`in("sid").disconnectSockets(true)`, func(ctx context.Context, e *Emitter) error { return e.In("sid").Disconnect(ctx, true) },
			`socket.io-request#/# {"type":4,"opts":{"rooms":["sid"],"except":[]},"close":true}`,
		},
		{
			`disconnectSockets()`, func(ctx context.Context, e *Emitter) error { return e.Disconnect(ctx, false) },
			`socket.io-request#/# {"type":4,"opts":{"rooms":[],"except":[]},"close":false}`,
		},
		{
			"serverSideEmit", func(ctx context.Context, e *Emitter) error {
				return e.Of("/chat").ServerEmit(ctx, "hello", 1, "w", m{"a": []string{"</script>\n"}})
			},
			`socket.io-request#/chat# {"uid":"emitter","type":6,"data":["hello",1,"w",{"a":["</script>\n"]}]}`,
		},
		{
			`serverSideEmit("hello")`, func(ctx context.Context, e *Emitter) error { return e.ServerEmit(ctx, "hello") },
			`socket.io-request#/# {"uid":"emitter","type":6,"data":["hello"]}`,
		},
	}
}

func TestOfficialEmitter(t *testing.T) {
	for _, v := range officialEmitter() {
		t.Run(v.name, func(t *testing.T) {
			e, sent := newTestEmitter(t, EmitterConfig{})
			if err := v.call(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if got := sent(); len(got) != 1 || got[0].text() != v.want {
				t.Errorf("got  %v\nwant %s", texts(got), v.want)
			}
		})
	}
}

func texts(items []item) (list []string) {
	for _, it := range items {
		list = append(list, it.text())
	}
	return list
}

// TestEmitterRefuses: nothing that a node could not take is published (CLU-G-06).
func TestEmitterRefuses(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	deep := json.RawMessage(strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth))
	eleven := make([]any, 11)
	for i := range eleven {
		eleven[i] = []byte{1}
	}
	type call = func(ctx context.Context, e *Emitter) error
	emit := func(event string, values ...any) call {
		return func(ctx context.Context, e *Emitter) error { return e.Emit(ctx, event, values...) }
	}
	for name, tt := range map[string]struct {
		call call
		is   error // nil for any
	}{
		"function":            {emit("e", 1, func(error) {}), ErrAck},
		"function to servers": {func(ctx context.Context, e *Emitter) error { return e.ServerEmit(ctx, "e", func() {}) }, ErrAck},
		"channel":             {emit("e", make(chan int)), nil},
		"not JSON":            {emit("e", json.RawMessage(`{"a":`)), nil},
		"nested too deeply":   {emit("e", deep), nil},
		"too many parts":      {emit("e", eleven...), ErrAttachments},
		"too large":           {emit("e", strings.Repeat("x", 2000)), adapter.ErrTooLarge},
		"namespace with NUL":  {func(ctx context.Context, e *Emitter) error { return e.Of("/a\x00").Emit(ctx, "e") }, ErrName},
		"long namespace":      {func(ctx context.Context, e *Emitter) error { return e.Of(long).ServerEmit(ctx, "e") }, ErrName},
		"room not UTF-8":      {func(ctx context.Context, e *Emitter) error { return e.To("\xff").Emit(ctx, "e") }, ErrName},
		"except not UTF-8":    {func(ctx context.Context, e *Emitter) error { return e.Except("\xff").Disconnect(ctx, true) }, ErrName},
		"join a long room":    {func(ctx context.Context, e *Emitter) error { return e.Join(ctx, long) }, ErrName},
		"leave NUL":           {func(ctx context.Context, e *Emitter) error { return e.To("a").Leave(ctx, "b", "\x00") }, ErrName},
	} {
		t.Run(name, func(t *testing.T) {
			e, sent := newTestEmitter(t, EmitterConfig{MaxMessage: 1000})
			if err := tt.call(t.Context(), e); err == nil || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v, want %v", err, tt.is)
			}
			if got := sent(); len(got) > 0 {
				t.Errorf("published %v", texts(got))
			}
		})
	}
	for _, name := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		e, _ := newTestEmitter(t, EmitterConfig{})
		if err := e.Emit(t.Context(), name); !errors.Is(err, ErrReservedEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"connect", "connection", "new_namespace"} { // SIO-K-14
		e, _ := newTestEmitter(t, EmitterConfig{})
		if err := e.ServerEmit(t.Context(), name); !errors.Is(err, ErrReservedEvent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEmitterConfig(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	_, err := NewEmitter(client, EmitterConfig{MaxMessage: -1, MaxAttachments: -1, Timeout: -1})
	if err == nil || strings.Count(err.Error(), "negative") != 3 {
		t.Errorf("not every problem is reported: %v", err)
	}
	if _, err := NewEmitter(client, EmitterConfig{Wire: "x", SubscriptionMode: "y"}); err == nil || !strings.Contains(err.Error(), `"x"`) || !strings.Contains(err.Error(), `"y"`) {
		t.Errorf("not every problem is reported: %v", err)
	}
	if _, err := NewEmitter(nil, EmitterConfig{}); err == nil {
		t.Error("no client, no error")
	}
	ring := goredis.NewRing(&goredis.RingOptions{})
	defer ring.Close()
	if _, err := NewEmitter(ring, EmitterConfig{}); err == nil {
		t.Error("a ring was accepted")
	}
}

// TestEmitterNothingToDo: no rooms to join or leave are no message.
func TestEmitterNothingToDo(t *testing.T) {
	e, sent := newTestEmitter(t, EmitterConfig{})
	if err := errors.Join(e.Join(t.Context()), e.To("a").Leave(t.Context())); err != nil || len(sent()) > 0 {
		t.Errorf("%v, published %v", err, texts(sent()))
	}
}

// TestBroadcastIsValue: what is made from a broadcast does not change it.
func TestBroadcastIsValue(t *testing.T) {
	e, sent := newTestEmitter(t, EmitterConfig{})
	base := e.To("a", "b")
	x, y := base.To("x").Volatile(), base.To("y").Except("z").Compress(false)
	for _, b := range []Broadcast{x, y, base, y.Compress(true).Except("z")} {
		if err := b.Emit(t.Context(), "e"); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, it := range sent() {
		m, err := decodeBroadcast(it.payload, "/")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(m.Target))
	}
	want := []string{"{[a b x] [] true false}", "{[a b y] [z] false true}", "{[a b] [] false false}", "{[a b y] [z] false false}"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestEmitterRoomChannel: a room that was just joined by order of the emitter is
// not subscribed by every node yet; with NoIDPattern ids have channels of their own.
func TestEmitterRoomChannel(t *testing.T) {
	const id = "0123456789abcdefTAGT"
	channel := func(e *Emitter, sent func() []item, room string) string {
		t.Helper()
		if err := e.To(room).Emit(t.Context(), "e"); err != nil {
			t.Fatal(err)
		}
		return sent()[len(sent())-1].channel
	}
	e, sent := newTestEmitter(t, EmitterConfig{Key: "app"})
	if err := e.Of("/chat").Join(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	plain, plainSent := newTestEmitter(t, EmitterConfig{NoIDPattern: true})
	for _, got := range [][2]string{
		{channel(e, sent, "old"), "app#/#old#"},
		{channel(e, sent, "new"), "app#/#new#"}, // of another namespace
		{channel(e.Of("chat"), sent, "new"), "app#/chat#"},
		{channel(e.Of("chat"), sent, "old"), "app#/chat#old#"},
		{channel(e, sent, id), "app#/#" + id + "#"},
		{channel(plain, plainSent, id), "fanwire#socket.io#/#TAGT#"},
		{channel(plain, plainSent, "room"), "socket.io#/#room#"},
	} {
		if got[0] != got[1] {
			t.Errorf("got %s, want %s", got[0], got[1])
		}
	}
}

// TestEmitterExact: what MessagePack cannot hold travels beside it, as from nodes
// (CLU-G-12).
func TestEmitterExact(t *testing.T) {
	e, sent := newTestEmitter(t, EmitterConfig{})
	if err := e.Emit(t.Context(), "e", json.RawMessage(`1e400`)); err != nil {
		t.Fatal(err)
	}
	m, err := decodeBroadcast(sent()[0].payload, "/")
	if err != nil || string(m.Packet.Data) != `["e",1e400]` {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestEmitterSharded: the channel is as nodes choose it (CLU-H-03), and an emitter
// says what one says in a stream, whose bytes were captured (CLU-E-06,
// [capturedEntries]).
func TestEmitterSharded(t *testing.T) {
	const id = "0123456789abcdefTAGT"
	body := func(opts string) string {
		return ` {"type":3,"data":{"packet":{"type":2,"data":["e"],"nsp":"/chat"},"opts":` + opts + `},"uid":"emitter","nsp":"/chat"}`
	}
	none := body(`{"rooms":[],"flags":{},"except":[]}`)
	room := func(room string) string { return body(`{"rooms":["` + room + `"],"flags":{},"except":[]}`) }
	for _, tt := range []struct {
		mode SubscriptionMode
		call func(ctx context.Context, e *Emitter) error
		want string
	}{
		{"", func(ctx context.Context, e *Emitter) error { return e.Emit(ctx, "e") }, "socket.io#/chat#" + none},
		{"", func(ctx context.Context, e *Emitter) error { return e.To("r1").Emit(ctx, "e") }, "socket.io#/chat#r1#" + room("r1")},
		{"", func(ctx context.Context, e *Emitter) error { return e.To(id).Emit(ctx, "e") }, "socket.io#/chat#" + room(id)},
		{ModeDynamicPrivate, func(ctx context.Context, e *Emitter) error { return e.To(id).Emit(ctx, "e") }, "socket.io#/chat#" + id + "#" + room(id)},
		{ModeStatic, func(ctx context.Context, e *Emitter) error { return e.To("r1").Emit(ctx, "e") }, "socket.io#/chat#" + room("r1")},
		{
			"", func(ctx context.Context, e *Emitter) error { return e.To("r1").Except("x").Volatile().Emit(ctx, "e") },
			"socket.io#/chat#r1#" + body(`{"rooms":["r1"],"flags":{"volatile":true},"except":["x"]}`),
		},
		{
			"", func(ctx context.Context, e *Emitter) error { return e.To("r1").Join(ctx, "x") },
			`socket.io#/chat# {"type":4,"data":{"opts":{"rooms":["r1"],"except":[],"flags":{}},"rooms":["x"]},"uid":"emitter","nsp":"/chat"}`,
		},
		{
			"", func(ctx context.Context, e *Emitter) error { return e.Leave(ctx, "x") },
			`socket.io#/chat# {"type":5,"data":{"opts":{"rooms":[],"except":[],"flags":{}},"rooms":["x"]},"uid":"emitter","nsp":"/chat"}`,
		},
		{
			"", func(ctx context.Context, e *Emitter) error { return e.Disconnect(ctx, true) },
			`socket.io#/chat# {"type":6,"data":{"opts":{"rooms":[],"except":[],"flags":{}},"close":true},"uid":"emitter","nsp":"/chat"}`,
		},
		{
			"", func(ctx context.Context, e *Emitter) error { return e.ServerEmit(ctx, "hello", 1) },
			`socket.io#/chat# {"type":9,"data":{"packet":["hello",1]},"uid":"emitter","nsp":"/chat"}`,
		},
	} {
		e, sent := newTestEmitter(t, EmitterConfig{Wire: WireSharded, SubscriptionMode: tt.mode})
		if err := tt.call(t.Context(), e.Of("chat")); err != nil {
			t.Fatal(err)
		}
		if got := sent(); len(got) != 1 || got[0].text() != tt.want || got[0].verb != verbSPublish {
			t.Errorf("got  %v\nwant %s", texts(got), tt.want)
		}
	}
}

// TestEmitterStreams: what npm @socket.io/redis-streams-emitter adds (CLU-E-06,
// [capturedEntries] have its bytes), to the stream that the nodes read.
func TestEmitterStreams(t *testing.T) {
	args := func(it item) string {
		return fmt.Sprintf("%v %s %v %s", verbNames[it.verb], it.channel, it.entry.args, it.payload)
	}
	for _, tt := range []struct {
		cfg  EmitterConfig
		call func(ctx context.Context, e *Emitter) error
		want string
	}{
		{
			EmitterConfig{},
			func(ctx context.Context, e *Emitter) error { return e.Emit(ctx, "e", 1) },
			`xadd socket.io [MAXLEN ~ 10000 * uid emitter nsp / type 3 data] {"packet":{"type":2,"data":["e",1],"nsp":"/"},"opts":{"rooms":[],"flags":{},"except":[]}}`,
		},
		{
			EmitterConfig{},
			func(ctx context.Context, e *Emitter) error { return e.ServerEmit(ctx, "hello", 1, "w") },
			`xadd socket.io [MAXLEN ~ 10000 * uid emitter nsp / type 9 data] {"packet":["hello",1,"w"]}`,
		},
		{
			EmitterConfig{StreamName: "s", MaxLen: 50},
			func(ctx context.Context, e *Emitter) error { return e.To("r1").Join(ctx, "x") },
			`xadd s [MAXLEN ~ 50 * uid emitter nsp / type 4 data] {"opts":{"rooms":["r1"],"except":[],"flags":{}},"rooms":["x"]}`,
		},
		{
			EmitterConfig{StreamCount: 4},
			func(ctx context.Context, e *Emitter) error { return e.Of("chat").Disconnect(ctx, false) },
			`xadd socket.io-3 [MAXLEN ~ 10000 * uid emitter nsp /chat type 6 data] {"opts":{"rooms":[],"except":[],"flags":{}},"close":false}`,
		},
	} {
		tt.cfg.Wire = WireStreams
		e, sent := newTestEmitter(t, tt.cfg)
		if err := tt.call(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if got := sent(); len(got) != 1 || args(got[0]) != tt.want {
			t.Errorf("got  %s\nwant %s", args(got[0]), tt.want)
		}
	}
}
