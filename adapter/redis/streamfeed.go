package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// streamRetryMax is the longest pause before a reader connects again. One attempt
// costs little, and clients may wait for what they miss.
const streamRetryMax = time.Second

// streamFeed reads one or several streams over one connection.
type streamFeed struct {
	reader    *streamReader
	connected atomic.Bool // the last command was answered

	mu      sync.Mutex // guards the fields below and those of streams
	streams map[string]*stream
	kick    chan struct{}   // the set of streams has changed
	client  *goredis.Client // has the connection; closed to end a read that waits
	cluster bool
}

func newStreamFeed(r *streamReader) *streamFeed {
	_, cluster := r.client.(*goredis.ClusterClient)
	return &streamFeed{reader: r, streams: map[string]*stream{}, kick: make(chan struct{}, 1), cluster: cluster}
}

func (f *streamFeed) join(a *streams) (*stream, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[a.wire.key]
	if s == nil {
		s = &stream{key: a.wire.key, feed: f, begun: make(chan struct{}), members: map[string]*streams{}}
		s.cache = newStreamCache(streamCacheBytes, s.fetch)
		f.streams[s.key] = s
		f.interruptLocked()
	}
	s.members[a.host.Namespace()] = a
	if s.known {
		a.kept.begin(s.at)
	}
	return s, s.begun
}

// leave takes a namespace out, unless a later adapter has taken its place.
func (f *streamFeed) leave(a *streams) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.streams[a.wire.key]
	if s == nil {
		return
	}
	if s.members[a.host.Namespace()] == a {
		delete(s.members, a.host.Namespace())
	}
	if len(s.members) == 0 {
		delete(f.streams, s.key)
		f.interruptLocked()
	}
}

// interruptLocked makes the reader look at the set of streams again.
func (f *streamFeed) interruptLocked() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
	if f.client != nil {
		_ = f.client.Close() // the read that waits fails
		f.client = nil
	}
}

// run reads until ctx ends.
func (f *streamFeed) run(ctx context.Context) {
	defer context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.interruptLocked()
	})()
	attempt := 0
	for ctx.Err() == nil {
		list := f.present()
		if len(list) == 0 {
			await(ctx, f.kick, 0)
			continue
		}
		err := f.serve(ctx, list, func() { attempt = 0 })
		if err == nil || ctx.Err() != nil {
			continue // the set has changed
		}
		f.connected.Store(false)
		if attempt == 0 {
			f.reader.log.Warn("redis: reading the stream fails", "stream", list[0].key, "err", err)
		}
		if cluster, ok := f.reader.client.(*goredis.ClusterClient); ok {
			cluster.ReloadState(ctx)
		}
		await(ctx, f.kick, min(reconnectPause(attempt), streamRetryMax))
		attempt++
	}
}

// present returns the streams to read, and notes that they are known to be.
func (f *streamFeed) present() (list []*stream) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.kick:
	default:
	}
	for _, s := range f.streams {
		list = append(list, s)
	}
	return list
}

// serve reads some streams over one connection until that fails or, with no
// error, until others are to be read.
func (f *streamFeed) serve(ctx context.Context, list []*stream, answered func()) error {
	client, err := f.connect(ctx, list[0].key)
	if client == nil || err != nil {
		return err
	}
	defer client.Close()
	first := true
	for ctx.Err() == nil && !f.changed(client) {
		err := catchUp(ctx, client, list, first)
		if err == nil {
			f.connected.Store(true)
			err = f.read(ctx, client, list)
		}
		if f.changed(client) {
			return nil
		}
		if err != nil {
			return err
		}
		first = false
		answered()
		for _, s := range list {
			s.tick(time.Now())
		}
	}
	return nil
}

// changed tells whether the connection was interrupted.
func (f *streamFeed) changed(client *goredis.Client) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.client != client
}

// connect makes a client with one connection, like that of the caller's client but
// with the time to wait for entries. It is nil if the set of streams has changed
// meanwhile.
func (f *streamFeed) connect(ctx context.Context, key string) (*goredis.Client, error) {
	like, err := f.server(ctx, key)
	if err != nil {
		return nil, err
	}
	opts := *like.Options()
	opts.PoolSize, opts.MinIdleConns, opts.MaxIdleConns, opts.MaxActiveConns = 1, 0, 0, 0
	opts.MaxRetries = -1
	// Both are changed by the client that has them.
	opts.PushNotificationProcessor = nil
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	opts.ReadTimeout = f.reader.cfg.BlockTime + f.reader.cfg.PublishTimeout
	opts.WriteTimeout = f.reader.cfg.PublishTimeout
	client := goredis.NewClient(&opts)
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kick) > 0 {
		_ = client.Close()
		return nil, nil
	}
	f.client = client
	return client, nil
}

// server is the client of the server that has the stream.
func (f *streamFeed) server(ctx context.Context, key string) (*goredis.Client, error) {
	switch c := f.reader.client.(type) {
	case *goredis.ClusterClient:
		return c.MasterForKey(ctx, key)
	case *goredis.Client:
		return c, nil
	}
	return nil, errors.New("redis: the streams adapter needs a *Client or a *ClusterClient")
}

// read waits for entries and hands them on.
func (f *streamFeed) read(ctx context.Context, client *goredis.Client, list []*stream) error {
	cfg := f.reader.cfg
	args := make([]any, 0, 6+2*len(list))
	count := 0
	for i, s := range list {
		if n := s.pace.count(cfg.ReadCount); i == 0 || n < count {
			count = n
		}
	}
	args = append(args, "xread", "count", count, "block", cfg.BlockTime.Milliseconds(), "streams")
	for _, s := range list {
		args = append(args, s.key)
	}
	for _, s := range list {
		args = append(args, s.at.String())
	}
	cmd := goredis.NewXStreamSliceCmd(ctx, args...)
	_ = client.Process(ctx, cmd) // its error is that of the command
	found, err := cmd.Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return err
	}
	for _, x := range found {
		for _, s := range list {
			if x.Stream == s.key {
				s.lagging = s.pace.took(count, x.Messages) || s.lagging
				s.hand(x.Messages)
			}
		}
	}
	return nil
}
