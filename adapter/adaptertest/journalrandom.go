package adaptertest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// What testRandomCuts does.
const (
	randomClients = 24
	randomRooms   = 4
	randomEvents  = 500 // by each of two publishers on each node
	randomEvery   = 2 * time.Millisecond
)

// testRandomCuts: while all nodes publish, clients are cut at random and come back on
// random nodes. Each gets every event of its rooms once, and those of one publisher
// in order (HRD-72).
func testRandomCuts(t *testing.T, c Cluster) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	nodes := []*keeper{c.journalNode(t, "nodeA"), c.journalNode(t, "nodeB"), c.journalNode(t, "nodeC")}
	clients := make([]*modelClient, randomClients)
	for i := range clients {
		id := fmt.Sprint("s", i)
		clients[i] = &modelClient{id: id, pid: "p-" + id, rooms: []string{id, fmt.Sprint("r", i%randomRooms)}}
		nodes[i%len(nodes)].connect(t, clients[i])
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i, client := range clients {
		wg.Go(func() { wander(t, client, nodes, rand.New(rand.NewPCG(seed, uint64(i))), stop) })
	}
	var publishers sync.WaitGroup
	for i, k := range nodes {
		for j := range 2 {
			publishers.Go(func() { publishNumbered(t, k, fmt.Sprint(i, j)) })
		}
	}
	publishers.Wait()
	close(stop)
	wg.Wait()
	for _, client := range clients {
		checkClient(t, client, nodes)
	}
}

// publishNumbered publishes to all, to each room and to two rooms in turn.
func publishNumbered(t *testing.T, k *keeper, name string) {
	tick := time.NewTicker(randomEvery)
	defer tick.Stop()
	for n := range randomEvents {
		<-tick.C
		m := Event(fmt.Sprintf(`["%s",%d]`, name, n))
		switch n % 8 {
		case 0:
		case 7:
			m.Target.Rooms = []string{"r0", "r1"}
			m.Target.Except = []string{"s0"}
		default:
			m.Target.Rooms = []string{fmt.Sprint("r", n%randomRooms)}
		}
		if err := k.send(t.Context(), m, k.Publish); err != nil {
			t.Errorf("Publish: %v", err)
		}
	}
}

// wander cuts a client and brings it back until stop is closed, and once more after
// that.
func wander(t *testing.T, c *modelClient, nodes []*keeper, random *rand.Rand, stop <-chan struct{}) {
	at := nodes[0]
	for _, k := range nodes {
		k.order.Lock()
		if k.clients[c] {
			at = k
		}
		k.order.Unlock()
	}
	for last := false; ; {
		select {
		case <-stop:
			last = true
		case <-time.After(time.Duration(random.IntN(200)) * time.Millisecond):
		}
		at.cut(c, random.IntN(50))
		at = nodes[random.IntN(len(nodes))]
		if err := at.recover(t.Context(), t, c); err != nil {
			t.Errorf("%s on %s: %v", c.id, at.NodeID(), err)
			return
		}
		if last {
			return
		}
	}
}

// wantedEvents are those that a client gets of the six publishers.
func wantedEvents(c *modelClient) (want map[string][]int) {
	want = map[string][]int{}
	for i := range 3 {
		for j := range 2 {
			for n := range randomEvents {
				room := fmt.Sprint("r", n%randomRooms)
				if n%8 == 0 || n%8 == 7 && c.id != "s0" && (c.rooms[1] == "r0" || c.rooms[1] == "r1") || n%8 != 7 && c.rooms[1] == room {
					want[fmt.Sprint(i, j)] = append(want[fmt.Sprint(i, j)], n)
				}
			}
		}
	}
	return want
}

// checkClient waits until a client has everything, and compares.
func checkClient(t *testing.T, c *modelClient, nodes []*keeper) {
	t.Helper()
	want := wantedEvents(c)
	total := 0
	for _, list := range want {
		total += len(list)
	}
	var at *keeper
	for _, k := range nodes {
		k.order.Lock()
		if k.clients[c] {
			at = k
		}
		k.order.Unlock()
	}
	if at == nil {
		return // reported already
	}
	complete := func() bool {
		at.order.Lock()
		defer at.order.Unlock()
		c.take(len(c.wire))
		return len(c.got) >= total
	}
	for deadline := time.Now().Add(Timeout / 2); !complete() && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	at.order.Lock()
	defer at.order.Unlock()
	compareNumbered(t, c, want)
}

func compareNumbered(t *testing.T, c *modelClient, want map[string][]int) {
	t.Helper()
	got := map[string][]int{}
	for _, e := range c.got {
		name, number, _ := strings.Cut(strings.Trim(e, `["]`), `",`)
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("%s got %s", c.id, e)
		}
		got[name] = append(got[name], n)
	}
	for name, list := range want {
		for i, n := range list {
			if i >= len(got[name]) || got[name][i] != n {
				t.Errorf("%s: publisher %s: event %d of %d should be %d, is %v", c.id, name, i, len(list), n, got[name][min(i, len(got[name])):min(i+5, len(got[name]))])
				break
			}
		}
		if extra := len(got[name]) - len(list); extra > 0 {
			t.Errorf("%s: publisher %s: %d events too many", c.id, name, extra)
		}
	}
}
