// Package badinput sends what no client sends to the real stack, package node
// behind package listener on the loopback, and checks that each input is refused
// as written, that other clients do not notice, and that nothing of it stays
// (HRD-91). The tests are the rows B01 to B39 of the list of bad inputs.
//
// FANWIRE_FULL=1 runs the floods at their full size and with the default times;
// the ordinary run has smaller ones.
package badinput

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/internal/listener"
	"github.com/fanwire/fanwire/node"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the slow rows wait, they do not compute
	leaktest.Main(m)
}

// full tells whether floods have their full size.
var full = os.Getenv("FANWIRE_FULL") == "1"

// scaled is the size of a flood.
func scaled(fullSize, ordinary int) int {
	if full {
		return fullSize
	}
	return ordinary
}

// short is a time that the ordinary run configures; the full one keeps the
// default.
func short(d time.Duration) time.Duration {
	if full {
		return 0
	}
	return d
}

// patience bounds every wait. Nothing waits for it to pass.
const patience = 30 * time.Second

// stack is a node behind a listener, with a canary that echoes all the time.
type stack struct {
	node     *node.Server
	listener *listener.Server
	addr     string
	http     *http.Client
	log      *faults
	canary   *canary
}

type options struct {
	node   node.Config
	listen listener.Config
}

// start makes a stack and sees to its end.
func start(t *testing.T, o options) *stack {
	t.Helper()
	s := &stack{log: &faults{}}
	o.node.Logger = slog.New(s.log)
	o.listen.Logger = o.node.Logger
	var err error
	if s.node, err = node.New(o.node); err != nil {
		t.Fatal(err)
	}
	handlers(s.node)
	o.listen.Handler = s.node
	if s.listener, err = listener.New(o.listen); err != nil {
		t.Fatal(err)
	}
	if err := s.listener.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.addr = s.listener.Addr().String()
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: 2 * patience}
	t.Cleanup(func() { s.stop(t) })
	s.canary = startCanary(t, s)
	return s
}

func (s *stack) stop(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.canary.stop()
	if err := s.node.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	s.http.CloseIdleConnections()
	if err := s.listener.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// handlers are the application: it gives back what it gets.
func handlers(srv *node.Server) {
	give := func(event string) {
		node.On(srv, event, func(ctx context.Context, s *node.Socket, a node.Args) error {
			return s.Emit(ctx, event, values(a)...)
		})
	}
	give("msg")
	give("error")
	give("__proto__")
	give("constructor")
	node.Handle(srv, "echo", func(_ context.Context, _ *node.Socket, a node.Args) (node.Args, error) { return a, nil })
	node.On(srv, "swallow", func(context.Context, *node.Socket, node.Args) error { return nil })
	srv.Of("/a")
}

// values are arguments as they came.
func values(a node.Args) []any {
	list := make([]any, 0, a.Len())
	if len(a.Attachments()) > 0 {
		return []any{a.Attachments()[0]}
	}
	for i := range a.Len() {
		list = append(list, json.RawMessage(a.Raw(i)))
	}
	return list
}

// faults is a log that keeps what the server calls its own fault.
type faults struct {
	mu   sync.Mutex
	list []string
}

func (f *faults) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (f *faults) WithAttrs([]slog.Attr) slog.Handler           { return f }
func (f *faults) WithGroup(string) slog.Handler                { return f }
func (f *faults) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += fmt.Sprintf(" %s=%.500v", a.Key, a.Value)
		return true
	})
	f.mu.Lock()
	f.list = append(f.list, text)
	f.mu.Unlock()
	return nil
}

func (f *faults) all() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.list, "\n")
}

// canary is an ordinary client that must not notice anything.
type canary struct {
	p      *peer
	echoes atomic.Int64
	slow   atomic.Int64 // longest round trip
	err    atomic.Value
	quit   chan struct{}
	done   chan struct{}
}

func startCanary(t *testing.T, s *stack) *canary {
	t.Helper()
	c := &canary{p: s.client(t), quit: make(chan struct{}), done: make(chan struct{})}
	go c.run()
	return c
}

func (c *canary) run() {
	defer close(c.done)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		begin := time.Now()
		if err := c.p.try(fmt.Sprintf(`42%d["echo",%d]`, n, n)); err != nil {
			c.err.Store(err)
			return
		}
		want := fmt.Sprintf("43%d[%d]", n, n)
		for got := ""; got != want; {
			switch got = c.p.read(); {
			case got == "2":
				_ = c.p.try("3")
			case got != want:
				select {
				case <-c.quit: // the server has stopped
				default:
					c.err.Store(fmt.Errorf("canary got %.200q, want %q", got, want))
				}
				return
			}
		}
		c.slow.Store(max(c.slow.Load(), int64(time.Since(begin))))
		c.echoes.Add(1)
		select {
		case <-c.quit:
			return
		case <-tick.C:
		}
	}
}

// beat waits for echoes that begin now.
func (c *canary) beat(t *testing.T) {
	t.Helper()
	n := c.echoes.Load()
	eventually(t, "the canary echoes", func() bool { return c.echoes.Load() >= n+2 || c.err.Load() != nil })
	if err := c.err.Load(); err != nil {
		t.Error(err)
	}
}

func (c *canary) stop() {
	close(c.quit)
	<-c.done
	c.p.close()
}

// footprint is what the process holds.
type footprint struct {
	goroutines int
	heap       int64
	open       int64 // connections
}

func (s *stack) measure() footprint {
	return footprint{runtime.NumGoroutine(), liveHeap(), s.listener.Stats().Open}
}

func liveHeap() int64 {
	runtime.GC() // twice, for what pools keep
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// row is one row of the list: f attacks a stack of its own, which must be as
// before afterwards.
func row(t *testing.T, o options, f func(t *testing.T, s *stack)) {
	t.Helper()
	s := start(t, o)
	s.newClient(t) // makes what is made once
	s.http.CloseIdleConnections()
	s.canary.beat(t)
	before := s.measure()
	t.Run("attack", func(t *testing.T) { f(t, s) }) // its connections are closed and forgotten at its end
	s.serves(t)
	s.recovers(t, before)
	t.Logf("canary: %d echoes, the slowest in %v", s.canary.echoes.Load(), time.Duration(s.canary.slow.Load()))
}

// slowRow is a row that waits for a time that cannot be configured. It runs beside
// others of its kind, so it measures nothing.
func slowRow(t *testing.T, o options, f func(t *testing.T, s *stack)) {
	t.Helper()
	t.Parallel()
	s := start(t, o)
	f(t, s)
	s.serves(t)
}

// serves checks that nothing has happened to others.
func (s *stack) serves(t *testing.T) {
	t.Helper()
	s.canary.beat(t)
	s.newClient(t)
	if faults := s.log.all(); faults != "" {
		t.Errorf("the server blames itself: %.3000s", faults)
	}
	if n := s.listener.Stats().Panics; n != 0 {
		t.Errorf("%d panics", n)
	}
	if n := s.node.Stats().Panics; len(n) != 0 {
		t.Errorf("panics: %v", n)
	}
}

// newClient connects by both transports, echoes, and leaves.
func (s *stack) newClient(t *testing.T) {
	t.Helper()
	p := s.client(t)
	p.send(`421["echo","new"]`)
	p.expect(`431["new"]`)
	p.close()
	q := s.polling(t)
	q.ok(`420["echo","new"]`)
	if got := q.get(); got != `200 430["new"]` {
		t.Errorf("new client on polling: %s", got)
	}
	q.ok("1")
}

// recovers checks that nothing has stayed.
func (s *stack) recovers(t *testing.T, before footprint) {
	t.Helper()
	s.http.CloseIdleConnections()
	eventually(t, "connections are closed", func() bool { return s.listener.Stats().Open <= before.open })
	var now footprint
	ok := within(func() bool {
		now.goroutines = runtime.NumGoroutine()
		return now.goroutines <= before.goroutines+2
	})
	if !ok {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before\n%s", now.goroutines, before.goroutines, buf[:runtime.Stack(buf, true)])
	}
	if !within(func() bool { now.heap = liveHeap(); return now.heap <= before.heap+5<<20 }) {
		t.Errorf("heap is %d KiB, was %d", now.heap>>10, before.heap>>10)
	}
}

// grew checks how much memory is held while an attack is under way; the attacker
// is in it.
func (s *stack) grew(t *testing.T, before int64, most int64) {
	t.Helper()
	n := liveHeap() - before
	t.Logf("%d KiB more memory", n>>10)
	if n > most {
		t.Errorf("%d KiB more memory, want %d at most", n>>10, most>>10)
	}
}

// watch looks at the memory from now until stop is called. What becomes garbage
// during a look counts, and so does the attacker: the bound only tells what is held
// once from what an attack could make the server hold.
func (s *stack) watch(t *testing.T) (stop func()) {
	t.Helper()
	base, peak := liveHeap(), int64(0)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(10 * time.Millisecond)
		defer every.Stop()
		for {
			peak = max(peak, liveHeap()-base)
			select {
			case <-quit:
				return
			case <-every.C:
			}
		}
	}()
	return func() {
		t.Helper()
		close(quit)
		<-done
		t.Logf("%d KiB more memory at most", peak>>10)
		if peak > 16<<20 {
			t.Errorf("%d KiB more memory", peak>>10)
		}
		s.grew(t, base, 2<<20)
	}
}

// within waits for a condition that nothing announces.
func within(cond func() bool) bool {
	for end := time.Now().Add(patience); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	if !within(cond) {
		t.Fatalf("not in time: %s", what)
	}
}
