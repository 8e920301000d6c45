package redis

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

const (
	beatEvery  = time.Second            // HRD-62
	lease      = 5 * time.Second        // a node that was not heard of for so long is not listed
	forgetNode = 10 * time.Minute       // one that hangs is remembered for so long
	stateEvery = 50 * time.Millisecond  // between two statements
	askEvery   = 500 * time.Millisecond // between two questions to nodes that are not known well
	maxNodes   = 10_000
)

// registry is what one node knows of the others, and they of it: all publish
// bulletins on one channel. A node begins with hello, which the others answer at
// once with a statement of theirs. From then on each tells what changes, and every
// second that it lives.
//
// Time is that of this node, and it passes only while the node hears its own
// bulletins: nobody is given up because Redis is away (HRD-77).
type registry struct {
	// Static after construction.
	link    *link
	channel string
	wire    wireName
	epoch   string
	kick    chan struct{} // state or ask has changed
	sent    counters      // bulletins
	subs    subscriptionCounts

	mu       sync.Mutex // guards the fields below; may be followed by member.mu
	address  string
	members  map[string]*registered // by namespace
	revision uint64
	state    bool // what it says has changed
	hello    bool // it has to ask the others who they are
	full     bool // it has to tell all numbers
	nodes    map[string]*remoteNode
	uids     map[string]string // namespaces of other nodes' members
	echo     time.Time         // when a bulletin of our own last came back
	restored time.Time         // when the channel was last subscribed anew
	asked    time.Time
	pushed   uint64 // bulletins given to the outbox
}

// registered is a member of this node.
type registered struct {
	*member
	stated bool // the others have been told
}

// remoteNode is another node.
type remoteNode struct {
	id, epoch, address string
	revision           uint64
	stated             bool
	heard              time.Time
	spaces             map[string]string // uids by namespace
}

func newRegistry(l *link, wire wireName) *registry {
	r := &registry{
		link:    l,
		channel: "fanwire#nodes#" + l.cfg.Key,
		wire:    wire,
		epoch:   rand.Text()[:10],
		kick:    make(chan struct{}, 1),
		members: map[string]*registered{},
		nodes:   map[string]*remoteNode{},
		uids:    map[string]string{},
	}
	return r
}

// run sends bulletins until ctx ends. The link waits for it.
func (r *registry) run(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.beat()
		case <-r.kick:
			r.tell()
			await(ctx, nil, stateEvery)
		}
	}
}

func (r *registry) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// subscribed is called when the channel is subscribed, also after a loss.
func (r *registry) subscribed() {
	r.mu.Lock()
	r.hello, r.restored = true, time.Now()
	r.mu.Unlock()
	r.wake()
}

// join makes a namespace of this node known to the others, as soon as it hears
// them.
func (r *registry) join(m *member) {
	r.mu.Lock()
	r.members[m.host.Namespace()] = &registered{member: m}
	r.mu.Unlock()
}

// confirmed is called when a namespace may have become able to hear the others.
func (r *registry) confirmed() {
	r.mu.Lock()
	due := r.newcomersLocked()
	r.state = r.state || due
	r.mu.Unlock()
	if due {
		r.wake()
	}
}

// leave takes a namespace back. It tells the others before the namespace's
// subscriptions end, so that nobody takes it for a node without a name.
func (r *registry) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, m.host.Namespace())
	r.state = true
	if !r.link.subs.complete() {
		return
	}
	if len(r.members) == 0 {
		r.tellLocked(bulletinBye, false, m)
	} else {
		r.tellLocked(bulletinState, false, m)
	}
}

// announce tells the others where they reach this node.
func (r *registry) announce(address string) {
	r.mu.Lock()
	r.address, r.state = address, true
	r.mu.Unlock()
	r.wake()
}

// newcomersLocked tells whether there is a namespace that hears the others but is
// not known to them.
func (r *registry) newcomersLocked() bool {
	for _, m := range r.members {
		if !m.stated && r.link.subs.has(m.protocol.countChannel()) {
			return true
		}
	}
	return false
}

// beat sends what is due every second.
func (r *registry) beat() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pruneLocked()
	r.state = r.state || r.newcomersLocked()
	r.tellLocked(bulletinBeat, true)
}

// tell sends what has changed.
func (r *registry) tell() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state || r.hello || r.full {
		r.tellLocked(bulletinState, false)
	}
}

// tellLocked publishes a bulletin, unless an older one still waits for Redis. The
// members that leave are among the marks.
func (r *registry) tellLocked(kind bulletinKind, beat bool, leaving ...*member) {
	if kind != bulletinBye && r.sent.finished() < r.pushed {
		return // the next beat comes
	}
	b := bulletin{kind: kind, wire: string(r.wire), node: r.link.node, epoch: r.epoch}
	full, fresh := r.full, []*member(nil)
	if kind != bulletinBye && (r.state || r.hello || r.full) {
		b.kind = bulletinState
		if r.hello {
			b.kind, full = bulletinHello, true
		}
		b.about, fresh = r.statementLocked()
		r.state, r.hello, r.full = false, false, false
	}
	b.revision = r.revision
	for _, m := range r.members {
		switch {
		case !m.stated:
		case full || slices.Contains(fresh, m.member):
			r.addMarks(&b, m.allMarks())
		case beat:
			r.addMarks(&b, m.marks())
		}
	}
	for _, m := range leaving {
		r.addMarks(&b, m.allMarks())
	}
	r.pushLocked(b)
}

// addMarks adds marks to a bulletin, which is sent whenever it is full.
func (r *registry) addMarks(b *bulletin, marks []mark) {
	size := 0
	for _, m := range b.marks {
		size += len(m.claims)
	}
	for _, m := range marks {
		if size > maxClaims || len(b.marks) >= maxMarks/10 {
			first := *b
			first.kind = min(b.kind, bulletinState) // the last one says hello or bye
			r.pushLocked(first)
			b.marks, size = nil, 0
		}
		b.marks = append(b.marks, m)
		size += len(m.claims)
	}
}

func (r *registry) pushLocked(b bulletin) {
	r.pushed++
	it := r.link.ownItem(r.channel, b.append(nil), &r.sent)
	it.quiet = b.kind != bulletinBye
	r.link.out.push(it)
}

// statementLocked makes a statement of what there is now, and returns the members
// that are in it for the first time.
func (r *registry) statementLocked() (s *statement, fresh []*member) {
	s = &statement{address: r.address}
	for namespace, m := range r.members {
		if !m.stated && r.link.subs.has(m.protocol.countChannel()) {
			m.stated = true
			fresh = append(fresh, m.member)
		}
		if m.stated && len(s.spaces) < maxSpaces {
			s.spaces = append(s.spaces, space{namespace, m.uid})
			s.tag = m.host.IDTag()
		}
	}
	if r.state || len(fresh) > 0 {
		r.revision++
	}
	return s, fresh
}

// offer implements subscriber: it takes the bulletins of all nodes.
func (r *registry) offer(d delivery) {
	b, err := readBulletin(bytesOf(d.payload))
	if err != nil || b.wire != string(r.wire) {
		return // of another version, of another cluster, or none
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.node == r.link.node {
		if b.epoch == r.epoch {
			r.echo = now
			r.tickLocked()
		}
		return
	}
	n := r.nodes[b.node]
	if n != nil && n.epoch != b.epoch {
		if b.kind == bulletinBye {
			return // of an earlier life
		}
		r.removeLocked(n)
		n = nil
	}
	if n == nil && len(r.nodes) < maxNodes {
		n = &remoteNode{id: b.node, epoch: b.epoch}
		r.nodes[b.node] = n
	}
	if n == nil {
		return
	}
	n.heard = now
	to := r.membersLocked(b.marks, make([]*member, len(b.marks)))
	if b.about != nil {
		r.restateLocked(n, &b)
		to = r.membersLocked(b.marks, to)
	}
	dispatch(b.marks, to)
	switch {
	case b.kind == bulletinBye:
		r.removeLocked(n)
	case b.kind == bulletinHello:
		r.full = true
		r.wake()
	case (!n.stated || n.revision != b.revision) && now.Sub(r.asked) >= askEvery:
		r.asked, r.hello = now, true
		r.wake()
	}
}

// counts implements subscriber.
func (r *registry) counts() *subscriptionCounts { return &r.subs }

// restateLocked takes what a node says about itself.
func (r *registry) restateLocked(n *remoteNode, b *bulletin) {
	for _, uid := range n.spaces {
		delete(r.uids, uid)
	}
	n.stated, n.revision, n.address = true, b.revision, b.about.address
	n.spaces = make(map[string]string, len(b.about.spaces))
	for _, s := range b.about.spaces {
		n.spaces[s.namespace] = s.uid
		r.uids[s.uid] = s.namespace
	}
}

func (r *registry) removeLocked(n *remoteNode) {
	for _, uid := range n.spaces {
		delete(r.uids, uid)
	}
	delete(r.nodes, n.id)
}

// membersLocked finds the members that marks concern, for those in to that are
// nil.
func (r *registry) membersLocked(marks []mark, to []*member) []*member {
	for i := range marks {
		if m := r.members[r.uids[marks[i].uid]]; m != nil && to[i] == nil {
			to[i] = m.member
		}
	}
	return to
}

// dispatch hands marks to the members, behind what has arrived before them.
func dispatch(marks []mark, to []*member) {
	for i, m := range to {
		if m != nil {
			m.in.Put(delivery{kind: routeBulletin, mark: &marks[i]}, len(marks[i].claims))
		}
	}
}

// tickLocked lets members go on that wait for time to pass.
func (r *registry) tickLocked() {
	for _, m := range r.members {
		if m.claimed.Load() {
			m.in.Put(delivery{kind: routeBulletin}, 0)
		}
	}
}

// pruneLocked forgets nodes that hang or are gone without a word.
func (r *registry) pruneLocked() {
	for _, n := range r.nodes {
		if r.echo.Sub(n.heard) > forgetNode {
			r.removeLocked(n)
		}
	}
}

// livesLocked tells whether a node is listed. Its silence counts as long as our own
// bulletins come back.
func (r *registry) livesLocked(n *remoteNode) bool {
	since := n.heard
	if r.restored.After(since) {
		since = r.restored
	}
	return n.stated && r.echo.Sub(since) <= lease
}

// knows tells whether a publisher is a member of a node that may live.
func (r *registry) knows(uid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.uids[uid]
	return ok
}

// node returns the address of a node that lives.
func (r *registry) addressOf(node string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if node == r.link.node {
		return r.address
	}
	if n := r.nodes[node]; n != nil && r.livesLocked(n) {
		return n.address
	}
	return ""
}

// list returns the nodes that live.
func (r *registry) list() []adapter.NodeInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []adapter.NodeInfo{{ID: r.link.node, Address: r.address}}
	for _, n := range r.nodes {
		if r.livesLocked(n) {
			list = append(list, adapter.NodeInfo{ID: n.id, Address: n.address})
		}
	}
	slices.SortFunc(list, func(a, b adapter.NodeInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// candidate is a node that has a namespace, or had it when it was last heard of.
type candidate struct {
	adapter.Peer
	lives bool
}

func (r *registry) candidates(namespace string) (list []candidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range r.nodes {
		if uid, ok := n.spaces[namespace]; ok {
			list = append(list, candidate{adapter.Peer{Name: uid, Node: n.id}, r.livesLocked(n)})
		}
	}
	return list
}

// expected is how many nodes there should be on the channel that each node of a
// namespace has, as far as they are known; 0 if nothing is.
func (r *registry) expected(channel string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for namespace, m := range r.members {
		if m.protocol.countChannel() != channel {
			continue
		}
		n := 1
		for _, other := range r.nodes {
			if _, ok := other.spaces[namespace]; ok && r.livesLocked(other) {
				n++
			}
		}
		return n
	}
	return 0
}
