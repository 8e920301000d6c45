package watch

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/loadtest/internal/result"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds every wait.
const patience = 30 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); <-time.After(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(what)
}

// A process that computes sees its processor time, and one that collects garbage its
// pauses.
func TestSelf(t *testing.T) {
	s := NewSelf()
	defer s.Stop()
	begin := time.Now()
	for processorTime() < s.cpu+200*time.Millisecond {
		runtime.GC()
	}
	took := time.Since(begin)
	if cores := s.Second(took); cores < 0.1/took.Seconds() {
		t.Errorf("%.3f cores in %v", cores, took)
	}
	eventually(t, "the timer", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.lag.TotalCount() > 0 })
	s.End()
	g := s.Generator("g", 1000)
	if g.CPU <= 0 || g.CPUMax < g.CPU || g.CPUPerDelivery < 200 || g.GCPauseMax <= 0 || g.LagP99 <= 0 || g.LagMax < g.LagP99 ||
		g.MemoryMax < 1<<20 || g.OpenFiles <= 0 || g.Cores < 1 || g.System == "" || g.Name != "g" {
		t.Errorf("%+v", g)
	}
	for range 10 { // what is after the end does not count
		runtime.GC()
	}
	if again := s.Generator("g", 1000); again.CPU != g.CPU || again.GCPauseMax != g.GCPauseMax {
		t.Errorf("%+v\n%+v", g, again)
	}
	s.Begin()
	if g := s.Generator("g", 0); g.CPUPerDelivery != 0 || g.CPUMax > float64(g.Cores)+1 {
		t.Errorf("%+v", g)
	}
}

const metricsText = `# HELP fanwire_sessions Sessions.
# TYPE fanwire_sessions gauge
fanwire_sessions{transport="polling"} 3
fanwire_sessions{transport="websocket",} 1.5e3 1700000000000
fanwire_build_info{goversion="go1.26",revision="0123456789abcdef",version="v1 \"x\"\\\n}"} 1
process_cpu_seconds_total 12.25
process_resident_memory_bytes 1.048576e+06
go_goroutines 77
fanwire_deliveries_total 1e6
fanwire_bus_receive_dropped_total 2
fanwire_volatile_dropped_total 3
odd_value NaN
odd_bucket{le="+Inf"} +Inf
`

func TestParse(t *testing.T) {
	var s sample
	n, err := parse(strings.NewReader(metricsText), s.take)
	if err != nil || n != 9 {
		t.Error(n, err)
	}
	if s.Connections != 1503 || s.CPU != 12.25 || s.Resident != 1<<20 || s.Goroutines != 77 || s.Deliveries != 1e6 || s.Dropped != 5 || s.version != "v1 \"x\"\\\n} 0123456789ab" {
		t.Errorf("%+v", s)
	}
	for _, bad := range []string{"x", "{a=\"b\"} 1", "x{a=\"b} 1", "x{a=b} 1", "x{a=\"b\"}", "x y", "<html>"} {
		if _, err := parse(strings.NewReader(bad), s.take); err == nil || !strings.Contains(err.Error(), "line 1") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := parse(strings.NewReader("x 1\n"+strings.Repeat("y", maxLine+1)), s.take); err == nil {
		t.Error("a line without end")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(metricsText)
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = parse(strings.NewReader(text), func(name string, label func(string) string, v float64) {
			if name == "" {
				t.Error("no name")
			}
			label("x")
		})
	})
}

func TestNodes(t *testing.T) {
	var calls atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.URL.Path != "/metrics":
			http.Error(w, "no", http.StatusNotFound)
		case user != "u" || password != "secret":
			http.Error(w, "no", http.StatusUnauthorized)
		default:
			calls.Add(1)
			fmt.Fprint(w, metricsText)
		}
	}))
	defer web.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	host := strings.TrimPrefix(web.URL, "http://")
	n, err := WatchNodes(time.Now(), []string{"http://u:secret@" + host + "/metrics", web.URL + "/other", gone.URL + "/metrics"}, []int{os.Getpid(), 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a sample", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.nodes[0].Samples) > 0 && n.nodes[1].Error != "" && n.nodes[2].Error != "" && len(n.nodes[3].Samples) > 0 && n.nodes[4].Error != ""
	})
	nodes := n.Stop()
	after := calls.Load()
	if s := nodes[0].Samples[0]; s.Connections != 1503 || nodes[0].Version == "" || strings.Contains(nodes[0].URL, "secret") {
		t.Errorf("%+v", nodes[0])
	}
	if !strings.Contains(nodes[1].Error, "404") || strings.Contains(fmt.Sprint(nodes), "secret") {
		t.Errorf("%+v", nodes)
	}
	if s := nodes[3].Samples[0]; s.Resident < 1<<20 || nodes[3].PID != os.Getpid() || nodes[3].Name == "" {
		t.Errorf("%+v", nodes[3])
	}
	if calls.Load() != after {
		t.Error("it looks on after Stop")
	}
	if _, err := WatchNodes(time.Now(), []string{"node1:3001"}, nil); err == nil {
		t.Error("that is no URL")
	}
}

// The memory of a long run is bounded.
func TestSamplesAreBounded(t *testing.T) {
	n := &Nodes{nodes: make([]result.Node, 1)}
	thinned := 0
	for i := range 3 * maxSamples {
		var s sample
		s.At = float64(i)
		if n.add(0, s, nil) {
			thinned++
		}
	}
	got := n.nodes[0].Samples
	if thinned < 3 || len(got) >= maxSamples || got[0].At != 0 {
		t.Error(thinned, len(got))
	}
	for i := range got[1:] {
		if got[i+1].At <= got[i].At {
			t.Fatal("out of order")
		}
	}
}

func TestFindPID(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if pid, err := FindPID(port); pid != os.Getpid() || err != nil {
		t.Error(pid, err)
	}
	urls := []string{fmt.Sprintf("http://localhost:%d/x", port), fmt.Sprintf("http://127.0.0.1:%d", port), "http://10.0.0.1:3000", "::"}
	if pids := LocalPIDs(urls); len(pids) != 1 || pids[0] != os.Getpid() {
		t.Error(pids)
	}
	l.Close()
	if pid, err := FindPID(port); err == nil {
		t.Error(pid, "listens on a port that is closed")
	}
}
