package redis_test

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// TestPacer: on every wire the node hears how much it got, so that it can wait for its
// clients.
func TestPacer(t *testing.T) {
	server := redistest.Start(t)
	for name, wire := range wires() {
		for mode, start := range map[string]func(*testing.T, adapter.Factory, string) *adaptertest.Node{
			"": func(t *testing.T, f adapter.Factory, id string) *adaptertest.Node {
				return adaptertest.Start(t, f, id, "/")
			},
			" with recovery": func(t *testing.T, f adapter.Factory, id string) *adaptertest.Node { return recovering(t, f, id) },
		} {
			t.Run(name+mode, func(t *testing.T) {
				const n = 20
				a, b := start(t, wire(server.Client(t)), "nodeA"), start(t, wire(server.Client(t)), "nodeB")
				numbered(t, a, 0, n)
				b.Await(t, n)
				adaptertest.Eventually(t, "the last one to be counted", func() bool { return b.Host.Paced() >= n*len(`["e",0]`) })
			})
		}
	}
}
