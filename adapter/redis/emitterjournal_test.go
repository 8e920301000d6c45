package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// journalKeys are what emitters and nodes with the default key use for /.
const (
	journalOfRoot = "fanwire:journal:{socket.io#/}"
	stateOfRoot   = "fanwire:emitter:{socket.io#/}"
	membersOfRoot = "fanwire#journal#{socket.io#/#}"
)

// beginJournal makes the stream that nodes with recovery make.
func beginJournal(t *testing.T, client *goredis.Client) {
	t.Helper()
	if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: journalOfRoot, Values: []string{"t", "node", "j", "0"}}).Err(); err != nil {
		t.Fatal(err)
	}
}

// keptEvents returns the events of the journal.
func keptEvents(t *testing.T, client *goredis.Client) (list []broadcast) {
	t.Helper()
	entries, err := client.XRange(t.Context(), journalOfRoot, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, ok := e.Values["m"].(string)
		if !ok {
			continue
		}
		m, err := readBroadcast([]byte(text))
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		list = append(list, m)
	}
	return list
}

// listen subscribes and returns what comes next.
func listen(t *testing.T, client *goredis.Client, channels ...string) (next func() *goredis.Message) {
	t.Helper()
	ps := client.Subscribe(t.Context(), channels...)
	t.Cleanup(func() { _ = ps.Close() })
	for range channels {
		if _, err := ps.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return func() *goredis.Message {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), adaptertest.Timeout)
		defer cancel()
		m, err := ps.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// TestEmitterKeeps: with a journal, an event is in it and on the wire with the
// same number, and nodes are told of that. What is not kept has none.
func TestEmitterKeeps(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	beginJournal(t, client)
	e := emitterOf(t, client, EmitterConfig{})
	next := listen(t, client, "socket.io#/#", "socket.io#/#r1#", "socket.io-request#/#", membersOfRoot)
	ctx := t.Context()
	if err := e.Batch(ctx, func(e *Emitter) error { // Redis does not know the script yet
		for i := range 3 {
			if err := e.To("r1").Emit(ctx, "e", i, []byte{1}); err != nil {
				return err
			}
		}
		return e.Except("x").Emit(ctx, "big", 1e300, float64(1<<63))
	}); err != nil {
		t.Fatal(err)
	}
	var name string
	for i := range 4 {
		m, err := readBroadcast([]byte(next().Payload))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			name = m.extras.publisher
		}
		if m.extras.kept != uint64(i+1) || m.extras.publisher != name || name == "" || m.uid != emitterUID {
			t.Errorf("event %d is %d of %q, by %q", i, m.extras.kept, m.extras.publisher, m.uid)
		}
		if got, want := next().Payload, fmt.Sprintf("%s %d 0", name, i+1); got != want {
			t.Errorf("nodes are told %q, want %q", got, want)
		}
		kept := keptEvents(t, client)[i]
		if kept.extras.kept != m.extras.kept || kept.extras.publisher != name || string(kept.packet) != string(m.packet) {
			t.Errorf("kept %+v, published %+v", kept, m)
		}
	}
	for _, err := range []error{e.Volatile().Emit(ctx, "v"), e.ServerEmit(ctx, "s"), e.Join(ctx, "x")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if m, err := readBroadcast([]byte(next().Payload)); err != nil || m.extras.kept > 0 {
		t.Errorf("%+v, %v", m, err)
	}
	for range 2 {
		if m := next(); strings.Contains(m.Payload, extKey) || m.Channel != "socket.io-request#/#" {
			t.Errorf("%+v", m)
		}
	}
	if n := len(keptEvents(t, client)); n != 4 {
		t.Errorf("%d events kept", n)
	}
	if ttl := client.PTTL(ctx, stateOfRoot).Val(); ttl <= 0 || ttl > emitterIdle {
		t.Errorf("the name lasts %v", ttl)
	}
}

// TestEmitterNoJournal: without a journal the bytes are official ones, also when it
// has just gone.
func TestEmitterNoJournal(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	ctx := t.Context()
	next := listen(t, client, "socket.io#/#")
	e := emitterOf(t, client, EmitterConfig{})
	off := emitterOf(t, client, EmitterConfig{NoJournal: true})
	official := officialEmitter()[0]
	check := func(e *Emitter) {
		t.Helper()
		if err := official.call(ctx, e); err != nil {
			t.Fatal(err)
		}
		if m := next(); (item{channel: m.Channel, payload: []byte(m.Payload)}).text() != official.want {
			t.Errorf("got %s %x", m.Channel, m.Payload)
		}
	}
	check(e)
	beginJournal(t, client)
	check(off)
	check(e) // it has asked a moment ago
	e = emitterOf(t, client, EmitterConfig{})
	if err := e.Emit(ctx, "kept"); err != nil || len(keptEvents(t, client)) != 1 {
		t.Errorf("%d events kept, %v", len(keptEvents(t, client)), err)
	}
	next()
	if err := client.Del(ctx, journalOfRoot).Err(); err != nil {
		t.Fatal(err)
	}
	check(e)
	if client.Exists(ctx, journalOfRoot).Val() != 0 {
		t.Error("an emitter has begun a journal")
	}
}

// TestEmittersAreOnePublisher: however many emitters there are at a time, the
// numbers have no gap and the order of the journal is that of the channel.
func TestEmittersAreOnePublisher(t *testing.T) {
	const emitters, each = 8, 40
	server := redistest.Start(t)
	client := server.Client(t)
	beginJournal(t, client)
	next := listen(t, client, "socket.io#/#")
	var wg sync.WaitGroup
	for g := range emitters {
		e := emitterOf(t, server.Client(t), EmitterConfig{})
		wg.Go(func() {
			for i := range each {
				if err := e.Emit(t.Context(), "e", g, i); err != nil {
					t.Error(err)
				}
				if i == each/2 && g == 0 {
					client.ScriptFlush(t.Context())
				}
			}
		})
	}
	wg.Wait()
	kept := keptEvents(t, client)
	for i := range emitters * each {
		m, err := readBroadcast([]byte(next().Payload))
		if err != nil || m.extras.kept != uint64(i+1) || kept[i].extras.kept != uint64(i+1) || string(kept[i].packet) != string(m.packet) {
			t.Fatalf("event %d: %+v, %v; kept %+v", i, m, err, kept[i])
		}
	}
}

// TestKeepScript: the script stamps each form of a message as stampPayload does.
func TestKeepScript(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	beginJournal(t, client)
	next := listen(t, client, "c")
	m := &adapter.Message{Kind: adapter.Broadcast, Packet: event(`["e",1e400,{"_placeholder":true,"num":0}]`, []byte{1})}
	text := &adapter.Message{Kind: adapter.Broadcast, Packet: event(`["e",1]`)}
	cw, w := clusterWire{uid: emitterUID, namespace: "/"}, wire{uid: emitterUID, namespace: "/"}
	encoded := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	entry := encoded(w.appendBroadcast(nil, m))
	for i, message := range [][]byte{
		entry, encoded(w.appendBroadcast(nil, text)), encoded(cw.encode(m)), encoded(cw.encode(text)), encoded(cw.encodePacked(text)),
	} {
		err := keepScript.Run(t.Context(), client, []string{journalOfRoot, stateOfRoot}, "name", 10_000, 100, 1<<20, "publish", "c", "members", message, entry).Err()
		if err != nil {
			t.Fatal(err)
		}
		got := []byte(next().Payload)
		x := extras{kept: uint64(i + 1), publisher: "name"}
		if want := stampPayload(append([]byte(nil), message...), x); len(got) < len(message) || len(got) > len(want)+4 {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
		read := extras{}
		if got[0]>>4 == 0x9 {
			b, err := readBroadcast(got)
			if err != nil {
				t.Fatal(err)
			}
			read = b.extras
		} else {
			in, err := clusterWire{uid: "me", namespace: "/"}.decode(got)
			if err != nil {
				t.Fatal(err)
			}
			read = in.extras
		}
		if read.kept != x.kept || read.publisher != x.publisher {
			t.Errorf("%q has extras %+v", got, read)
		}
	}
	if kept := keptEvents(t, client); len(kept) != 5 || kept[4].extras.kept != 5 {
		t.Errorf("kept %+v", kept)
	}
}

// keepingNode starts a node with recovery on.
func keepingNode(t *testing.T, wire Wire, server *redistest.Server, name string, rooms ...string) (*adaptertest.Node, adapter.Journal) {
	t.Helper()
	h := adaptertest.NewHost(name, "/")
	h.Window = time.Minute
	a, err := nodesOf[wire](server.Client(t))(h)
	if err != nil {
		t.Fatal(err)
	}
	n := &adaptertest.Node{Host: h, Adapter: a}
	h.OnReceive = func(m *adapter.Message) { m.RequestID = a.(adapter.Journal).Advance(m) } // the test finds the offset there
	t.Cleanup(func() { n.MustClose(t) })
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, room := range rooms {
		n.Enter(t, room)
	}
	return n, a.(adapter.Journal)
}

// replayed returns the events after an offset.
func replayed(t *testing.T, j adapter.Journal, offset string) (list []string) {
	t.Helper()
	r, err := j.Replay(t.Context(), offset, func(*adapter.Message) bool { return true })
	if err != nil {
		t.Errorf("replay: %v", err)
		return nil
	}
	for m := range r.Events() {
		list = append(list, string(m.Packet.Data))
	}
	return list
}

// TestEmitterReplay: a client that comes back to any node gets what emitters sent
// meanwhile.
func TestEmitterReplay(t *testing.T) {
	for wire := range nodesOf {
		t.Run(string(wire), func(t *testing.T) { testEmitterReplay(t, wire) })
	}
}

func testEmitterReplay(t *testing.T, wire Wire) {
	server := redistest.Start(t)
	client := server.Client(t)
	ctx := t.Context()
	a, ja := keepingNode(t, wire, server, "a", "r1")
	_, jb := keepingNode(t, wire, server, "b")
	emit := func(i int) {
		t.Helper()
		e := emitterOf(t, client, EmitterConfig{Wire: wire}) // a program for each event
		if err := e.To("r1").Emit(ctx, "e", i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		emit(i)
	}
	got := a.Await(t, 3)
	offset := got[0].RequestID
	if wire != WireStreams && (got[0].Mark.Seq != 1 || got[2].Mark.Seq != 3 || got[0].Mark.From != got[2].Mark.From) {
		t.Errorf("marks %v %v", got[0].Mark, got[2].Mark)
	}
	want := []string{`["e",1]`, `["e",2]`}
	for _, j := range []adapter.Journal{ja, jb} {
		if list := replayed(t, j, offset); !slices.Equal(list, want) {
			t.Errorf("replayed %q, want %q", list, want)
		}
	}
	// b holds no room and knows all the same how far the emitters are.
	adaptertest.Eventually(t, "b to know", func() bool { return len(replayed(t, jb, jb.Here())) == 0 })
	here := jb.Here()
	emit(3)
	if list := replayed(t, ja, here); !slices.Equal(list, []string{`["e",3]`}) {
		t.Errorf("replayed %q", list)
	}
}

// TestEmitterBeforeNode: a node that starts when the emitters have a number knows
// it, though nothing was sent of late.
func TestEmitterBeforeNode(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	if err := client.HSet(t.Context(), stateOfRoot, "p", "longago", "n", 500).Err(); err != nil {
		t.Fatal(err)
	}
	_, j := keepingNode(t, WireClassic, server, "a")
	here := j.Here()
	if err := emitterOf(t, client, EmitterConfig{}).Emit(t.Context(), "e"); err != nil {
		t.Fatal(err)
	}
	if list := replayed(t, j, here); !slices.Equal(list, []string{`["e"]`}) {
		t.Errorf("replayed %q", list)
	}
}
