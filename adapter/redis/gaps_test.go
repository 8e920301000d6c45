package redis_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// broken is three nodes, of which the first publishes while something fails.
type broken struct {
	server    *redistest.Server
	publisher *adaptertest.Node
	receivers []*adaptertest.Node
	published int
}

var rooms = []string{"", "r1", "r2"} // of them all, the first is everybody

func newBroken(t *testing.T, cfg redis.Config, slow func(*testing.T, *broken) *adaptertest.Node) *broken {
	b := &broken{server: redistest.Start(t)}
	b.publisher = start(t, b.server.Addr, cfg, "nodeA")
	b.receivers = []*adaptertest.Node{start(t, b.server.Addr, cfg, "nodeB")}
	if slow != nil {
		b.receivers = append(b.receivers, slow(t, b))
	}
	for _, r := range b.receivers {
		for _, room := range rooms[1:] {
			r.Enter(t, room)
		}
	}
	b.awaitPeers(t)
	b.publish(t, len(rooms))
	for _, r := range b.receivers {
		r.Await(t, b.published)
	}
	return b
}

func (b *broken) awaitPeers(t *testing.T) {
	t.Helper()
	adaptertest.Eventually(t, "nodes known by name", func() bool {
		named, unnamed, err := b.publisher.Adapter.(adapter.Roster).Peers(t.Context())
		return err == nil && len(named) == len(b.receivers) && unnamed == 0
	})
}

// publish publishes n numbered events to the rooms in turn.
func (b *broken) publish(t *testing.T, n int) {
	t.Helper()
	for range n {
		var to []string
		if room := rooms[b.published%len(rooms)]; room != "" {
			to = []string{room}
		}
		_, _ = b.publisher.Publish(t.Context(), adaptertest.Event(fmt.Sprintf(`["e",%d]`, b.published), to...))
		b.published++
	}
}

// publishFor publishes until d has passed, or longer.
func (b *broken) publishFor(t *testing.T, d time.Duration) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		b.publish(t, 3)
	}
}

// check waits until each receiver has got or counted everything.
func (b *broken) check(t *testing.T) (lost int) {
	t.Helper()
	awaitReady(t, b.publisher)
	awaitReady(t, b.receivers...)
	for _, r := range b.receivers {
		adaptertest.Eventually(t, r.NodeID()+": what is lost is counted", func() bool {
			return len(numbers(t, r.Messages()))+int(r.Stats().Missed) >= b.published
		})
		got, s := numbers(t, r.Messages()), r.Stats()
		inOrderOnce(t, got)
		if len(got)+int(s.Missed) != b.published {
			t.Errorf("%s: %d of %d, but %d missed", r.NodeID(), len(got), b.published, s.Missed)
		}
		lost += b.published - len(got)
	}
	s := b.publisher.Stats()
	t.Logf("%d published, %d lost at %d receivers; publisher: %d errors, %d dropped", b.published, lost, len(b.receivers), s.PublishErrors, s.PublishDropped)
	return lost
}

// TestGapsPause: what was written while Redis stopped is sent again, and comes
// once (F02).
func TestGapsPause(t *testing.T) {
	b := newBroken(t, redis.Config{PublishTimeout: 300 * time.Millisecond}, nil)
	for range 3 {
		_ = b.server.Process().Signal(syscall.SIGSTOP)
		timer := time.AfterFunc(time.Second, func() { _ = b.server.Process().Signal(syscall.SIGCONT) })
		b.publishFor(t, 1500*time.Millisecond)
		timer.Stop()
	}
	if lost := b.check(t); lost > 0 {
		t.Errorf("%d lost", lost)
	}
	if n := b.receivers[0].Stats().Duplicates; n == 0 {
		t.Log("nothing came twice")
	} else {
		t.Logf("%d second copies dropped", n)
	}
}

// TestGapsRestart: Redis is killed and comes back (F01).
func TestGapsRestart(t *testing.T) {
	b := newBroken(t, redis.Config{}, nil)
	for range 2 {
		killed := make(chan struct{})
		time.AfterFunc(200*time.Millisecond, func() { b.server.Kill(); close(killed) })
		b.publishFor(t, 700*time.Millisecond)
		<-killed
		b.server.Restart(t)
		b.publishFor(t, 500*time.Millisecond)
	}
	b.check(t) // what Redis had confirmed and not passed on is lost, and counted
}

// TestGapsKilledSubscriber: a receiver's connection is cut, and then all are killed
// again and again.
func TestGapsKilledSubscriber(t *testing.T) {
	var p *proxy
	b := newBroken(t, redis.Config{}, func(t *testing.T, b *broken) *adaptertest.Node {
		p = newProxy(t, b.server.Addr)
		return start(t, p.addr, redis.Config{}, "nodeC")
	})
	b.publishFor(t, 50*time.Millisecond)
	p.shut()
	b.publishFor(t, 50*time.Millisecond)
	adaptertest.Eventually(t, "all to be published", func() bool { return b.publisher.Stats().Published == uint64(b.published) })
	p.open()
	client := b.server.Client(t)
	for range 12 { // each time they may be back before anything is lost
		b.publishFor(t, 50*time.Millisecond)
		if err := client.Do(t.Context(), "client", "kill", "type", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		b.publishFor(t, 100*time.Millisecond)
	}
	if lost := b.check(t); lost == 0 {
		t.Error("nothing was lost: this tests nothing")
	}
}

// TestGapsBacklog: what the publisher gives up while Redis is away is missed at
// the receivers.
func TestGapsBacklog(t *testing.T) {
	b := newBroken(t, redis.Config{Backlog: 20_000}, nil)
	b.server.Kill()
	awaitAway(t, b.publisher, b.receivers[0])
	b.publish(t, 1000)
	b.server.Restart(t)
	if lost := b.check(t); lost < 100 || uint64(lost) != b.publisher.Stats().PublishDropped {
		t.Errorf("%d lost, %+v", lost, b.publisher.Stats())
	}
}

// TestGapsDeafReceiver: one receiver's connections hang without being closed, and
// another way does not (F06).
func TestGapsDeafReceiver(t *testing.T) {
	var p *proxy
	b := newBroken(t, redis.Config{}, func(t *testing.T, b *broken) *adaptertest.Node {
		p = newProxy(t, b.server.Addr)
		cfg := redis.Config{ProbeInterval: 300 * time.Millisecond, ProbeTimeout: 2 * time.Second} // a busy machine is not deaf
		return start(t, p.addr, cfg, "nodeC")
	})
	b.publishFor(t, 200*time.Millisecond)
	p.freeze()
	b.publishFor(t, 1500*time.Millisecond)
	if lost := b.check(t); lost == 0 {
		t.Error("nothing was lost: this tests nothing")
	}
}

// TestGapsOutputBuffer: Redis closes the connection of a receiver that does not
// read in time.
func TestGapsOutputBuffer(t *testing.T) {
	b := newBroken(t, redis.Config{}, nil)
	if err := b.server.Client(t).ConfigSet(t.Context(), "client-output-buffer-limit", "pubsub 64kb 64kb 1").Err(); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 100<<10)
	for i := range big {
		big[i] = 'x'
	}
	for range 20 {
		m := adaptertest.Event(fmt.Sprintf(`["e",%d,%q]`, b.published, big))
		_, _ = b.publisher.Publish(t.Context(), m)
		b.published++
		b.publish(t, 3)
	}
	b.publishFor(t, 300*time.Millisecond)
	b.check(t)
}

// TestNotSentTwiceToOthers: with a node that is not ours, what was not answered is
// counted as lost as before, since it would take it for another message.
func TestNotSentTwiceToOthers(t *testing.T) {
	b := newBroken(t, redis.Config{PublishTimeout: 300 * time.Millisecond}, nil)
	official := b.server.Client(t).Subscribe(t.Context(), "socket.io#/#", "socket.io-request#/#")
	t.Cleanup(func() { official.Close() })
	for range 2 {
		if _, err := official.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lost := 0
	for i := 0; i < 5 && b.publisher.Stats().PublishErrors == 0; i++ { // nothing but a bulletin may be on its way when Redis stops
		_ = b.server.Process().Signal(syscall.SIGSTOP)
		timer := time.AfterFunc(time.Second, func() { _ = b.server.Process().Signal(syscall.SIGCONT) })
		b.publishFor(t, 1500*time.Millisecond)
		timer.Stop()
		lost = b.check(t)
	}
	if s := b.publisher.Stats(); s.PublishErrors == 0 || lost > int(s.PublishErrors) {
		t.Errorf("%d lost, %+v", lost, s)
	}
	if n := b.receivers[0].Stats().Duplicates; n != 0 {
		t.Errorf("%d duplicates", n)
	}
}
