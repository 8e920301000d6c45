package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/internal/queue"
)

// NewAdapter makes the factory of the classic adapter: the wire of npm
// @socket.io/redis-adapter 8. client may be a *Client, also one made for
// Sentinel, or a *ClusterClient; the caller closes it, after the adapters. A
// *Ring cannot carry it: its servers do not share what is published.
//
// All namespaces of a node share one subscriber connection and publish through
// one goroutine. The factory may serve several nodes of one process.
func NewAdapter(client goredis.UniversalClient, config Config) adapter.Factory {
	cfg, err := config.withDefaults()
	if _, isRing := client.(*goredis.Ring); isRing || client == nil {
		err = errors.Join(err, fmt.Errorf("redis: cannot use a client of type %T", client))
	}
	ls := &links{client: client, cfg: cfg, byNode: map[string]*link{}}
	return func(h adapter.Host) (adapter.Adapter, error) {
		if err != nil {
			return nil, err
		}
		return newClassic(ls, h), nil
	}
}

// classic is the adapter of one namespace of one node.
type classic struct {
	// Static after construction.
	links    *links
	cfg      Config
	log      *slog.Logger
	host     adapter.Host
	wire     wire
	names    channels
	ownHeads [2]string // how our own broadcasts begin
	in       *queue.Inbox[delivery]
	joins    recentJoins
	done     chan struct{} // closed when the worker has ended
	c        counters

	subs subscriptionCounts // guarded by subscriptions.mu

	mu     sync.RWMutex // guards the fields below; held for reading while publishing
	link   *link        // nil before Start
	closed bool

	closing sync.Once
}

// delivery is a message on its way to the worker.
type delivery struct {
	kind    routeKind
	channel string
	payload string
}

func newClassic(ls *links, h adapter.Host) *classic {
	uid := newUID()
	a := &classic{
		links: ls,
		cfg:   ls.cfg,
		log:   ls.cfg.Logger.With("node", h.NodeID(), "namespace", h.Namespace()),
		host:  h,
		wire:  wire{uid: uid, namespace: h.Namespace()},
		names: newChannels(ls.cfg, h, uid),
		in:    queue.NewInbox[delivery](ls.cfg.MaxInbox, ls.cfg.MaxInboxBytes),
		done:  make(chan struct{}),
	}
	a.ownHeads = a.wire.heads()
	return a
}

// newUID names an adapter instance: new in each process and namespace, and never
// "emitter" (CLU-G-09). Official ones have six characters.
func newUID() string { return rand.Text()[:10] }

// Start implements [adapter.Adapter]. It waits while Redis is away. Everything but
// Close may be called meanwhile and does not wait: what is published goes to the
// outbox, rooms are subscribed with the rest.
func (a *classic) Start(ctx context.Context) error {
	a.mu.Lock()
	if a.closed || a.link != nil {
		a.mu.Unlock()
		return adapter.ErrClosed
	}
	a.link = a.links.acquire(a.host.NodeID())
	a.mu.Unlock()
	a.link.counted.CompareAndSwap(nil, &a.names.request)
	go a.work() // ends when Close closes the inbox, and Close waits
	var waits []<-chan struct{}
	for _, c := range a.names.base {
		if confirmed, _ := a.link.subs.add(c.name, c.pattern, c.kind, a); confirmed != nil {
			waits = append(waits, confirmed)
		}
	}
	for _, confirmed := range waits {
		select {
		case <-confirmed:
		case <-ctx.Done():
			return fmt.Errorf("redis: start %s: %w", a.host.Namespace(), errors.Join(ctx.Err(), a.Ready()))
		}
	}
	return nil
}

// Publish implements [adapter.Adapter].
func (a *classic) Publish(_ context.Context, m *adapter.Message) (adapter.Placed, error) {
	payload, request, err := a.wire.encode(m)
	if err != nil {
		return adapter.Placed{}, fmt.Errorf("redis: publish: %w", err)
	}
	if len(payload) > a.cfg.MaxMessage {
		return adapter.Placed{}, fmt.Errorf("redis: publish %d bytes: %w", len(payload), adapter.ErrTooLarge)
	}
	if m.Kind == adapter.Join {
		a.joins.add(m.Names, time.Now())
	}
	return adapter.Placed{}, a.push(item{channel: a.publishChannel(m, request), payload: payload, lane: laneMessages})
}

// publishChannel is where m goes (CLU-R-01 to CLU-R-03).
func (a *classic) publishChannel(m *adapter.Message, request bool) string {
	switch {
	case request:
		return a.names.request
	case len(m.Target.Rooms) != 1 || a.joins.has(m.Target.Rooms[0], time.Now):
		return a.names.all
	}
	return a.names.ofRoom(m.Target.Rooms[0])
}

// Respond implements [adapter.Adapter]. Every node listens to the response
// channel that bears its uid (CLU-G-04); where that is unknown the shared one is
// used.
func (a *classic) Respond(_ context.Context, to string, m *adapter.Message) error {
	payload, err := a.wire.encodeAnswer(m)
	if err != nil {
		return fmt.Errorf("redis: respond: %w", err)
	}
	if len(payload) > a.cfg.MaxAnswer {
		return fmt.Errorf("redis: respond with %d bytes: %w", len(payload), adapter.ErrTooLarge)
	}
	return a.push(item{channel: a.names.response(to), payload: payload, lane: laneAnswers})
}

// push gives a message to the outbox. The lock makes sure that nothing comes
// after Close has emptied it.
func (a *classic) push(it item) error {
	it.since, it.to = time.Now(), &a.c
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed || a.link == nil {
		return adapter.ErrClosed
	}
	if dropped := a.link.out.push(it); dropped > 0 {
		return fmt.Errorf("redis: %d messages dropped: %w", dropped, adapter.ErrBacklog)
	}
	return nil
}

// ServerCount implements [adapter.Adapter]: the connections that are subscribed
// to the request channel (CLU-R-41).
func (a *classic) ServerCount(ctx context.Context) (int, error) {
	l := a.started()
	if l == nil {
		return 0, adapter.ErrClosed
	}
	n, err := l.subscribers(ctx, a.names.request)
	if err != nil {
		return 0, fmt.Errorf("redis: count servers: %w", err)
	}
	if !l.subs.has(a.names.request) {
		n++ // Redis does not know of us at the moment
	}
	return max(n, 1), nil
}

// started returns the link while the adapter may use it.
func (a *classic) started() *link {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return nil
	}
	return a.link
}

// Close implements [adapter.Adapter]. It must not be called from within
// Receive, which it waits for. Called again it does nothing, but waits as well.
func (a *classic) Close(ctx context.Context) (err error) {
	a.closing.Do(func() { err = a.close(ctx) })
	return err
}

func (a *classic) close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	l := a.link
	a.mu.Unlock()
	if l == nil {
		return nil
	}
	l.subs.removeAll(a, a.names.base)
	a.in.Close()
	<-a.done
	err := l.out.drain(ctx)
	a.links.release(l)
	if err != nil {
		return fmt.Errorf("redis: close %s: not everything was published: %w", a.host.Namespace(), err)
	}
	return nil
}

// RoomAdded implements [adapter.RoomObserver].
func (a *classic) RoomAdded(room string) <-chan struct{} {
	l := a.started()
	if l == nil || a.names.covers(room) {
		return nil
	}
	confirmed, connected := l.subs.add(a.names.ofRoom(room), false, routeRoom, a)
	if !connected {
		return nil
	}
	return confirmed
}

// RoomRemoved implements [adapter.RoomObserver].
func (a *classic) RoomRemoved(room string) {
	if l := a.started(); l != nil && !a.names.covers(room) {
		l.subs.remove(a.names.ofRoom(room), false, a)
	}
}

// Ready implements [adapter.Prober].
func (a *classic) Ready() error {
	l := a.started()
	if l == nil {
		return adapter.ErrClosed
	}
	return l.subs.ready(a)
}

// Stats implements [adapter.Measurer].
func (a *classic) Stats() adapter.Stats {
	s := a.c.stats()
	a.mu.RLock()
	l := a.link
	a.mu.RUnlock()
	if l != nil {
		n := l.subs.countsOf(a)
		s.Resubscriptions = l.resets.Load()
		s.Subscriptions = uint64(n.confirmed)
		s.PendingRoomCalls = uint64(n.wanted - n.confirmed - n.baseMissing)
	}
	return s
}

// counts implements subscriber.
func (a *classic) counts() *subscriptionCounts { return &a.subs }
