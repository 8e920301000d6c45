package redis

import (
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// benchMessages are what crosses the border in the benchmarks.
func benchMessages() map[string]*adapter.Message {
	room := adapter.Target{Rooms: []string{"room-123"}}
	return map[string]*adapter.Message{
		"text/size=128":   {Kind: adapter.Broadcast, Target: room, Packet: event(`["chat message","` + strings.Repeat("x", 128) + `"]`)},
		"object/size=128": {Kind: adapter.Broadcast, Target: room, Packet: event(`["chat message",{"id":12345,"user":{"name":"alice","admin":false},"text":"` + strings.Repeat("x", 50) + `","at":1700000000123,"tags":["a","b"]}]`)},
		"text/size=4096":  {Kind: adapter.Broadcast, Target: room, Packet: event(`["chat message","` + strings.Repeat("x", 4096) + `"]`)},
		"binary/size=128": {Kind: adapter.Broadcast, Target: room, Packet: event(`["b",{"_placeholder":true,"num":0}]`, make([]byte, 128))},
	}
}

func BenchmarkEncodeBroadcast(b *testing.B) {
	w := wire{uid: "0123456789", namespace: "/"}
	for name, m := range benchMessages() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := w.encode(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a host without use for messages.
type discard struct{ *adaptertest.Host }

func (discard) HasRoom(string) bool      { return true }
func (discard) Receive(*adapter.Message) {}

// BenchmarkDecodeBroadcast is what the worker does with a message: here for
// somebody, and for a room that is not here.
func BenchmarkDecodeBroadcast(b *testing.B) {
	sender := wire{uid: "0123456789", namespace: "/"}
	cfg, _ := Config{}.withDefaults()
	here := newClassic(cfg, discard{adaptertest.NewHost("node", "/")}, "me")
	elsewhere := newClassic(cfg, adaptertest.NewHost("node", "/"), "me")
	for name, m := range benchMessages() {
		msg, _, err := sender.encode(m)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("delivered/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := here.decodeBroadcast(msg); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("dropped/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := elsewhere.decodeBroadcast(msg); err != errForeign {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPublish is the way from Publish to a real Redis, at saturation: what
// waits is pipelined.
func BenchmarkPublish(b *testing.B) {
	server := redistest.Start(b)
	m := benchMessages()["text/size=128"]
	b.Run("adapter", func(b *testing.B) {
		n := adaptertest.Start(b, NewAdapter(server.Client(b), Config{Backlog: 1 << 30, BacklogAge: time.Hour}), "node", "/")
		b.ReportAllocs()
		for b.Loop() {
			n.MustPublish(b, m)
		}
		adaptertest.Eventually(b, "everything published", func() bool { return n.Stats().Published == uint64(b.N) })
	})
	b.Run("one by one", func(b *testing.B) { // for comparison
		client := server.Client(b)
		w := wire{uid: "0123456789", namespace: "/"}
		b.ReportAllocs()
		for b.Loop() {
			payload, _, _ := w.encode(m)
			if err := client.Publish(b.Context(), "socket.io#/#room-123#", payload).Err(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReceive is the way from Redis to the host.
func BenchmarkReceive(b *testing.B) {
	server := redistest.Start(b)
	h := adaptertest.NewHost("node", "/")
	a, err := NewAdapter(server.Client(b), Config{})(discard{h})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close(b.Context())
	if err := a.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	wait := a.(adapter.RoomObserver).RoomAdded("room-123")
	<-wait
	payload, _, _ := wire{uid: "0123456789", namespace: "/"}.encode(benchMessages()["text/size=128"])
	client := server.Client(b)
	received := func() uint64 { return a.(adapter.Measurer).Stats().Received }
	b.ReportAllocs()
	sent := uint64(0)
	for b.Loop() {
		const batch = 100
		_, err := client.Pipelined(b.Context(), func(p goredis.Pipeliner) error {
			for range batch {
				p.Publish(b.Context(), "socket.io#/#room-123#", payload)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		sent += batch
		if sent-received() > 50_000 {
			adaptertest.Eventually(b, "room", func() bool { return sent-received() < 10_000 })
		}
	}
	adaptertest.Eventually(b, "arrival", func() bool { return received() == sent })
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sent), "ns/message")
}
