package redis

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// collector is a subscriber that several connections tell.
type collector struct {
	c     subscriptionCounts
	mu    sync.Mutex
	heard map[string][]string
}

func (e *collector) offer(d delivery) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard == nil {
		e.heard = map[string][]string{}
	}
	e.heard[d.channel] = append(e.heard[d.channel], d.payload)
}

func (e *collector) counts() *subscriptionCounts { return &e.c }

func (e *collector) of(channel string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.heard[channel])
}

// startShards returns a running link to a cluster, and what it hears.
func startShards(t *testing.T, client *goredis.ClusterClient) (*link, *shards) {
	t.Helper()
	cfg, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l := newLink(client, cfg, "nodeA", wireSharded)
	l.start()
	t.Cleanup(l.stop)
	return l, l.subs.(*shards)
}

func (s *shards) feedCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.feeds)
}

// TestShards: each channel is heard from the master that has it, over one
// connection each, and a connection that nothing needs is given up.
func TestShards(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	_, s := startShards(t, redistest.ClusterClient(t, servers))
	e := &collector{}
	const n = 100
	name := func(i int) string { return fmt.Sprint("socket.io#/#room", i, "#") }
	for i := range n {
		confirmed, _ := s.add(name(i), false, routeRoom, e)
		if i%10 == 0 {
			<-confirmed
		}
	}
	adaptertest.Eventually(t, "all to be subscribed", func() bool { return s.countsOf(e).confirmed == n })
	if err := s.ready(e); err != nil || s.feedCount() != 3 {
		t.Fatalf("%d connections, %v", s.feedCount(), err)
	}
	client := redistest.ClusterClient(t, servers)
	for i := range n {
		client.SPublish(t.Context(), name(i), "x")
	}
	for i := range n {
		adaptertest.Eventually(t, name(i), func() bool { return len(e.of(name(i))) == 1 })
	}
	s.removeAll(e, nil)
	left := 2 // the node's own channel and that of bulletins
	adaptertest.Eventually(t, "the connections to be given up", func() bool { return s.feedCount() <= left })
	adaptertest.Eventually(t, "Redis to see it", func() bool { return shardChannels(t, client) == left })
}

// shardChannels counts the sharded channels of all masters.
func shardChannels(t *testing.T, client *goredis.ClusterClient) (n int) {
	t.Helper()
	var mu sync.Mutex
	err := client.ForEachMaster(t.Context(), func(ctx context.Context, c *goredis.Client) error {
		names, err := c.PubSubShardChannels(ctx, "*").Result()
		mu.Lock()
		defer mu.Unlock()
		n += len(names)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestShardsMove: a slot goes to another master, and so do its subscriptions;
// others do not notice.
func TestShardsMove(t *testing.T) {
	servers := redistest.StartCluster(t, 3)
	l, s := startShards(t, redistest.ClusterClient(t, servers))
	e := &collector{}
	var moving, staying string
	for i := 0; moving == "" || staying == ""; i++ {
		name := fmt.Sprint("c", i)
		switch slot := slotOf(name); {
		case slot < 5000 && moving == "":
			moving = name
		case slot < 5000:
			staying = name
		}
	}
	for _, name := range []string{moving, staying} {
		confirmed, _ := s.add(name, false, routeAll, e)
		<-confirmed
	}
	client := redistest.ClusterClient(t, servers)
	for round := range 4 {
		from, to := round%2, (round+1)%2
		redistest.MoveSlot(t, servers, int(slotOf(moving)), from, to)
		adaptertest.Eventually(t, "the channel to be heard again", func() bool {
			client.SPublish(t.Context(), moving, fmt.Sprint(round))
			return slices.Contains(e.of(moving), fmt.Sprint(round)) && s.ready(e) == nil
		})
		client.SPublish(t.Context(), staying, fmt.Sprint(round))
		adaptertest.Eventually(t, "the other channel", func() bool { return len(e.of(staying)) == round+1 })
	}
	if n := l.lost.Load(); n != 0 {
		t.Errorf("%d connections lost", n)
	}
	adaptertest.Eventually(t, "the count of resubscriptions", func() bool { return l.resets.Load() >= 4 })
}
