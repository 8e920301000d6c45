package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

func emitterOf(t testing.TB, client goredis.UniversalClient, cfg EmitterConfig) *Emitter {
	t.Helper()
	e, err := NewEmitter(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// nodesOf makes the nodes of each wire.
var nodesOf = map[Wire]func(client goredis.UniversalClient) adapter.Factory{
	WireClassic: func(client goredis.UniversalClient) adapter.Factory { return NewAdapter(client, Config{}) },
	WireSharded: func(client goredis.UniversalClient) adapter.Factory { return NewShardedAdapter(client, Config{}) },
	WireStreams: func(client goredis.UniversalClient) adapter.Factory {
		return NewStreamsAdapter(client, StreamsConfig{})
	},
}

// TestEmitterReachesNodes sends everything that there is to two nodes.
func TestEmitterReachesNodes(t *testing.T) {
	for wire := range nodesOf {
		t.Run(string(wire), func(t *testing.T) { testEmitterReachesNodes(t, wire) })
	}
}

func testEmitterReachesNodes(t *testing.T, wire Wire) {
	server := redistest.Start(t)
	a := adaptertest.Start(t, nodesOf[wire](server.Client(t)), "a", "/chat")
	b := adaptertest.Start(t, nodesOf[wire](server.Client(t)), "b", "/chat")
	b.Enter(t, "r1")
	b.SetRoom("r2", true) // joined, and not yet subscribed
	ctx := t.Context()
	e := emitterOf(t, server.Client(t), EmitterConfig{Wire: wire}).Of("/chat")
	for _, err := range []error{
		e.Emit(ctx, "all", 1),
		e.To("r1").Emit(ctx, "room", []byte{9}), // only b has it
		e.Except("r1").Emit(ctx, "not r1"),
		e.In("r1").Join(ctx, "r2"),
		e.To("r2").Emit(ctx, "joined"),
		e.Except("r1").Leave(ctx, "r2"),
		e.Disconnect(ctx, true),
		e.ServerEmit(ctx, "server", "x", []byte{8}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	all := []*adapter.Message{
		{Kind: adapter.Broadcast, Packet: event(`["all",1]`)},
		{Kind: adapter.Broadcast, Target: adapter.Target{Rooms: []string{"r1"}}, Packet: event(`["room",{"_placeholder":true,"num":0}]`, []byte{9})},
		{Kind: adapter.Broadcast, Target: adapter.Target{Except: []string{"r1"}}, Packet: event(`["not r1"]`)},
		{Kind: adapter.Join, Target: adapter.Target{Rooms: []string{"r1"}}, Names: []string{"r2"}},
		{Kind: adapter.Broadcast, Target: adapter.Target{Rooms: []string{"r2"}}, Packet: event(`["joined"]`)},
		{Kind: adapter.Leave, Target: adapter.Target{Except: []string{"r1"}}, Names: []string{"r2"}},
		{Kind: adapter.Disconnect, Close: true},
		{Kind: adapter.ServerEvent, Packet: event(`["server","x",{"_placeholder":true,"num":0}]`, []byte{8})},
	}
	// Events and requests come through different channels of one connection, in order.
	check := func(n *adaptertest.Node, want []*adapter.Message) {
		t.Helper()
		got := n.Await(t, len(want))
		for i, m := range got {
			m.From = ""
			if !equalMessages(m, want[i]) {
				t.Errorf("message %d: got %+v, want %+v", i, m, want[i])
			}
		}
	}
	check(b, all)
	check(a, append([]*adapter.Message{all[0], all[2]}, all[5:]...))
}

func TestEmitterBatch(t *testing.T) {
	const n = 3 * batchItems
	server := redistest.Start(t)
	node := adaptertest.Start(t, NewAdapter(server.Client(t), Config{}), "a", "/")
	ctx := t.Context()
	e := emitterOf(t, server.Client(t), EmitterConfig{})
	var kept *Emitter
	err := e.Batch(ctx, func(b *Emitter) error {
		kept = b
		return b.Batch(ctx, func(b *Emitter) error { // part of the one around it
			for i := range n {
				if err := b.Emit(ctx, "e", i); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range node.Await(t, n) {
		if want := fmt.Sprintf(`["e",%d]`, i); string(m.Packet.Data) != want {
			t.Fatalf("got %s, want %s", m.Packet.Data, want)
		}
	}
	if err := kept.Emit(ctx, "late"); err == nil {
		t.Error("a batch that is over takes a message")
	}
	never := errors.New("never mind")
	if err := e.Batch(ctx, func(b *Emitter) error { return errors.Join(b.Emit(ctx, "e", "never"), never) }); !errors.Is(err, never) {
		t.Error(err)
	}
	if err := e.Emit(ctx, "last"); err != nil {
		t.Fatal(err)
	}
	if got := node.Await(t, n+1); string(got[n].Packet.Data) != `["last"]` {
		t.Errorf("got %s", got[n].Packet.Data)
	}
}

// TestEmitterConcurrent: one emitter for many goroutines, each in order.
func TestEmitterConcurrent(t *testing.T) {
	const goroutines, each = 8, 50
	server := redistest.Start(t)
	node := adaptertest.Start(t, NewAdapter(server.Client(t), Config{}), "a", "/")
	e := emitterOf(t, server.Client(t), EmitterConfig{})
	room := e.Except("nobody")
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				if err := room.Emit(t.Context(), "e", g, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := make([]int, goroutines)
	for _, m := range node.Await(t, goroutines*each) {
		var g, i int
		if _, err := fmt.Sscanf(string(m.Packet.Data), `["e",%d,%d]`, &g, &i); err != nil || next[g] != i {
			t.Fatalf("%s: want %d", m.Packet.Data, next[g])
		}
		next[g]++
	}
}

// TestEmitterRedisAway: a call waits for Redis, as long as it may.
func TestEmitterRedisAway(t *testing.T) {
	server := redistest.Start(t)
	e := emitterOf(t, server.Client(t), EmitterConfig{Timeout: 300 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), adaptertest.Timeout)
	defer cancel()
	if err := e.Emit(ctx, "warm up"); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	began := time.Now()
	err := e.Emit(t.Context(), "e")
	if err == nil || errors.Is(err, ErrUnconfirmed) && !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	sent := make(chan error, 1)
	go func() { sent <- e.Emit(ctx, "waits") }()
	server.Restart(t)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := e.Emit(ended, "e"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestEmitterUnconfirmed: what was written and not answered is not sent again, and
// the caller learns that it may have arrived; the deadline is kept.
func TestEmitterUnconfirmed(t *testing.T) {
	server := redistest.Start(t)
	node := adaptertest.Start(t, NewAdapter(server.Client(t), Config{}), "a", "/")
	e := emitterOf(t, server.Client(t), EmitterConfig{})
	if err := e.Emit(t.Context(), "warm up"); err != nil {
		t.Fatal(err)
	}
	if err := server.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// Long enough to be written on a busy machine, and shorter than ioTimeout.
	ctx, cancel := context.WithTimeout(t.Context(), ioTimeout/2)
	defer cancel()
	began := time.Now()
	err := e.Emit(ctx, "once")
	if d := time.Since(began); !errors.Is(err, ErrUnconfirmed) || d >= ioTimeout {
		t.Errorf("after %v: %v", d, err)
	}
	if err := server.Process().Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := e.Emit(t.Context(), "fence"); err != nil {
		t.Fatal(err)
	}
	got := node.AwaitMessage(t, func(m *adapter.Message) bool { return string(m.Packet.Data) == `["fence"]` })
	if all := node.Messages(); got == nil || len(all) > 3 {
		t.Errorf("%d messages", len(all))
	}
}

// TestEmitterRefusedByRedis: an answer of Redis that will not change ends the call
// at once.
func TestEmitterRefusedByRedis(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	e := emitterOf(t, client, EmitterConfig{})
	if err := client.Do(t.Context(), "ACL", "SETUSER", "default", "resetchannels", "&socket.io#/#*").Err(); err != nil {
		t.Fatal(err)
	}
	err := e.Batch(t.Context(), func(b *Emitter) error {
		return errors.Join(b.Emit(t.Context(), "e"), b.Join(t.Context(), "x"), b.Emit(t.Context(), "e"))
	})
	if !goredis.IsPermissionError(err) || errors.Is(err, ErrUnconfirmed) {
		t.Errorf("%v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "message 2 of 3") {
		t.Errorf("%v", err)
	}
}

// TestEmitterCluster: on a Redis Cluster one master takes what any could, so that it
// is in order; on the sharded wire each channel is.
func TestEmitterCluster(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	for wire, factory := range nodesOf {
		t.Run(string(wire), func(t *testing.T) {
			node := adaptertest.Start(t, factory(redistest.ClusterClient(t, servers)), string(wire), "/")
			rooms := []string{"r0", "r1", "r2", "r3", "r4"}
			for _, room := range rooms {
				node.Enter(t, room)
			}
			e := emitterOf(t, redistest.ClusterClient(t, servers), EmitterConfig{Wire: wire})
			const each, batched = 20, 100
			emit := func(e *Emitter, from, to int) (err error) {
				for i := from; i < to && err == nil; i++ {
					err = e.To(rooms[i%len(rooms)]).Emit(t.Context(), "e", i)
				}
				return err
			}
			single := each * len(rooms)
			if err := emit(e, 0, single); err != nil {
				t.Fatal(err)
			}
			if err := e.Batch(t.Context(), func(e *Emitter) error { return emit(e, single, single+batched) }); err != nil {
				t.Fatal(err)
			}
			last := map[string]int{}
			for i, m := range node.Await(t, single+batched) {
				var n int
				if _, err := fmt.Sscanf(string(m.Packet.Data), `["e",%d]`, &n); err != nil {
					t.Fatal(err)
				}
				if room := m.Target.Rooms[0]; n < last[room] || wire != WireSharded && n != i {
					t.Fatalf("event %d is the one after %d in its room, %d in all", n, last[room], i)
				}
				last[m.Target.Rooms[0]] = n
			}
		})
	}
}

// BenchmarkEmitter is the way from Emit to a real Redis and back: one call after
// the other, many at once, and in batches.
func BenchmarkEmitter(b *testing.B) {
	server := redistest.Start(b)
	e := emitterOf(b, server.Client(b), EmitterConfig{Timeout: time.Minute})
	room, text := e.To("room-123"), strings.Repeat("x", 128)
	b.Run("one by one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := room.Emit(b.Context(), "chat message", text); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := room.Emit(b.Context(), "chat message", text); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("batch=100", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			err := e.Batch(b.Context(), func(e *Emitter) error {
				for range 100 {
					if err := e.To("room-123").Emit(b.Context(), "chat message", text); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/message")
	})
}
