package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Pauses between attempts to connect: doubling, with full jitter (HRD-64).
const (
	reconnectMin = 100 * time.Millisecond
	reconnectMax = 5 * time.Second
)

// errDeaf is why a connection is given up on which nothing arrives any more.
var errDeaf = errors.New("a probe did not come back")

// errIdle is why there is no connection when the last subscriber has left.
var errIdle = errors.New("nothing to hear")

// ended is a context that has ended. go-redis uses a PubSub's connection whatever
// the context, but needs a living one to make a new connection: with this it
// cannot replace a lost connection and subscribe behind our back, in one command
// for all channels. The feed does that itself (HRD-64, HRD-73).
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// feed keeps one subscriber connection.
type feed struct {
	// Static after construction.
	link *link
	subs *subscriptions
	back chan struct{} // Redis has answered: worth an attempt to connect
	// Of one master of a Redis Cluster only.
	shards *shards
	addr   string
	cancel context.CancelFunc

	master atomic.Pointer[goredis.Client] // of the shards: where to connect

	arrived atomic.Uint64 // replies read from the connection
	probes  atomic.Uint64

	completed bool // everything was subscribed at some time; owned by run
}

func newFeed(l *link, subs *subscriptions) *feed {
	return &feed{link: l, subs: subs, back: make(chan struct{}, 1)}
}

// reconnect lets run try at once.
func (f *feed) reconnect() {
	select {
	case f.back <- struct{}{}:
	default:
	}
}

// run keeps a subscriber connection until ctx ends.
func (f *feed) run(ctx context.Context) {
	l := f.link
	attempt := 0
	for ctx.Err() == nil {
		for f.subs.empty() && ctx.Err() == nil {
			await(ctx, f.subs.kick, 0)
		}
		began := time.Now()
		complete, err := f.connection(ctx)
		f.subs.lost(err)
		if ctx.Err() != nil {
			return
		}
		l.records.suspect()
		l.tell(routeLost)
		if complete {
			l.lost.Add(1)
			attempt = 0
		}
		if attempt == 0 {
			l.log.Warn("redis: connection lost", f.attrs("err", err, "lasted", time.Since(began))...)
		}
		l.reload(ctx)
		f.shards.signal()
		await(ctx, f.back, reconnectPause(attempt))
		attempt++
	}
}

// attrs says in the log whose connection it is.
func (f *feed) attrs(args ...any) []any {
	args = append(args, "node", f.link.node)
	if f.addr != "" {
		args = append(args, "master", f.addr)
	}
	return args
}

// reconnectPause is a random time below 100 ms, doubled with each attempt up to
// 5 s.
func reconnectPause(attempt int) time.Duration {
	limit := reconnectMin << min(attempt, 10)
	return rand.N(min(limit, reconnectMax)) + 1
}

// connection makes one subscriber connection and serves it until it fails. It
// reports whether all subscriptions were confirmed at some time.
func (f *feed) connection(ctx context.Context) (complete bool, err error) {
	f.subs.connect()
	cmds := f.subs.flush() // a node's own channel is the first of them
	if len(cmds) == 0 {
		return false, errIdle
	}
	ps := f.client().Subscribe(ctx) // not connected yet
	defer ps.Close()
	if err := send(ctx, ps, cmds[:1]); err != nil {
		return false, err
	}
	f.subs.reached()
	c := &connection{feed: f, ps: ps, failed: make(chan error, 1)}
	go func() { c.failed <- c.read() }() // ends when ps is closed; serve waits for it
	return c.serve(ctx, send(ended, ps, cmds[1:]))
}

// client is the client whose connection is subscribed. Through a whole Redis
// Cluster every server hears what is published on any; go-redis picks the owner
// of the slot of the first channel, which is the node's own: the server that it
// publishes through.
func (f *feed) client() goredis.UniversalClient {
	c := f.master.Load()
	if c == nil {
		c, _ = f.link.client.(*goredis.Client)
	}
	if c == nil {
		return f.link.client
	}
	return c.WithTimeout(f.link.cfg.PublishTimeout)
}

// send sends commands. The first of a connection makes it, with a living context.
func send(ctx context.Context, ps *goredis.PubSub, cmds []*command) error {
	for _, c := range cmds {
		var err error
		switch c.verb {
		case "subscribe":
			err = ps.Subscribe(ctx, c.names()...)
		case "psubscribe":
			err = ps.PSubscribe(ctx, c.names()...)
		case "ssubscribe":
			err = ps.SSubscribe(ctx, c.names()...)
		case "unsubscribe":
			err = ps.Unsubscribe(ctx, c.names()...)
		case "punsubscribe":
			err = ps.PUnsubscribe(ctx, c.names()...)
		case "sunsubscribe":
			err = ps.SUnsubscribe(ctx, c.names()...)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.verb, err)
		}
	}
	return nil
}

// connection is one subscriber connection.
type connection struct {
	feed   *feed
	ps     *goredis.PubSub
	failed chan error // how read ended
	live   liveness   // owned by serve
}

// serve sends commands and watches until the connection fails or ctx ends. err
// is how it began.
func (c *connection) serve(ctx context.Context, err error) (complete bool, _ error) {
	f, cfg := c.feed, c.feed.link.cfg
	tick := time.NewTicker(f.link.tickEvery())
	defer tick.Stop()
	retry := time.NewTicker(cfg.ProbeTimeout) // of refused subscriptions: not too often
	defer retry.Stop()
	c.live.heard(time.Now(), f.arrived.Load())
	for err == nil {
		select {
		case err := <-c.failed:
			return complete || c.restored(), err // it may have been complete since the last look
		case <-ctx.Done():
			err = ctx.Err()
		case <-f.subs.kick:
			err = send(ended, c.ps, f.subs.flush())
			f.shards.signal()
		case <-retry.C:
			f.subs.retry()
		case now := <-tick.C:
			err = c.check(now)
		}
		complete = complete || c.restored()
	}
	c.ps.Close()
	<-c.failed
	return complete, err
}

// restored reports, and once logs, that all subscriptions are there.
func (c *connection) restored() bool {
	f := c.feed
	if !f.subs.complete() {
		return false
	}
	f.link.log.Info("redis: subscribed", f.attrs()...)
	f.link.registry.subscribed()
	if f.completed && f.shards == nil { // else the shards count
		f.link.resets.Add(1)
	}
	if f.shards == nil {
		f.link.tell(routeRestored)
	}
	f.completed = true
	return true
}

// tickEvery is how often a connection is looked at.
func (l *link) tickEvery() time.Duration {
	return min(max(min(l.cfg.ProbeInterval, l.cfg.ProbeTimeout)/20, 10*time.Millisecond), 250*time.Millisecond)
}

// patience is how long silence may seem to last before the probe. What is seen at a
// tick may have arrived a tick earlier, and both probe and end wait for the next
// one: with that both bounds together hold.
func (l *link) patience() time.Duration {
	return max(l.cfg.ProbeInterval-3*l.tickEvery(), l.cfg.ProbeInterval/2)
}

// check sends a probe when it has been silent for long, and gives up when
// the probe does not come back (HRD-64).
func (c *connection) check(now time.Time) error {
	f := c.feed
	switch c.live.look(now, f.arrived.Load(), f.link.patience(), f.link.cfg.ProbeTimeout) {
	case liveProbe:
		return c.probe()
	case liveDead:
		return errDeaf
	}
	return nil
}

// probe makes something arrive: what the node says on its own channel. That is
// one server's on a Redis Cluster with sharded channels, and the way there may be
// closed while another master is away, so there it is a PING on the connection.
func (c *connection) probe() error {
	f := c.feed
	if f.shards != nil {
		return c.ps.Ping(ended)
	}
	text := strconv.FormatUint(f.probes.Add(1), 10)
	f.link.out.push(f.link.ownItem(f.link.own, []byte(text), &counters{}))
	return nil
}

// verb publishes on the link's channels.
func (l *link) verb() verb {
	if l.sharded {
		return verbSPublish
	}
	return verbPublish
}

// read takes what arrives until the connection fails.
func (c *connection) read() (err error) {
	f := c.feed
	defer func() {
		if p := recover(); p != nil { // HRD-01, HRD-60
			f.link.log.Error("redis: panic while reading", f.attrs("panic", p, "stack", string(debug.Stack()))...)
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	for {
		reply, err := c.ps.Receive(ended)
		if err == nil {
			err = c.take(reply)
		} else if refused := goredis.Error(nil); errors.As(err, &refused) && f.subs.refuse(err) {
			if !isElsewhere(err) {
				f.link.log.Error("redis: subscription refused", f.attrs("err", err)...)
			}
			err = nil
		}
		if err != nil {
			return err
		}
		f.arrived.Add(1)
	}
}

// take hands one reply on.
func (c *connection) take(reply any) error {
	switch reply := reply.(type) {
	case *goredis.Message:
		c.feed.subs.deliver(reply.Pattern, reply.Channel, reply.Payload)
	case *goredis.Subscription:
		return c.feed.subs.confirm(reply.Kind, reply.Channel)
	}
	return nil
}
