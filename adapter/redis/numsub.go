package redis

import (
	"context"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// subscribers returns how many connections are subscribed to channel. On a Redis
// Cluster each server knows its own only, so all are asked (CLU-G-10). Replicas
// have subscribers too; one that does not answer is left out, since it would
// make every count fail while it is down.
func (l *link) subscribers(ctx context.Context, channel string) (int, error) {
	cluster, ok := l.client.(*goredis.ClusterClient)
	if !ok {
		return l.numSub(ctx, l.client, channel)
	}
	var total atomic.Int64
	count := func(ctx context.Context, c *goredis.Client) error {
		n, err := l.numSub(ctx, c, channel)
		total.Add(int64(n))
		return err
	}
	if err := cluster.ForEachMaster(ctx, count); err != nil {
		return 0, err
	}
	_ = cluster.ForEachSlave(ctx, count)
	return int(total.Load()), nil
}

// numSub asks one server. go-redis heeds the deadline of a context while it
// dials, but not while it reads; so the time that is left becomes the timeout.
func (l *link) numSub(ctx context.Context, client goredis.UniversalClient, channel string) (int, error) {
	timeout := l.cfg.PublishTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, max(time.Until(deadline), time.Millisecond))
	}
	if c, ok := client.(*goredis.Client); ok {
		client = c.WithTimeout(timeout)
	}
	ask := client.PubSubNumSub
	if l.sharded {
		ask = client.PubSubShardNumSub
	}
	counts, err := ask(ctx, channel).Result()
	return int(counts[channel]), err
}
