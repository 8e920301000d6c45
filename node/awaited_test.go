package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// electorate is an adapter whose other nodes the test plays: the named ones "n1",
// "n2" with the names "uid-n1", ..., and some without a name.
type electorate struct {
	adapter.Adapter
	host adapter.Host

	mu      sync.Mutex // guards the fields below
	named   []string
	unnamed int
	err     error
	looks   int
	asked   []*adapter.Message
}

func (e *electorate) Peers(context.Context) (named []adapter.Peer, unnamed int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looks++
	for _, n := range e.named {
		named = append(named, adapter.Peer{Name: "uid-" + n, Node: n})
	}
	return named, e.unnamed, e.err
}

func (e *electorate) Publish(_ context.Context, m *adapter.Message) (adapter.Placed, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, m)
	return adapter.Placed{}, nil
}

// live says who lives.
func (e *electorate) live(unnamed int, named ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.named, e.unnamed = named, unnamed
}

func (e *electorate) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// answer gives an answer to the last question; node is empty for one without a
// name.
func (e *electorate) answer(node string, m adapter.Message) {
	e.mu.Lock()
	m.RequestID = e.asked[len(e.asked)-1].RequestID
	e.mu.Unlock()
	if node != "" {
		m.From = "uid-" + node
	}
	e.host.Receive(&m)
}

func (e *electorate) sockets(node string) {
	e.answer(node, adapter.Message{Kind: adapter.FetchReply, Sockets: []adapter.SocketInfo{{ID: "s"}}})
}

func (e *electorate) count(node string, n int) {
	e.answer(node, adapter.Message{Kind: adapter.ClientCount, Count: n})
}

func (e *electorate) ack(node string) {
	e.answer(node, adapter.Message{Kind: adapter.ClientAck, Packet: adapter.Payload{Data: []byte("1")}})
}

func newElectorate(t *testing.T) (*Server, *electorate) {
	t.Helper()
	e := &electorate{}
	srv := newPlainServer(t, Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
		e.Adapter, _ = adapter.Alone(h)
		e.host = h
		return e, nil
	}})
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return srv, e
}

// outcome is how a request ended.
type outcome struct {
	got     int
	partial *PartialError // nil if all answered
	took    time.Duration
}

func (o outcome) String() string {
	text := fmt.Sprintf("%d after %v", o.got, o.took.Round(10*time.Millisecond))
	if p := o.partial; p != nil {
		text += fmt.Sprintf(", %d of %d", p.Got, p.Want)
		text += fmt.Sprintf(", missing %v and %d: %v", p.Missing, p.Unnamed, p.Err)
	}
	return text
}

func (o *outcome) add(err error) {
	if !errors.As(err, &o.partial) {
		o.got++
	}
}

func fetchOutcome(srv *Server) (o outcome) {
	begin := time.Now()
	for _, err := range srv.Sockets(context.Background()) {
		o.add(err)
	}
	o.took = time.Since(begin)
	return o
}

func callOutcome(srv *Server) (o outcome) {
	begin := time.Now()
	for _, err := range CallAll[int](context.Background(), srv.All(), "e") {
		o.add(err)
	}
	o.took = time.Since(begin)
	return o
}

// step is what happens at some time after a question.
type step struct {
	at time.Duration
	do func(e *electorate)
}

const (
	noNodeGone = "node: a node has gone"
	noTime     = "node: operation has timed out"
)

// A question ends when all nodes that live have answered: at once when one dies,
// at the deadline if one hangs, and says who is missing.
func TestAwaitedNodes(t *testing.T) {
	for _, test := range []struct {
		name  string
		begin func(e *electorate)
		steps []step
		want  string
	}{
		{
			"all answer", func(e *electorate) { e.live(1, "n1", "n2") },
			[]step{{10, func(e *electorate) { e.sockets("n1"); e.sockets(""); e.sockets("n2") }}},
			"3 after 10ms",
		},
		{
			"one dies", func(e *electorate) { e.live(1, "n1", "n2") },
			[]step{
				{10, func(e *electorate) { e.sockets("n1"); e.sockets("") }},
				{1010, func(e *electorate) { e.live(1, "n1") }},
			},
			"2 after 1.1s, 2 of 3, missing [n2] and 0: " + noNodeGone,
		},
		{
			"one dies after it has answered", func(e *electorate) { e.live(0, "n1", "n2") },
			[]step{
				{10, func(e *electorate) { e.sockets("n1") }},
				{20, func(e *electorate) { e.live(0, "n2") }},
				{2000, func(e *electorate) { e.sockets("n2") }},
			},
			"2 after 2s",
		},
		{
			"the answer was on its way", func(e *electorate) { e.live(0, "n1") },
			[]step{{100, func(e *electorate) { e.live(0) }}, {249, func(e *electorate) { e.sockets("n1") }}},
			"1 after 250ms",
		},
		{
			"one hangs", func(e *electorate) { e.live(0, "n2", "n1") },
			[]step{{10, func(e *electorate) { e.sockets("n1") }}},
			"1 after 5s, 1 of 2, missing [n2] and 0: " + noTime,
		},
		{
			"one hangs, another dies", func(e *electorate) { e.live(1, "n2", "n1") },
			[]step{{10, func(e *electorate) { e.live(1, "n1") }}},
			"0 after 5s, 0 of 3, missing [n1 n2] and 1: " + noTime,
		},
		{
			"one without a name dies", func(e *electorate) { e.live(3, "n1") },
			[]step{
				{10, func(e *electorate) { e.sockets(""); e.sockets("n1"); e.sockets("") }},
				{1010, func(e *electorate) { e.live(2, "n1") }},
			},
			"3 after 1.1s, 3 of 4, missing [] and 1: " + noNodeGone,
		},
		{
			"one without a name hangs", func(e *electorate) { e.live(2, "n1") },
			[]step{{10, func(e *electorate) { e.sockets("n1") }}, {500, func(e *electorate) { e.sockets("") }}},
			"2 after 5s, 2 of 3, missing [] and 1: " + noTime,
		},
		{
			"gone for a moment only", func(e *electorate) { e.live(1, "n1") },
			[]step{
				{390, func(e *electorate) { e.live(0) }},
				{490, func(e *electorate) { e.live(1, "n1") }},
				{1000, func(e *electorate) { e.sockets("n1"); e.sockets("") }},
			},
			"2 after 1s",
		},
		{
			"others come", func(e *electorate) { e.live(0, "n1") },
			[]step{{100, func(e *electorate) { e.live(1, "n1", "n2") }}, {1000, func(e *electorate) { e.sockets("n1") }}},
			"1 after 1s",
		},
		{
			"the broker is away meanwhile", func(e *electorate) { e.live(0, "n1", "n2") },
			[]step{
				{10, func(e *electorate) { e.live(0); e.fail(errors.New("away")) }},
				{1000, func(e *electorate) { e.live(0, "n1"); e.fail(nil) }},
				{2000, func(e *electorate) { e.sockets("n1") }},
			},
			"1 after 2s, 1 of 2, missing [n2] and 0: " + noNodeGone,
		},
		{
			"nobody to ask", func(e *electorate) { e.live(0) },
			nil,
			"0 after 0s",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, e := newElectorate(t)
				test.begin(e)
				for _, s := range test.steps {
					time.AfterFunc(s.at*time.Millisecond, func() { s.do(e) })
				}
				if got := fetchOutcome(srv).String(); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
				for _, err := range CallServers[int](t.Context(), srv.Of("/"), "e") {
					if err != nil && !errors.Is(err, ErrTimeout) {
						t.Error(err)
					}
				}
				if len(srv.requests.byID) > 0 {
					t.Error("requests are left")
				}
			})
		})
	}
}

// Clients of nodes that have gone are not awaited any longer.
func TestAwaitedClients(t *testing.T) {
	for _, test := range []struct {
		name  string
		begin func(e *electorate)
		steps []step
		want  string
	}{
		{
			"all answer", func(e *electorate) { e.live(1, "n1") },
			[]step{
				{10, func(e *electorate) { e.count("n1", 2); e.count("", 1); e.ack("n1"); e.ack("") }},
				{700, func(e *electorate) { e.ack("n1") }},
			},
			"3 after 700ms",
		},
		{
			"a client hangs", func(e *electorate) { e.live(0, "n1", "n2") },
			[]step{{10, func(e *electorate) { e.count("n1", 2); e.count("n2", 1); e.ack("n1"); e.ack("n2") }}},
			"2 after 10s, 2 of 3, missing [] and 0: " + noTime,
		},
		{
			"its node dies", func(e *electorate) { e.live(0, "n1", "n2") },
			[]step{
				{10, func(e *electorate) { e.count("n1", 2); e.count("n2", 1); e.ack("n1"); e.ack("n2") }},
				{1010, func(e *electorate) { e.live(0, "n2") }},
			},
			"2 after 1.1s, 2 of 3, missing [n1] and 0: " + noNodeGone,
		},
		{
			"a node dies before it has counted", func(e *electorate) { e.live(0, "n1", "n2") },
			[]step{
				{10, func(e *electorate) { e.live(0, "n2"); e.count("n2", 0) }},
			},
			"0 after 250ms, 0 of -1, missing [n1] and 0: " + noNodeGone,
		},
		{
			"a node dies that nothing is wanted from", func(e *electorate) { e.live(0, "n1", "n2") },
			[]step{
				{10, func(e *electorate) { e.count("n1", 0); e.live(0, "n2") }},
				{1000, func(e *electorate) { e.count("n2", 1); e.ack("n2") }},
			},
			"1 after 1s",
		},
		{
			"all without a name die", func(e *electorate) { e.live(2, "n1") },
			[]step{
				{10, func(e *electorate) { e.count("", 1); e.count("", 1); e.count("n1", 0); e.ack(""); e.live(0, "n1") }},
			},
			"1 after 250ms, 1 of 2, missing [] and 2: " + noNodeGone,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, e := newElectorate(t)
				test.begin(e)
				for _, s := range test.steps {
					time.AfterFunc(s.at*time.Millisecond, func() { s.do(e) })
				}
				if got := callOutcome(srv).String(); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		})
	}
}

// However many questions wait, one asks who lives; nobody does when none waits.
func TestOneWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, e := newElectorate(t)
		e.live(1, "n1")
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { fetchOutcome(srv) })
		}
		wg.Wait()
		if want := 100 + 26; e.looks > want {
			t.Errorf("%d looks in 5 s instead of %d", e.looks, want)
		}
		before := e.looks
		time.Sleep(time.Minute) // of the bubble's clock
		if e.looks != before {
			t.Error("looks while no question waits")
		}
	})
}

func TestEvict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, e := newElectorate(t)
		e.live(1, "n1", "n2")
		ns := srv.Of("/")
		evict := func(node string) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			err := ns.evict(ctx, node, "id")
			return time.Since(begin), err
		}
		if took, err := evict("n3"); err != nil || took != 0 || len(e.asked) > 0 {
			t.Error("of a node that is not there:", took, err)
		}
		time.AfterFunc(100*time.Millisecond, func() { e.count("n2", 0); e.count("n1", 1) })
		if took, err := evict("n1"); err != nil || took != 100*time.Millisecond {
			t.Error(took, err)
		}
		if m := e.asked[0]; m.Kind != adapter.Disconnect || !m.Close || !slices.Equal(m.Target.Rooms, []string{"id"}) || m.RequestID == "" {
			t.Errorf("%+v", m)
		}
		if took, err := evict("n1"); !errors.Is(err, ErrTimeout) || took != time.Second {
			t.Error("of a node that hangs:", took, err)
		}
		time.AfterFunc(100*time.Millisecond, func() { e.live(1, "n2") })
		if took, err := evict("n1"); err != nil || took != 250*time.Millisecond {
			t.Error("of a node that dies:", took, err)
		}
	})
}

// The other side of evict: the socket is gone when the answer leaves.
func TestEvicted(t *testing.T) {
	answers := make(chan *adapter.Message, 10)
	srv := newPlainServer(t, Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
		a, _ := adapter.Alone(h)
		return &recorder{a, answers}, nil
	}})
	f := fakeClients(srv, 1)[0]
	s := f.c.sockets[0]
	for _, count := range []int{1, 0} {
		host{srv.Of("/")}.Receive(&adapter.Message{
			Kind: adapter.Disconnect, From: "n", RequestID: "1", Target: adapter.Target{Rooms: []string{s.ID()}}, Close: true,
		})
		if m := recv(t, answers); m.Kind != adapter.ClientCount || m.RequestID != "1" || m.Count != count {
			t.Errorf("%+v", m)
		}
		if s.Connected() || srv.Len() != 0 {
			t.Error("still there")
		}
	}
}
