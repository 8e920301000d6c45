package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strconv"
	"sync"
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

// ended is a context that has ended. go-redis uses a PubSub's connection whatever
// the context, but needs a living one to make a new connection: with this it
// cannot replace a lost connection and subscribe behind our back, in one command
// for all channels. The link does that itself (HRD-64, HRD-73).
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// links holds the link of each node that uses one factory. Most programs are one
// node; several in one process need a subscriber connection each, or else they
// count as one (CLU-R-43, CLU-G-01).
type links struct {
	client goredis.UniversalClient
	cfg    Config

	mu     sync.Mutex
	byNode map[string]*link
}

// acquire returns the node's link, started.
func (ls *links) acquire(node string) *link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byNode[node]
	if l == nil {
		l = newLink(ls.client, ls.cfg, node)
		l.start()
		ls.byNode[node] = l
	}
	l.users++
	return l
}

// release gives a link back; the last one stops it and waits for its goroutines.
func (ls *links) release(l *link) {
	ls.mu.Lock()
	l.users--
	last := l.users == 0
	if last {
		delete(ls.byNode, l.node)
	}
	ls.mu.Unlock()
	if last {
		l.stop()
	}
}

// link connects one node with Redis: one subscriber connection and one
// publishing goroutine for all of its namespaces.
type link struct {
	// Static after construction.
	client goredis.UniversalClient
	cfg    Config
	log    *slog.Logger
	node   string
	own    string // the node's own channel
	subs   *subscriptions
	out    *outbox
	back   chan struct{} // Redis has answered: worth an attempt to connect
	cancel context.CancelFunc
	wg     sync.WaitGroup

	users int // guarded by links.mu

	arrived atomic.Uint64 // replies read from the subscriber connection
	lost    atomic.Uint64 // subscriber connections that were complete and failed
	resets  atomic.Uint64 // times that everything was subscribed anew
	probes  atomic.Uint64
	counted atomic.Pointer[string] // the request channel that tells how many nodes there are

	completed bool // everything was subscribed at some time; owned by run

	// Owned by the publishing goroutine.
	failing   bool
	bridged   uint64    // lost, when the backlog last waited
	reported  time.Time // when a failure was last logged
	nodes     int       // how many there were when last counted
	countedAt time.Time
	master    *goredis.Client
	timed     goredis.UniversalClient
}

func newLink(client goredis.UniversalClient, cfg Config, node string) *link {
	l := &link{
		client: client,
		cfg:    cfg,
		log:    cfg.Logger,
		node:   node,
		own:    "fanwire#" + node,
		subs:   newSubscriptions(),
		out:    newOutbox(cfg.Backlog, cfg.MaxAnswer, cfg.BacklogAge),
		back:   make(chan struct{}, 1),
		timed:  client,
	}
	if c, ok := client.(*goredis.Client); ok {
		l.timed = c.WithTimeout(cfg.PublishTimeout)
	}
	l.subs.add(l.own, false, routeOwn, &ownChannel{})
	return l
}

// ownChannel is the subscriber of the node's own channel. Whatever arrives there
// only shows that the connection lives; it is not looked at.
type ownChannel struct{ c subscriptionCounts }

func (*ownChannel) offer(routeKind, string, string) {}

func (o *ownChannel) counts() *subscriptionCounts { return &o.c }

func (l *link) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.wg.Go(func() { l.run(ctx) })
	l.wg.Go(func() { l.publish(ctx) })
}

// stop ends and awaits the goroutines. What still waits in the outbox is dropped.
func (l *link) stop() {
	l.cancel()
	l.wg.Wait()
}

// run keeps a subscriber connection until ctx ends.
func (l *link) run(ctx context.Context) {
	attempt := 0
	for ctx.Err() == nil {
		began := time.Now()
		complete, err := l.connection(ctx)
		l.subs.lost(err)
		if ctx.Err() != nil {
			return
		}
		if complete {
			l.lost.Add(1)
			attempt = 0
		}
		if attempt == 0 {
			l.log.Warn("redis: connection lost", "node", l.node, "err", err, "lasted", time.Since(began))
		}
		l.reload(ctx)
		l.await(ctx, l.back, reconnectPause(attempt))
		attempt++
	}
}

// reconnectPause is a random time below 100 ms, doubled with each attempt up to
// 5 s.
func reconnectPause(attempt int) time.Duration {
	limit := reconnectMin << min(attempt, 10)
	return rand.N(min(limit, reconnectMax)) + 1
}

// connection makes one subscriber connection and serves it until it fails. It
// reports whether all subscriptions were confirmed at some time.
func (l *link) connection(ctx context.Context) (complete bool, err error) {
	ps := l.subscribeClient().Subscribe(ctx) // not connected yet
	defer ps.Close()
	l.subs.connect()
	cmds := l.subs.flush() // the node's own channel is always among them
	if err := send(ctx, ps, cmds[:1]); err != nil {
		return false, err
	}
	l.subs.reached()
	c := &connection{link: l, ps: ps, failed: make(chan error, 1)}
	go func() { c.failed <- c.read() }() // ends when ps is closed; serve waits for it
	return c.serve(ctx, send(ended, ps, cmds[1:]))
}

// subscribeClient is the client whose connection is subscribed. On a Redis
// Cluster every server hears what is published on any; go-redis picks the owner
// of the slot of the first channel, which is the node's own: the server that it
// publishes through.
func (l *link) subscribeClient() goredis.UniversalClient {
	if c, ok := l.client.(*goredis.Client); ok {
		return c.WithTimeout(l.cfg.PublishTimeout)
	}
	return l.client
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
		case "unsubscribe":
			err = ps.Unsubscribe(ctx, c.names()...)
		case "punsubscribe":
			err = ps.PUnsubscribe(ctx, c.names()...)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c.verb, err)
		}
	}
	return nil
}

// connection is one subscriber connection.
type connection struct {
	link   *link
	ps     *goredis.PubSub
	failed chan error // how read ended
	live   liveness   // owned by serve
}

// serve sends commands and watches until the connection fails or ctx ends. err
// is how it began.
func (c *connection) serve(ctx context.Context, err error) (complete bool, _ error) {
	l := c.link
	tick := time.NewTicker(l.tickEvery())
	defer tick.Stop()
	retry := time.NewTicker(l.cfg.ProbeTimeout) // of refused subscriptions: not too often
	defer retry.Stop()
	c.live.heard(time.Now(), l.arrived.Load())
	for err == nil {
		select {
		case err := <-c.failed:
			return complete, err
		case <-ctx.Done():
			err = ctx.Err()
		case <-l.subs.kick:
			err = send(ended, c.ps, l.subs.flush())
		case <-retry.C:
			l.subs.retry()
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
	if !c.link.subs.complete() {
		return false
	}
	c.link.log.Info("redis: subscribed", "node", c.link.node)
	if c.link.completed {
		c.link.resets.Add(1)
	}
	c.link.completed = true
	return true
}

// tickEvery is how often the connection is looked at.
func (l *link) tickEvery() time.Duration {
	return min(max(min(l.cfg.ProbeInterval, l.cfg.ProbeTimeout)/5, 10*time.Millisecond), time.Second)
}

// check sends a probe when it has been silent for long, and gives up when
// the probe does not come back (HRD-64).
func (c *connection) check(now time.Time) error {
	l := c.link
	switch c.live.look(now, l.arrived.Load(), l.cfg.ProbeInterval, l.cfg.ProbeTimeout) {
	case liveProbe:
		probe := strconv.FormatUint(l.probes.Add(1), 10)
		l.out.push(item{verb: verbPublish, channel: l.own, payload: []byte(probe), since: now, lane: laneMessages, to: &counters{}})
	case liveDead:
		return errDeaf
	}
	return nil
}

// read takes what arrives until the connection fails.
func (c *connection) read() (err error) {
	defer func() {
		if p := recover(); p != nil { // HRD-01, HRD-60
			c.link.log.Error("redis: panic while reading", "node", c.link.node, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	for {
		reply, err := c.ps.Receive(ended)
		if err == nil {
			err = c.take(reply)
		} else if refused := goredis.Error(nil); errors.As(err, &refused) && c.link.subs.refuse(err) {
			c.link.log.Error("redis: subscription refused", "node", c.link.node, "err", err)
			err = nil
		}
		if err != nil {
			return err
		}
		c.link.arrived.Add(1)
	}
}

// take hands one reply on.
func (c *connection) take(reply any) error {
	switch reply := reply.(type) {
	case *goredis.Message:
		c.link.subs.deliver(reply.Pattern, reply.Channel, reply.Payload)
	case *goredis.Subscription:
		return c.link.subs.confirm(reply.Kind, reply.Channel)
	}
	return nil
}
