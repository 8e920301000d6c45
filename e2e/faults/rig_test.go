//go:build faults

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
	"github.com/fanwire/fanwire/client"
)

// setup says what a rig consists of. Zero fields have defaults.
type setup struct {
	nodes     int      // 3
	clients   int      // 300
	rate      int      // events a second in all, 1,000
	flags     []string // of the nodes, besides those for Redis
	nodeFlags func(node int) []string
	redis     []string // flags for a Redis that exists; by default one is started
	proxies   bool     // one between each node and Redis
	balanced  bool     // clients go through HAProxy
	wrap      func(node int) []string
	env       func(node int) []string
	serving   int  // clients go to the first nodes only; all by default
	noPolling bool // all clients are on WebSocket
	restarts  bool // nodes may end
	official  int  // official clients, through HAProxy
}

// rig is a cluster under load.
type rig struct {
	*run
	setup    setup
	redis    *redistest.Server
	proxies  []*proxy
	nodes    []*server
	front    *balancer
	ledger   *ledger
	guests   []*guest
	official []*guest
	start    []report // of each node, when the load began
	random   *rand.Rand

	stop    context.CancelFunc
	loading sync.WaitGroup
}

// membersPerRoom clients are in each room, spread over the nodes.
const membersPerRoom = 10

func (s setup) withDefaults() setup {
	orDefault := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orDefault(&s.nodes, 3)
	orDefault(&s.clients, scaled(300, 120))
	orDefault(&s.rate, scaled(*rateFlag, *rateFlag*2/5))
	orDefault(&s.serving, s.nodes)
	return s
}

// rig starts a cluster and its clients, and the load.
func (r *run) rig(s setup) *rig {
	r.t.Helper()
	s = s.withDefaults()
	g := &rig{run: r, setup: s, ledger: newLedger(max(s.clients/membersPerRoom, 1)), random: rand.New(rand.NewPCG(r.seed, 0))}
	if s.redis == nil {
		g.redis = redistest.Start(r.t)
	}
	for i := range s.nodes {
		g.addNode(i)
	}
	for _, n := range g.nodes {
		eventually(r.t, n.id+" is ready", n.ready)
	}
	if s.balanced {
		g.front = startBalancer(r.t, g.nodes)
	}
	g.addGuests()
	if s.official > 0 && *officialFlag == "" {
		g.addOfficial(s.official)
	}
	r.t.Cleanup(g.end) // before the processes end
	for _, n := range g.nodes {
		st, err := n.stats()
		if err != nil {
			r.t.Fatal(err)
		}
		g.start = append(g.start, st)
	}
	g.begin()
	return g
}

func (g *rig) addNode(i int) {
	flags := g.setup.redis
	if flags == nil {
		addr := g.redis.Addr
		if g.setup.proxies {
			g.proxies = append(g.proxies, newProxy(g.t, addr))
			addr = g.proxies[i].addr
		}
		flags = []string{"-redis", "redis://" + addr}
	}
	if *adapterFlag != "classic" {
		flags = append(flags[:len(flags):len(flags)], "-adapter", *adapterFlag)
	}
	var wrap, env []string
	if g.setup.wrap != nil {
		wrap = g.setup.wrap(i)
	}
	if g.setup.env != nil {
		env = g.setup.env(i)
	}
	flags = append(flags[:len(flags):len(flags)], g.setup.flags...)
	if g.setup.nodeFlags != nil {
		flags = append(flags, g.setup.nodeFlags(i)...)
	}
	g.nodes = append(g.nodes, startServer(g.t, fmt.Sprintf("n%d", i+1), flags, wrap, env...))
}

// addGuests opens the clients: one in five on polling, the others on WebSocket.
func (g *rig) addGuests() {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	g.guests = make([]*guest, g.setup.clients)
	errs := make(chan error, g.setup.clients)
	slots := make(chan struct{}, 30)
	for i := range g.guests {
		slots <- struct{}{}
		go func() { // ends with the dial, for which errs waits below
			defer func() { <-slots }()
			transport := client.WebSocket
			if i%5 == 4 && !g.setup.noPolling {
				transport = client.Polling
			}
			n := g.nodes[i%g.setup.serving]
			url, home := n.url, n.id
			if g.front != nil {
				url, home = g.front.url, ""
			}
			guest, err := newGuest(ctx, g.ledger, i, i/membersPerRoom%len(g.ledger.rooms), url, home, guestOptions(transport))
			g.guests[i] = guest
			errs <- err
		}()
	}
	var failed error
	for range g.guests {
		if err := <-errs; err != nil {
			failed = err
		}
	}
	if failed != nil {
		g.t.Fatal(failed)
	}
}

// begin starts the load: half of it by clients, half by the nodes themselves.
func (g *rig) begin() {
	for _, n := range g.nodes[:g.setup.serving] {
		if _, err := n.publish(g.nodeRate(), len(g.ledger.rooms)); err != nil {
			g.t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	g.loading.Go(func() { g.load(ctx) }) // ends with stop; quiet waits
}

func (g *rig) nodeRate() int { return g.setup.rate / 2 / g.setup.serving }

// clientRate is what the clients publish together.
func (g *rig) clientRate() int {
	if *officialFlag != "" {
		return g.setup.rate // the nodes publish nothing
	}
	return g.setup.rate / 2
}

// load has clients publish at a steady pace, in portions of 10 ms.
func (g *rig) load(ctx context.Context) {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	start, n := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for due := int(time.Since(start).Seconds() * float64(g.clientRate())); n < due && ctx.Err() == nil; n++ {
			g.guests[g.random.IntN(len(g.guests))].publish(ctx)
		}
	}
}

// calm lets the load go on for a time. That is the pace of a run: before a fault,
// while it lasts, and after it.
func (g *rig) calm(d time.Duration) {
	select {
	case <-time.After(d):
	case <-g.t.Context().Done():
	}
}

// phase says what the latencies of now on belong to.
func (g *rig) phase(p int32) { g.ledger.phase.Store(p) }

// healed marks the end of the fault and measures until each node hears each other
// one again.
func (g *rig) healed() time.Duration {
	g.t.Helper()
	now := time.Now()
	g.ledger.each(func(r *receiver) { clear(r.back) })
	g.ledger.mark.Store(now.UnixNano())
	g.phase(after)
	want := g.setup.serving * (g.setup.serving - 1)
	for end := now.Add(patience); len(g.ledger.paths()) < want && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	if paths := len(g.ledger.paths()); paths < want {
		g.fail("after %v %d of %d paths between nodes work", patience, paths, want)
		g.result.back = max(g.result.back, patience)
		return patience
	}
	last := now
	for _, at := range g.ledger.paths() {
		if at.After(last) {
			last = at
		}
	}
	g.result.back = max(g.result.back, last.Sub(now))
	return last.Sub(now)
}

// quiet ends the load and waits until everything has arrived, or nothing arrives
// any more.
func (g *rig) quiet() {
	g.t.Helper()
	g.stop()
	g.loading.Wait()
	for _, n := range g.nodes[:g.setup.serving] {
		sent, err := n.publish(0, 0)
		if err != nil {
			g.ledger.publishedBy(n.publisher(), n.id) // it was killed
			continue
		}
		g.ledger.publishedAll(n, sent)
	}
	last, since := g.ledger.progress.Load(), time.Now()
	eventually(g.t, "quiet", func() bool {
		if p := g.ledger.progress.Load(); p != last {
			last, since = p, time.Now()
		}
		idle := time.Since(since)
		return idle > 3*time.Second || idle > 300*time.Millisecond && g.ledger.complete()
	})
}

// counted is what the nodes have counted since the load began.
func (g *rig) counted() (sum adapter.Stats) {
	for i, n := range g.nodes {
		st, err := n.stats()
		if err != nil {
			continue
		}
		a, b := g.start[i].Node.Adapter, st.Node.Adapter
		sum.Missed += b.Missed - a.Missed
		sum.Duplicates += b.Duplicates - a.Duplicates
		sum.PublishDropped += b.PublishDropped - a.PublishDropped
		sum.PublishErrors += b.PublishErrors - a.PublishErrors
		sum.ReceiveDropped += b.ReceiveDropped - a.ReceiveDropped
		sum.Resubscriptions += b.Resubscriptions - a.Resubscriptions
	}
	return sum
}

// judge ends the load, adds everything up and checks what holds for every fault:
// no process has ended, nothing came twice or out of order.
func (g *rig) judge(q question) tally {
	g.t.Helper()
	g.quiet()
	t := g.ledger.tally(q)
	// Gaps at the end show with the next heartbeats.
	for end := time.Now().Add(5 * time.Second); !q.notOfNodes && int(g.counted().Missed) != t.messages && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	c := g.counted()
	r := g.result
	r.expected += t.expected
	r.lost += t.lost
	r.localLost += t.localLost
	r.doubled += t.doubled
	r.disordered += t.disordered
	if !q.notOfNodes { // else both mean something else: what was missed may have been read in the journal since
		r.messages += t.messages
		r.counted += int(c.Missed)
	}
	p99, top := g.ledger.latency(during, true)
	r.local, r.localTop = max(r.local, p99), max(r.localTop, top)
	g.note("%d in flight, local p99 %v max %v, after p99 %v; counted: missed %d, duplicates %d, dropped %d, errors %d, inbox %d, resubscribed %d",
		t.inFlight, p99.Round(time.Millisecond), top.Round(time.Millisecond), first(g.ledger.latency(after, true)).Round(time.Millisecond),
		c.Missed, c.Duplicates, c.PublishDropped, c.PublishErrors, c.ReceiveDropped, c.Resubscriptions)
	for _, n := range g.nodes {
		if n.ended() && !g.setup.restarts {
			g.fail("%s has ended; see its log", n.id)
		}
	}
	g.check(t.expected > 0, "nothing was expected")
	g.check(t.doubled == 0, "%d deliveries came twice", t.doubled)
	g.check(t.disordered == 0, "%d deliveries were out of order", t.disordered)
	return t
}

func first[T any](v, _ T) T { return v }

// stayed checks that no client was disconnected.
func (g *rig) stayed() {
	g.t.Helper()
	gone, why := 0, any(nil)
	for _, guest := range g.guests {
		if guest.left.Load() > 0 {
			gone++
			why = guest.why.Load()
		}
	}
	g.check(gone == 0, "%d clients were disconnected (%v)", gone, why)
}

// allCounted checks that what the nodes have counted is what clients lack.
func (g *rig) allCounted(t tally) {
	g.t.Helper()
	c := g.counted()
	g.check(int(c.Missed) == t.messages, "%d messages lost, %d counted", t.messages, c.Missed)
}

// localOnTime checks the events that need no Redis. The bound is generous: the
// machine has others to serve.
func (g *rig) localOnTime(t tally) {
	g.t.Helper()
	p99, _ := g.ledger.latency(during, true)
	g.check(t.localLost == 0, "%d local deliveries lost", t.localLost)
	g.check(p99 < onTime(), "local p99 %v", p99)
}

// onTime is when a delivery is not delayed.
func onTime() time.Duration { return allowed(250 * time.Millisecond) }

// finish ends a rig before its run does: clients and processes.
func (g *rig) finish() {
	g.end()
	for _, n := range g.nodes {
		n.stop()
	}
}

// end closes the clients. It may be called again.
func (g *rig) end() {
	if g.stop != nil {
		g.stop()
	}
	g.loading.Wait()
	var all sync.WaitGroup
	for _, guest := range g.guests {
		if guest != nil {
			all.Go(guest.close)
		}
	}
	all.Wait()
}
