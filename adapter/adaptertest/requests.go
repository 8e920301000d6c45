package adaptertest

import (
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

func testCommands(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	b.Enter(t, "r1")
	messages := []*adapter.Message{
		{Kind: adapter.Join, Target: adapter.Target{Rooms: []string{"r1"}}, Names: []string{"x", `y "é`}},
		{Kind: adapter.Leave, Target: adapter.Target{Rooms: []string{"r1"}, Except: []string{"r2"}}, Names: []string{"x"}},
		{Kind: adapter.Disconnect, Target: adapter.Target{Rooms: []string{"r1"}}, Close: true},
		{Kind: adapter.Disconnect},
		{Kind: adapter.Join, Names: []string{"z"}},
	}
	for _, m := range messages {
		a.MustPublish(t, m)
	}
	for i, got := range b.Await(t, len(messages)) {
		if err := sameMessage(messages[i], got); err != nil {
			t.Errorf("message %d: %v", i, err)
		}
	}
	b.MustPublish(t, Event(`["end"]`))
	if got := a.Await(t, 1); len(got) != 1 {
		t.Errorf("the sender received its own commands: %s", describe(got))
	}
}

// exchange is a request and the answers that each node gives to it.
type exchange struct {
	request adapter.Message
	answers []adapter.Message
}

func exchanges() []exchange {
	target := adapter.Target{Rooms: []string{"r1"}, Except: []string{"r2"}}
	binary := adapter.Payload{Data: []byte(`{"_placeholder":true,"num":0}`), Attachments: [][]byte{{9}}}
	return []exchange{
		{
			adapter.Message{Kind: adapter.FetchSockets, Target: target},
			[]adapter.Message{{Kind: adapter.FetchReply, Sockets: []adapter.SocketInfo{
				{ID: "s1", Handshake: []byte(`{"headers":{"x":"é"},"issued":1795391011005}`), Rooms: []string{"s1", "r1"}, Data: []byte(`{"name":"bob"}`)},
				{ID: "s2", Handshake: []byte(`{}`), Rooms: []string{"s2"}, Data: []byte(`[1]`)},
			}}},
		},
		{adapter.Message{Kind: adapter.FetchSockets}, []adapter.Message{{Kind: adapter.FetchReply}}},
		{
			adapter.Message{Kind: adapter.FetchIDs, Target: adapter.Target{Rooms: []string{"r1"}}},
			[]adapter.Message{{Kind: adapter.FetchIDsReply, Names: []string{"s1", "s2"}}},
		},
		{adapter.Message{Kind: adapter.FetchIDs}, []adapter.Message{{Kind: adapter.FetchIDsReply}}},
		{
			adapter.Message{Kind: adapter.FetchRooms},
			[]adapter.Message{{Kind: adapter.FetchRoomsReply, Names: []string{"r1", "röm"}}},
		},
		{
			adapter.Message{Kind: adapter.ServerEvent, Packet: adapter.Payload{Data: []byte(`["hello",1,{"a":"b"},18446744073709551616]`)}},
			[]adapter.Message{{Kind: adapter.ServerReply, Packet: adapter.Payload{Data: []byte(`{"n":1e400}`)}}},
		},
		{
			adapter.Message{Kind: adapter.ServerEvent, Packet: adapter.Payload{Data: []byte(`["hello"]`)}},
			[]adapter.Message{{Kind: adapter.ServerReply}},
		},
		{
			adapter.Message{Kind: adapter.ServerEvent, Packet: adapter.Payload{
				Data: []byte(`["b",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{1, 2}},
			}},
			[]adapter.Message{{Kind: adapter.ServerReply, Packet: binary}},
		},
		{
			adapter.Message{
				Kind: adapter.Broadcast, Target: target, Timeout: 1500 * time.Millisecond,
				Packet: adapter.Payload{Data: []byte(`["q","z",0.1000000000000000055511151231257827]`)},
			},
			[]adapter.Message{
				{Kind: adapter.ClientCount, Count: 3},
				{Kind: adapter.ClientAck, Packet: adapter.Payload{Data: []byte(`"r"`)}},
				{Kind: adapter.ClientAck, Packet: binary},
				{Kind: adapter.ClientAck},
			},
		},
		{ // a node answers that has the room no more
			adapter.Message{Kind: adapter.Disconnect, Target: adapter.Target{Rooms: []string{"r1"}}, Close: true},
			[]adapter.Message{{Kind: adapter.ClientCount, Count: 1}},
		},
	}
}

func testRequests(t *testing.T, c Cluster) {
	a, b, d := c.node(t, "nodeA"), c.node(t, "nodeB"), c.node(t, "nodeC")
	b.Enter(t, "r1")
	for i, x := range exchanges() {
		for _, n := range []*Node{a, b, d} {
			n.Reset()
		}
		x.request.RequestID = "id-" + string(rune('a'+i))
		a.MustPublish(t, &x.request)
		for _, n := range []*Node{b, d} {
			answer(t, n, x)
		}
		checkAnswers(t, a, x)
		b.MustPublish(t, Event(`["end"]`))
		a.Await(t, 2*len(x.answers)+1)
		if got := d.Await(t, 2); Text(got[1]) != `Broadcast["end"]` {
			t.Errorf("%s: another node received the answers: %s", kindName(x.request.Kind), describe(got))
		}
	}
}

// answer waits for the request at n, checks it, and answers it.
func answer(t *testing.T, n *Node, x exchange) {
	t.Helper()
	got := n.Await(t, 1)[0]
	if got.RequestID == "" {
		t.Fatalf("%s: %s lost its request id", n.node, Text(got))
	}
	want := x.request
	want.RequestID = got.RequestID // as the adapter likes to write it
	if err := sameMessage(&want, got); err != nil {
		t.Errorf("%s: %s: %v", n.node, kindName(got.Kind), err)
	}
	for _, m := range x.answers {
		m.RequestID = got.RequestID
		if err := n.Respond(t.Context(), got.From, &m); err != nil {
			t.Fatalf("%s: Respond: %v", n.node, err)
		}
	}
}

// checkAnswers waits for the answers of two nodes, each in its order.
func checkAnswers(t *testing.T, a *Node, x exchange) {
	t.Helper()
	got := a.Await(t, 2*len(x.answers))
	seen := map[string]int{}
	for _, m := range got {
		if m.RequestID != x.request.RequestID {
			t.Errorf("answer to %q instead of %q", m.RequestID, x.request.RequestID)
		}
		if m.From == "" && len(x.answers) > 1 {
			t.Fatalf("%s: who answered?", Text(m))
		}
		i := seen[m.From]
		seen[m.From]++
		want := x.answers[i%len(x.answers)]
		want.RequestID = m.RequestID
		if err := sameMessage(&want, m); err != nil {
			t.Errorf("%s: %v", kindName(m.Kind), err)
		}
	}
}

func testServerEvent(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	m := &adapter.Message{Kind: adapter.ServerEvent, Packet: adapter.Payload{Data: []byte(`["hello",1]`)}}
	a.MustPublish(t, m)
	if err := sameMessage(m, b.Await(t, 1)[0]); err != nil {
		t.Error(err)
	}
}

func testServerCount(t *testing.T, c Cluster) {
	a := c.node(t, "nodeA")
	awaitCount(t, a, 1)
	fb := c.Factory(t)
	b := Start(t, fb, "nodeB", "/")
	awaitCount(t, a, 2)
	awaitCount(t, b, 2)
	other := Start(t, fb, "nodeB", "/other") // CLU-A-01
	awaitCount(t, other, 1)
	d := c.node(t, "nodeC")
	awaitCount(t, a, 3)
	b.MustClose(t)
	awaitCount(t, a, 2)
	awaitCount(t, other, 1)
	d.MustClose(t)
	awaitCount(t, a, 1)
}

func awaitCount(t *testing.T, n *Node, want int) {
	t.Helper()
	var got int
	Eventually(t, "server count", func() bool {
		var err error
		if got, err = n.ServerCount(t.Context()); err != nil {
			t.Fatalf("%s: ServerCount: %v", n.node, err)
		}
		return got == want
	})
}

// testEvict: who has the socket is told that an answer is wanted, and gives it.
func testEvict(t *testing.T, c Cluster) {
	a, b := c.node(t, "nodeA"), c.node(t, "nodeB")
	id := "0123456789abcdef" + b.IDTag()
	b.Enter(t, id)
	m := &adapter.Message{Kind: adapter.Disconnect, RequestID: "r", Target: adapter.Target{Rooms: []string{id}}, Close: true}
	a.MustPublish(t, m)
	got := b.Await(t, 1)[0]
	want := *m
	want.RequestID = got.RequestID // as the adapter likes to write it
	if err := sameMessage(&want, got); err != nil || got.RequestID == "" {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := b.Respond(t.Context(), got.From, &adapter.Message{Kind: adapter.ClientCount, RequestID: got.RequestID, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if answer := a.Await(t, 1)[0]; answer.Kind != adapter.ClientCount || answer.RequestID != "r" || answer.Count != 1 || answer.From == "" {
		t.Errorf("%+v", answer)
	}
}
