//go:build faults

package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

func stop(s *server)   { s.signal(syscall.SIGSTOP) }
func resume(s *server) { s.signal(syscall.SIGCONT) }

// F18: HRD-76. The processors are busy with something else.
func TestF18(t *testing.T) {
	fault(t, "F18", "8 busy loops", func(r *run) {
		g := r.rig(setup{flags: []string{"-ping-interval", "3000"}})
		g.calm(scaled(5*time.Second, 2*time.Second))
		g.phase(during)
		var loops []*process
		for i := range 8 {
			loops = append(loops, start(r.t, fmt.Sprint("loop", i), []string{"sh", "-c", "while :; do :; done"}))
		}
		g.calm(scaled(30*time.Second, 10*time.Second))
		for _, p := range loops {
			p.kill()
		}
		g.healed()
		g.calm(2 * time.Second)
		c := g.judge(question{})
		g.stayed()
		g.check(c.lost == 0, "%d deliveries lost", c.lost)
	})
}

// F19: HRD-74. Fewer file descriptors than clients.
func TestF19(t *testing.T) {
	fault(t, "F19", "256 file descriptors, 400 clients", func(r *run) {
		limit := func(int) []string { return []string{"sh", "-c", `ulimit -n 256; exec "$0" "$@"`} }
		g := r.rig(setup{nodes: 1, clients: 10, rate: 100, wrap: limit})
		g.phase(during)
		var served []int
		for range 3 {
			crowd := make([]*raw, 400)
			var slow, refused atomic.Int64
			_ = inParallel(len(crowd), 50, func(i int) error {
				begun := time.Now()
				c, err := dialRaw(r.t.Context(), g.nodes[0].url, &rawDialer)
				crowd[i] = c
				if err != nil {
					refused.Add(1)
					if time.Since(begun) > allowed(time.Second) {
						slow.Add(1)
					}
				}
				return err
			})
			in := 0
			for _, c := range crowd {
				if c != nil {
					in++
					_ = c.ws.Close()
				}
			}
			served = append(served, in)
			g.check(slow.Load() == 0, "%d were refused late", slow.Load())
			g.check(refused.Load() > 0 && in > 100, "%d served, %d refused", in, refused.Load())
			eventually(r.t, "they have left", func() bool {
				st, err := g.nodes[0].stats()
				return err == nil && st.Node.Sessions == int64(len(g.guests))
			})
		}
		g.note("served %v of 400", served)
		for _, n := range served {
			g.check(n >= served[0]-5, "served %v: slots were lost", served)
		}
		c := g.judge(question{})
		g.stayed()
		g.check(c.lost == 0, "%d deliveries lost", c.lost)
	})
}

// F20: HRD-75. Little memory, much to do: the floods B18, B37 and B39.
func TestF20(t *testing.T) {
	const limit = 256 << 20
	fault(t, "F20", "256 MiB memory limit under floods", func(r *run) {
		group, how := memoryGroup(r.t, limit)
		s := setup{clients: 30, rate: 200}
		if group != "" {
			s.wrap = func(node int) []string {
				if node > 0 {
					return nil
				}
				return []string{"sh", "-c", `echo $$ > "` + group + `/cgroup.procs"; exec "$0" "$@"`}
			}
		} else {
			s.env = func(node int) []string {
				if node > 0 {
					return nil
				}
				return []string{"GOMEMLIMIT=230MiB"}
			}
		}
		g := r.rig(s)
		g.phase(during)
		ctx, cancel := context.WithTimeout(r.t.Context(), scaled(30*time.Second, 10*time.Second))
		defer cancel()
		n := g.nodes[0]
		var floods sync.WaitGroup
		var rounds [3]atomic.Int64
		for i := range 30 {
			kind := i % 3
			floods.Go(func() {
				for ctx.Err() == nil {
					flood(ctx, n.url, kind)
					rounds[kind].Add(1)
				}
			})
		}
		highest := 0
		for ctx.Err() == nil && !n.ended() {
			now, _ := memory(n.cmd.Process.Pid)
			highest = max(highest, now)
			if group == "" && now > limit {
				g.fail("%d MiB in use", now>>20)
				break
			}
			g.calm(20 * time.Millisecond)
		}
		cancel()
		floods.Wait()
		g.note("limit by %s; %d MiB at most; rounds of the floods: %d, %d, %d", how, highest>>20, rounds[0].Load(), rounds[1].Load(), rounds[2].Load())
		g.check(!n.ended(), "the node has ended")
		g.phase(after)
		eventually(r.t, "the node serves again", n.ready)
		g.calm(2 * time.Second)
		g.judge(question{notOfNodes: true})
	})
}

// flood is one round of one of the three.
func flood(ctx context.Context, url string, kind int) {
	d := &rawDialer
	if kind == 2 {
		d = smallReceiver()
	}
	c, err := dialRaw(ctx, url, d)
	if err != nil {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
		return
	}
	defer c.ws.Close()
	switch kind {
	case 0: // B18: events that are echoed, and nobody reads the echo
		text := `42["echo","` + strings.Repeat("x", 200) + `"]`
		for i := 0; i < 20_000 && ctx.Err() == nil && c.send(text) == nil; i++ {
		}
	case 1: // B37: namespaces, by name and by pattern
		_ = c.send("40/" + strings.Repeat("a", 900_000) + ",")
		for i := 0; i < 5_000 && ctx.Err() == nil && c.send(fmt.Sprintf("40/tenant/%d,", i)) == nil; i++ {
		}
	case 2: // B39: a room whose members read nothing
		_ = c.send(`42["join",["flood"]]`)
		text := `42["emit",{"from":"io","to":["flood"]},"x","` + strings.Repeat("x", 10_000) + `"]`
		for i := 0; i < 2_000 && ctx.Err() == nil && c.send(text) == nil; i++ {
		}
	}
}

// memoryGroup makes a control group with a hard limit, version 2 or 1, and says
// which; "" where that is not allowed. Then the test itself looks at the memory.
func memoryGroup(t *testing.T, limit int) (dir, how string) {
	t.Helper()
	for _, try := range []struct{ root, file, how string }{
		{"/sys/fs/cgroup", "memory.max", "cgroup v2"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "cgroup v1"},
	} {
		if _, err := os.Stat(filepath.Join(try.root, "cgroup.procs")); err != nil {
			continue
		}
		dir := filepath.Join(try.root, fmt.Sprintf("fanwire-faults-%d", os.Getpid()))
		if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(dir) })
		if os.WriteFile(filepath.Join(dir, try.file), []byte(fmt.Sprint(limit)), 0o644) == nil {
			return dir, try.how
		}
	}
	return "", "GOMEMLIMIT, watched from outside"
}
