package listener

import (
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"
)

// HRD-75: over 80 % of the memory limit new connections are refused, those that
// exist are served; below it they are taken again.
func TestRefusesWhenMemoryIsScarce(t *testing.T) {
	var used atomic.Int64
	s := newServer(t, Config{})
	s.memory = func() (int64, int64) { return used.Load(), 1000 }
	s.watches = true
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	status := func() int {
		c := dial(t, s)
		send(t, c, request)
		res, _ := answer(t, c)
		_ = c.Close()
		return res.StatusCode
	}
	old := dial(t, s)
	for range 2 {
		used.Store(800)
		eventually(t, "memory suffices", func() bool { return !s.short.Load() })
		if got := status(); got != http.StatusOK {
			t.Errorf("80 %% in use: %d", got)
		}
		used.Store(801)
		eventually(t, "memory is scarce", s.short.Load)
		if got := status(); got != http.StatusServiceUnavailable {
			t.Errorf("more than 80 %% in use: %d", got)
		}
		send(t, old, request)
		if res, _ := answer(t, old); res.StatusCode != http.StatusOK {
			t.Errorf("an old connection: %s", res.Status)
		}
	}
	if st := s.Stats(); st.Refused != 2 || st.Accepted != 3 {
		t.Errorf("%+v", st)
	}
}

// HRD-75: over 90 % the newest connections are closed, a few at a time, and the others
// are served.
func TestShedsTheNewest(t *testing.T) {
	var used atomic.Int64
	s := newServer(t, Config{Shed: true})
	s.memory = func() (int64, int64) { return used.Load(), 1000 }
	s.watches = true
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shutdown(t, s) })
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	conns := make([]net.Conn, shedPart+1)
	for i := range conns {
		conns[i] = dial(t, s)
		send(t, conns[i], request)
		if res, _ := answer(t, conns[i]); res.StatusCode != http.StatusOK {
			t.Fatal(res.Status)
		}
	}
	used.Store(900)
	eventually(t, "memory is scarce", s.short.Load)
	if st := s.Stats(); st.Shed != 0 || st.Open != shedPart+1 {
		t.Errorf("90 %% in use: %+v", st)
	}
	used.Store(901)
	eventually(t, "two are closed", func() bool { return s.Stats().Shed >= 2 })
	used.Store(0)
	for _, c := range conns[shedPart-1:] {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("one of the newest is open")
		}
	}
	eventually(t, "memory suffices", func() bool { return !s.short.Load() })
	st := s.Stats()
	if st.Open != shedPart+1-int64(st.Shed) {
		t.Errorf("%+v", st)
	}
	for _, c := range conns[:st.Open] {
		send(t, c, request)
		if res, _ := answer(t, c); res.StatusCode != http.StatusOK {
			t.Errorf("an old connection: %s", res.Status)
		}
	}
}

// limitMemory sets a limit until the end of the test.
func limitMemory(t *testing.T, limit int64) {
	t.Helper()
	old := debug.SetMemoryLimit(limit)
	t.Cleanup(func() { debug.SetMemoryLimit(old) })
}

func TestWatchesOnlyALimit(t *testing.T) {
	limitMemory(t, 1<<63-1)
	if newServer(t, Config{}).watches {
		t.Error("memory is watched without a limit")
	}
	limitMemory(t, 1<<40)
	s := startServer(t, Config{})
	if used, limit := new(memoryGauge).read(); !s.watches || limit != 1<<40 || used < 1<<10 || used > 1<<40 {
		t.Errorf("watches %v, %d of %d in use", s.watches, used, limit)
	}
}

// Garbage is not in use: a full heap that nobody has collected for long refuses
// nobody.
func TestGarbageIsNotInUse(t *testing.T) {
	const size = 64 << 20
	percent := debug.SetGCPercent(-1) // no collections but ours
	defer debug.SetGCPercent(percent)
	limitMemory(t, 1<<40)
	keep := make([]byte, size)
	runtime.GC() // finds it alive
	before := readMemory()
	if before.used < size {
		t.Errorf("%d bytes in use, and more than %d are", before.used, size)
	}
	runtime.KeepAlive(keep)

	limitMemory(t, before.held+before.held/10) // over 80 %
	g := memoryGauge{cycles: before.cycles, since: time.Now().Add(-staleAfter)}
	used, limit := g.read()
	if used > before.used-size/2 || above(refuseShare, used, limit) {
		t.Errorf("%d of %d in use, before %d", used, limit, before.used)
	}
	if g.cycles == before.cycles {
		t.Error("no collection")
	}
}
