package redis_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
	"github.com/fanwire/fanwire/internal/clustertest"
)

// What clients of nodes on Redis see, on every wire.

func wires() map[string]func(goredis.UniversalClient) adapter.Factory {
	return map[string]func(goredis.UniversalClient) adapter.Factory{
		"classic": func(c goredis.UniversalClient) adapter.Factory { return redis.NewAdapter(c, redis.Config{}) },
		"sharded": func(c goredis.UniversalClient) adapter.Factory { return redis.NewShardedAdapter(c, redis.Config{}) },
		"streams": func(c goredis.UniversalClient) adapter.Factory {
			// What does not come back in time may come twice to a client that is cut off.
			return redis.NewStreamsAdapter(c, redis.StreamsConfig{OrderWait: adaptertest.Timeout})
		},
	}
}

// clients runs the tests on a Redis for each, every node with a connection of its own.
func clients(t *testing.T, start func(t *testing.T) (connect func(t *testing.T) goredis.UniversalClient), wire func(goredis.UniversalClient) adapter.Factory) {
	clustertest.Run(t, func(t *testing.T) func(*testing.T) adapter.Factory {
		connect := start(t)
		return func(t *testing.T) adapter.Factory { return wire(connect(t)) }
	})
}

func TestClientsOnMiniredis(t *testing.T) {
	clients(t, func(t *testing.T) func(*testing.T) goredis.UniversalClient {
		addr := miniredis.RunT(t).Addr()
		return func(t *testing.T) goredis.UniversalClient { return redistest.NewClient(t, addr) }
	}, wires()["classic"])
}

func TestClientsOnRedis(t *testing.T) {
	for name, wire := range wires() {
		t.Run(name, func(t *testing.T) {
			clients(t, func(t *testing.T) func(*testing.T) goredis.UniversalClient {
				addr := redistest.Start(t).Addr
				return func(t *testing.T) goredis.UniversalClient { return redistest.NewClient(t, addr) }
			}, wire)
		})
	}
}

// On three masters.
func TestClientsOnCluster(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	for name, wire := range wires() {
		t.Run(name, func(t *testing.T) {
			clients(t, func(t *testing.T) func(*testing.T) goredis.UniversalClient {
				for _, s := range servers { // the wires have it one after the other
					if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
						t.Fatal(err)
					}
				}
				return func(t *testing.T) goredis.UniversalClient { return redistest.ClusterClient(t, servers) }
			}, wire)
		})
	}
}
