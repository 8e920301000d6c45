package redistest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// clusterSlots is the number of hash slots of a Redis Cluster.
const clusterSlots = 16384

// StartCluster starts a Redis Cluster of masters without replicas and returns
// their servers. It skips like [Start].
func StartCluster(t testing.TB, masters int) []*Server {
	t.Helper()
	var servers []*Server
	for range masters {
		servers = append(servers, startMember(t))
	}
	for i, s := range servers {
		c := s.Client(t)
		first, last := i*clusterSlots/masters, (i+1)*clusterSlots/masters-1
		if err := c.ClusterAddSlotsRange(t.Context(), first, last).Err(); err != nil {
			t.Fatalf("assign slots: %v", err)
		}
		if err := c.ClusterMeet(t.Context(), "127.0.0.1", servers[0].port).Err(); err != nil {
			t.Fatalf("join the cluster: %v", err)
		}
	}
	for _, s := range servers {
		awaitCluster(t, s, masters)
	}
	return servers
}

// startMember starts a server for a cluster.
func startMember(t testing.TB) *Server {
	t.Helper()
	// The configuration file is relative to the working directory.
	return Start(t, "--cluster-enabled", "yes", "--dir", t.TempDir(), "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0")
}

// StartReplicatedCluster starts a Redis Cluster with a replica for each master,
// which takes over when that has not answered for two seconds.
func StartReplicatedCluster(t testing.TB, n int) (masters, replicas []*Server) {
	t.Helper()
	masters = StartCluster(t, n)
	for _, m := range masters {
		id, err := m.Client(t).ClusterMyID(t.Context()).Result()
		if err != nil {
			t.Fatal(err)
		}
		s := startMember(t)
		c := s.Client(t)
		if err := c.ClusterMeet(t.Context(), "127.0.0.1", masters[0].port).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a replica", func() error { return c.ClusterReplicate(t.Context(), id).Err() })
		eventually(t, "a replica in step", func() error {
			info, err := c.Info(t.Context(), "replication").Result()
			if err == nil && !strings.Contains(info, "master_link_status:up") {
				err = errors.New(info)
			}
			return err
		})
		replicas = append(replicas, s)
	}
	for _, m := range masters { // each must know the replicas before one is needed
		eventually(t, "a cluster that knows its replicas", func() error {
			nodes, err := m.Client(t).ClusterNodes(t.Context()).Result()
			if err == nil && (strings.Count(nodes, "slave") != n || strings.Count(nodes, " connected") != 2*n) {
				err = errors.New(nodes)
			}
			return err
		})
	}
	return masters, replicas
}

// AwaitPromotion waits until a replica has become a master.
func AwaitPromotion(t testing.TB, replica *Server) {
	t.Helper()
	c := replica.Client(t)
	eventually(t, "promoted", func() error {
		role, err := c.Do(t.Context(), "ROLE").Slice()
		if err == nil && role[0] != "master" {
			err = fmt.Errorf("role %v", role[0])
		}
		return err
	})
}

// awaitCluster waits until the server knows all the others and all slots.
func awaitCluster(t testing.TB, s *Server, masters int) {
	t.Helper()
	c := s.Client(t)
	eventually(t, "a cluster", func() error {
		info, err := c.ClusterInfo(t.Context()).Result()
		if err != nil {
			return err
		}
		shards, err := c.ClusterShards(t.Context()).Result()
		if err == nil && (!strings.Contains(info, "cluster_state:ok") || len(shards) != masters) {
			err = errors.New(info)
		}
		return err
	})
}

// ClusterClient returns a client for the cluster, closed when the test ends.
func ClusterClient(t testing.TB, servers []*Server) *goredis.ClusterClient {
	t.Helper()
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr)
	}
	c := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// MoveSlot gives an empty slot of the cluster from one of its masters to another.
func MoveSlot(t testing.TB, servers []*Server, slot, from, to int) {
	t.Helper()
	id, err := servers[to].Client(t).ClusterMyID(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	// The new owner first, so that there always is one.
	order := []*Server{servers[to], servers[from]}
	for _, s := range servers {
		if s != servers[to] && s != servers[from] {
			order = append(order, s)
		}
	}
	set := func(s *Server, args ...any) {
		t.Helper()
		if err := s.Client(t).Do(t.Context(), append([]any{"CLUSTER", "SETSLOT", slot}, args...)...).Err(); err != nil {
			t.Fatalf("move slot %d: %v", slot, err)
		}
	}
	// A node that was importing a slot gets a new epoch with it. Without one, a word
	// of the old owner that is on its way could take the slot back.
	old, err := servers[from].Client(t).ClusterMyID(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	set(servers[to], "IMPORTING", old)
	set(servers[from], "MIGRATING", id)
	for _, s := range order {
		set(s, "NODE", id)
	}
}
