package redis_test

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

// forget takes everything of a publisher that was quiet for long out of the journal:
// nodes that begin do not look that far back.
func forget(t *testing.T, client goredis.UniversalClient, uid string) {
	t.Helper()
	entries, err := client.XRange(t.Context(), journalKey, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for _, v := range e.Values {
			if text, _ := v.(string); strings.Contains(text, uid) {
				client.XDel(t.Context(), journalKey, e.ID)
			}
		}
	}
}

// TestJournalReplayEnds: a client whose offset knows of a publisher that had died
// before this node began has once more what there is, and that is all: the journal is
// not read again and again for it.
func TestJournalReplayEnds(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	a := startRecoverer(t, client, redis.Config{}, "nodeA")
	dead := startRecoverer(t, client, redis.Config{}, "nodeB")
	mark := dead.emit(t, 0).Mark
	dead.emit(t, 1)
	a.awaitEvents(t, 2) // the first of them is delivered, too
	offset := a.Here()
	if err := dead.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	forget(t, client, mark.From)

	n := startRecoverer(t, client, redis.Config{}, "nodeC")
	a.emit(t, 2)
	n.Await(t, 1)
	r, err := n.Replay(t.Context(), offset, func(*adapter.Message) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	i := 3
	adaptertest.Eventually(t, "the end of the replay", func() bool {
		a.emit(t, i)
		i++
		r.Offset(n.Here())
		return r.Over()
	})
	if here := n.Here(); r.Offset(here) != here {
		t.Error("the offset is not the node's")
	}
	if n.Losses() > 0 {
		t.Error("the node was told that events are lost")
	}
}
