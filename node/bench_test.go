package node

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/fanwire/fanwire/adapter"
)

type sum struct {
	A int `json:"a"`
	B int `json:"b"`
}

// BenchmarkDispatch takes a message from the engine, runs its handler inline and
// acks with the result.
func BenchmarkDispatch(b *testing.B) {
	srv := newPlainServer(b, Config{})
	Handle(srv, "raw", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	Handle(srv, "text", func(_ context.Context, _ *Socket, s string) (string, error) { return s, nil })
	Handle(srv, "struct", func(_ context.Context, _ *Socket, s sum) (int, error) { return s.A + s.B, nil })
	On(srv, "noack", func(context.Context, *Socket, None) error { return nil })
	f := srv.open()
	f.receive("0")
	for _, m := range []struct{ name, text string }{
		{"raw", `421["raw","` + strings.Repeat("x", 128) + `"]`},
		{"text", `421["text","` + strings.Repeat("x", 128) + `"]`},
		{"struct", `421["struct",{"a":1,"b":2}]`},
		{"noack", `42["noack"]`},
		{"unhandled", `42["nope","` + strings.Repeat("x", 128) + `"]`},
	} {
		b.Run(m.name, func(b *testing.B) {
			text := []byte(m.text[1:])
			b.ReportAllocs()
			for b.Loop() {
				f.c.Message(text, false, true)
			}
		})
	}
}

// fakeClients connects n clients that are in room "r" to srv.
func fakeClients(srv *Server, n int) []*fakeSession {
	if err := srv.Ready(context.Background()); err != nil {
		panic(err)
	}
	list := make([]*fakeSession, n)
	for i := range list {
		list[i] = srv.open()
		list[i].receive("0")
		for s := range srv.LocalSockets() {
			if s.client.sess == list[i] {
				_ = s.Join(context.Background(), "r")
			}
		}
	}
	return list
}

func BenchmarkBroadcast(b *testing.B) {
	for _, clients := range []int{1, 1000} {
		for _, mode := range []string{"room", "all", "sender", "hub", "recovery", "hub recovery"} {
			b.Run(fmt.Sprintf("%s/clients=%d/size=128", mode, clients), func(b *testing.B) {
				var cfg Config
				if strings.HasPrefix(mode, "hub") {
					cfg.Adapter = new(adapter.Hub).Factory
				}
				if strings.HasSuffix(mode, "recovery") {
					cfg.Recovery = new(Recovery)
				}
				srv := newPlainServer(b, cfg)
				list := fakeClients(srv, clients)
				target := srv.To("r")
				switch mode {
				case "all":
					target = srv.All()
				case "sender":
					target = list[0].c.sockets[0].To("r")
				}
				text := any(json.RawMessage(`"` + strings.Repeat("x", 128) + `"`))
				ctx := context.Background()
				b.ReportAllocs()
				for b.Loop() {
					if err := target.Emit(ctx, "news", text); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*clients), "ns/delivery")
			})
		}
	}
}

func BenchmarkEmit(b *testing.B) {
	for name, cfg := range map[string]Config{"plain": {}, "recovery": {Recovery: new(Recovery)}} {
		b.Run(name, func(b *testing.B) {
			srv := newPlainServer(b, cfg)
			f := fakeClients(srv, 1)[0]
			s := f.c.sockets[0]
			text := any(strings.Repeat("x", 128))
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				_ = s.Emit(ctx, "news", text)
			}
		})
	}
}

// The hot paths must not start to allocate.
func TestAllocations(t *testing.T) {
	t.Run("plain", func(t *testing.T) { testAllocations(t, Config{}, 3, 1) })
	t.Run("recovery", func(t *testing.T) { testAllocations(t, Config{Recovery: new(Recovery)}, 13, 7) })
}

func testAllocations(t *testing.T, cfg Config, broadcast, emit float64) {
	srv := newPlainServer(t, cfg)
	Handle(srv, "raw", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	Handle(srv, "text", func(_ context.Context, _ *Socket, s string) (string, error) { return s, nil })
	On(srv, "on", func(context.Context, *Socket, Args) error { return nil })
	list := fakeClients(srv, 100)
	f := list[0]
	all := srv.All()
	ctx, text := context.Background(), any("x")
	receive := func(text string) func() {
		data := []byte(text)
		return func() { f.c.Message(data, false, true) }
	}
	for _, test := range []struct {
		name string
		max  float64
		run  func()
	}{
		{"Handle raw with ack", 0, receive(`21["raw","x"]`)},
		{"Handle text with ack", 1, receive(`21["text","x"]`)},
		{"On without ack", 0, receive(`2["on","x"]`)},
		{"On with ack", 1, receive(`21["on","x"]`)},
		{"unhandled", 0, receive(`2["nope"]`)},
		{"broadcast to 100", broadcast, func() { _ = all.Emit(ctx, "e", text) }},
		{"emit", emit, func() { _ = f.c.sockets[0].Emit(ctx, "e", text) }},
	} {
		// What others allocate meanwhile counts as well: with recovery the sessions above
		// are still being kept.
		got := testing.AllocsPerRun(100, test.run)
		for range 500 {
			if got <= test.max {
				break
			}
			time.Sleep(10 * time.Millisecond)
			got = testing.AllocsPerRun(100, test.run)
		}
		if got > test.max {
			t.Errorf("%s: %v allocations, want at most %v", test.name, got, test.max)
		}
	}
}

// An idle client must fit into 1.5 KB above the connection (design.md, section
// 5). Its request had a browser's user agent and origin.
func TestIdleMemory(t *testing.T) {
	const n, limit = 10_000, 1500
	srv := newPlainServer(t, Config{})
	Handle(srv, "raw", func(_ context.Context, _ *Socket, a Args) (Args, error) { return a, nil })
	list := make([]*fakeSession, n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range list {
		list[i] = srv.open()
		list[i].receive("0")
		list[i].receive(`21["raw",1]`)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := (after.HeapAlloc - before.HeapAlloc) / n
	t.Logf("%d bytes for an idle client, of them %d for the fake session", per, 160)
	if per > limit {
		t.Errorf("%d bytes for an idle client, want at most %d", per, limit)
	}
	runtime.KeepAlive(list)
}

// A message is made for each broadcast to other nodes: one byte more, and it takes
// the next size that the allocator has.
func TestMessageSize(t *testing.T) {
	if size := unsafe.Sizeof(adapter.Message{}); size > 256 {
		t.Errorf("%d bytes", size)
	}
}
