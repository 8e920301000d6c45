package redis

import (
	"context"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// sweepEvery is how often all slots are looked up: a master that lost them may
	// not have said so.
	sweepEvery = 5 * time.Second
	// troubleEvery is how often those are that lack a connection, and learnPause how
	// long go-redis is given to learn where a slot has gone.
	troubleEvery = 100 * time.Millisecond
	learnPause   = 50 * time.Millisecond
)

// shards is what a node hears over the sharded channels of a Redis Cluster. A
// channel lives on the master that owns its slot (CLU-H-11), so there is a [feed]
// for each master with a channel of ours, and each channel is wanted from one
// feed, all of a slot from the same.
//
// A slot whose master is not known has its channels in the lobby, a place without
// a connection. run looks up masters, and is the only one that moves channels: out
// of the lobby; back into it when Redis says that the slot has gone; and from
// feed to feed when the masters have changed.
type shards struct {
	// Static after construction.
	link    *link
	cluster *goredis.ClusterClient
	wake    chan struct{} // run has something to do

	mu    sync.Mutex // guards the fields below and those of the subscriptions of all feeds
	lobby *subscriptions
	feeds map[string]*feed // by address
	slots map[uint16]*slotHome

	// Owned by run.
	swept             time.Time
	completed, broken bool
	restored          bool // the members have to be told
	displaced         bool // likewise
}

// slotHome is where the channels of a slot are.
type slotHome struct {
	key   string    // one of them, to ask go-redis by
	feed  *feed     // nil for the lobby
	after time.Time // not to be looked up before
}

func newShards(l *link, cluster *goredis.ClusterClient) *shards {
	s := &shards{
		link:    l,
		cluster: cluster,
		wake:    make(chan struct{}, 1),
		feeds:   map[string]*feed{},
		slots:   map[uint16]*slotHome{},
	}
	s.lobby = newSubscriptions(&s.mu, modeSlotted)
	return s
}

// signal wakes run. There may be no shards.
func (s *shards) signal() {
	if s == nil {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run looks after channels and feeds until ctx ends. The link waits for the feeds.
func (s *shards) run(ctx context.Context) {
	for ctx.Err() == nil {
		await(ctx, s.wake, s.round(ctx))
	}
}

// round brings every channel to where it lives, as far as that is known, and
// returns when to look again.
func (s *shards) round(ctx context.Context) (pause time.Duration) {
	now := time.Now()
	sweep := now.Sub(s.swept) >= sweepEvery
	if sweep {
		s.swept = now
	}
	asked, trouble := s.gather(now, sweep)
	if trouble {
		s.link.reload(ctx)
	}
	if s.displaced {
		s.displaced = false
		s.link.tell(routeLost)
	}
	masters, err := s.lookUp(ctx, asked)
	if ctx.Err() != nil {
		return 0
	}
	pause = s.place(ctx, masters, err, sweep)
	if s.restored {
		s.restored = false
		s.link.tell(routeRestored)
	}
	return pause
}

// gather clears the slots that Redis has taken away and returns those to look up,
// each with a key. It reports whether go-redis may have to learn.
func (s *shards) gather(now time.Time, sweep bool) (asked map[uint16]string, trouble bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked = map[uint16]string{}
	for _, f := range s.feeds {
		trouble = s.clear(f, now.Add(learnPause)) || f.subs.awayLocked() || trouble
	}
	for slot, h := range s.slots {
		if sweep || h.feed == nil || h.feed.subs.awayLocked() {
			if !now.Before(h.after) {
				asked[slot] = h.key
			}
		}
	}
	return asked, trouble
}

// clear moves into the lobby what Redis has displaced.
func (s *shards) clear(f *feed, after time.Time) bool {
	gone := map[uint16]bool{}
	for _, sub := range f.subs.displaced {
		slot := slotOf(sub.name)
		if h := s.slots[slot]; h != nil && h.feed == f {
			h.feed, h.after, gone[slot] = nil, after, true
		}
	}
	f.subs.displaced = nil
	if len(gone) > 0 {
		f.subs.moveLocked(s.lobby, func(slot uint16) bool { return gone[slot] })
	}
	s.displaced = s.displaced || len(gone) > 0
	return len(gone) > 0
}

// lookUp asks go-redis for the masters of slots. It does not wait once go-redis
// knows the cluster.
func (s *shards) lookUp(ctx context.Context, asked map[uint16]string) (map[uint16]*goredis.Client, error) {
	masters := make(map[uint16]*goredis.Client, len(asked))
	for slot, key := range asked {
		master, err := s.cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, err
		}
		masters[slot] = master
	}
	return masters, nil
}

// place moves channels to the feeds of their masters, begins and ends feeds, and
// returns when to look again.
func (s *shards) place(ctx context.Context, masters map[uint16]*goredis.Client, err error, sweep bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lobby.connected, s.lobby.lastErr = err == nil, err
	from := map[*subscriptions]map[*subscriptions]map[uint16]bool{}
	for slot, master := range masters {
		h, f := s.slots[slot], s.feedOf(ctx, master)
		if h == nil || h.feed == f {
			continue
		}
		src := s.subsOf(h)
		if from[src] == nil {
			from[src] = map[*subscriptions]map[uint16]bool{}
		}
		if from[src][f.subs] == nil {
			from[src][f.subs] = map[uint16]bool{}
		}
		from[src][f.subs][slot] = true
		h.feed = f
	}
	for src, to := range from {
		for dst, moved := range to {
			src.moveLocked(dst, func(slot uint16) bool { return moved[slot] })
		}
	}
	s.endIdle(sweep)
	return s.nextLook()
}

// feedOf returns the feed of a master, started.
func (s *shards) feedOf(ctx context.Context, master *goredis.Client) *feed {
	addr := master.Options().Addr
	f := s.feeds[addr]
	if f == nil {
		f = newFeed(s.link, newSubscriptions(&s.mu, modeSlotted))
		f.shards, f.addr = s, addr
		ctx, f.cancel = context.WithCancel(ctx)
		f.master.Store(master)
		s.feeds[addr] = f
		s.link.wg.Go(func() { f.run(ctx) }) // ends with run's context, or in endIdle
	}
	f.master.Store(master) // go-redis makes a new one for a server that was away
	return f
}

// endIdle ends the feeds without channels: at once if there is no connection,
// such as to a master that is gone.
func (s *shards) endIdle(sweep bool) {
	for addr, f := range s.feeds {
		if !f.subs.emptyLocked() || f.subs.connected && !sweep {
			continue
		}
		f.cancel()
		delete(s.feeds, addr)
		for slot, h := range s.slots {
			if h.feed == f {
				delete(s.slots, slot) // no channel there
			}
		}
	}
}

// nextLook is the time until the next round, if nothing wakes run before.
func (s *shards) nextLook() time.Duration {
	err := s.completeLocked()
	if err == nil && s.broken {
		s.link.resets.Add(1)
		s.link.log.Info("redis: subscribed anew", "node", s.link.node)
		s.restored = true
	}
	s.broken = err != nil && (s.broken || s.completed)
	s.completed = s.completed || err == nil
	switch {
	case !s.lobby.emptyLocked() && s.lobby.connected:
		return learnPause
	case err != nil:
		return troubleEvery
	}
	return sweepEvery
}

func (s *shards) subsOf(h *slotHome) *subscriptions {
	if h.feed == nil {
		return s.lobby
	}
	return h.feed.subs
}

// reconnect lets feeds that wait try at once.
func (s *shards) reconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.feeds {
		f.reconnect()
	}
}

// add implements hearing.
func (s *shards) add(name string, pattern bool, kind routeKind, to subscriber) (confirmed <-chan struct{}, connected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := slotOf(name)
	h := s.slots[slot]
	if h == nil {
		h = &slotHome{key: name}
		s.slots[slot] = h
	}
	if h.feed == nil {
		s.signal()
	}
	subs := s.subsOf(h)
	confirmed, connected = subs.addLocked(name, pattern, kind, to)
	return confirmed, connected || subs.fresh && s.lobby.connected
}

// remove implements hearing.
func (s *shards) remove(name string, pattern bool, to subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.slots[slotOf(name)]
	return h != nil && s.subsOf(h).removeLocked(name, pattern, to)
}

// removeAll implements hearing.
func (s *shards) removeAll(to subscriber, base []baseChannel) {
	for _, c := range base {
		s.remove(c.name, c.pattern, to)
	}
	for _, subs := range s.all() {
		for _, name := range subs.namesOf(to) {
			for s.remove(name, false, to) {
			}
		}
	}
}

func (s *shards) all() []*subscriptions {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []*subscriptions{s.lobby}
	for _, f := range s.feeds {
		list = append(list, f.subs)
	}
	return list
}

// ready implements hearing.
func (s *shards) ready(to subscriber) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.completeLocked(); err != nil {
		return err
	}
	return missingOf(to)
}

// complete implements hearing.
func (s *shards) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.completeLocked() == nil
}

// completeLocked says what is missing. A connection that is about to be made for
// the first time is not: what it is for was not here before.
func (s *shards) completeLocked() error {
	if err := s.lobby.completeLocked(); err != nil {
		return err
	}
	for addr, f := range s.feeds {
		subs := f.subs
		if subs.emptyLocked() || subs.fresh && !subs.connected && subs.restoring == 0 {
			continue
		}
		if err := subs.completeLocked(); err != nil {
			return fmt.Errorf("%w (master %s)", err, addr)
		}
	}
	return nil
}

// countsOf implements hearing.
func (s *shards) countsOf(to subscriber) subscriptionCounts { return s.lobby.countsOf(to) }

// has implements hearing.
func (s *shards) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.slots[slotOf(name)]
	return h != nil && s.subsOf(h).hasLocked(name)
}

// eraOf implements hearing.
func (s *shards) eraOf(channel string) (era uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.slots[slotOf(channel)]
	if h == nil {
		return 0, false
	}
	return s.subsOf(h).eraOfLocked(channel)
}
