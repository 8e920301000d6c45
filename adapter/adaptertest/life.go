package adaptertest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

func testNothingBeforeStart(t *testing.T, c Cluster) {
	a := c.node(t, "nodeA")
	b := New(t, c.Factory(t), "nodeB", "/")
	d := c.node(t, "nodeC")
	a.MustPublish(t, Event(`["early"]`))
	d.Await(t, 1)
	if got := b.Messages(); len(got) != 0 {
		t.Fatalf("received before Start: %s", describe(got))
	}
	if _, err := b.Publish(t.Context(), Event(`["e"]`)); !errors.Is(err, adapter.ErrClosed) {
		t.Errorf("Publish before Start: %v", err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.MustPublish(t, Event(`["late"]`))
	if got := b.Await(t, 1); Text(got[0]) != `Broadcast["late"]` {
		t.Errorf("got %s", describe(got))
	}
}

func testCloseWaits(t *testing.T, c Cluster) {
	a := c.node(t, "nodeA")
	b := New(t, c.Factory(t), "nodeB", "/")
	entered, release := make(chan struct{}), make(chan struct{})
	var inside atomic.Bool
	b.OnReceive = func(*adapter.Message) {
		inside.Store(true)
		entered <- struct{}{}
		<-release
		inside.Store(false)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.MustPublish(t, Event(`["e"]`))
	<-entered
	// Close has begun long before; if it does not wait, it is found inside.
	timer := time.AfterFunc(50*time.Millisecond, func() { close(release) })
	defer timer.Stop()
	b.MustClose(t)
	if inside.Load() {
		t.Error("Close returned while Receive was running")
	}
	n := len(b.Messages())
	a.MustPublish(t, Event(`["late"]`))
	b.MustClose(t) // again is nothing
	if len(b.Messages()) != n {
		t.Error("received after Close")
	}
}

// testCloseHandsOut: Close comes right after Publish, and nothing is lost.
func testCloseHandsOut(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	const n = 200
	for i := range n {
		a.MustPublish(t, Event(fmt.Sprintf(`["e",%d]`, i)))
	}
	a.MustClose(t)
	b.Await(t, n)
}

func testClosed(t *testing.T, c Cluster) {
	a := c.node(t, "nodeA")
	a.MustClose(t)
	if _, err := a.Publish(t.Context(), Event(`["e"]`)); !errors.Is(err, adapter.ErrClosed) {
		t.Errorf("Publish: %v", err)
	}
	if err := a.Respond(t.Context(), "x", &adapter.Message{Kind: adapter.ServerReply, RequestID: "r"}); !errors.Is(err, adapter.ErrClosed) {
		t.Errorf("Respond: %v", err)
	}
	if _, err := a.ServerCount(t.Context()); !errors.Is(err, adapter.ErrClosed) {
		t.Errorf("ServerCount: %v", err)
	}
	if o, ok := a.Adapter.(adapter.RoomObserver); ok {
		o.RoomAdded("r")
		o.RoomRemoved("r")
	}
	if p, ok := a.Adapter.(adapter.Prober); ok && p.Ready() == nil {
		t.Error("a closed adapter is ready")
	}
	never := New(t, c.Factory(t), "nodeB", "/")
	never.MustClose(t)
}
