package redis_test

import (
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// TestClassicOnSentinel: a client made for Sentinel is as good as any.
func TestClassicOnSentinel(t *testing.T) {
	s := redistest.StartSentinel(t, 30*time.Second) // no failover on a slow machine
	adaptertest.Run(t, func(*testing.T) adaptertest.Cluster {
		return adaptertest.Cluster{Factory: func(t *testing.T) adapter.Factory {
			return redis.NewAdapter(s.Client(t), redis.Config{})
		}}
	})
}

// TestFailover: the master dies, and the nodes go on through the replica that the
// sentinel promotes (HRD-63, HRD-64).
func TestFailover(t *testing.T) {
	s := redistest.StartSentinel(t, 3*time.Second) // none before the master dies
	a := adaptertest.Start(t, redis.NewAdapter(s.Client(t), redis.Config{}), "nodeA", "/")
	b := adaptertest.Start(t, redis.NewAdapter(s.Client(t), redis.Config{}), "nodeB", "/")
	a.Enter(t, "a")
	b.Enter(t, "b")
	bothWays(t, a, b, 0)

	s.Master.Kill()
	killed := time.Now()
	awaitAway(t, a, b)
	numbered(t, a, 100, 10)
	numbered(t, b, 100, 10)
	adaptertest.Eventually(t, "the replica promoted", func() bool { return s.MasterAddr(t) == s.Replica.Addr })
	awaitReady(t, a, b)
	t.Logf("ready after %v", time.Since(killed))
	bothWays(t, a, b, 200)
	for _, n := range []*adaptertest.Node{a, b} {
		list := numbers(t, n.Messages())
		inOrderOnce(t, list)
		t.Logf("%s received %d of 10 published meanwhile; %+v", n.NodeID(), len(list)-4, n.Stats())
	}
	adaptertest.Eventually(t, "the count of nodes", func() bool {
		n, err := a.ServerCount(t.Context())
		return n == 2 && err == nil
	})
}

// bothWays sends events with two numbers from first on in each direction, to all
// and to a room.
func bothWays(t *testing.T, a, b *adaptertest.Node, first int) {
	t.Helper()
	numbered(t, a, first, 1)
	numbered(t, a, first+1, 1, "b")
	numbered(t, b, first, 1)
	numbered(t, b, first+1, 1, "a")
	for _, n := range []*adaptertest.Node{a, b} {
		n.AwaitMessage(t, has(first))
		n.AwaitMessage(t, has(first+1))
	}
}
