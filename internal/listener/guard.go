package listener

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	guardPeriod = 250 * time.Millisecond
	// How much of the memory limit may be in use, in percent (HRD-75), before new
	// connections are refused, and before the newest are closed.
	refuseShare = 80
	shedShare   = 90
	// shedPart of the connections are closed at a time, shedPeriod apart at least.
	shedPart   = 16
	shedPeriod = time.Second
	// staleAfter is how old a garbage collection may be when its count decides.
	staleAfter = 5 * time.Second
)

// above tells whether more than a share of a limit is in use.
func above(share, used, limit int64) bool { return used > limit/100*share }

// watchMemory sets short as long as memory is scarce, until done is closed, and sheds
// connections while it is very scarce. It is the one goroutine that does.
func (s *Server) watchMemory(done <-chan struct{}) {
	tick := time.NewTicker(guardPeriod)
	defer tick.Stop()
	var shed time.Time // last
	for {
		used, limit := s.memory()
		if s.cfg.Shed && above(shedShare, used, limit) && time.Since(shed) >= shedPeriod {
			runtime.GC() // what the last ones had is free by now
			if used, limit = s.memory(); above(shedShare, used, limit) {
				s.shedNewest()
				shed = time.Now()
			}
		}
		s.short.Store(above(refuseShare, used, limit))
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// shedNewest closes the newest connections: those that have been served for long are
// less likely to be an attack, and are not what memory suddenly lacks for.
func (s *Server) shedNewest() {
	s.mu.Lock()
	victims := make([]*conn, 0, (s.open+shedPart-1)/shedPart)
	for c := s.newest; c != nil && len(victims) < cap(victims); c = c.older {
		victims = append(victims, c)
	}
	s.mu.Unlock()
	for _, c := range victims {
		_ = c.Close()
	}
	if len(victims) > 0 {
		s.shed.Add(uint64(len(victims)))
		s.warn("listener: the newest connections are closed: memory is scarce", "closed", len(victims))
	}
}

// memoryLimit is the limit of the Go runtime, 0 for none.
func memoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return 0
}

// memoryGauge reads how much of the memory limit is in use: what the runtime holds
// of the system's memory, as the limit counts it, less what the next collection
// or allocation would find free. Without that a heap of 45 % would seem scarce
// just before each of its collections. One goroutine uses it.
type memoryGauge struct {
	cycles uint64    // collections at the last reading
	since  time.Time // when that number was first seen
}

// read returns bytes. When only an old collection can tell garbage from data, as
// in a process that has become quiet after a flood, it makes a new one.
func (g *memoryGauge) read() (used, limit int64) {
	limit = memoryLimit()
	if limit == 0 {
		return 0, math.MaxInt64
	}
	m := readMemory()
	if m.cycles != g.cycles || g.since.IsZero() {
		g.cycles, g.since = m.cycles, time.Now()
	}
	if above(refuseShare, m.held, limit) && time.Since(g.since) >= staleAfter {
		runtime.GC()
		m = readMemory()
		g.cycles, g.since = m.cycles, time.Now()
	}
	return m.used, limit
}

type memoryReading struct {
	held   int64 // what the limit counts
	used   int64 // of that, neither free nor garbage for all we know
	cycles uint64
}

func readMemory() memoryReading {
	v := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(v)
	bytes := func(i int) int64 { return int64(v[i].Value.Uint64()) }
	held := bytes(0) - bytes(1)
	objects, live := bytes(3), bytes(4)
	return memoryReading{
		held:   held,
		used:   held - bytes(2) - objects + min(objects, live),
		cycles: v[5].Value.Uint64(),
	}
}
