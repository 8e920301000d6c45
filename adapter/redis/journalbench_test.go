package redis_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// BenchmarkPublishKept is what it costs a node to publish an event of 128 bytes with
// recovery off and on, until Redis has it.
func BenchmarkPublishKept(b *testing.B) {
	for _, window := range []time.Duration{0, time.Minute} {
		b.Run(fmt.Sprintf("recovery=%v", window > 0), func(b *testing.B) {
			server := redistest.Start(b)
			h := adaptertest.NewHost("nodeA", "/")
			h.Window = window
			a, err := redis.NewAdapter(server.Client(b), redis.Config{Backlog: 1 << 30, BacklogAge: time.Hour})(h)
			if err != nil {
				b.Fatal(err)
			}
			if err := a.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			m := adaptertest.Event(`["e","`+strings.Repeat("x", 120)+`"]`, "r1")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := a.Publish(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
			if err := a.Close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkReplay is what it costs clients to come back after 9,000 events of which
// each wants 90, one alone or 300 at once (CLU-X-16).
func BenchmarkReplay(b *testing.B) {
	server := redistest.Start(b)
	n := startRecoverer(b, server.Client(b), redis.Config{Backlog: 64 << 20}, "nodeA")
	offset := n.Here()
	for i := range 9000 {
		m := adaptertest.Event(fmt.Sprintf(`["e",%d,"%s"]`, i, strings.Repeat("x", 300)), fmt.Sprint("r", i%100))
		n.order.Lock()
		_, err := n.Publish(b.Context(), m)
		n.order.Unlock()
		if err != nil {
			b.Fatal(err)
		}
	}
	wants := func(m *adapter.Message) bool { return m.Target.Rooms[0] == "r7" }
	for _, clients := range []int{1, 300} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() {
						r, err := n.Replay(b.Context(), offset, wants)
						if err != nil {
							b.Error(err)
							return
						}
						got := 0
						for range r.Events() {
							got++
						}
						if got != 90 {
							b.Errorf("%d events", got)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}
