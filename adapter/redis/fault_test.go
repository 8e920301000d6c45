package redis_test

import (
	"errors"
	"fmt"
	"runtime"
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

func start(t *testing.T, addr string, cfg redis.Config, node string) *adaptertest.Node {
	t.Helper()
	return adaptertest.Start(t, redis.NewAdapter(redistest.NewClient(t, addr), cfg), node, "/")
}

func ready(n *adaptertest.Node) error { return n.Adapter.(adapter.Prober).Ready() }

func awaitReady(t *testing.T, nodes ...*adaptertest.Node) {
	t.Helper()
	for _, n := range nodes {
		adaptertest.Eventually(t, n.NodeID()+" ready", func() bool { return ready(n) == nil })
	}
}

func awaitAway(t *testing.T, nodes ...*adaptertest.Node) {
	t.Helper()
	for _, n := range nodes {
		adaptertest.Eventually(t, n.NodeID()+" not ready", func() bool { return ready(n) != nil })
	}
}

// numbered publishes n events with numbers from first on.
func numbered(t *testing.T, from *adaptertest.Node, first, n int, rooms ...string) {
	t.Helper()
	for i := range n {
		from.MustPublish(t, adaptertest.Event(fmt.Sprintf(`["e",%d]`, first+i), rooms...))
	}
}

// numbers returns those of the events received.
func numbers(t *testing.T, got []*adapter.Message) (list []int) {
	t.Helper()
	for _, m := range got {
		var i int
		if _, err := fmt.Sscanf(string(m.Packet.Data), `["e",%d]`, &i); err == nil {
			list = append(list, i)
		}
	}
	return list
}

// inOrderOnce fails if an event came twice or out of order.
func inOrderOnce(t *testing.T, list []int) {
	t.Helper()
	for i := 1; i < len(list); i++ {
		if list[i] <= list[i-1] {
			t.Fatalf("%d after %d", list[i], list[i-1])
		}
	}
}

func has(number int) func(*adapter.Message) bool {
	return func(m *adapter.Message) bool { return string(m.Packet.Data) == fmt.Sprintf(`["e",%d]`, number) }
}

// TestRestart: Redis dies and comes back (HRD-63, HRD-64, F01).
func TestRestart(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, server.Addr, redis.Config{}, "nodeA"), start(t, server.Addr, redis.Config{}, "nodeB")
	const rooms = 2500 // three commands (HRD-73)
	for i := range rooms {
		b.SetRoom(fmt.Sprint("room", i), true)
		b.Adapter.(adapter.RoomObserver).RoomAdded(fmt.Sprint("room", i))
	}
	b.Enter(t, "r")
	numbered(t, a, 0, 10, "r")
	b.Await(t, 10)
	before := runtime.NumGoroutine()
	for round := 1; round <= 2; round++ {
		server.Kill()
		awaitAway(t, a, b)
		if wait := b.Adapter.(adapter.RoomObserver).RoomAdded("while away"); wait != nil {
			t.Error("RoomAdded makes the caller wait while Redis is away")
		}
		b.SetRoom("while away", true)
		numbered(t, a, 1000*round, 10)
		server.Restart(t)
		awaitReady(t, a, b)
		for i, room := range []string{"", "r", fmt.Sprint("room", rooms-1), "while away"} {
			numbered(t, a, 1000*round+100+i, 1, strings.Fields(room)...)
		}
		numbered(t, a, 1000*round+200, 1)
		b.AwaitMessage(t, has(1000*round+200))
	}
	list := numbers(t, b.Messages())
	inOrderOnce(t, list)
	for round := 1; round <= 2; round++ {
		for i := range 3 {
			if !slices.Contains(list, 1000*round+100+i) {
				t.Errorf("after restart %d: message %d is missing", round, i)
			}
		}
	}
	adaptertest.Eventually(t, "both resubscriptions to be counted", func() bool { return b.Stats().Resubscriptions == 2 })
	adaptertest.Eventually(t, "no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before+2 })
}

// TestOutageIsBridged: what is published while Redis is away arrives afterwards,
// also at nodes that had no reason to look for it.
func TestOutageIsBridged(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, server.Addr, redis.Config{}, "nodeA"), start(t, server.Addr, redis.Config{}, "nodeB")
	numbered(t, a, 0, 1) // the publisher counts the nodes
	b.Await(t, 1)
	adaptertest.Eventually(t, "nothing in flight", func() bool { return a.Stats().Ignored == 1 })
	server.Kill()
	awaitAway(t, a, b)
	numbered(t, a, 1, 20)
	pause := time.After(time.Second) // let b's attempts become rare
	<-pause
	server.Restart(t)
	b.AwaitMessage(t, has(20))
	got := numbers(t, b.Messages())
	inOrderOnce(t, got)
	if s := a.Stats(); len(got) != 21 || s.PublishErrors+s.PublishDropped > 0 {
		t.Errorf("%d of 21 received, %+v", len(got), s)
	}
}

// TestKilledSubscriber: only the subscriber connections are cut (CLU-D-12).
func TestKilledSubscriber(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, server.Addr, redis.Config{}, "nodeA"), start(t, server.Addr, redis.Config{}, "nodeB")
	b.Enter(t, "r")
	for round := range uint64(3) {
		if err := server.Client(t).Do(t.Context(), "client", "kill", "type", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		adaptertest.Eventually(t, "resubscribed", func() bool {
			return a.Stats().Resubscriptions == round+1 && b.Stats().Resubscriptions == round+1
		})
		awaitReady(t, a, b)
		numbered(t, a, int(round), 1, "r")
		b.AwaitMessage(t, has(int(round)))
		if n, err := a.ServerCount(t.Context()); n != 2 || err != nil {
			t.Errorf("ServerCount = %d, %v", n, err)
		}
	}
}

// TestPause: Redis stops for longer than the publish timeout. Nothing is
// published twice, even by a client that retries commands (HRD-63, F02).
func TestPause(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.Config{PublishTimeout: 100 * time.Millisecond}
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, MaxRetries: 5})
	t.Cleanup(func() { client.Close() })
	a := adaptertest.Start(t, redis.NewAdapter(client, cfg), "nodeA", "/")
	b := start(t, server.Addr, redis.Config{}, "nodeB")
	stop := func(sig syscall.Signal) {
		if err := server.Process().Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for range 3 {
		stop(syscall.SIGSTOP)
		numbered(t, a, total, 20)
		timer := time.AfterFunc(300*time.Millisecond, func() { stop(syscall.SIGCONT) })
		total += 20
		numbered(t, a, total, 1)
		b.AwaitMessage(t, has(total))
		timer.Stop()
		total++
	}
	got := numbers(t, b.Messages())
	inOrderOnce(t, got)
	s := a.Stats()
	if uncertain := int(s.PublishErrors); len(got) < total-uncertain || s.PublishDropped > 0 {
		t.Errorf("%d of %d received, %d uncertain, %d dropped", len(got), total, uncertain, s.PublishDropped)
	}
	t.Logf("%d of %d received, %d counted as uncertain", len(got), total, s.PublishErrors)
}

// TestBacklogIsBounded: without Redis nobody waits and nothing grows (HRD-63).
func TestBacklogIsBounded(t *testing.T) {
	server := redistest.Start(t)
	a := start(t, server.Addr, redis.Config{Backlog: 1000, BacklogAge: time.Hour}, "nodeA")
	server.Kill()
	awaitAway(t, a)
	var refused int
	for range 1000 {
		_, err := a.Publish(t.Context(), adaptertest.Event(`["e"]`))
		if errors.Is(err, adapter.ErrBacklog) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	s := a.Stats()
	if refused == 0 || s.PublishDropped < 900 || s.Published != 0 {
		t.Errorf("%d refused; %+v", refused, s)
	}
	if _, err := a.ServerCount(t.Context()); err == nil {
		t.Error("ServerCount without Redis succeeded")
	}
	server.Restart(t) // Close hands out the rest
}

// TestPoison is row B40: bad messages cost one counter each (HRD-60).
func TestPoison(t *testing.T) {
	server := redistest.Start(t)
	for name, cfg := range configs() {
		t.Run(name, func(t *testing.T) { testPoison(t, server, cfg) })
	}
}

func testPoison(t *testing.T, server *redistest.Server, cfg redis.Config) {
	a, b := start(t, server.Addr, cfg, "nodeA"), start(t, server.Addr, cfg, "nodeB")
	id := "0123456789abcdef" + b.IDTag()
	b.Enter(t, "r")
	b.Enter(t, id)
	key := cfg.Key
	if key == "" {
		key = "socket.io"
	}
	poison := []string{
		"\xc1", "hello", "", "\x93", `{"type":0}`, `{}`, "\xdd\xff\xff\xff\xff", "\x93\xa1\x61\xc0\xc0", "\x91\x01", "\x93\xa1\x61\x81\xa1\x62\x01\xc0",
		strings.Repeat("x", 5<<20),
	}
	channels := []string{key + "#/#", key + "#/#r#", key + "-request#/#", key + "-response#/#"}
	if cfg.NoIDPattern {
		channels = append(channels, "fanwire#"+key+"#/#"+b.IDTag()+"#")
	} else {
		channels = append(channels, key+"#/#"+id+"#")
	}
	publisher := server.Client(t)
	for _, channel := range channels {
		for _, p := range poison {
			if err := publisher.Publish(t.Context(), channel, p).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	numbered(t, a, 0, 100, "r")
	b.Await(t, 100)
	if got := numbers(t, b.Messages()); len(got) != 100 {
		t.Errorf("%d of 100 good messages", len(got))
	}
	// An answer may have 5 MiB (HRD-60), so this one is just not for us.
	if n, want := b.Stats().BadMessages, uint64(len(channels)*len(poison)-1); n != want {
		t.Errorf("%d counted as bad instead of %d", n, want)
	}
}

// TestDeafConnection: the subscriber connection stays open, but nothing passes
// any more (HRD-64, F06).
func TestDeafConnection(t *testing.T) {
	server := redistest.Start(t)
	proxy := newProxy(t, server.Addr)
	cfg := redis.Config{ProbeInterval: 100 * time.Millisecond, ProbeTimeout: 2 * time.Second, PublishTimeout: 2 * time.Second} // a busy machine is not deaf
	a, b := start(t, server.Addr, redis.Config{}, "nodeA"), start(t, proxy.addr, cfg, "nodeB")
	b.Enter(t, "r")
	before := b.Stats().Resubscriptions
	proxy.freeze()
	adaptertest.Eventually(t, "a new connection", func() bool { return b.Stats().Resubscriptions > before })
	awaitReady(t, b)
	numbered(t, a, 0, 1, "r")
	b.AwaitMessage(t, has(0))
}

// TestQuietConnectionStays: probes keep a quiet connection.
func TestQuietConnectionStays(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.Config{ProbeInterval: 20 * time.Millisecond, ProbeTimeout: 5 * time.Second}
	a := start(t, server.Addr, cfg, "nodeA")
	probe := server.Client(t).Subscribe(t.Context(), "fanwire#nodeA")
	t.Cleanup(func() { probe.Close() })
	probes := probe.Channel()
	for range 3 {
		<-probes
	}
	if n := a.Stats().Resubscriptions; n != 0 || ready(a) != nil {
		t.Errorf("%d new connections, %v", n, ready(a))
	}
}

// TestRefusedSubscription: an ACL that lacks the pattern is an error that says
// so; the rest works (HRD-65).
func TestRefusedSubscription(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client(t)
	args := []any{
		"acl", "setuser", "fanwire", "on", ">secret", "resetchannels", "&socket.io#/#", "&socket.io#/#r#", "&socket.io-request#/#", "&socket.io-response#/*",
		"&fanwire#*", "-@all", "+hello", "+auth", "+ping", "+publish", "+subscribe", "+unsubscribe", "+psubscribe", "+punsubscribe", "+pubsub|numsub",
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "fanwire", Password: "secret"})
	t.Cleanup(func() { client.Close() })
	a := start(t, server.Addr, redis.Config{}, "nodeA")
	b := adaptertest.New(t, redis.NewAdapter(client, redis.Config{ProbeTimeout: time.Second}), "nodeB", "/")
	started := make(chan error, 1)
	go func() { started <- b.Start(t.Context()) }()
	adaptertest.Eventually(t, "refusal", func() bool {
		err := ready(b)
		return err != nil && strings.Contains(err.Error(), "psubscribe refused: NOPERM")
	})
	b.Enter(t, "r")
	numbered(t, a, 0, 1, "r")
	b.AwaitMessage(t, has(0))
	if err := admin.Do(t.Context(), "acl", "setuser", "fanwire", "&socket.io#/#*"+b.IDTag()+"#").Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil { // tried again by itself
		t.Fatal(err)
	}
	awaitReady(t, b)
}

// TestSlowNode: what a node does not take in time is dropped and counted, the
// newest stays (HRD-61).
func TestSlowNode(t *testing.T) {
	server := redistest.Start(t)
	a := start(t, server.Addr, redis.Config{}, "nodeA")
	b := adaptertest.New(t, redis.NewAdapter(server.Client(t), redis.Config{MaxInbox: 10}), "nodeB", "/")
	entered, release := make(chan struct{}, 200), make(chan struct{})
	b.OnReceive = func(*adapter.Message) {
		entered <- struct{}{}
		<-release
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	numbered(t, a, 0, 1)
	<-entered
	numbered(t, a, 1, 100)
	adaptertest.Eventually(t, "all to be in Redis", func() bool { return a.Stats().Published == 101 })
	numbered(t, b, 0, 1) // comes back after them, and is ignored once they are in the queue
	adaptertest.Eventually(t, "arrival", func() bool { return b.Stats().Ignored == 1 })
	close(release)
	b.AwaitMessage(t, has(100))
	got := numbers(t, b.Messages())
	inOrderOnce(t, got)
	// What the nodes tell each other now and then takes a place, too.
	if s := b.Stats(); len(got) > 11 || len(got) < 6 || s.ReceiveDropped < 90 || s.ReceiveDropped > 100 {
		t.Errorf("%d received, %d dropped", len(got), s.ReceiveDropped)
	}
	adaptertest.Eventually(t, "what is missing is counted", func() bool { return int(b.Stats().Missed) == 101-len(got) })
}

// TestPanic: the worker survives a node that panics (HRD-01).
func TestPanic(t *testing.T) {
	server := redistest.Start(t)
	a := start(t, server.Addr, redis.Config{}, "nodeA")
	b := adaptertest.New(t, redis.NewAdapter(server.Client(t), redis.Config{}), "nodeB", "/")
	b.OnReceive = func(m *adapter.Message) {
		if has(0)(m) {
			panic("boom")
		}
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	numbered(t, a, 0, 2)
	b.AwaitMessage(t, has(1))
	if n := b.Stats().BadMessages; n != 1 {
		t.Errorf("%d counted", n)
	}
}

func TestTooLarge(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, server.Addr, redis.Config{}, "nodeA"), start(t, server.Addr, redis.Config{}, "nodeB")
	big := adaptertest.Event(`["` + strings.Repeat("x", 1<<20) + `"]`)
	if _, err := a.Publish(t.Context(), big); !errors.Is(err, adapter.ErrTooLarge) { // HRD-68
		t.Errorf("Publish: %v", err)
	}
	// An answer may be larger (HRD-60).
	a.MustPublish(t, &adapter.Message{Kind: adapter.FetchSockets, RequestID: "1"})
	m := b.Await(t, 1)[0]
	socket := adapter.SocketInfo{ID: "s", Data: []byte(`"` + strings.Repeat("x", 5<<20) + `"`)}
	if err := b.Respond(t.Context(), m.From, &adapter.Message{Kind: adapter.FetchReply, RequestID: m.RequestID, Sockets: []adapter.SocketInfo{socket}}); err != nil {
		t.Fatal(err)
	}
	if got := a.Await(t, 1)[0]; len(got.Sockets) != 1 || len(got.Sockets[0].Data) != 5<<20+2 {
		t.Error("the answer was cut")
	}
}

// TestOwnMessagesAreIgnored: what loops back is counted, and nothing else.
func TestOwnMessagesAreIgnored(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, server.Addr, redis.Config{}, "nodeA"), start(t, server.Addr, redis.Config{}, "nodeB")
	a.Enter(t, "r")
	numbered(t, a, 0, 5)
	numbered(t, a, 5, 5, "r")
	a.MustPublish(t, &adapter.Message{Kind: adapter.Join, Names: []string{"x"}})
	adaptertest.Eventually(t, "the messages to come back", func() bool { return a.Stats().Ignored == 11 })
	numbered(t, b, 0, 1)
	a.Await(t, 1)
	if s := a.Stats(); s.Received != 12 || s.Ignored != 11 || s.BadMessages != 0 {
		t.Errorf("%+v", s)
	}
}

// TestSingleSocketForm: the owner of the socket obeys and confirms, the others
// are silent (CLU-R-34).
func TestSingleSocketForm(t *testing.T) {
	server := redistest.Start(t)
	a, b := start(t, server.Addr, redis.Config{}, "nodeA"), start(t, server.Addr, redis.Config{}, "nodeB")
	b.SetRoom("s1", true)
	client := server.Client(t)
	answers := client.Subscribe(t.Context(), "socket.io-response#/#")
	t.Cleanup(func() { answers.Close() })
	if _, err := answers.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Publish(t.Context(), "socket.io-request#/#", `{"requestId":"q","type":2,"sid":"s1","room":"x"}`).Err(); err != nil {
		t.Fatal(err)
	}
	if m := b.Await(t, 1)[0]; m.Kind != adapter.Join || m.Target.Rooms[0] != "s1" || m.Names[0] != "x" {
		t.Errorf("%+v", m)
	}
	if m, err := answers.ReceiveMessage(t.Context()); err != nil || m.Payload != `{"requestId":"q"}` {
		t.Errorf("%v, %v", m, err)
	}
	if len(a.Messages()) != 0 {
		t.Error("another node was bothered")
	}
}

// TestJoinThenEmit: who orders sockets elsewhere to join a room and emits to it
// at once reaches them, although that node subscribes the room only then.
func TestJoinThenEmit(t *testing.T) {
	server := redistest.Start(t)
	a := start(t, server.Addr, redis.Config{}, "nodeA")
	b := adaptertest.New(t, redis.NewAdapter(server.Client(t), redis.Config{}), "nodeB", "/")
	b.OnReceive = func(m *adapter.Message) {
		if m.Kind == adapter.Join {
			b.SetRoom(m.Names[0], true)
			b.Adapter.(adapter.RoomObserver).RoomAdded(m.Names[0])
		}
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		room := fmt.Sprint("room", i)
		a.MustPublish(t, &adapter.Message{Kind: adapter.Join, Names: []string{room}})
		numbered(t, a, i, 1, room)
	}
	b.AwaitMessage(t, has(49))
	if got := numbers(t, b.Messages()); len(got) != 50 {
		t.Errorf("%d of 50 arrived", len(got))
	}
}

// TestCloseWithoutRedis: Close gives up when its context ends, and leaves
// nothing behind.
func TestCloseWithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	adaptertest.NoLeaks(t)
	a := start(t, server.Addr, redis.Config{}, "nodeA")
	server.Kill()
	awaitAway(t, a)
	numbered(t, a, 0, 3)
	ctx, cancel := contextWithTimeout(t, 100*time.Millisecond)
	defer cancel()
	if err := a.Close(ctx); err == nil || !strings.Contains(err.Error(), "not everything") {
		t.Errorf("Close: %v", err)
	}
	if n := a.Stats().PublishDropped; n != 3 {
		t.Errorf("%d of 3 counted as dropped", n)
	}
}
