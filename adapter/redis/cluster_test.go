package redis_test

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// TestClassicOnRedisCluster: nodes subscribe to and publish through different
// servers of a Redis Cluster, and count all the same (CLU-G-10).
func TestClassicOnRedisCluster(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	adaptertest.Run(t, func(*testing.T) adaptertest.Cluster {
		return adaptertest.Cluster{Factory: func(t *testing.T) adapter.Factory {
			return redis.NewAdapter(redistest.ClusterClient(t, servers), redis.Config{})
		}}
	})
}
