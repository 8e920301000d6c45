package redis_test

import (
	"testing"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

func subscriptionModes() []redis.SubscriptionMode {
	return []redis.SubscriptionMode{redis.ModeDynamic, redis.ModeDynamicPrivate, redis.ModeStatic}
}

func TestShardedOnRedis(t *testing.T) {
	server := redistest.Start(t)
	for _, mode := range subscriptionModes() {
		t.Run(string(mode), func(t *testing.T) {
			adaptertest.Run(t, func(*testing.T) adaptertest.Cluster {
				return adaptertest.Cluster{Everywhere: mode == redis.ModeStatic, Factory: func(t *testing.T) adapter.Factory {
					return redis.NewShardedAdapter(server.Client(t), redis.Config{SubscriptionMode: mode})
				}}
			})
		})
	}
}

// TestShardedOnRedisCluster: channels live on three masters (CLU-H-11).
func TestShardedOnRedisCluster(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	for _, mode := range subscriptionModes() {
		t.Run(string(mode), func(t *testing.T) {
			adaptertest.Run(t, func(*testing.T) adaptertest.Cluster {
				return adaptertest.Cluster{Everywhere: mode == redis.ModeStatic, LooseRooms: true, Factory: func(t *testing.T) adapter.Factory {
					return redis.NewShardedAdapter(redistest.ClusterClient(t, servers), redis.Config{SubscriptionMode: mode})
				}}
			})
		})
	}
}
