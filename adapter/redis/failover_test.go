package redis_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// TestShardedMasterLost: a master of a Redis Cluster dies. What is on the others
// goes on, what was on it is heard again after the promotion of its replica, and
// what was lost is counted. How soon is measured by F05 of e2e/faults.
func TestShardedMasterLost(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { // go-redis dials a dead server for a second after its client was closed
		adaptertest.Eventually(t, "the end of go-redis", func() bool { return goleak.Find(before) == nil })
	})
	masters, replicas := redistest.StartReplicatedCluster(t, 3)
	all := append(slices.Clone(masters), replicas...)
	start := func(node string) *adaptertest.Node {
		return adaptertest.Start(t, redis.NewShardedAdapter(redistest.ClusterClient(t, all), redis.Config{}), node, "/")
	}
	a, b := start("nodeA"), start("nodeB")
	const rooms = 60
	room := func(i int) string { return fmt.Sprint("room", i) }
	for i := range rooms {
		b.Enter(t, room(i))
	}
	everyRoom := func(first int) {
		for i := range rooms {
			numbered(t, a, first+i, 1, room(i))
		}
	}
	everyRoom(0)
	b.AwaitFunc(t, func(got []*adapter.Message) bool { return len(got) == rooms })

	masters[1].Kill()
	awaitAway(t, a, b)
	const meanwhile = 5
	for k := range meanwhile {
		everyRoom(1000 * (k + 1))
	}
	redistest.AwaitPromotion(t, replicas[1])
	promoted := time.Now()
	awaitReady(t, a, b)
	back := time.Since(promoted)
	everyRoom(10_000)
	got := b.AwaitFunc(t, func(got []*adapter.Message) bool {
		return len(atLeast(numbers(t, got), 10_000)) == rooms
	})
	t.Logf("ready %v after the promotion, the last message heard after %v; %+v", back, time.Since(promoted), a.Stats())
	inOrderOnceEach(t, numbers(t, got), rooms)
	s := a.Stats()
	missing := uint64(rooms*(meanwhile+2) - len(numbers(t, got)))
	// Who sends waits for the others for a while only. What they do not hear then, they miss.
	if counted := max(s.PublishErrors+s.PublishDropped, b.Stats().Missed); missing > counted {
		t.Errorf("%d are missing, %d are counted", missing, counted)
	}
}

func atLeast(list []int, n int) []int {
	return slices.DeleteFunc(list, func(i int) bool { return i < n })
}

// inOrderOnceEach checks the order of each room: numbers of one are equal modulo
// 1000.
func inOrderOnceEach(t *testing.T, list []int, rooms int) {
	t.Helper()
	last := map[int]int{}
	for _, i := range list {
		if before, seen := last[i%1000]; seen && i <= before {
			t.Errorf("room %d: %d after %d", i%1000, i, before)
		}
		last[i%1000] = i
	}
	if len(last) != rooms {
		t.Errorf("%d rooms were heard", len(last))
	}
}
