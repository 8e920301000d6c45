package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// errDown is what a server answers for a slot that it does not have.
var errDown = errors.New("CLUSTERDOWN Hash slot not served")

// fakeCluster is a Redis Cluster of three masters and a router in front of it that
// does what shards does, one step at a time.
type fakeCluster struct {
	t       *testing.T
	mu      sync.Mutex
	lobby   *subscriptions
	masters []*fakeMaster
	owner   map[uint16]int // the truth
	home    map[uint16]*subscriptions
}

type fakeMaster struct {
	cluster *fakeCluster
	n       int
	subs    *subscriptions
	has     map[string]bool
	answers []answer // verb "error" is a refusal
}

func newFakeCluster(t *testing.T) *fakeCluster {
	c := &fakeCluster{t: t, owner: map[uint16]int{}, home: map[uint16]*subscriptions{}}
	c.lobby = newSubscriptions(&c.mu, modeSlotted)
	for n := range 3 {
		m := &fakeMaster{cluster: c, n: n, subs: newSubscriptions(&c.mu, modeSlotted), has: map[string]bool{}}
		m.connect()
		c.masters = append(c.masters, m)
	}
	return c
}

func (m *fakeMaster) connect() {
	m.subs.connect()
	m.subs.reached()
}

func (m *fakeMaster) lose() {
	m.subs.lost(errDown)
	clear(m.has)
	m.answers = nil
	m.connect()
}

func (m *fakeMaster) take() {
	for _, c := range m.subs.flush() {
		slot := slotOf(c.subs[0].name)
		refused := c.verb == "ssubscribe" && m.cluster.owner[slot] != m.n
		for _, name := range c.names() {
			if slotOf(name) != slot {
				m.cluster.t.Fatalf("%q are not of one slot", c.names())
			}
			if !refused {
				m.has[name] = c.verb == "ssubscribe"
				m.answers = append(m.answers, answer{c.verb, name})
			}
		}
		if refused {
			m.answers = append(m.answers, answer{verb: "error"})
		}
	}
}

func (m *fakeMaster) answer(n int) {
	for ; n > 0 && len(m.answers) > 0; n-- {
		a := m.answers[0]
		m.answers = m.answers[1:]
		if a.verb == "error" {
			if !m.subs.refuse(errDown) {
				m.cluster.t.Fatal("a refusal was not taken for ours")
			}
		} else if err := m.subs.confirm(a.verb, a.name); err != nil {
			m.cluster.t.Fatal(err)
		}
	}
}

// reshard gives a slot to another master. The old one ends its subscriptions.
func (c *fakeCluster) reshard(slot uint16, to int) {
	old := c.masters[c.owner[slot]]
	c.owner[slot] = to
	for name, has := range old.has {
		if has && old.n != to && slotOf(name) == slot {
			old.has[name] = false
			old.answers = append(old.answers, answer{"sunsubscribe", name})
		}
	}
}

func (c *fakeCluster) subsOf(name string) *subscriptions {
	if c.home[slotOf(name)] == nil {
		return c.lobby
	}
	return c.home[slotOf(name)]
}

// route is a round of shards: displaced slots go to the lobby, those in the lobby
// to where they live.
func (c *fakeCluster) route() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.masters {
		for _, sub := range m.subs.displaced {
			gone := slotOf(sub.name)
			if c.home[gone] == m.subs {
				c.home[gone] = nil
				m.subs.moveLocked(c.lobby, func(slot uint16) bool { return slot == gone })
			}
		}
		m.subs.displaced = nil
	}
	for name := range c.lobby.channels {
		c.home[slotOf(name)] = c.masters[c.owner[slotOf(name)]].subs
	}
	for _, m := range c.masters {
		c.lobby.moveLocked(m.subs, func(slot uint16) bool { return c.home[slot] == m.subs })
	}
}

func (c *fakeCluster) settle() {
	for busy := true; busy; {
		c.route()
		busy = false
		for _, m := range c.masters {
			m.take()
			busy = busy || len(m.answers) > 0 || len(m.subs.displaced) > 0
			m.answer(len(m.answers))
			busy = busy || len(m.subs.displaced) > 0
		}
	}
}

// TestMovesModel does at random what nodes and a cluster do, and compares what the
// masters have in the end with what is wanted.
func TestMovesModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		m := moves{t: t, c: newFakeCluster(t), wanted: map[string]int{}, waits: map[string]<-chan struct{}{}}
		for range 400 {
			m.step(r)
		}
		m.finish(seed)
	}
}

type moves struct {
	t      *testing.T
	c      *fakeCluster
	ear    ear
	wanted map[string]int
	waits  map[string]<-chan struct{}
}

func (m *moves) step(r *rand.Rand) {
	name := fmt.Sprintf("{%d}%d", r.IntN(4), r.IntN(3))
	master := m.c.masters[r.IntN(3)]
	switch r.IntN(13) {
	case 0, 1, 2, 3:
		m.waits[name], _ = m.c.subsOf(name).add(name, false, routeRoom, &m.ear)
		m.wanted[name]++
	case 4, 5, 6:
		if m.c.subsOf(name).remove(name, false, &m.ear) != (m.wanted[name] > 0) {
			m.t.Fatalf("remove %s", name)
		}
		m.wanted[name] = max(0, m.wanted[name]-1)
	case 7, 8:
		master.take()
	case 9, 10:
		master.answer(r.IntN(4))
	case 11:
		m.c.route()
	case 12:
		if r.IntN(4) == 0 {
			master.lose()
		} else {
			m.c.reshard(slotOf(name), r.IntN(3))
		}
	}
}

func (m *moves) finish(seed uint64) {
	m.c.settle()
	total := 0
	for name, n := range m.wanted {
		if n == 0 {
			continue
		}
		total++
		if owner := m.c.masters[m.c.owner[slotOf(name)]]; !owner.has[name] || !owner.subs.has(name) {
			m.t.Fatalf("seed %d: %s is not subscribed where it lives", seed, name)
		}
		if wait := m.waits[name]; wait != nil && !isClosed(wait) {
			m.t.Fatalf("seed %d: %s is waited for for ever", seed, name)
		}
	}
	has := 0
	for _, master := range m.c.masters {
		has += len(master.subs.channels)
		if !master.subs.complete() {
			m.t.Fatalf("seed %d: master %d: restoring %d, %v", seed, master.n, master.subs.restoring, master.subs.refusal)
		}
	}
	if want := (subscriptionCounts{wanted: total, confirmed: total}); m.ear.c != want || has != total || len(m.c.lobby.channels) > 0 {
		m.t.Fatalf("seed %d: %+v and %d channels instead of %+v", seed, m.ear.c, has, want)
	}
}

// TestDisplacedIsNotReady: a base channel that Redis took away makes the node
// unready until it is heard at its new place, a new room does not.
func TestDisplacedIsNotReady(t *testing.T) {
	c, e := newFakeCluster(t), &ear{}
	c.subsOf("base").add("base", false, routeAll, e)
	c.subsOf("room").add("room", false, routeRoom, e)
	c.settle()
	first := c.masters[0].subs
	if !first.has("base") || first.ready(e) != nil {
		t.Fatal("not ready at first")
	}
	c.reshard(slotOf("room"), 1)
	c.masters[0].answer(1)
	if first.complete() {
		t.Error("complete although a room was taken away")
	}
	c.route()
	if !first.complete() || c.masters[1].subs.complete() {
		t.Error("the new place should be the one that is incomplete")
	}
	c.settle()
	if !c.masters[1].subs.complete() || !c.masters[1].has["room"] || e.c.confirmed != 2 {
		t.Errorf("not restored: %+v", e.c)
	}
}

func TestSlotOf(t *testing.T) {
	// From CLUSTER KEYSLOT of Redis 7.
	for key, want := range map[string]uint16{
		"foo": 12182, "socket.io#/#": 13868, "{user1000}.following": 3443, "foo{}{bar}": 8363, "foo{{bar}}zap": 4015, "123456789": 12739,
	} {
		if got := slotOf(key); got != want {
			t.Errorf("slotOf(%q) = %d, not %d", key, got, want)
		}
	}
}
