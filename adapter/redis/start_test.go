package redis_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// startBriefly starts an adapter without Redis and gives up.
func startBriefly(t *testing.T, n *adaptertest.Node) {
	t.Helper()
	ctx, cancel := contextWithTimeout(t, 200*time.Millisecond)
	defer cancel()
	if err := n.Start(ctx); err == nil || !strings.Contains(err.Error(), "not connected") {
		t.Fatalf("Start without Redis: %v", err)
	}
}

// starting starts an adapter in the background and returns when that has begun.
func starting(t *testing.T, n *adaptertest.Node) (started <-chan error) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- n.Start(t.Context()) }() // ends before Close, which comes after t.Context has ended
	adaptertest.Eventually(t, n.NodeID()+" starting", func() bool { return !errors.Is(ready(n), adapter.ErrClosed) })
	return done
}

// TestStartWithoutRedis: Start says so, and the adapter keeps trying.
func TestStartWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	a := adaptertest.New(t, redis.NewAdapter(server.Client(t), redis.Config{}), "nodeA", "/")
	startBriefly(t, a)
	server.Restart(t)
	awaitReady(t, a)
	b := start(t, server.Addr, redis.Config{}, "nodeB")
	numbered(t, b, 0, 1)
	a.AwaitMessage(t, has(0))
}

// TestUsableWhileStarting: Start waits for a Redis that is known to be away, and
// nobody else does: the backlog is as bounded as ever (HRD-63).
func TestUsableWhileStarting(t *testing.T) {
	server := redistest.Start(t)
	server.Kill()
	factory := redis.NewAdapter(server.Client(t), redis.Config{Backlog: 1000, BacklogAge: time.Hour})
	first := adaptertest.New(t, factory, "nodeA", "/first")
	startBriefly(t, first)
	adaptertest.Eventually(t, "the loss to be known", func() bool { return strings.Contains(ready(first).Error(), "refused") })

	a := adaptertest.New(t, factory, "nodeA", "/")
	started := starting(t, a)
	const n = 1000
	refused := useWhileAway(t, a, n)
	select {
	case err := <-started:
		t.Fatalf("Start returned without Redis: %v", err)
	default:
	}
	if s := a.Stats(); refused == 0 || s.PublishDropped < n-200 || s.Published != 0 {
		t.Errorf("%d refused; %+v", refused, s)
	}
	server.Restart(t)
	if err := <-started; err != nil {
		t.Fatalf("Start: %v", err)
	}
	awaitReady(t, a) // the other namespace and the room are part of what comes back
	adaptertest.Eventually(t, "the backlog to be published", func() bool {
		s := a.Stats()
		return s.Published > 0 && s.PublishErrors == 0 && s.Published+s.PublishDropped == n+1
	})
	b := start(t, server.Addr, redis.Config{}, "nodeB")
	adaptertest.Eventually(t, "the room to be subscribed", func() bool { return a.Stats().PendingRoomCalls == 0 })
	numbered(t, b, 0, 1, "r")
	a.AwaitMessage(t, has(0))
}

// TestRoomWhileDialing: a server that takes the connection and says nothing is
// away as well.
func TestRoomWhileDialing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := adaptertest.New(t, redis.NewAdapter(redistest.NewClient(t, l.Addr().String()), redis.Config{}), "nodeA", "/")
	t.Cleanup(func() { l.Close() })
	starting(t, a)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if wait := a.Adapter.(adapter.RoomObserver).RoomAdded("r"); wait != nil {
		t.Error("RoomAdded makes the caller wait for a connection")
	}
	if err := ready(a); err == nil || !strings.Contains(err.Error(), "not connected yet") {
		t.Errorf("Ready: %v", err)
	}
}

// useWhileAway publishes n events, answers once and enters room r. It returns how
// many events found the backlog full.
func useWhileAway(t *testing.T, a *adaptertest.Node, n int) (refused int) {
	t.Helper()
	for range n {
		_, err := a.Publish(t.Context(), adaptertest.Event(`["e"]`))
		if errors.Is(err, adapter.ErrBacklog) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	answer := &adapter.Message{Kind: adapter.ServerReply, RequestID: "q", Packet: adapter.Payload{Data: []byte("1")}}
	if err := a.Respond(t.Context(), "another", answer); err != nil {
		t.Error(err)
	}
	a.SetRoom("r", true)
	if wait := a.Adapter.(adapter.RoomObserver).RoomAdded("r"); wait != nil {
		t.Error("RoomAdded makes the caller wait while Redis is away")
	}
	return refused
}
