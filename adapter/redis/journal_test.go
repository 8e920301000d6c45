package redis_test

import (
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

func TestJournalOnMiniredis(t *testing.T) {
	adaptertest.RunJournal(t, func(t *testing.T) adaptertest.Cluster {
		c := cluster(miniredis.RunT(t).Addr(), redis.Config{})
		c.ManualTime = true
		return c
	})
}

func TestJournalOnRedisCluster(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	makers := map[string]func(goredis.UniversalClient, redis.Config) adapter.Factory{
		"classic": redis.NewAdapter, "sharded": redis.NewShardedAdapter,
	}
	for name, newAdapter := range makers {
		t.Run(name, func(t *testing.T) {
			adaptertest.RunJournal(t, func(t *testing.T) adaptertest.Cluster {
				key := "key" + strconv.FormatInt(clusters.Add(1), 10)
				return adaptertest.Cluster{Factory: func(t *testing.T) adapter.Factory {
					return newAdapter(redistest.ClusterClient(t, servers), redis.Config{Key: key})
				}}
			})
		})
	}
}

// clusters counts those that share servers: each has its own channels and keys.
var clusters atomic.Int64

func TestJournalOnShardedRedis(t *testing.T) {
	adaptertest.RunJournal(t, func(t *testing.T) adaptertest.Cluster {
		server := redistest.Start(t)
		return adaptertest.Cluster{Factory: func(t *testing.T) adapter.Factory {
			return redis.NewShardedAdapter(server.Client(t), redis.Config{})
		}}
	})
}

func TestJournalOnRedis(t *testing.T) {
	adaptertest.RunJournal(t, func(t *testing.T) adaptertest.Cluster {
		return cluster(redistest.Start(t).Addr, redis.Config{})
	})
}
