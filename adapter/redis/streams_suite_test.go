package redis_test

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// streamsCluster makes nodes with a client each, like processes.
func streamsCluster(addr string, cfg redis.StreamsConfig) adaptertest.Cluster {
	return adaptertest.Cluster{Factory: func(t *testing.T) adapter.Factory {
		return redis.NewStreamsAdapter(redistest.NewClient(t, addr), cfg)
	}}
}

func TestStreamsOnMiniredis(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T) adaptertest.Cluster {
		return streamsCluster(miniredis.RunT(t).Addr(), redis.StreamsConfig{BlockTime: 100 * time.Millisecond})
	})
}

func streamsConfigs() map[string]redis.StreamsConfig {
	return map[string]redis.StreamsConfig{
		"default": {},
		"several": {Config: redis.Config{Key: "k"}, StreamName: "s", StreamCount: 4},
		"sharded": {Sharded: true},
	}
}

func TestStreamsOnRedis(t *testing.T) {
	for name, cfg := range streamsConfigs() {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			adaptertest.Run(t, func(*testing.T) adaptertest.Cluster { return streamsCluster(server.Addr, cfg) })
		})
	}
}

// TestStreamsOnCluster: the streams lie on several masters.
func TestStreamsOnCluster(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	for name, cfg := range streamsConfigs() {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, func(t *testing.T) adaptertest.Cluster {
				return adaptertest.Cluster{Factory: func(t *testing.T) adapter.Factory {
					return redis.NewStreamsAdapter(redistest.ClusterClient(t, servers), cfg)
				}}
			})
		})
	}
}

// TestStreamsOneFactory: the nodes of one process share a factory and a client, and
// read the stream all the same.
func TestStreamsOneFactory(t *testing.T) {
	server := redistest.Start(t)
	adaptertest.Run(t, func(t *testing.T) adaptertest.Cluster {
		factory := redis.NewStreamsAdapter(server.Client(t), redis.StreamsConfig{})
		return adaptertest.Cluster{Factory: func(*testing.T) adapter.Factory { return factory }}
	})
}

func TestStreamsJournal(t *testing.T) {
	server := redistest.Start(t)
	for name, cfg := range streamsConfigs() {
		cfg.OrderWait = adaptertest.Timeout // however busy the machine is
		t.Run(name, func(t *testing.T) {
			adaptertest.RunJournal(t, func(*testing.T) adaptertest.Cluster { return streamsCluster(server.Addr, cfg) })
		})
	}
}
