package redis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// journalKey is the stream of namespace "/" with the default prefix.
const journalKey = "fanwire:journal:{socket.io#/}"

// recoverer is a node with recovery on that delivers to nobody.
type recoverer struct {
	*adaptertest.Host
	adapter.Adapter
	adapter.Journal
	order sync.Mutex
}

func startRecoverer(t testing.TB, client goredis.UniversalClient, cfg redis.Config, id string) *recoverer {
	t.Helper()
	n := &recoverer{Host: adaptertest.NewHost(id, "/")}
	n.Window = time.Minute
	n.OnReceive = func(m *adapter.Message) {
		n.order.Lock()
		defer n.order.Unlock()
		n.Advance(m)
	}
	a, err := redis.NewAdapter(client, cfg)(n.Host)
	if err != nil {
		t.Fatal(err)
	}
	n.Adapter, n.Journal = a, a.(adapter.Journal)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), adaptertest.Timeout)
		defer cancel()
		_ = a.Close(ctx)
	})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *recoverer) emit(t testing.TB, i int) adapter.Placed {
	t.Helper()
	n.order.Lock()
	defer n.order.Unlock()
	placed, err := n.Publish(t.Context(), adaptertest.Event(event(i)))
	if err != nil && !errors.Is(err, adapter.ErrBacklog) {
		t.Fatal(err)
	}
	return placed
}

func event(i int) string { return fmt.Sprintf(`["e",%d]`, i) }

func (n *recoverer) stats() adapter.Stats { return n.Adapter.(adapter.Measurer).Stats() }

// missed is what a client has missed that had offset.
func (n *recoverer) missed(t testing.TB, offset string) (events []string, err error) {
	t.Helper()
	r, err := n.Replay(t.Context(), offset, func(*adapter.Message) bool { return true })
	if err != nil {
		return nil, err
	}
	for m := range r.Events() {
		events = append(events, string(m.Packet.Data))
	}
	return events, nil
}

func (n *recoverer) mustLose(t *testing.T, what, offset string) {
	t.Helper()
	if events, err := n.missed(t, offset); !errors.Is(err, adapter.ErrLost) {
		t.Errorf("%s: %d events, %v", what, len(events), err)
	}
}

func (n *recoverer) mustGet(t *testing.T, what, offset string, from, to int) {
	t.Helper()
	events, err := n.missed(t, offset)
	want := []string{}
	for i := from; i < to; i++ {
		want = append(want, event(i))
	}
	if err != nil || !slices.Equal(events, want) {
		t.Errorf("%s: %d events instead of %d, %v", what, len(events), len(want), err)
	}
}

// awaitEvents waits until n has received events 0 to count-1, each once and in order.
func (n *recoverer) awaitEvents(t *testing.T, count int) {
	t.Helper()
	got := n.Await(t, count)
	for i, m := range got {
		if string(m.Packet.Data) != event(i) {
			t.Fatalf("message %d is %s", i, m.Packet.Data)
		}
	}
	if len(got) != count {
		t.Errorf("%d messages instead of %d", len(got), count)
	}
}

// TestJournalRestart: what a restart of Redis has taken away is not skipped, and
// later offsets are good again (HRD-67).
func TestJournalRestart(t *testing.T) {
	server := redistest.Start(t)
	a := startRecoverer(t, server.Client(t), redis.Config{}, "nodeA")
	before := a.emit(t, 0).Offset
	a.emit(t, 1)
	a.mustGet(t, "before", before, 1, 2)
	server.Kill()
	server.Restart(t)
	a.mustLose(t, "before the restart", before)
	a.recovers(t, 2)
}

// recovers waits until offsets are good again: as soon as the journal reaches far
// enough back.
func (n *recoverer) recovers(t *testing.T, i int) {
	t.Helper()
	adaptertest.Eventually(t, "recovery", func() bool {
		offset := n.emit(t, i).Offset
		n.emit(t, i+1)
		events, err := n.missed(t, offset)
		i += 2
		if err == nil && !slices.Equal(events, []string{event(i - 1)}) {
			t.Fatalf("got %q", events)
		}
		return err == nil
	})
}

// TestJournalConnectionLost: what a node misses while its subscriber connection is
// away it reads in the journal.
func TestJournalConnectionLost(t *testing.T) {
	server := redistest.Start(t)
	a := startRecoverer(t, server.Client(t), redis.Config{}, "nodeA")
	b := startRecoverer(t, server.Client(t), redis.Config{}, "nodeB")
	admin := server.Client(t)
	const n = 2000
	for i := range n {
		a.emit(t, i)
		if i%500 == 250 {
			if err := admin.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
				t.Fatal(err)
			}
		}
		if i%10 == 0 {
			time.Sleep(time.Millisecond) // the pace of the load
		}
	}
	b.awaitEvents(t, n)
}

// TestJournalInboxFull: so it does with what it was too slow for.
func TestJournalInboxFull(t *testing.T) {
	server := redistest.Start(t)
	a := startRecoverer(t, server.Client(t), redis.Config{}, "nodeA")
	b := startRecoverer(t, server.Client(t), redis.Config{MaxInbox: 10}, "nodeB")
	b.order.Lock()
	const n = 1000
	for i := range n {
		a.emit(t, i)
	}
	adaptertest.Eventually(t, "drops", func() bool { return b.stats().ReceiveDropped > n/2 })
	b.order.Unlock()
	b.awaitEvents(t, n)
	if b.Losses() > 0 {
		t.Error("the node was told that events are lost")
	}
}

// TestJournalEventsLost: a node that was too slow even for the journal is told that
// its sockets lack something.
func TestJournalEventsLost(t *testing.T) {
	server := redistest.Start(t)
	cfg := redis.Config{MaxInbox: 10, JournalEntries: 100}
	a := startRecoverer(t, server.Client(t), cfg, "nodeA")
	b := startRecoverer(t, server.Client(t), cfg, "nodeB")
	b.order.Lock()
	const n = 2000
	for i := range n {
		a.emit(t, i)
	}
	adaptertest.Eventually(t, "all to be kept, and most to be dropped", func() bool {
		return a.stats().Kept == n && b.stats().ReceiveDropped > n/2
	})
	b.order.Unlock()
	adaptertest.Eventually(t, "the node to be told", func() bool { return b.Losses() > 0 })
	b.AwaitMessage(t, has(n-1))
	got := numbers(t, b.Messages())
	if len(got) == n {
		t.Fatal("nothing was missed: the test tests nothing")
	}
	inOrderOnce(t, got)
}

// TestJournalTrimmed: an offset whose events are gone says so.
func TestJournalTrimmed(t *testing.T) {
	server := redistest.Start(t)
	for name, cfg := range map[string]redis.Config{
		"entries": {JournalEntries: 200},
		"bytes":   {JournalBytes: 200 * 150},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Key = name
			client := server.Client(t)
			a := startRecoverer(t, client, cfg, "nodeA")
			first := a.emit(t, 0).Offset
			const n = 2000
			for i := 1; i < n; i++ {
				a.emit(t, i)
			}
			a.mustLose(t, "trimmed", first)
			a.recovers(t, n)
			if length := client.XLen(t.Context(), "fanwire:journal:{"+name+"#/}").Val(); length > 600 {
				t.Errorf("the stream has %d entries", length)
			}
		})
	}
}

// TestJournalPoison: entries that make no sense are passed over and counted, a
// missing event is a hole (HRD-60).
func TestJournalPoison(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	a := startRecoverer(t, client, redis.Config{}, "nodeA")
	offset := a.emit(t, 0).Offset
	a.emit(t, 1)
	poison := []map[string]any{
		{"x": "y"},
		{"m": ""},
		{"m": "\xc1"},
		{"m": "\x93\xa1a\x80\x80"},                 // no number
		{"m": "\x94\xc0\x80\x80\x81\xa1j\x01"},     // nobody's
		{"t": "someone", "j": "-1"},                // no number
		{"t": "", "j": "1"},                        //
		{"m": "\x94\xa1a\x80", "f": "l", "n": "x"}, // cut short
		{"m": "\x94\xa1a\x80\x80\x81\xa1j\xd3\xff\xff\xff"},   // cut short
		{"uid": "abc", "nsp": "/", "type": "3", "data": "{}"}, // of another wire
	}
	for _, values := range poison {
		if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: journalKey, Values: values}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	a.emit(t, 2)
	a.mustGet(t, "poison between", offset, 1, 3)
	if bad := a.stats().BadMessages; bad < uint64(len(poison)) {
		t.Errorf("%d bad messages were counted", bad)
	}
	entries := client.XRange(t.Context(), journalKey, "-", "+").Val()
	for _, e := range entries { // the second event
		if m, _ := e.Values["m"].(string); strings.Contains(m, "\x92\xa1e\x01") {
			if err := client.XDel(t.Context(), journalKey, e.ID).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := startRecoverer(t, server.Client(t), redis.Config{}, "nodeB")
	b.mustLose(t, "an event is missing", offset)
}

// TestJournalDeleted: as if it had been evicted.
func TestJournalDeleted(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	a := startRecoverer(t, client, redis.Config{}, "nodeA")
	b := startRecoverer(t, server.Client(t), redis.Config{}, "nodeB")
	offset := a.emit(t, 0).Offset
	a.emit(t, 1)
	b.Await(t, 2)
	if err := client.Del(t.Context(), journalKey).Err(); err != nil {
		t.Fatal(err)
	}
	b.mustLose(t, "deleted", offset)
	a.emit(t, 2)
	a.mustLose(t, "deleted", offset)
}

// TestJournalRefused: events go out all the same, and are counted as not kept.
func TestJournalRefused(t *testing.T) {
	server := redistest.Start(t)
	err := server.Client(t).Do(t.Context(), "acl", "setuser", "nokeep", "on", ">secret", "allchannels", "allkeys", "+@all", "-xadd").Err()
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "nokeep", Password: "secret"})
	t.Cleanup(func() { _ = client.Close() })
	b := startRecoverer(t, server.Client(t), redis.Config{}, "nodeB")
	offset := b.Here()
	a := startRecoverer(t, client, redis.Config{}, "nodeA")
	const n = 10
	for i := range n {
		a.emit(t, i)
	}
	b.awaitEvents(t, n)
	adaptertest.Eventually(t, "what was not kept", func() bool { s := a.stats(); return s.KeepDropped == n && s.Published >= n })
	if s := a.stats(); s.Kept != 0 || s.PublishErrors != 0 {
		t.Errorf("%+v", s)
	}
	b.mustLose(t, "not kept", offset)
}
