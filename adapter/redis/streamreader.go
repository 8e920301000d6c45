package redis

import (
	"context"
	"log/slog"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// streamReaders holds the reader of each node that uses one factory.
type streamReaders struct {
	client goredis.UniversalClient
	cfg    StreamsConfig

	mu     sync.Mutex
	byNode map[string]*streamReader
}

// streamReader reads the streams for all namespaces of one node: over one
// connection, or over one for each stream on a Redis Cluster, where a command
// cannot name keys of several slots.
type streamReader struct {
	client goredis.UniversalClient
	cfg    StreamsConfig
	log    *slog.Logger
	ctx    context.Context // ends with the last namespace
	cancel context.CancelFunc
	wg     sync.WaitGroup

	users int                    // guarded by streamReaders.mu
	feeds map[string]*streamFeed // guarded by streamReaders.mu; by stream on a Redis Cluster
}

// join makes a namespace hear its stream, from where the node reads it or, if it
// does not yet, from its end. The second result is closed once that is so.
func (rs *streamReaders) join(a *streams) (*stream, <-chan struct{}) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	node := a.host.NodeID()
	r := rs.byNode[node]
	if r == nil {
		r = &streamReader{client: rs.client, cfg: rs.cfg, log: a.log, feeds: map[string]*streamFeed{}}
		r.ctx, r.cancel = context.WithCancel(context.Background())
		rs.byNode[node] = r
	}
	r.users++
	group := ""
	if _, ok := rs.client.(*goredis.ClusterClient); ok {
		group = a.wire.key
	}
	f := r.feeds[group]
	if f == nil {
		f = newStreamFeed(r)
		r.feeds[group] = f
		r.wg.Go(func() { f.run(r.ctx) }) // ends with the reader's context; leave waits
	}
	return f.join(a)
}

// release gives the reader of a node back; the last namespace ends it and waits.
func (rs *streamReaders) release(a *streams) {
	rs.mu.Lock()
	node := a.host.NodeID()
	r := rs.byNode[node]
	r.users--
	last := r.users == 0
	if last {
		delete(rs.byNode, node)
	}
	rs.mu.Unlock()
	if last {
		r.cancel()
		r.wg.Wait()
	}
}
