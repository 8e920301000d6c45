package node

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

// gate lets messages of other nodes in one by one.
type gate struct {
	adapter.Host
	mu              sync.Mutex
	moved           sync.Cond
	allowed, passed int
}

func newGate(h adapter.Host) *gate {
	g := &gate{Host: h, allowed: math.MaxInt}
	g.moved.L = &g.mu
	return g
}

func (g *gate) Receive(m *adapter.Message) {
	g.mu.Lock()
	for g.passed >= g.allowed {
		g.moved.Wait()
	}
	g.mu.Unlock()
	g.Host.Receive(m)
	g.mu.Lock()
	g.passed++
	g.moved.Broadcast()
	g.mu.Unlock()
}

// shut lets nothing in from now on, and open everything.
func (g *gate) shut() { g.let(0, true) }
func (g *gate) open() { g.let(math.MaxInt, true) }

// let lets n more messages in, and waits for them.
func (g *gate) let(n int, anew bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !anew:
		g.allowed += n
	case n == 0:
		g.allowed = g.passed
	default:
		g.allowed = n
	}
	g.moved.Broadcast()
	for n != math.MaxInt && g.passed < g.allowed {
		g.moved.Wait()
	}
}

// staged is a hub's adapter whose Replay calls the test before and after it reads.
type staged struct {
	adapter.Adapter
	adapter.Journal
	before, after func()
}

func (s *staged) Replay(ctx context.Context, offset string, wants func(*adapter.Message) bool) (adapter.Replay, error) {
	s.before()
	r, err := s.Journal.Replay(ctx, offset, wants)
	s.after()
	return r, err
}

// TestSeam publishes on the node of a recovering client and on another one, in each
// order, while the client is away, while it recovers and when it is back, with all
// delays on the way: nothing is lost or comes twice (HRD-72).
func TestSeam(t *testing.T) {
	const points = 4
	for lag := range 3 {
		for order := range 1 << points {
			t.Run(fmt.Sprintf("lag=%d/order=%04b", lag, order), func(t *testing.T) {
				testSeam(t, points, lag, order)
			})
		}
	}
}

func testSeam(t *testing.T, points, lag, order int) {
	ctx := t.Context()
	hub := new(adapter.Hub)
	var g *gate
	var st *staged
	here := newServer(t, recovering(Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
		g = newGate(h)
		a, err := hub.Factory(g)
		st = &staged{Adapter: a, Journal: a.(adapter.Journal), before: func() {}, after: func() {}}
		return st, err
	}}))
	there := newServer(t, recovering(Config{Adapter: hub.Factory}))
	if err := there.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	l := begin(t, here, "/", nil)
	_ = here.Emit(ctx, "first")
	l.want(`["first"]`)
	l.cut(here.Of("/"))

	g.shut()
	var own, remote []string
	at := 0
	step := func() {
		at++
		emit := []func(){
			func() { own = append(own, fmt.Sprintf(`["own",%d]`, at)); _ = here.Emit(ctx, "own", at) },
			func() { remote = append(remote, fmt.Sprintf(`["remote",%d]`, at)); _ = there.Emit(ctx, "remote", at) },
		}
		first := order >> (at - 1) & 1
		emit[first]()
		emit[1-first]()
		if at > lag {
			g.let(1, false)
		}
	}
	step()
	st.before, st.after = step, step
	next := begin(t, here, "/", l)
	if next.id != l.id {
		t.Fatal("a new session")
	}
	st.before, st.after = func() {}, func() {}
	for at < points {
		step()
	}
	got := next.missed
	for len(got) < 2*points {
		got = append(got, next.event(next.read()))
		if len(got) == 2*points-min(lag, points) {
			g.open()
		}
	}
	// Cut again: the offset must say what it has got by now.
	next.cut(here.Of("/"))
	_ = there.Emit(ctx, "remote", points+1)
	eventually(t, "the last to arrive", func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.passed == points+1 })
	last := begin(t, here, "/", next)
	got = append(got, last.missed...)
	remote = append(remote, fmt.Sprintf(`["remote",%d]`, points+1))
	of := func(publisher string) []string {
		return slices.DeleteFunc(slices.Clone(got), func(e string) bool { return e[:4] != publisher })
	}
	if !slices.Equal(of(`["ow`), own) || !slices.Equal(of(`["re`), remote) {
		t.Errorf("got %v", got)
	}
}
