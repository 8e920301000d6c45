package redis

import (
	"bytes"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/adapter/adaptertest"
	"github.com/fanwire/fanwire/adapter/redis/redistest"
)

func startNode(t *testing.T, server *redistest.Server, cfg Config, node string) *adaptertest.Node {
	t.Helper()
	return adaptertest.Start(t, NewAdapter(server.Client(t), cfg), node, "/")
}

func awaitRoll(t *testing.T, n *adaptertest.Node, what string, unnamed int, named ...string) {
	t.Helper()
	adaptertest.Eventually(t, what, func() bool {
		peers, rest, err := n.Adapter.(adapter.Roster).Peers(t.Context())
		if err != nil || rest != unnamed || len(peers) != len(named) {
			return false
		}
		for _, name := range named {
			found := false
			for _, p := range peers {
				found = found || p.Node == name
			}
			if !found {
				return false
			}
		}
		return true
	})
}

// post publishes a bulletin of a node that the test plays.
func post(t *testing.T, client *goredis.Client, b bulletin) {
	t.Helper()
	if err := client.Publish(t.Context(), "fanwire#nodes#socket.io", b.append(nil)).Err(); err != nil {
		t.Fatal(err)
	}
}

// subscribe plays the connection of a node.
func subscribe(t *testing.T, client *goredis.Client, channels ...string) *goredis.PubSub {
	t.Helper()
	ps := client.Subscribe(t.Context(), channels...)
	t.Cleanup(func() { ps.Close() })
	for range channels {
		if _, err := ps.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return ps
}

// TestRoster: known nodes by name, others by number, those that hang not at all.
func TestRoster(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client(t)
	a := startNode(t, server, Config{}, "nodeA")
	startNode(t, server, Config{}, "nodeB")
	startNode(t, server, Config{Key: "other"}, "nodeC") // another cluster
	awaitRoll(t, a, "nodeB", 0, "nodeB")
	official := subscribe(t, client, "socket.io-request#/#", "socket.io-response#/#")
	awaitRoll(t, a, "an official node", 1, "nodeB")

	// nodeD says once that it is there, and then hangs.
	state := bulletin{
		kind: bulletinState, wire: "classic", node: "nodeD", epoch: "1",
		about: &statement{tag: "odeD", address: "http://d", spaces: []space{{"/", "uid-d"}}},
	}
	hung := subscribe(t, client, "fanwire#nodeD", "socket.io-request#/#")
	began := time.Now()
	post(t, client, state)
	awaitRoll(t, a, "nodeD", 1, "nodeB", "nodeD")
	d := a.Adapter.(adapter.Directory)
	if got := d.Address("nodeD"); got != "http://d" {
		t.Errorf("address %q", got)
	}
	awaitRoll(t, a, "the end of its lease", 1, "nodeB")
	if took := time.Since(began); took < lease || d.Address("nodeD") != "" {
		t.Errorf("after %v, address %q", took, d.Address("nodeD"))
	}
	post(t, client, bulletin{kind: bulletinBeat, wire: "classic", node: "nodeD", epoch: "1"})
	awaitRoll(t, a, "nodeD again", 1, "nodeB", "nodeD")
	hung.Close() // as if it were killed
	awaitRoll(t, a, "the death of nodeD", 1, "nodeB")
	official.Close()
	awaitRoll(t, a, "the death of the official node", 0, "nodeB")

	// Another life of it, and a bye of the first that comes late.
	state.epoch, state.about.spaces[0].uid = "2", "uid-d2"
	subscribe(t, client, "fanwire#nodeD", "socket.io-request#/#")
	post(t, client, state)
	awaitRoll(t, a, "the second life", 0, "nodeB", "nodeD")
	post(t, client, bulletin{kind: bulletinBye, wire: "classic", node: "nodeD", epoch: "1"})
	state.wire, state.node = "sharded", "nodeE" // of another cluster
	post(t, client, state)
	for _, s := range []string{"", "x", "\x97"} {
		client.Publish(t.Context(), "fanwire#nodes#socket.io", s)
	}
	awaitRoll(t, a, "no change", 0, "nodeB", "nodeD")
	post(t, client, bulletin{kind: bulletinBye, wire: "classic", node: "nodeD", epoch: "2"})
	awaitRoll(t, a, "nodeD without a name", 1, "nodeB")
	if got := len(d.Nodes()); got != 2 {
		t.Errorf("%d nodes", got)
	}
}

// TestSecretThatRedisHasLost: whoever knows it gives it back, unless a node that did
// not was faster.
func TestSecretThatRedisHasLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := startNode(t, server, Config{}, "nodeA").Adapter.(adapter.Directory)
	b := startNode(t, server, Config{}, "nodeB").Adapter.(adapter.Directory)
	secret := func(d adapter.Directory, known []byte) []byte {
		t.Helper()
		s, err := d.Secret(t.Context(), known)
		if err != nil || len(s) != secretSize {
			t.Fatalf("%d bytes, %v", len(s), err)
		}
		return s
	}
	lose := func() {
		t.Helper()
		if err := server.Client(t).FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	one := secret(a, nil)
	lose()
	if !bytes.Equal(secret(a, one), one) || !bytes.Equal(secret(b, nil), one) {
		t.Error("it is not given back")
	}
	lose()
	other := secret(b, nil)
	if bytes.Equal(other, one) || !bytes.Equal(secret(a, one), other) {
		t.Error("the other one is not taken")
	}
}

// TestLeaseWithoutRedis: nobody is given up because Redis is away.
func TestLeaseWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := startNode(t, server, Config{}, "nodeA"), startNode(t, server, Config{}, "nodeB")
	b.Adapter.(adapter.Directory).Announce("http://b")
	d := a.Adapter.(adapter.Directory)
	adaptertest.Eventually(t, "the address", func() bool { return d.Address("nodeB") == "http://b" })
	server.Kill()
	adaptertest.Eventually(t, "away", func() bool { return a.Adapter.(adapter.Prober).Ready() != nil })
	<-time.After(lease + 2*beatEvery)
	if d.Address("nodeB") != "http://b" {
		t.Error("given up")
	}
	server.Restart(t)
	adaptertest.Eventually(t, "back", func() bool { return a.Adapter.(adapter.Prober).Ready() == nil })
	awaitRoll(t, a, "nodeB", 0, "nodeB")
	if d.Address("nodeB") != "http://b" {
		t.Error("given up after the return of Redis")
	}
}
