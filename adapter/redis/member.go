package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/internal/queue"
)

// usable tells whether a client can carry what nodes tell each other.
func usable(client goredis.UniversalClient) error {
	if _, isRing := client.(*goredis.Ring); isRing || client == nil {
		return fmt.Errorf("redis: cannot use a client of type %T", client)
	}
	return nil
}

// newFactory makes the factory of an adapter that speaks a protocol on a wire.
func newFactory(client goredis.UniversalClient, config Config, wire wireName, speak func(cfg Config, h adapter.Host, uid string) protocol) adapter.Factory {
	cfg, err := config.withDefaults()
	err = errors.Join(err, usable(client))
	ls := newLinks(client, cfg, wire)
	return func(h adapter.Host) (adapter.Adapter, error) {
		if err != nil {
			return nil, err
		}
		uid := newUID()
		return selective{newMember(ls, h, uid, speak(cfg, h, uid))}, nil
	}
}

// newUID names an adapter instance: new in each process and namespace, and never
// "emitter" (CLU-G-09). Official ones have six or sixteen characters.
func newUID() string { return rand.Text()[:10] }

// member is one namespace of one node: the adapter, whatever the protocol.
type member struct {
	// Static after construction.
	links    *links
	cfg      Config
	log      *slog.Logger
	host     adapter.Host
	pacer    adapter.Pacer // the same; nil if it is none
	uid      string
	protocol protocol
	in       *queue.Inbox[delivery]
	done     chan struct{} // closed when the worker has ended
	c        counters
	badLog   logLimit
	missLog  logLimit
	// journal keeps events; nil if recovery is off.
	journal *journal

	subs    subscriptionCounts // guarded by subscriptions.mu
	gaps    *gaps              // owned by the worker
	claimed atomic.Bool        // the worker waits for messages that were claimed

	mu      sync.Mutex // guards the fields below and the order of what is published
	link    *link      // nil before Start
	closed  bool
	numbers numbers

	closing sync.Once
}

func newMember(ls *links, h adapter.Host, uid string, p protocol) *member {
	a := &member{
		links:    ls,
		cfg:      ls.cfg,
		log:      ls.cfg.Logger.With("node", h.NodeID(), "namespace", h.Namespace()),
		host:     h,
		uid:      uid,
		protocol: p,
		in:       queue.NewInbox[delivery](ls.cfg.MaxInbox, ls.cfg.MaxInboxBytes),
		done:     make(chan struct{}),
	}
	a.pacer, _ = h.(adapter.Pacer)
	a.gaps = newGaps(a.baseSequences(), a.eraOf, a.knows)
	if h.RecoveryWindow() > 0 {
		a.journal = newJournal(a, h.Namespace())
	}
	return a
}

// Start implements [adapter.Adapter]. It waits while Redis is away. Everything but
// Close may be called meanwhile and does not wait: what is published goes to the
// outbox, rooms are subscribed with the rest.
func (a *member) Start(ctx context.Context) error {
	a.mu.Lock()
	if a.closed || a.link != nil {
		a.mu.Unlock()
		return adapter.ErrClosed
	}
	a.link = a.links.acquire(a.host.NodeID())
	a.mu.Unlock()
	a.link.join(a, true)
	a.link.registry.join(a)
	count := a.protocol.countChannel()
	a.link.counted.CompareAndSwap(nil, &count)
	go a.work() // ends when Close closes the inbox, and Close waits
	var waits []<-chan struct{}
	for _, c := range a.base() {
		confirmed, _ := a.link.subs.add(c.name, c.pattern, c.kind, a)
		if confirmed != nil {
			waits = append(waits, confirmed)
		}
		if c.kind == routeJournal {
			a.journal.start(confirmed)
		}
	}
	for _, confirmed := range waits {
		select {
		case <-confirmed:
		case <-ctx.Done():
			return fmt.Errorf("redis: start %s: %w", a.host.Namespace(), errors.Join(ctx.Err(), a.Ready()))
		}
	}
	a.link.registry.confirmed()
	if a.journal != nil {
		a.journal.await(ctx)
	}
	return nil
}

// base lists the channels that are subscribed while the adapter runs.
func (a *member) base() []baseChannel {
	if a.journal == nil {
		return a.protocol.base()
	}
	return append(slices.Clone(a.protocol.base()), baseChannel{a.journal.shared, false, routeJournal})
}

// Publish implements [adapter.Adapter].
func (a *member) Publish(_ context.Context, m *adapter.Message) (adapter.Placed, error) {
	it, err := a.protocol.encode(m)
	switch {
	case err != nil:
		err = fmt.Errorf("redis: publish: %w", err)
	case len(it.payload) > a.cfg.MaxMessage:
		err = fmt.Errorf("redis: publish %d bytes: %w", len(it.payload), adapter.ErrTooLarge)
	case a.journal != nil && keeps(m):
		return a.journal.publish(it, m)
	default:
		err = a.stampAndPush(it, m)
	}
	if a.journal != nil {
		return adapter.Placed{Offset: a.journal.pos.here()}, err
	}
	return adapter.Placed{}, err
}

// Respond implements [adapter.Adapter].
func (a *member) Respond(_ context.Context, to string, m *adapter.Message) error {
	it, err := a.protocol.encodeAnswer(to, m)
	if err != nil {
		return fmt.Errorf("redis: respond: %w", err)
	}
	if len(it.payload) > a.cfg.MaxAnswer {
		return fmt.Errorf("redis: respond with %d bytes: %w", len(it.payload), adapter.ErrTooLarge)
	}
	return a.push(it)
}

// stampAndPush numbers an event or a request and gives it to the outbox.
func (a *member) stampAndPush(it item, m *adapter.Message) error {
	it.since = time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	x := a.numberLocked(&it)
	x.trace = traceOf(m)
	a.protocol.stamp(&it, x)
	return a.pushLocked(it)
}

// push gives a message to the outbox.
func (a *member) push(it item) error {
	it.since = time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pushLocked(it)
}

// pushLocked: the lock makes sure that nothing comes after Close has emptied the
// outbox.
func (a *member) pushLocked(it item) error {
	if a.closed || a.link == nil {
		return adapter.ErrClosed
	}
	it.to = &a.c
	if dropped := a.link.out.push(it); dropped > 0 {
		return fmt.Errorf("redis: %d messages dropped: %w", dropped, adapter.ErrBacklog)
	}
	return nil
}

// ServerCount implements [adapter.Adapter]: the connections that are subscribed
// to the channel that all nodes have.
func (a *member) ServerCount(ctx context.Context) (int, error) {
	l := a.started()
	if l == nil {
		return 0, adapter.ErrClosed
	}
	channel := a.protocol.countChannel()
	n, err := l.subscribers(ctx, channel)
	if err != nil {
		return 0, fmt.Errorf("redis: count servers: %w", err)
	}
	if !l.subs.has(channel) {
		n++ // Redis does not know of us at the moment
	}
	return max(n, 1), nil
}

// started returns the link while the adapter may use it.
func (a *member) started() *link {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil
	}
	return a.link
}

// Close implements [adapter.Adapter]. It must not be called from within
// Receive, which it waits for. Called again it does nothing, but waits as well.
func (a *member) Close(ctx context.Context) (err error) {
	a.closing.Do(func() { err = a.close(ctx) })
	return err
}

func (a *member) close(ctx context.Context) error {
	a.mu.Lock()
	a.closed = true
	l := a.link
	a.mu.Unlock()
	if l == nil {
		return nil
	}
	if a.journal != nil {
		a.journal.stop()
	}
	l.registry.leave(a)
	l.join(a, false)
	l.subs.removeAll(a, a.base())
	a.in.Close()
	<-a.done
	err := l.out.drain(ctx)
	a.links.release(l)
	if err != nil {
		return fmt.Errorf("redis: close %s: not everything was published: %w", a.host.Namespace(), err)
	}
	return nil
}

// Ready implements [adapter.Prober].
func (a *member) Ready() error {
	l := a.started()
	if l == nil {
		return adapter.ErrClosed
	}
	return l.subs.ready(a)
}

// Stats implements [adapter.Measurer].
func (a *member) Stats() adapter.Stats {
	s := a.c.stats()
	a.mu.Lock()
	l := a.link
	a.mu.Unlock()
	if l != nil {
		n := l.subs.countsOf(a)
		s.Resubscriptions = l.resets.Load()
		s.Subscriptions = uint64(n.confirmed)
		s.PendingRoomCalls = uint64(n.wanted - n.confirmed - n.baseMissing)
	}
	return s
}

// counts implements subscriber.
func (a *member) counts() *subscriptionCounts { return &a.subs }
