package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// ear is a subscriber that records.
type ear struct {
	c     subscriptionCounts
	heard []string
}

func (e *ear) offer(d delivery) { e.heard = append(e.heard, d.channel+" "+d.payload) }

func (e *ear) counts() *subscriptionCounts { return &e.c }

// fakeRedis takes commands and answers them later, in their order.
type fakeRedis struct {
	t       *testing.T
	subs    *subscriptions
	has     map[string]bool
	answers []answer
}

type answer struct {
	verb, name string
}

// take executes the commands that are due.
func (f *fakeRedis) take() {
	for _, c := range f.subs.flush() {
		if len(c.subs) == 0 || len(c.subs) > maxNames {
			f.t.Fatalf("%s names %d channels", c.verb, len(c.subs))
		}
		for _, name := range c.names() {
			f.has[name] = c.verb == "subscribe" || c.verb == "psubscribe"
			f.answers = append(f.answers, answer{verb: c.verb, name: name})
		}
	}
}

// answer gives up to n of the answers that are due.
func (f *fakeRedis) answer(n int) {
	for ; n > 0 && len(f.answers) > 0; n-- {
		a := f.answers[0]
		f.answers = f.answers[1:]
		if err := f.subs.confirm(a.verb, a.name); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fakeRedis) settle() {
	for f.take(); len(f.answers) > 0; f.take() {
		f.answer(len(f.answers))
	}
}

func (f *fakeRedis) connect() {
	f.subs.connect()
	f.subs.reached()
}

func (f *fakeRedis) lose() {
	f.subs.lost(errors.New("gone"))
	f.answers = nil
	clear(f.has)
}

func newFake(t *testing.T) *fakeRedis {
	return &fakeRedis{t: t, subs: newSubscriptions(&sync.Mutex{}, modePlain), has: map[string]bool{}}
}

// TestSubscriptionsWhileDialing: nobody waits for a Redis that may be away, and
// nothing is forgotten.
func TestSubscriptionsWhileDialing(t *testing.T) {
	f, e := newFake(t), &ear{}
	f.subs.connect()
	f.take()
	wait, connected := f.subs.add("a", false, routeRoom, e)
	if err := f.subs.ready(e); connected || err == nil {
		t.Errorf("connected %v, ready %v, although Redis was not reached", connected, err)
	}
	f.subs.reached()
	f.settle()
	if err := f.subs.ready(e); err != nil || !f.has["a"] || !isClosed(wait) {
		t.Errorf("not subscribed: %v", err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestSubscriptionsConfirm(t *testing.T) {
	f, e := newFake(t), &ear{}
	f.connect()
	one, connected := f.subs.add("a", false, routeRoom, e)
	two, _ := f.subs.add("b", false, routeRoom, e)
	if one == nil || one != two || !connected {
		t.Fatal("rooms added together do not share a channel (HRD-73)")
	}
	f.take()
	three, _ := f.subs.add("c", false, routeRoom, e)
	if three == one {
		t.Error("a room added after the flush joined an earlier batch")
	}
	f.answer(1)
	if isClosed(one) {
		t.Error("closed before all were confirmed")
	}
	f.answer(1)
	if !isClosed(one) || isClosed(three) {
		t.Error("the first batch should be done, and it alone")
	}
	f.settle()
	if !isClosed(three) {
		t.Error("the second batch should be done")
	}
	if again, _ := f.subs.add("c", false, routeRoom, e); again != nil {
		t.Error("a confirmed room is waited for")
	}
	f.subs.remove("c", false, e)
	f.settle()
	if !f.has["c"] {
		t.Error("unsubscribed while somebody wants it")
	}
	f.subs.remove("c", false, e)
	f.settle()
	if f.has["c"] || f.subs.remove("c", false, e) {
		t.Error("not unsubscribed")
	}
}

// TestSubscriptionsComeAndGo: whatever was sent meanwhile, the last word counts.
func TestSubscriptionsComeAndGo(t *testing.T) {
	f, e := newFake(t), &ear{}
	f.connect()
	f.subs.add("a", false, routeRoom, e)
	f.take() // SUBSCRIBE
	f.subs.remove("a", false, e)
	f.take() // UNSUBSCRIBE
	last, _ := f.subs.add("a", false, routeRoom, e)
	f.take() // SUBSCRIBE
	for range 2 {
		f.answer(1)
		if isClosed(last) {
			t.Fatal("an earlier confirmation was taken for the last")
		}
	}
	f.answer(1)
	if !isClosed(last) || !f.has["a"] {
		t.Error("not subscribed in the end")
	}
	// Removed and added before Redis heard of it: nothing to wait for.
	f.subs.remove("a", false, e)
	if wait, _ := f.subs.add("a", false, routeRoom, e); wait != nil {
		t.Error("waiting for what was never undone")
	}
	if cmds := f.subs.flush(); len(cmds) != 0 {
		t.Errorf("%d commands for nothing", len(cmds))
	}
	if e.c != (subscriptionCounts{wanted: 1, confirmed: 1}) {
		t.Errorf("counts %+v", e.c)
	}
}

func TestSubscriptionsRestore(t *testing.T) {
	f, e := newFake(t), &ear{}
	for i := range 2500 {
		if _, connected := f.subs.add(fmt.Sprint("room", i), false, routeRoom, e); connected {
			t.Fatal("connected before the first connection")
		}
	}
	f.subs.add("own", false, routeOwn, e)
	f.subs.add("base", false, routeAll, e)
	f.subs.add("pattern*", true, routeIDs, e)
	f.connect()
	cmds := f.subs.flush()
	if first := cmds[0].names(); first[0] != "own" || first[1] != "base" || len(cmds) != 4 {
		t.Errorf("%d commands, the first begins with %q", len(cmds), first[:2])
	}
	for i, c := range cmds {
		for _, name := range c.names() {
			if f.subs.complete() || f.subs.ready(e) == nil {
				t.Fatalf("complete before %s of command %d", name, i)
			}
			if err := f.subs.confirm(c.verb, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := f.subs.ready(e); err != nil || !f.subs.complete() {
		t.Errorf("not ready: %v", err)
	}
	if f.subs.add("new", false, routeRoom, e); f.subs.ready(e) != nil {
		t.Error("a new room makes the node unready")
	}
	f.lose()
	if f.subs.ready(e) == nil {
		t.Error("ready without a connection")
	}
}

// TestSubscriptionsWaitersOutliveTheConnection: who waits when the connection
// fails is told when the room is heard after all.
func TestSubscriptionsWaitersOutliveTheConnection(t *testing.T) {
	f, e := newFake(t), &ear{}
	f.connect()
	wait, _ := f.subs.add("a", false, routeRoom, e)
	f.take()
	f.lose()
	if isClosed(wait) {
		t.Fatal("told too early")
	}
	f.connect()
	f.settle()
	if !isClosed(wait) {
		t.Error("never told")
	}
}

// TestConnectionLostAtOnce: a connection was complete although it failed before
// anybody looked.
func TestConnectionLostAtOnce(t *testing.T) {
	cfg, _ := Config{}.withDefaults()
	f := newFeed(newLink(nil, cfg, "nodeA", wireClassic), newSubscriptions(&sync.Mutex{}, modePlain))
	f.subs.connect()
	f.subs.reached()
	c := &connection{feed: f, failed: make(chan error, 1)}
	c.failed <- errDeaf
	if complete, err := c.serve(t.Context(), nil); !complete || !errors.Is(err, errDeaf) {
		t.Errorf("complete %v, %v", complete, err)
	}
}

func TestSubscriptionsRefused(t *testing.T) {
	f, e := newFake(t), &ear{}
	f.connect()
	wait, _ := f.subs.add("a", false, routeAll, e)
	f.subs.flush()
	if !f.subs.refuse(errors.New("NOPERM")) {
		t.Fatal("the refusal was not taken for ours")
	}
	if f.subs.refuse(errors.New("ERR")) {
		t.Error("an error without a command was taken for ours")
	}
	if err := f.subs.ready(e); err == nil || f.subs.complete() {
		t.Errorf("ready: %v", err)
	}
	f.subs.retry()
	f.settle()
	if !isClosed(wait) || f.subs.ready(e) != nil {
		t.Error("not ready after the second attempt")
	}
}

// TestSubscriptionsRefusedAndRemoved: a refusal that arrives after the room has
// gone changes nothing.
func TestSubscriptionsRefusedAndRemoved(t *testing.T) {
	f, e := newFake(t), &ear{}
	f.connect()
	f.subs.add("a", false, routeRoom, e)
	f.subs.flush()
	f.subs.remove("a", false, e)
	f.subs.flush() // UNSUBSCRIBE
	f.subs.refuse(errors.New("NOPERM"))
	if err := f.subs.confirm("unsubscribe", "a"); err != nil {
		t.Fatal(err)
	}
	f.subs.retry()
	if n := len(f.subs.flush()); n != 0 || len(f.subs.channels) != 0 {
		t.Errorf("%d commands, %d channels left", n, len(f.subs.channels))
	}
}

func TestSubscriptionsWrongConfirmation(t *testing.T) {
	f, e := newFake(t), &ear{}
	f.connect()
	if f.subs.confirm("subscribe", "a") == nil {
		t.Error("a confirmation of nothing was taken")
	}
	f.subs.add("a", false, routeRoom, e)
	f.subs.flush()
	if f.subs.confirm("subscribe", "b") == nil || f.subs.confirm("unsubscribe", "a") == nil {
		t.Error("a wrong confirmation was taken")
	}
}

// TestSubscriptionsShared: namespaces can have a channel in common: K#/a#b# is
// all of /a#b and room b of /a.
func TestSubscriptionsShared(t *testing.T) {
	f := newFake(t)
	ears := []*ear{{}, {}, {}}
	f.connect()
	for _, e := range ears {
		f.subs.add("c", false, routeRoom, e)
	}
	f.settle()
	f.subs.deliver("", "c", "1")
	f.subs.remove("c", false, ears[0])
	f.subs.deliver("", "c", "2")
	f.subs.remove("c", false, ears[2])
	f.subs.deliver("", "c", "3")
	f.subs.removeAll(ears[1], nil)
	f.subs.deliver("", "c", "4")
	for i, want := range []int{1, 3, 2} {
		if len(ears[i].heard) != want || ears[i].c != (subscriptionCounts{}) {
			t.Errorf("%d heard %q, counts %+v", i, ears[i].heard, ears[i].c)
		}
	}
	f.settle()
	if f.has["c"] || len(f.subs.channels) != 0 {
		t.Error("not unsubscribed")
	}
}

// TestSubscriptionsModel does at random what nodes and networks do, and compares
// what Redis has in the end with what is wanted.
func TestSubscriptionsModel(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		f := newFake(t)
		m := model{t: t, f: f, ears: []*ear{{}, {}}, wanted: map[string]int{}, waits: map[string]<-chan struct{}{}}
		for range 400 {
			m.step(r)
		}
		m.finish(seed)
	}
}

type model struct {
	t         *testing.T
	f         *fakeRedis
	ears      []*ear
	wanted    map[string]int
	connected bool
	waits     map[string]<-chan struct{} // the last one of each channel
}

func (m *model) step(r *rand.Rand) {
	name := fmt.Sprint("c", r.IntN(5))
	e := m.ears[r.IntN(2)]
	key := fmt.Sprintf("%s %p", name, e)
	switch r.IntN(12) {
	case 0, 1, 2, 3:
		wait, _ := m.f.subs.add(name, false, routeRoom, e)
		m.wanted[key]++
		if m.waits[name] = wait; wait == nil && !m.f.has[name] {
			m.t.Fatalf("%s is said to be heard", name)
		}
	case 4, 5, 6:
		if m.f.subs.remove(name, false, e) != (m.wanted[key] > 0) {
			m.t.Fatalf("remove %s", key)
		}
		m.wanted[key] = max(0, m.wanted[key]-1)
	case 7, 8:
		m.f.take()
	case 9, 10:
		m.f.answer(r.IntN(4))
	case 11:
		m.network(r)
	}
}

func (m *model) network(r *rand.Rand) {
	switch {
	case !m.connected:
		m.f.connect()
		m.connected = true
	case r.IntN(4) == 0:
		m.f.lose()
		m.connected = false
	}
}

func (m *model) finish(seed uint64) {
	if !m.connected {
		m.f.connect()
	}
	m.f.settle()
	want := map[string]bool{}
	total := 0
	for key, n := range m.wanted {
		if n > 0 {
			want[key[:2]] = true
			total++
		}
	}
	confirmed := 0
	for _, e := range m.ears {
		confirmed += e.c.confirmed
	}
	if confirmed != total || m.f.subs.restoring != 0 || !m.f.subs.complete() {
		m.t.Fatalf("seed %d: %d confirmed of %d, restoring %d", seed, confirmed, total, m.f.subs.restoring)
	}
	for i := range 5 {
		name := fmt.Sprint("c", i)
		if m.f.has[name] != want[name] || (m.f.subs.channels[name] != nil) != want[name] {
			m.t.Fatalf("seed %d: %s: Redis has it: %v, wanted: %v", seed, name, m.f.has[name], want[name])
		}
		if wait := m.waits[name]; wait != nil && want[name] && !isClosed(wait) {
			m.t.Fatalf("seed %d: %s is waited for for ever", seed, name)
		}
	}
}
