package adaptertest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fanwire/fanwire/adapter"
)

func testBroadcast(t *testing.T, c Cluster) {
	a, b, d := c.node(t, "nodeA"), c.node(t, "nodeB"), c.node(t, "nodeC")
	a.MustPublish(t, Event(`["e",1]`))
	for _, n := range []*Node{b, d} {
		got := n.Await(t, 1)
		if err := sameMessage(Event(`["e",1]`), got[0]); err != nil {
			t.Errorf("%s: %v", n.node, err)
		}
	}
	// The answer of another node arrives after a's own message would have.
	b.MustPublish(t, Event(`["end"]`))
	if got := a.Await(t, 1); Text(got[0]) != `Broadcast["end"]` {
		t.Errorf("the sender received its own message: %s", describe(got))
	}
}

func testOrder(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	b.Enter(t, "r1")
	b.Enter(t, "r2")
	const n = 600
	for i := range n {
		m := Event(fmt.Sprintf(`["e",%d]`, i))
		switch i % 4 {
		case 1:
			m.Target.Rooms = []string{"r1"}
		case 2:
			m.Target.Rooms = []string{"r1", "r2"}
		case 3:
			m.Target.Rooms = []string{"r2"}
		}
		a.MustPublish(t, m)
	}
	got := b.Await(t, n)
	last := map[string]int{}
	for _, m := range got {
		rooms := fmt.Sprint(m.Target.Rooms)
		if before, seen := last[rooms]; seen && numberOf(m) < before {
			t.Fatalf("%s after %d", m.Packet.Data, before)
		}
		last[rooms] = numberOf(m)
	}
	for i, m := range c.sorted(got) {
		if want := fmt.Sprintf(`["e",%d]`, i); string(m.Packet.Data) != want {
			t.Fatalf("message %d is %s", i, m.Packet.Data)
		}
	}
}

func testConcurrentPublish(t *testing.T, c Cluster) {
	a, b, d := c.node(t, "nodeA"), c.node(t, "nodeB"), c.node(t, "nodeC")
	const writers, each = 4, 100
	var wg sync.WaitGroup
	for _, n := range []*Node{a, b} {
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					m := Event(fmt.Sprintf(`["%s-%d",%d]`, n.node, w, i))
					if _, err := n.Publish(t.Context(), m); err != nil {
						t.Errorf("Publish: %v", err)
					}
				}
			})
		}
	}
	wg.Wait()
	next := map[string]int{}
	for _, m := range d.Await(t, 2*writers*each) {
		name, rest, _ := strings.Cut(strings.Trim(string(m.Packet.Data), `[]`), ",")
		if want := fmt.Sprint(next[name]); rest != want {
			t.Fatalf("%s: message %s instead of %s", name, rest, want)
		}
		next[name]++
	}
}

func testPayloads(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	big := strings.Repeat("0123456789", 3000)
	payloads := []adapter.Payload{
		{Data: []byte(`["e"]`)},
		{Data: []byte(`["e",1,-5,300,10000000000,1.5,true,false,null,"x",[],{},{"a":{"b":[1,{"c":null}]}}]`)},
		{Data: []byte(`["é😀 \"\\\n\u0001",{"":"","__proto__":1}]`)},
		{Data: []byte(`["` + big + `"]`)},
		// HRD-06: what float64 cannot hold arrives as it was sent.
		{Data: []byte(`["n",9007199254740993,18446744073709551615,-9223372036854775808]`)},
		{Data: []byte(`["n",123456789012345678901234567890,0.1000000000000000055511151231257827,1e400]`)},
		// SIO-M-22: without attachments nothing is a placeholder.
		{Data: []byte(`["e",{"_placeholder":true,"num":0}]`)},
		{
			Data:        []byte(`["b",{"_placeholder":true,"num":0},{"x":[{"_placeholder":true,"num":1}]}]`),
			Attachments: [][]byte{{1, 2, 3}, {}},
		},
		{
			Data:        []byte(`["b",{"_placeholder":true,"num":0},1e400]`),
			Attachments: [][]byte{[]byte(big)},
		},
	}
	for _, p := range payloads {
		a.MustPublish(t, &adapter.Message{Kind: adapter.Broadcast, Packet: p})
	}
	for i, m := range b.Await(t, len(payloads)) {
		if err := samePayload(payloads[i], m.Packet); err != nil {
			t.Errorf("payload %d: %v", i, err)
		}
	}
}

// testTrace: who follows a message finds its traceparent again, which changes nothing
// else of the message.
func testTrace(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	b.Enter(t, "r1")
	binary := Event(`["e",{"_placeholder":true,"num":0}]`)
	binary.Packet.Attachments = [][]byte{{1, 2}}
	acked := Event(`["e",1]`)
	acked.RequestID = "r"
	server := Event(`["e",1]`)
	server.Kind = adapter.ServerEvent
	messages := []*adapter.Message{
		Event(`["e",1]`),
		Event(`["e",1]`, "r1"),
		Event(`["e",1e400]`),
		binary,
		acked,
		server,
		{Kind: adapter.Join, Target: adapter.Target{Rooms: []string{"r1"}}, Names: []string{"r2"}},
		{Kind: adapter.Disconnect, Target: adapter.Target{Rooms: []string{"r1"}}, Close: true},
	}
	n := 0
	for i, m := range messages {
		for _, trace := range []string{
			fmt.Sprintf("00-0af7651916cd43dd8448eb211c80319c-b7ad6b71692033%02d-01", i),
			"",
			`"\u0000` + strings.Repeat("ö", 50),
			strings.Repeat("x", adapter.MaxTrace+1), // is left out
		} {
			sent := *m
			sent.Trace = trace
			a.MustPublish(t, &sent)
			n++
			got := b.Await(t, n)[n-1]
			if len(trace) > adapter.MaxTrace {
				sent.Trace = ""
			}
			sent.RequestID = got.RequestID // as the adapter names it
			if err := sameMessage(&sent, got); err != nil {
				t.Errorf("message %d, trace %.20q: %v", i, trace, err)
			}
		}
	}
}

func testTargets(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	b.Enter(t, "r1")
	targets := []adapter.Target{
		{},
		{Rooms: []string{"r1"}},
		{Rooms: []string{"r1"}, Except: []string{"x", "y"}},
		{Rooms: []string{"nobody", "r1"}},
		{Except: []string{"x"}, Volatile: true},
		{NoCompress: true},
		{Rooms: []string{"r1"}, Volatile: true, NoCompress: true},
	}
	for i, target := range targets {
		m := Event(fmt.Sprintf(`["e",%d]`, i))
		m.Target = target
		a.MustPublish(t, m)
	}
	for i, m := range c.sorted(b.Await(t, len(targets))) {
		want := Event(fmt.Sprintf(`["e",%d]`, i))
		want.Target = targets[i]
		if err := sameMessage(want, m); err != nil {
			t.Errorf("target %d: %v", i, err)
		}
	}
}

func testNamespaces(t *testing.T, c Cluster) {
	// Glob characters are plain characters in a name (CLU-R-10).
	names := []string{"/", "/chat", "/a[b]", `/e\f`, "/*", "/?", "/a#b", "/röm"}
	fa, fb := c.Factory(t), c.Factory(t)
	var senders, receivers []*Node
	for _, name := range names {
		senders = append(senders, Start(t, fa, "nodeA", name))
		receivers = append(receivers, Start(t, fb, "nodeB", name))
	}
	for i, b := range receivers {
		id := "0123456789abcdef" + b.IDTag()
		b.Enter(t, id)
		senders[i].MustPublish(t, Event(fmt.Sprintf(`["all",%d]`, i)))
		senders[i].MustPublish(t, Event(fmt.Sprintf(`["one",%d]`, i), id))
		senders[i].MustPublish(t, Event(fmt.Sprintf(`["end",%d]`, i)))
	}
	for i, b := range receivers {
		got := c.payloads(b.Await(t, 3))
		want := []string{fmt.Sprintf(`["all",%d]`, i), fmt.Sprintf(`["one",%d]`, i), fmt.Sprintf(`["end",%d]`, i)}
		if c.LooseIDs || c.LooseRooms {
			slices.Sort(want)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q", names[i], got)
		}
	}
}
