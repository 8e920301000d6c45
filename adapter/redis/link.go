package redis

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// links holds the link of each node that uses one factory. Most programs are one
// node; several in one process need a subscriber connection each, or else they
// count as one (CLU-R-43, CLU-G-01).
type links struct {
	client goredis.UniversalClient
	cfg    Config
	wire   wireName
	// sessions is the form of the records; set it before use.
	sessions sessionForm

	mu        sync.Mutex // guards the fields below
	byNode    map[string]*link
	addresses map[string]string // that nodes have announced
}

// wireName tells the clusters apart that share a Redis and a key.
type wireName string

const (
	wireClassic wireName = "classic"
	wireSharded wireName = "sharded" // its channels are sharded ones
	wireStreams wireName = "streams"

	wireStreamsSharded wireName = "streams, sharded" // likewise
)

func (w wireName) sharded() bool { return w == wireSharded || w == wireStreamsSharded }

func newLinks(client goredis.UniversalClient, cfg Config, wire wireName) *links {
	return &links{client: client, cfg: cfg, wire: wire, sessions: ownSessions, byNode: map[string]*link{}, addresses: map[string]string{}}
}

// announce notes the address of a node and tells the others.
func (ls *links) announce(node, address string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.addresses[node] = address
	if l := ls.byNode[node]; l != nil {
		l.registry.announce(address)
	}
}

// acquire returns the node's link, started.
func (ls *links) acquire(node string) *link {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byNode[node]
	if l == nil {
		l = newLink(ls.client, ls.cfg, node, ls.wire)
		l.records.form = ls.sessions
		l.registry.announce(ls.addresses[node])
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

// hearing is what a node hears: the channels that it has subscribed, over
// one connection ([feed]) or one for each master of a Redis Cluster ([shards]).
type hearing interface {
	// add asks for messages. The returned channel is closed when they arrive here;
	// it is nil if they do already. connected is false while Redis is away.
	add(name string, pattern bool, kind routeKind, to subscriber) (confirmed <-chan struct{}, connected bool)
	// remove takes back one add and reports whether there was one.
	remove(name string, pattern bool, to subscriber) bool
	// removeAll takes back every add of a subscriber; base are the channels that it
	// has besides those of rooms.
	removeAll(to subscriber, base []baseChannel)
	// ready says what is missing for a subscriber.
	ready(to subscriber) error
	// complete tells whether everything is subscribed that was wanted when the
	// connection began.
	complete() bool
	// countsOf returns a copy of a subscriber's counts.
	countsOf(to subscriber) subscriptionCounts
	// has tells whether Redis has confirmed a channel.
	has(name string) bool
	// eraOf returns the era of a channel (see [subscription]); not ok if nobody wants
	// it.
	eraOf(name string) (era uint32, ok bool)
}

// link connects one node with Redis: what it hears, and one publishing goroutine,
// for all of its namespaces.
type link struct {
	// Static after construction.
	client   goredis.UniversalClient
	cfg      Config
	log      *slog.Logger
	node     string
	own      string // the node's own channel
	sharded  bool
	subs     hearing
	listen   func(context.Context) // keeps what subs wants subscribed
	out      *outbox
	registry *registry
	reader   goredis.UniversalClient // for what is neither published nor subscribed
	records  *sessions
	retry    func() // Redis has answered: worth an attempt to connect
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	users int // guarded by links.mu

	mu      sync.Mutex // guards members
	members map[*member]bool

	lost    atomic.Uint64          // subscriber connections that were complete and failed
	resets  atomic.Uint64          // times that everything was subscribed anew
	counted atomic.Pointer[string] // the channel that tells how many nodes there are

	// Owned by the publishing goroutine.
	failing   bool
	bridged   uint64    // lost, when the backlog last waited
	reported  time.Time // when a failure was last logged
	nodes     int       // how many there were when last counted
	countedAt time.Time
	timed     map[*goredis.Client]*goredis.Client // servers, and the same with our timeout
}

func newLink(client goredis.UniversalClient, cfg Config, node string, wire wireName) *link {
	l := &link{
		client:  client,
		cfg:     cfg,
		log:     cfg.Logger,
		node:    node,
		own:     ownChannelOf(node),
		sharded: wire.sharded(),
		out:     newOutbox(cfg.Backlog, cfg.MaxAnswer, cfg.BacklogAge),
		timed:   map[*goredis.Client]*goredis.Client{},
		reader:  client,
		members: map[*member]bool{},
	}
	if c, ok := client.(*goredis.Client); ok {
		l.reader = c.WithTimeout(cfg.PublishTimeout)
	}
	l.records = newSessions(l.reader, ownSessions)
	l.registry = newRegistry(l, wire)
	l.hear()
	l.subs.add(l.own, false, routeOwn, &ownChannel{})
	l.subs.add(l.registry.channel, false, routeBulletin, l.registry)
	return l
}

// hear chooses how the link hears the others.
func (l *link) hear() {
	mode := modePlain
	if l.sharded {
		mode = modeSharded
	}
	if cluster, ok := l.client.(*goredis.ClusterClient); ok && l.sharded {
		s := newShards(l, cluster)
		l.subs, l.listen, l.retry = s, s.run, s.reconnect
		return
	}
	f := newFeed(l, newSubscriptions(&sync.Mutex{}, mode))
	l.subs, l.listen, l.retry = f.subs, f.run, f.reconnect
}

// ownChannelOf is the channel that a node alone subscribes.
func ownChannelOf(node string) string { return "fanwire#" + node }

// own makes a message of the link's own, which is sent as long as it is of use.
func (l *link) ownItem(channel string, payload []byte, to *counters) item {
	return item{verb: l.verb(), channel: channel, payload: payload, lane: laneMessages, since: time.Now(), quiet: true, to: to}
}

// ownChannel is the subscriber of the node's own channel. Whatever arrives there
// only shows that the connection lives; it is not looked at.
type ownChannel struct{ c subscriptionCounts }

func (*ownChannel) offer(delivery) {}

func (o *ownChannel) counts() *subscriptionCounts { return &o.c }

func (l *link) start() {
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.wg.Go(func() { l.listen(ctx) })
	l.wg.Go(func() { l.publish(ctx) })
	l.wg.Go(func() { l.registry.run(ctx) })
}

// stop ends and awaits the goroutines. What still waits in the outbox is dropped.
func (l *link) stop() {
	l.cancel()
	l.wg.Wait()
	l.records.wait()
}

// join adds a member to those that are told of losses, or takes it out.
func (l *link) join(a *member, in bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if in {
		l.members[a] = true
	} else {
		delete(l.members, a)
	}
}

// tell puts a notice into the queue of each member, behind what has arrived.
func (l *link) tell(kind routeKind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := range l.members {
		a.notice(kind)
	}
}

// slotted tells whether the node's channels are spread over a Redis Cluster.
func (l *link) slotted() bool {
	_, ok := l.client.(*goredis.ClusterClient)
	return ok && l.sharded
}

// reload lets a cluster client find out who is master now. It does so by itself
// for commands it has routed, which ours are not. It does not wait.
func (l *link) reload(ctx context.Context) {
	if cluster, ok := l.client.(*goredis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// await waits for wake, for d if it is not 0, or for the end of ctx.
func await(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	var elapsed <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		elapsed = timer.C
	}
	select {
	case <-wake:
	case <-elapsed:
	case <-ctx.Done():
	}
}
