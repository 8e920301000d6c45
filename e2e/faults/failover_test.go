//go:build faults

package faults

import (
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// F04: HRD-62, HRD-64. The master dies, Sentinel promotes the replica.
func TestF04(t *testing.T) {
	fault(t, "F04", "Sentinel failover", func(r *run) {
		s := redistest.StartSentinel(r.t, time.Second)
		g := r.rig(setup{redis: []string{"-redis-sentinel", s.Flag()}})
		g.calm(scaled(5*time.Second, 2*time.Second))
		g.phase(during)
		died := time.Now()
		s.Master.Kill()
		eventually(r.t, "a promotion", func() bool { return s.MasterAddr(r.t) != s.Master.Addr })
		g.note("promoted after %v", time.Since(died).Round(10*time.Millisecond))
		back := g.healed()
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{})
		g.stayed()
		g.localOnTime(c)
		g.allCounted(c)
		g.check(back <= allowed(2*time.Second), "back %v after the promotion", back)
	})
}

// F05: one master of a Redis Cluster dies, its replica takes over.
func TestF05(t *testing.T) {
	fault(t, "F05", "Redis Cluster master lost", func(r *run) {
		masters, replicas := redistest.StartReplicatedCluster(r.t, 3)
		var addrs []string
		for _, s := range append(masters[:3:3], replicas...) {
			addrs = append(addrs, s.Addr)
		}
		g := r.rig(setup{redis: append([]string{"-redis-cluster", strings.Join(addrs, ",")}, clusterAdapter...)})
		g.calm(scaled(5*time.Second, 2*time.Second))
		g.phase(during)
		died := time.Now()
		masters[1].Kill()
		info := replicas[1].Client(r.t)
		eventually(r.t, "a promotion", func() bool {
			role, err := info.Do(r.t.Context(), "ROLE").Slice()
			return err == nil && role[0] == "master"
		})
		g.note("promoted after %v", time.Since(died).Round(10*time.Millisecond))
		back := g.healed()
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{})
		g.stayed()
		g.localOnTime(c)
		g.allCounted(c)
		g.check(back <= allowed(2*time.Second), "back %v after the promotion", back)
	})
}

// clusterAdapter is the wire for a Redis Cluster.
var clusterAdapter = []string{"-adapter", "sharded"}

// F06: HRD-64. One node does not hear Redis any more, and nobody is told.
func TestF06(t *testing.T) {
	fault(t, "F06", "one node cut from Redis 30 s without reset", func(r *run) {
		g := r.rig(setup{proxies: true})
		g.calm(scaled(5*time.Second, 2*time.Second))
		g.phase(during)
		cut := time.Now()
		g.proxies[0].set(true, 0)
		var found time.Duration
		eventually(r.t, "the node finds out", func() bool {
			st, err := g.nodes[0].stats()
			found = time.Since(cut)
			return err == nil && st.NotReady != "" || found > 30*time.Second
		})
		g.calm(time.Until(cut.Add(scaled(30*time.Second, 18*time.Second))))
		g.proxies[0].set(false, 0)
		g.healed()
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{})
		g.stayed()
		g.localOnTime(c)
		g.allCounted(c)
		g.note("found after %v", found.Round(100*time.Millisecond))
		g.check(found <= 15*time.Second, "found after %v", found)
	})
}

// F07: HRD-62, HRD-63. Redis answers late, so that nodes give up, connect anew and
// may publish again what had arrived.
func TestF07(t *testing.T) {
	fault(t, "F07", "publish answered 6 s late, reconnects in between", func(r *run) {
		g := r.rig(setup{proxies: true})
		g.calm(scaled(5*time.Second, 2*time.Second))
		g.phase(during)
		for range scaled(2, 1) {
			g.proxies[0].set(false, 6*time.Second)
			g.calm(7 * time.Second)
			g.proxies[0].reset()
			g.calm(2 * time.Second)
			g.proxies[0].set(false, 0)
			g.proxies[0].reset()
			g.calm(2 * time.Second)
			for _, p := range g.proxies {
				p.reset()
			}
			g.calm(time.Second)
		}
		g.healed()
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{})
		g.stayed()
		g.localOnTime(c)
		g.allCounted(c)
		g.note("%d duplicates dropped by nodes", g.counted().Duplicates)
	})
}
