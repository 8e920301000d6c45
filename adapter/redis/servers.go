package redis

import (
	"context"
	"errors"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// maxTimed bounds the clients that are remembered: servers come and go.
const maxTimed = 64

// execute sends commands in one pipeline for each server. All that the outbox
// holds goes to the same one, but on a Redis Cluster where slots decide. There
// the entries of streams come first: what is published is kept already. If one of
// those has to be tried again the rest waits for it.
func (l *link) execute(ctx context.Context, items []item, cmds []publishCmd) error {
	cluster, ok := l.client.(*goredis.ClusterClient)
	if !ok {
		return pipeline(ctx, l.plain(), cmds)
	}
	var entries, others []int
	for i := range items {
		if items[i].verb == verbXAdd {
			entries = append(entries, i)
		} else {
			others = append(others, i)
		}
	}
	err := l.spread(ctx, cluster, entries, items, cmds)
	for _, i := range entries {
		if !cmds[i].sent() && cmds[i].retriable() {
			return err
		}
	}
	return errors.Join(err, l.spread(ctx, cluster, others, items, cmds))
}

// spread sends some of the commands, to all servers at a time.
func (l *link) spread(ctx context.Context, cluster *goredis.ClusterClient, some []int, items []item, cmds []publishCmd) error {
	parts := map[*goredis.Client][]publishCmd{}
	for _, i := range some {
		server, err := l.serverOf(ctx, cluster, &items[i])
		if err != nil {
			return err
		}
		parts[server] = append(parts[server], cmds[i])
	}
	errs := make([]error, len(parts))
	var wg sync.WaitGroup
	n := 0
	for server, part := range parts {
		client, err := l.withTimeout(server), &errs[n]
		n++
		if n == len(parts) { // mostly the only one
			*err = pipeline(ctx, client, part)
			break
		}
		wg.Go(func() { *err = pipeline(ctx, client, part) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// serverOf is the master that takes an item on a Redis Cluster.
//
// Any server takes a PUBLISH and passes it on to the others. go-redis would route
// each by the slot of its channel, so that what a node says in different rooms
// takes different ways and may overtake. We send all of a node's messages through
// the one master that owns the slot of the node's own channel: order is kept
// (CLU-O-01), one pipeline is enough, and many nodes spread over the masters.
// Sharded channels and streams leave no choice: order holds for each (CLU-H-11).
func (l *link) serverOf(ctx context.Context, cluster *goredis.ClusterClient, it *item) (*goredis.Client, error) {
	if it.verb == verbPublish {
		return cluster.MasterForKey(ctx, l.own)
	}
	return cluster.MasterForKey(ctx, it.channel)
}

// way names the items that keep their order among each other: those of one way
// go to the same server.
func (l *link) way(it *item) string {
	if _, ok := l.client.(*goredis.ClusterClient); ok && it.verb != verbPublish {
		return it.channel
	}
	return ""
}

// plain is the client to publish with where there is no Redis Cluster.
func (l *link) plain() goredis.UniversalClient {
	if c, ok := l.client.(*goredis.Client); ok {
		return l.withTimeout(c)
	}
	return l.client
}

func (l *link) withTimeout(c *goredis.Client) *goredis.Client {
	timed := l.timed[c]
	if timed == nil {
		if len(l.timed) >= maxTimed {
			clear(l.timed)
		}
		timed = c.WithTimeout(l.cfg.PublishTimeout)
		l.timed[c] = timed
	}
	return timed
}

func pipeline(ctx context.Context, client goredis.UniversalClient, cmds []publishCmd) error {
	pipe := client.Pipeline()
	for _, c := range cmds {
		if err := pipe.Process(ctx, c); err != nil {
			return err
		}
	}
	_, err := pipe.Exec(ctx)
	return err
}

// ping tells whether the servers that batch is for answer, if only that they do
// not like PING.
func (l *link) ping(ctx context.Context, batch []item) bool {
	clients, err := l.serversOf(ctx, batch)
	if err != nil {
		return false
	}
	for _, client := range clients {
		if err := client.Ping(ctx).Err(); err != nil && (!isRefusal(err) || isTransient(err)) {
			return false
		}
	}
	return true
}

func (l *link) serversOf(ctx context.Context, batch []item) (list []goredis.UniversalClient, err error) {
	cluster, ok := l.client.(*goredis.ClusterClient)
	if !ok {
		return []goredis.UniversalClient{l.plain()}, nil
	}
	seen := map[*goredis.Client]bool{}
	for i := range batch {
		server, err := l.serverOf(ctx, cluster, &batch[i])
		if err != nil {
			return nil, err
		}
		if !seen[server] {
			seen[server] = true
			list = append(list, l.withTimeout(server))
		}
	}
	return list, nil
}
