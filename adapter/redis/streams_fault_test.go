package redis_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// sequence is from, from+1 ... to-1.
func sequence(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// TestStreamsPoison: bad entries cost one counter each, and nothing that follows
// (HRD-60, CLU-X-09).
func TestStreamsPoison(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	a := adaptertest.Start(t, redis.NewStreamsAdapter(server.Client(t), redis.StreamsConfig{}), "nodeA", "/")
	b := adaptertest.Start(t, redis.NewStreamsAdapter(server.Client(t), redis.StreamsConfig{}), "nodeB", "/")
	bad := [][]any{
		{"uid", "x", "nsp", "/", "type", "3", "data", `{}`},
		{"uid", "x", "nsp", "/", "type", "3", "data", `{"packet":{"type":2,"data":["e"]}}`},
		{"uid", "x", "nsp", "/", "type", "3"},
		{"uid", "x", "nsp", "/", "type", "3", "data", `{"packet":`},
		{"uid", "x", "nsp", "/", "type", "3", "data", "\xc1"},
		{"uid", "x", "nsp", "/", "type", "3", "data", "wQ=="},
		{"uid", "x", "nsp", "/", "type", "x", "data", `{}`},
		{"uid", "x", "nsp", "/", "type", "4", "data", `{"opts":{"rooms":[]}}`},
		{"uid", "x", "nsp", "/", "type", "3", "data", strings.Repeat("x", 5<<20)},
		{"uid", "x", "nsp", "/", "type", "3", "data", `{"packet":{"type":2,"data":["e"]},"opts":{"rooms":[]}}`, "fanwire", `{"s":"x"}`},
	}
	ignored := [][]any{
		{"uid", "x", "type", "3", "data", `{}`},
		{"uid", "x", "nsp", "/other", "type", "3", "data", `{}`},
		{"uid", "x", "nsp", "/", "type", "2", "data", `{}`},
		{"a", "b"},
	}
	for _, values := range slices.Concat(bad, ignored) {
		if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: "socket.io", Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	numbered(t, a, 0, 100)
	if got := numbers(t, b.Await(t, 100)); !slices.Equal(got, sequence(0, 100)) {
		t.Errorf("got %v", got)
	}
	if n := b.Stats().BadMessages; n != uint64(len(bad)) {
		t.Errorf("%d bad messages are counted instead of %d", n, len(bad))
	}
}

// TestStreamsRedisPauses: what was published while Redis stood still arrives once
// and in order, and the reading goes on after a restart that has lost the stream.
func TestStreamsRedisPauses(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.StreamsConfig{BlockTime: 200 * time.Millisecond, Config: redis.Config{PublishTimeout: 10 * time.Second}}
	a := adaptertest.Start(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeA", "/")
	b := adaptertest.Start(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeB", "/")
	numbered(t, a, 0, 50)
	b.Await(t, 50)
	if err := server.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	numbered(t, a, 50, 50)
	time.AfterFunc(time.Second, func() { _ = server.Process().Signal(syscall.SIGCONT) })
	if got := numbers(t, b.Await(t, 100)); !slices.Equal(got, sequence(0, 100)) {
		t.Errorf("got %v", got)
	}
	server.Kill()
	server.Restart(t)
	awaitReady(t, a, b)
	b.Reset()
	numbered(t, a, 100, 50)
	if got := numbers(t, b.Await(t, 50)); !slices.Equal(got, sequence(100, 150)) {
		t.Errorf("after the restart: %v", got)
	}
}

// TestStreamsTrimmed: a node that lags more than the stream holds counts exactly
// what it has missed (CLU-X-10).
func TestStreamsTrimmed(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.StreamsConfig{MaxLen: 100, ReadCount: 10, Config: redis.Config{MaxInbox: 20}}
	a := adaptertest.Start(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeA", "/")
	b := adaptertest.New(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeB", "/")
	release := make(chan struct{})
	b.OnReceive = func(*adapter.Message) { <-release }
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	numbered(t, a, 0, 1)
	b.Await(t, 1) // what follows tells of a gap
	numbered(t, a, 1, n-1)
	adaptertest.Eventually(t, "all to be in Redis", func() bool { return a.Stats().Published == n })
	close(release)
	b.AwaitMessage(t, has(n-1))
	if b.Stats().Missed == 0 {
		t.Fatal("nothing was missed: the test tests nothing")
	}
	numbered(t, a, n, 1)
	adaptertest.Eventually(t, "received and missed to be all", func() bool {
		return uint64(len(b.Messages()))+b.Stats().Missed == n+1
	})
	inOrderOnce(t, numbers(t, b.Messages()))
}

// TestStreamsEventsLost: with recovery on, the node is told of it.
func TestStreamsEventsLost(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.StreamsConfig{MaxLen: 100, ReadCount: 10, BlockTime: 50 * time.Millisecond, Config: redis.Config{MaxInbox: 20}}
	release := make(chan struct{})
	b := recovering(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeB", func(*adapter.Message) { <-release })
	addEntries(t, server, 2000, cfg.MaxLen)
	close(release)
	adaptertest.Eventually(t, "the node to be told", func() bool { return b.Losses() > 0 })
	adaptertest.Eventually(t, "received and missed to be all", func() bool {
		return uint64(len(b.Messages()))+b.Stats().Missed == 2000
	})
}

// TestStreamsMissedOnce: with several namespaces on the stream, and messages of its
// own among those that it has not read, a node counts what others sent, once.
func TestStreamsMissedOnce(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.StreamsConfig{MaxLen: 100, ReadCount: 10, BlockTime: 50 * time.Millisecond, Config: redis.Config{MaxInbox: 20}}
	a := adaptertest.Start(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeA", "/")
	factory := redis.NewStreamsAdapter(server.Client(t), cfg)
	other := adaptertest.Start(t, factory, "nodeB", "/other")
	b := adaptertest.New(t, factory, "nodeB", "/")
	release := make(chan struct{})
	b.OnReceive = func(*adapter.Message) { <-release }
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	const n = 1000
	for i := range n {
		numbered(t, a, i, 1)
		numbered(t, b, i, 1)
	}
	adaptertest.Eventually(t, "all to be in Redis", func() bool { return a.Stats().Published == n && b.Stats().Published == n })
	close(release)
	for i := range 2 { // what follows tells of the gaps
		numbered(t, a, n+i, 1)
		numbered(t, b, n+i, 1)
	}
	b.AwaitMessage(t, has(n+1))
	adaptertest.Eventually(t, "received and missed to be all", func() bool {
		return uint64(len(b.Messages()))+b.Stats().Missed == n+2
	})
	// It does not become more, however often the stream is looked at.
	const more = 5
	for i := range more {
		numbered(t, a, n+2+i, 1)
		b.AwaitMessage(t, has(n+2+i))
	}
	if got := len(b.Messages()) + int(b.Stats().Missed) + int(other.Stats().Missed); got != n+2+more || other.Stats().Missed > 0 {
		t.Errorf("%d received or missed instead of %d; %d of them in the other namespace", got, n+2+more, other.Stats().Missed)
	}
}

// addEntries adds n events to the stream as an official node does, in one step.
func addEntries(t *testing.T, server *redistest.Server, n, maxLen int) {
	t.Helper()
	// One command of some megabytes, once.
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, ReadTimeout: adaptertest.Timeout, WriteTimeout: adaptertest.Timeout, MaxRetries: -1})
	defer client.Close()
	_, err := client.TxPipelined(t.Context(), func(p goredis.Pipeliner) error {
		for i := range n {
			data := fmt.Sprintf(`{"packet":{"type":2,"data":["e",%d]},"opts":{"rooms":[],"except":[],"flags":{}}}`, i)
			p.XAdd(t.Context(), &goredis.XAddArgs{Stream: "socket.io", MaxLen: int64(maxLen), Approx: true, Values: []any{"uid", "x", "nsp", "/", "type", "3", "data", data}})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStreamsCatchUp: a node that is behind reads more at a time, so that it catches
// up in few round trips, and as little as before once it has.
func TestStreamsCatchUp(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	b := adaptertest.Start(t, redis.NewStreamsAdapter(server.Client(t), redis.StreamsConfig{MaxLen: 100_000}), "nodeB", "/")
	reads := func() int {
		t.Helper()
		stats, err := client.InfoMap(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		var n int
		fmt.Sscanf(stats["Commandstats"]["cmdstat_xread"], "calls=%d,", &n)
		return n
	}
	const n = 20_000
	before := reads()
	addEntries(t, server, n, 100_000)
	b.Await(t, n)
	if got := reads() - before; got > 40 {
		t.Errorf("%d entries took %d reads", n, got)
	}
	if missed := b.Stats().Missed; missed > 0 {
		t.Errorf("%d are missed", missed)
	}
}

// recovering starts a node with recovery on. onReceive may be left out.
func recovering(t *testing.T, factory adapter.Factory, id string, onReceive ...func(*adapter.Message)) *adaptertest.Node {
	t.Helper()
	h := adaptertest.NewHost(id, "/")
	h.Window = time.Minute
	for _, f := range onReceive {
		h.OnReceive = f
	}
	ad, err := factory(h)
	if err != nil {
		t.Fatal(err)
	}
	n := &adaptertest.Node{Host: h, Adapter: ad}
	t.Cleanup(func() { n.MustClose(t) })
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestStreamsWithoutRedis: with recovery on, the own clients wait for Redis for a
// moment once, and then not at all; nothing comes twice.
func TestStreamsWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	// While Redis is there, an event has two seconds to return, on a busy machine too.
	cfg := redis.StreamsConfig{OrderWait: 2 * time.Second, Config: redis.Config{PublishTimeout: 30 * time.Second}}
	a := recovering(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeA")
	b := recovering(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeB")
	numbered(t, a, 0, 10)
	if got := numbers(t, a.Await(t, 10)); !slices.Equal(got, sequence(0, 10)) {
		t.Fatalf("what was published has not returned: %v", got)
	}
	if err := server.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume := func() { _ = server.Process().Signal(syscall.SIGCONT) }
	t.Cleanup(resume)
	began := time.Now()
	for i := range 50 {
		placed, err := a.Publish(t.Context(), adaptertest.Event(fmt.Sprintf(`["e",%d]`, 10+i)))
		if err != nil || placed.Returns || placed.Mark != (adapter.Mark{}) {
			t.Fatalf("event %d: %+v, %v", 10+i, placed, err)
		}
	}
	if d := time.Since(began); d > 10*cfg.OrderWait { // not 50 times
		t.Errorf("50 events took %v without Redis", d)
	}
	resume()
	if got := numbers(t, b.Await(t, 60)); !slices.Equal(got, sequence(0, 60)) {
		t.Errorf("the other node got %v", got)
	}
	adaptertest.Eventually(t, "events to return again", func() bool {
		placed, err := a.Publish(t.Context(), adaptertest.Event(`["x"]`))
		return err == nil && placed.Returns
	})
	for _, m := range a.Messages()[10:] {
		if string(m.Packet.Data) != `["x"]` {
			t.Errorf("%s came although it was delivered before", m.Packet.Data)
		}
	}
}

// TestStreamsBehind: while a node is behind, but reads on, its own events keep their
// place in the order.
func TestStreamsBehind(t *testing.T) {
	const others = 30
	server := redistest.Start(t)
	cfg := redis.StreamsConfig{OrderWait: time.Second}
	handled := make(chan struct{}, 1)
	a := recovering(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeA", func(m *adapter.Message) {
		if m.From != "nodeA" {
			time.Sleep(cfg.OrderWait / 10) // three times OrderWait for all
		}
		select {
		case handled <- struct{}{}:
		default:
		}
	})
	b := recovering(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeB")
	numbered(t, b, 0, others)
	<-handled // so that a is behind, and all of b's are in the stream
	placed, err := a.Publish(t.Context(), adaptertest.Event(fmt.Sprintf(`["e",%d]`, others)))
	if err != nil || !placed.Returns {
		t.Fatalf("%+v, %v", placed, err)
	}
	if got := numbers(t, a.Messages()); !slices.Equal(got, sequence(0, others+1)) {
		t.Errorf("the order is %v", got)
	}
}

// TestStreamsHole: events that Redis never got are a hole for everybody who has to
// read past it.
func TestStreamsHole(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.StreamsConfig{BlockTime: 100 * time.Millisecond, Config: redis.Config{Backlog: 2000, PublishTimeout: 10 * time.Second}}
	a := recovering(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeA")
	b := recovering(t, redis.NewStreamsAdapter(server.Client(t), cfg), "nodeB")
	before := b.Adapter.(adapter.Journal).Here()
	if err := server.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		_, _ = a.Publish(t.Context(), adaptertest.Event(fmt.Sprintf(`["e",%d]`, i)))
	}
	_ = server.Process().Signal(syscall.SIGCONT)
	if a.Stats().KeepDropped == 0 {
		t.Fatal("nothing was dropped: the test tests nothing")
	}
	all := func(*adapter.Message) bool { return true }
	adaptertest.Eventually(t, "the other node to know of the hole", func() bool {
		_, err := b.Adapter.(adapter.Journal).Replay(t.Context(), before, all)
		return err == adapter.ErrLost
	})
	if _, err := a.Adapter.(adapter.Journal).Replay(t.Context(), before, all); err != adapter.ErrLost {
		t.Errorf("the node itself: %v", err)
	}
}
