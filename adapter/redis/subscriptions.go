package redis

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// maxNames is how many channels one command names at most (HRD-73).
const maxNames = 1000

// subscriptions knows what a node wants to hear from one server and what that has
// confirmed on the present connection. It does no I/O: the link sends the commands that flush
// returns, in that order, and reports what comes back.
//
// Redis answers the commands of a connection in their order, one confirmation
// per name, or one error per command. So a list of what was sent tells what each
// confirmation is for, however quickly a room comes and goes.
type subscriptions struct {
	// Static after construction.
	kick chan struct{} // flush has something to do, or all is complete
	mode subscribeMode

	// mu guards the fields below and those of the subscriptions; all of a link share
	// it, so that channels can go from one to another.
	mu        *sync.Mutex
	channels  map[string]*subscription
	patterns  map[string]*subscription
	dirty     []*subscription
	sent      []*command      // not yet confirmed, in order
	joining   *batch          // for those added since the last flush
	open      bool            // from connect to lost: flush returns commands
	connected bool            // Redis has taken the first of them
	restoring int             // subscriptions that are missing since connect
	fresh     bool            // no connection was lost yet
	lastErr   error           // why there is no connection
	refused   []*subscription // Redis answered with refusal
	refusal   error
	displaced []*subscription // Redis has them elsewhere now
}

// subscribeMode is the kind of channels.
type subscribeMode uint8

const (
	modePlain   subscribeMode = iota
	modeSharded               // by SSUBSCRIBE
	modeSlotted               // the same on a Redis Cluster: one command for each slot, and slots move
)

func newSubscriptions(mu *sync.Mutex, mode subscribeMode) *subscriptions {
	return &subscriptions{
		kick:     make(chan struct{}, 1),
		mode:     mode,
		mu:       mu,
		fresh:    true,
		channels: map[string]*subscription{},
		patterns: map[string]*subscription{},
		lastErr:  errors.New("not connected yet"),
	}
}

// table is the map that holds channels or patterns.
func (s *subscriptions) table(pattern bool) map[string]*subscription {
	if pattern {
		return s.patterns
	}
	return s.channels
}

// add asks for messages. The returned channel is closed when they arrive here;
// it is nil if they do already. connected is false while Redis is away.
func (s *subscriptions) add(name string, pattern bool, kind routeKind, to subscriber) (confirmed <-chan struct{}, connected bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLocked(name, pattern, kind, to)
}

func (s *subscriptions) addLocked(name string, pattern bool, kind routeKind, to subscriber) (confirmed <-chan struct{}, connected bool) {
	sub := s.makeLocked(name, pattern)
	s.addRoute(sub, kind, to)
	if !sub.confirmed && sub.asked && sub.open == 0 {
		s.setConfirmed(sub, true) // removed and added before Redis was told
	}
	if sub.confirmed {
		return nil, s.connected
	}
	if sub.waiters == nil {
		s.wait(sub)
	}
	s.markDirty(sub)
	return sub.waiters.done, s.connected
}

// makeLocked returns what there is under a name, or begins it.
func (s *subscriptions) makeLocked(name string, pattern bool) *subscription {
	sub := s.table(pattern)[name]
	if sub == nil {
		sub = &subscription{name: name, pattern: pattern, era: nextEra()}
		s.table(pattern)[name] = sub
	}
	return sub
}

// remove takes back one add and reports whether there was one.
func (s *subscriptions) remove(name string, pattern bool, to subscriber) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.removeLocked(name, pattern, to)
}

func (s *subscriptions) removeLocked(name string, pattern bool, to subscriber) bool {
	sub := s.table(pattern)[name]
	if sub == nil || !s.removeRoute(sub, to) {
		return false
	}
	if !sub.wanted() {
		s.setConfirmed(sub, false)
		s.release(sub)
		s.markDirty(sub)
	}
	return true
}

// removeAll takes back every add of a subscriber; base are the channels that it
// has besides those of rooms.
func (s *subscriptions) removeAll(to subscriber, base []baseChannel) {
	for _, c := range base {
		s.remove(c.name, c.pattern, to)
	}
	if s.countsOf(to).wanted == 0 {
		return
	}
	for _, name := range s.namesOf(to) {
		for s.remove(name, false, to) {
		}
	}
}

// namesOf lists the channels that a subscriber wants.
func (s *subscriptions) namesOf(to subscriber) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, sub := range s.channels {
		for _, r := range sub.routes() {
			if r.to == to {
				names = append(names, name)
			}
		}
	}
	return names
}

func (s *subscriptions) addRoute(sub *subscription, kind routeKind, to subscriber) {
	sub.more = slices.Clone(sub.more)
	for _, r := range sub.routes() {
		if r.to == to {
			r.n++
			return
		}
	}
	r := route{to, kind, 1}
	if sub.first.n == 0 {
		sub.first = r
	} else {
		sub.more = append(sub.more, r)
	}
	c := to.counts()
	c.wanted++
	switch {
	case sub.confirmed:
		c.confirmed++
	case kind != routeRoom:
		c.baseMissing++
	}
}

// removeRoute reports whether there was one.
func (s *subscriptions) removeRoute(sub *subscription, to subscriber) bool {
	sub.more = slices.Clone(sub.more)
	for i, r := range sub.routes() {
		if r.to != to {
			continue
		}
		if r.n--; r.n > 0 {
			return true
		}
		c := to.counts()
		c.wanted--
		switch {
		case sub.confirmed:
			c.confirmed--
		case r.kind != routeRoom:
			c.baseMissing--
		}
		sub.cut(i)
		return true
	}
	return false
}

func (s *subscriptions) setConfirmed(sub *subscription, confirmed bool) {
	if sub.confirmed == confirmed {
		return
	}
	sub.confirmed = confirmed
	delta := -1
	if confirmed {
		delta = 1
	}
	for _, r := range sub.routes() {
		c := r.to.counts()
		c.confirmed += delta
		if r.kind != routeRoom {
			c.baseMissing -= delta
		}
	}
}

// wait puts sub into the present batch.
func (s *subscriptions) wait(sub *subscription) {
	if s.joining == nil {
		s.joining = &batch{done: make(chan struct{})}
	}
	sub.waiters = s.joining
	sub.waiters.missing++
}

// release takes sub out of its batch and out of what is being restored, since
// it was confirmed or is not wanted any more.
func (s *subscriptions) release(sub *subscription) {
	if sub.restoring {
		sub.restoring = false
		if s.restoring--; s.restoring == 0 {
			s.signal()
		}
	}
	b := sub.waiters
	if b == nil {
		return
	}
	sub.waiters = nil
	if b.missing--; b.missing > 0 {
		return
	}
	if s.joining == b {
		s.joining = nil
	}
	close(b.done)
}

func (s *subscriptions) markDirty(sub *subscription) {
	if !s.open {
		s.forget(sub)
		s.signal() // there may have been nothing to connect for
		return
	}
	if !sub.dirty {
		sub.dirty = true
		s.dirty = append(s.dirty, sub)
	}
	s.signal()
}

func (s *subscriptions) signal() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// forget drops sub if nobody wants it and Redis does not know of it.
func (s *subscriptions) forget(sub *subscription) {
	if !sub.wanted() && !sub.asked && sub.open == 0 && s.table(sub.pattern)[sub.name] == sub {
		delete(s.table(sub.pattern), sub.name)
	}
}

// flush returns the commands that bring Redis up to date and takes them for
// sent. Each names at most 1,000 channels.
func (s *subscriptions) flush() []*command {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return nil
	}
	s.joining = nil
	type group struct {
		verb string
		slot uint16
	}
	present := map[group]*command{}
	var list []*command
	for _, sub := range s.dirty {
		sub.dirty = false
		g := group{verb: sub.verb(s.mode)}
		if g.verb == "" {
			s.forget(sub)
			continue
		}
		if s.mode == modeSlotted {
			g.slot = slotOf(sub.name)
		}
		c := present[g]
		if c == nil || len(c.subs) == maxNames {
			c = &command{verb: g.verb}
			present[g] = c
			list = append(list, c)
		}
		c.subs = append(c.subs, sub)
		sub.asked = sub.wanted()
		sub.open++
	}
	s.dirty = nil
	s.sent = append(s.sent, list...)
	return list
}

// connect begins a new connection: everything is wanted anew. The node's own
// channel comes first (see link.subscribeClient), rooms last. Redis counts as away
// until reached: to dial may take long.
func (s *subscriptions) connect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
	anew := s.mode != modeSlotted || !s.fresh // else what came from elsewhere is marked already
	var own, base, rooms []*subscription
	for _, table := range []map[string]*subscription{s.channels, s.patterns} {
		for _, sub := range table {
			sub.dirty = true
			if anew {
				s.restore(sub)
			}
			switch sub.first.kind {
			case routeOwn:
				own = append(own, sub)
			case routeRoom:
				rooms = append(rooms, sub)
			default:
				base = append(base, sub)
			}
		}
	}
	s.dirty = slices.Concat(own, base, rooms)
}

// reached notes that Redis has taken the first command of the connection.
func (s *subscriptions) reached() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected, s.lastErr = true, nil
}

// lost ends the connection. Those who wait go on waiting: for the next one.
func (s *subscriptions) lost(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open, s.connected, s.fresh, s.lastErr = false, false, false, err
	s.dirty, s.sent, s.restoring = nil, nil, 0
	s.refused, s.refusal, s.displaced = nil, nil, nil
	for _, table := range []map[string]*subscription{s.channels, s.patterns} {
		for _, sub := range table {
			s.setConfirmed(sub, false)
			if !sub.asked && sub.open > 0 {
				sub.era = nextEra() // Redis may have ended it before
			}
			sub.asked, sub.open, sub.dirty, sub.restoring = false, 0, false, false
			s.forget(sub)
		}
	}
}

// confirm takes a confirmation. An error means that Redis and we disagree, so
// that the connection is of no use.
func (s *subscriptions) confirm(verb, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) == 0 {
		return s.unexpected(verb, name, "nothing")
	}
	c := s.sent[0]
	sub := c.subs[c.index]
	if c.verb != verb || sub.name != name {
		return s.unexpected(verb, name, c.verb+" "+sub.name)
	}
	if c.index++; c.index == len(c.subs) {
		s.sent = s.sent[1:]
	}
	if isUnsubscribe(verb) {
		sub.era = nextEra()
	}
	s.settle(sub)
	return nil
}

// unexpected takes a confirmation that is not the next one. Redis ends by itself
// the subscriptions of a slot that has gone to another server.
func (s *subscriptions) unexpected(verb, name, next string) error {
	if s.mode != modeSlotted || verb != "sunsubscribe" {
		return fmt.Errorf("confirmation of %s %q instead of %s", verb, name, next)
	}
	if sub := s.channels[name]; sub != nil && sub.open == 0 { // else a later command decides
		sub.asked = false
		s.displace(sub)
	}
	return nil
}

// settle counts one answer of Redis for sub.
func (s *subscriptions) settle(sub *subscription) {
	if sub.open--; sub.open > 0 {
		return
	}
	if sub.asked && sub.wanted() {
		s.setConfirmed(sub, true)
		s.release(sub)
	}
	s.forget(sub)
}

// refuse takes an error that Redis answered to a command. It reports whether it
// was for one of ours; retry sends it again.
func (s *subscriptions) refuse(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) == 0 || s.sent[0].index > 0 {
		return false
	}
	c := s.sent[0]
	s.sent = s.sent[1:]
	elsewhere := s.mode == modeSlotted && isElsewhere(err)
	if !elsewhere {
		s.refusal = fmt.Errorf("%s refused: %w", c.verb, err)
	}
	for _, sub := range c.subs {
		if sub.open--; sub.open == 0 { // else a later command decides
			sub.asked = isUnsubscribe(c.verb)
		}
		if elsewhere {
			s.displace(sub)
		} else {
			s.refused = append(s.refused, sub)
			s.forget(sub)
		}
	}
	return true
}

// retry lets the next flush send what Redis has refused.
func (s *subscriptions) retry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.refused
	s.refused, s.refusal = nil, nil
	for _, sub := range again {
		s.markDirty(sub)
	}
}

// deliver hands a message to those who want it.
func (s *subscriptions) deliver(pattern, channel, payload string) {
	first, more, era := s.find(pattern, channel)
	if first.n == 0 {
		return // the last one left while it was on its way
	}
	d := delivery{kind: first.kind, channel: channel, payload: payload, era: era}
	first.to.offer(d)
	for _, r := range more {
		d.kind = r.kind
		r.to.offer(d)
	}
}

// find returns the routes of a channel, or of the pattern that matched it.
func (s *subscriptions) find(pattern, channel string) (first route, more []route, era uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.channels[channel]
	if pattern != "" {
		sub = s.patterns[pattern]
	}
	if sub == nil {
		return route{}, nil, 0
	}
	return sub.first, sub.more, sub.era
}

// eraOf returns the era of a channel; not ok if it is not wanted.
func (s *subscriptions) eraOf(channel string) (era uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eraOfLocked(channel)
}

func (s *subscriptions) eraOfLocked(channel string) (era uint32, ok bool) {
	sub := s.channels[channel]
	if sub == nil || !sub.wanted() {
		return 0, false
	}
	return sub.era, true
}

// ready says what is missing for a subscriber.
func (s *subscriptions) ready(to subscriber) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.completeLocked(); err != nil {
		return err
	}
	return missingOf(to)
}

// missingOf says how many subscriptions a subscriber lacks that are no rooms.
func missingOf(to subscriber) error {
	if n := to.counts().baseMissing; n > 0 {
		return fmt.Errorf("redis: %d subscriptions are not confirmed yet", n)
	}
	return nil
}

// complete tells whether everything is subscribed that was wanted when the
// connection began.
func (s *subscriptions) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.completeLocked() == nil
}

// completeLocked says what is missing.
func (s *subscriptions) completeLocked() error {
	switch {
	case !s.connected:
		return fmt.Errorf("redis: not connected: %w", s.lastErr)
	case s.refusal != nil:
		return fmt.Errorf("redis: %w", s.refusal)
	case s.restoring > 0:
		return fmt.Errorf("redis: %d subscriptions are not restored yet", s.restoring)
	}
	return nil
}

// countsOf returns a copy of a subscriber's counts.
func (s *subscriptions) countsOf(to subscriber) subscriptionCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *to.counts()
}

// has tells whether Redis has confirmed a channel.
func (s *subscriptions) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hasLocked(name)
}

func (s *subscriptions) hasLocked(name string) bool {
	sub := s.channels[name]
	return sub != nil && sub.confirmed
}
