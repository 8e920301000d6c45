package redis_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// cluster makes nodes with a client each, like processes.
func cluster(addr string, cfg redis.Config) adaptertest.Cluster {
	return adaptertest.Cluster{Factory: func(t *testing.T) adapter.Factory {
		return redis.NewAdapter(redistest.NewClient(t, addr), cfg)
	}}
}

func TestClassicOnMiniredis(t *testing.T) {
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, func(t *testing.T) adaptertest.Cluster {
				c := cluster(miniredis.RunT(t).Addr(), cfg)
				c.LooseIDs = true
				return c
			})
		})
	}
}

func configs() map[string]redis.Config {
	return map[string]redis.Config{
		"default":     {},
		"NoIDPattern": {NoIDPattern: true},
		"Key":         {Key: `[a*]`},
	}
}

func TestClassicOnRedis(t *testing.T) {
	server := redistest.Start(t)
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) {
			adaptertest.Run(t, func(*testing.T) adaptertest.Cluster { return cluster(server.Addr, cfg) })
		})
	}
}

// TestClassicOneFactory: the nodes of one process share a factory and a client,
// and count all the same (CLU-R-43).
func TestClassicOneFactory(t *testing.T) {
	server := redistest.Start(t)
	adaptertest.Run(t, func(t *testing.T) adaptertest.Cluster {
		factory := redis.NewAdapter(server.Client(t), redis.Config{})
		return adaptertest.Cluster{Factory: func(*testing.T) adapter.Factory { return factory }}
	})
}

func TestConfigErrors(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	ring := goredis.NewRing(&goredis.RingOptions{})
	defer ring.Close()
	tests := []struct {
		name   string
		client goredis.UniversalClient
		cfg    redis.Config
	}{
		{"negative", client, redis.Config{MaxMessage: -1, BacklogAge: -1}},
		{"no client", nil, redis.Config{}},
		{"ring", ring, redis.Config{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := redis.NewAdapter(tt.client, tt.cfg)(adaptertest.NewHost("n1", "/")); err == nil {
				t.Error("no error")
			}
		})
	}
}
