package redis

import (
	"context"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// subscribers returns how many connections are subscribed to channel.
func (l *link) subscribers(ctx context.Context, channel string) (int, error) {
	counts, err := l.subscribersOf(ctx, []string{channel})
	return counts[channel], err
}

// subscribersOf returns how many connections are subscribed to each channel. One
// server tells it as of one moment. On a Redis Cluster each knows its own only, so
// all are asked (CLU-G-10). Replicas have subscribers too; one that does not answer
// is left out, since it would make every count fail while it is down.
func (l *link) subscribersOf(ctx context.Context, channels []string) (map[string]int, error) {
	var mu sync.Mutex // guards total
	total := map[string]int{}
	count := func(ctx context.Context, c goredis.UniversalClient) error {
		counts, err := l.numSub(ctx, c, channels)
		mu.Lock()
		defer mu.Unlock()
		for channel, n := range counts {
			total[channel] += int(n)
		}
		return err
	}
	cluster, ok := l.client.(*goredis.ClusterClient)
	if !ok {
		return total, count(ctx, l.client)
	}
	countOf := func(ctx context.Context, c *goredis.Client) error { return count(ctx, c) }
	if err := cluster.ForEachMaster(ctx, countOf); err != nil {
		return nil, err
	}
	_ = cluster.ForEachSlave(ctx, countOf)
	return total, nil
}

// numSub asks one server. go-redis heeds the deadline of a context while it
// dials, but not while it reads; so the time that is left becomes the timeout.
func (l *link) numSub(ctx context.Context, client goredis.UniversalClient, channels []string) (map[string]int64, error) {
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
	return ask(ctx, channels...).Result()
}
