//go:build faults

package faults

import (
	"syscall"
	"testing"
	"time"
)

// F01: HRD-61 to HRD-64. Redis is killed and comes back empty.
func TestF01(t *testing.T) {
	fault(t, "F01", "Redis SIGKILL, back after 2 s", func(r *run) {
		g := r.rig(setup{})
		g.calm(scaled(5*time.Second, 2*time.Second))
		g.phase(during)
		g.redis.Kill()
		from := time.Now().UnixNano() // what came just before may have reached some nodes only
		g.calm(2 * time.Second)
		to := time.Now().UnixNano()
		g.redis.Restart(r.t)
		back := g.healed()
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{from: from, to: to})
		g.stayed()
		g.localOnTime(c)
		g.allCounted(c)
		g.note("%d deliveries lost of what was sent meanwhile", c.inOutage)
		g.check(c.inOutage == 0, "%d deliveries lost of what was sent meanwhile", c.inOutage)
		g.check(back <= allowed(time.Second), "back after %v", back)
	})
}

// stopped is F02 and F03: HRD-62, HRD-63.
func stopped(t *testing.T, id, title string, pause time.Duration, within bool) {
	fault(t, id, title, func(r *run) {
		g := r.rig(setup{})
		g.calm(scaled(5*time.Second, 2*time.Second))
		g.phase(during)
		process := g.redis.Process()
		var rss []int
		for _, n := range g.nodes {
			now, _ := memory(n.cmd.Process.Pid)
			rss = append(rss, now)
		}
		_ = process.Signal(syscall.SIGSTOP)
		g.calm(pause)
		grown := 0
		for i, n := range g.nodes {
			now, _ := memory(n.cmd.Process.Pid)
			grown = max(grown, now-rss[i])
		}
		_ = process.Signal(syscall.SIGCONT)
		g.healed()
		g.calm(scaled(5*time.Second, 3*time.Second))
		c := g.judge(question{})
		g.stayed()
		g.localOnTime(c)
		g.allCounted(c)
		g.note("memory of a node grew by %d MiB at most", grown>>20)
		if within {
			g.check(c.lost == 0, "%d deliveries lost", c.lost)
		}
		g.check(grown < 64<<20, "memory grew by %d MiB", grown>>20) // 8 MiB of backlog, its copies and the collector's share
	})
}

func TestF02(t *testing.T) { stopped(t, "F02", "Redis SIGSTOP 5 s", 5*time.Second, true) }

func TestF03(t *testing.T) {
	stopped(t, "F03", "Redis SIGSTOP 60 s", scaled(60*time.Second, 15*time.Second), false)
}
