//go:build faults

package faults

import (
	"testing"
	"time"
)

// recovering are the nodes' flags for connection state recovery.
var recovering = []string{"-recovery", "120000"}

// F08: HRD-71, HRD-72. A node is killed.
func TestF08(t *testing.T) {
	fault(t, "F08", "node SIGKILL, recovery on", func(r *run) {
		g := r.rig(setup{balanced: true, restarts: true, flags: recovering, official: 30})
		g.calm(scaled(5*time.Second, 3*time.Second))
		g.phase(during)
		killed := time.Now()
		moved := g.on("n1")
		g.nodes[0].kill()
		g.backAgain(moved, killed)
		g.phase(after)
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{killed: "n1", killedAt: killed.UnixNano(), notOfNodes: true})
		g.allRecovered(c, moved)
	})
}

// F09: HRD-53, HRD-70. A node is told to stop.
func TestF09(t *testing.T) {
	fault(t, "F09", "node SIGTERM, recovery on", func(r *run) {
		spread := scaled(20*time.Second, 4*time.Second)
		g := r.rig(setup{balanced: true, restarts: true, flags: append([]string{"-drain", spread.String(), "-drain-status", "404"}, recovering...), official: 30})
		g.calm(scaled(5*time.Second, 3*time.Second))
		g.phase(during)
		moved := g.on("n1")
		g.stopNode(g.nodes[0], spread)
		g.backAgain(moved, time.Now())
		g.phase(after)
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{notOfNodes: true})
		g.allRecovered(c, moved)
	})
}

// F10: HRD-70, HRD-73. One node after the other is replaced.
func TestF10(t *testing.T) {
	fault(t, "F10", "rolling restart of all nodes, recovery on", func(r *run) {
		spread := scaled(20*time.Second, 4*time.Second)
		g := r.rig(setup{balanced: true, restarts: true, flags: append([]string{"-drain", spread.String(), "-drain-status", "404"}, recovering...), official: 30})
		g.calm(scaled(5*time.Second, 3*time.Second))
		g.phase(during)
		for _, n := range g.nodes {
			moved := g.on(n.id)
			g.stopNode(n, spread)
			g.backAgain(moved, time.Now())
			g.calm(time.Second)
			n.restart()
			eventually(r.t, n.id+" is ready", n.ready)
			if _, err := n.publish(g.nodeRate(), len(g.ledger.rooms)); err != nil {
				r.t.Fatal(err)
			}
			g.calm(3 * time.Second) // HAProxy looks every second
		}
		g.phase(after)
		c := g.judge(question{notOfNodes: true})
		g.allRecovered(c, g.everybody())
	})
}

// F11: the balancer drops all connections of a node that lives on.
func TestF11(t *testing.T) {
	fault(t, "F11", "balancer drops a node, recovery on", func(r *run) {
		g := r.rig(setup{balanced: true, flags: recovering, official: 30})
		g.calm(scaled(5*time.Second, 3*time.Second))
		g.phase(during)
		for range scaled(3, 2) {
			for _, n := range g.nodes {
				moved, cut := g.on(n.id), time.Now()
				g.front.do(r.t, "set server gateway/"+n.id+" state maint")
				g.front.do(r.t, "shutdown sessions server gateway/"+n.id)
				g.backAgain(moved, cut)
				g.calm(time.Second)
				g.front.do(r.t, "set server gateway/"+n.id+" state ready")
				g.calm(time.Second)
			}
		}
		g.phase(after)
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{notOfNodes: true})
		g.allRecovered(c, g.everybody())
	})
}

// on lists the clients of a node, before it ends.
func (g *rig) on(node string) (list []*guest) {
	for _, guest := range g.everybody() {
		if guest.place() == node {
			guest.before = guest.left.Load()
			list = append(list, guest)
		}
	}
	return list
}

func (g *rig) everybody() []*guest {
	return append(g.guests[:len(g.guests):len(g.guests)], g.official...)
}

// stopNode tells a node to end and looks at how it does.
func (g *rig) stopNode(n *server, spread time.Duration) {
	g.t.Helper()
	sent, err := n.publish(0, 0) // as an application does that ends
	if err != nil {
		g.t.Fatal(err)
	}
	g.ledger.publishedAll(n, sent)
	code, took := n.stop()
	g.note("%s ended with %d after %v, drain of %v", n.id, code, took.Round(10*time.Millisecond), spread)
	g.check(code == 0 && took <= 40*time.Second, "%s ended with %d after %v", n.id, code, took)
}

// backAgain waits until clients that are cut off are connected elsewhere.
func (g *rig) backAgain(moved []*guest, since time.Time) {
	g.t.Helper()
	eventually(g.t, "all are back", func() bool {
		for _, guest := range moved {
			if left := guest.left.Load(); left == guest.before || guest.connects.Load() <= left {
				return false
			}
		}
		return true
	})
	last := since.UnixNano()
	for _, guest := range moved {
		last = max(last, guest.at.Load())
	}
	took := time.Duration(last - since.UnixNano())
	g.result.back = max(g.result.back, took)
	g.note("%d clients were back after %v", len(moved), took.Round(10*time.Millisecond))
}

// allRecovered checks that clients have everything, and that they noticed nothing
// but an interruption.
func (g *rig) allRecovered(c tally, moved []*guest) {
	g.t.Helper()
	recovered, fresh, why := 0, 0, map[any]int{}
	for _, guest := range g.everybody() {
		recovered += int(guest.recovered.Load())
		fresh += int(guest.fresh.Load())
		if guest.left.Load() > 0 {
			why[guest.why.Load()]++
		}
	}
	g.note("%d recoveries, %d new sessions; %v", recovered, fresh, why)
	g.check(fresh == 0 && recovered >= len(moved), "%d of %d recovered, %d got new sessions", recovered, len(moved), fresh)
	g.check(c.lost == 0, "%d deliveries lost", c.lost)
}
