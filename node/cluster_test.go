package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// cluster is three nodes on one hub, each with one client "a", "b" or "c" that
// is in room "r" and in one of its own name.
type cluster struct {
	t       *testing.T
	hub     adapter.Hub
	nodes   []*testServer
	peers   []*peer
	sockets []*Socket
}

func newCluster(t *testing.T, selective bool, setup func(i int, srv *Server)) *cluster {
	c := &cluster{t: t}
	c.hub.Selective = selective
	for i := range 3 {
		srv := newServer(t, Config{Adapter: c.hub.Factory, NodeID: fmt.Sprint("n", i)})
		withSync(srv)
		setup(i, srv.Server)
		c.nodes = append(c.nodes, srv)
	}
	for i, srv := range c.nodes {
		if err := srv.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
		p := srv.dial(t, "&name="+string(rune('a'+i)))
		id := p.connect("/", `{"token":"t`+fmt.Sprint(i)+`"}`)
		s, _ := srv.Socket(id)
		s.SetData(map[string]any{"name": string(rune('a' + i))})
		if err := s.Join(t.Context(), "r", string(rune('a'+i))); err != nil {
			t.Fatal(err)
		}
		c.peers = append(c.peers, p)
		c.sockets = append(c.sockets, s)
	}
	return c
}

// flush makes sure that what nodes 0..2 have published has arrived.
func (c *cluster) flush() {
	c.t.Helper()
	for _, srv := range c.nodes {
		for _, err := range CallServers[None](c.t.Context(), srv.Of("/"), "flush") {
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// reached reads what each client got until now, for one event "e".
func (c *cluster) reached() string {
	c.t.Helper()
	c.flush()
	got := ""
	for i, p := range c.peers {
		p.send(`42999["sync"]`)
		for f := p.read(); f != `43999[]`; f = p.read() {
			if !strings.HasPrefix(f, `42["e"`) {
				c.t.Fatal(f)
			}
			got += string(rune('a' + i))
		}
	}
	return got
}

func TestClusterBroadcast(t *testing.T) {
	for _, selective := range []bool{false, true} {
		t.Run(fmt.Sprintf("selective=%v", selective), func(t *testing.T) {
			c := newCluster(t, selective, func(int, *Server) {})
			srv, ctx := c.nodes[0], t.Context()
			for _, test := range []struct {
				name string
				b    Broadcast
				want string
			}{
				{"all", srv.All(), "abc"},
				{"local", srv.Local(), "a"},
				{"to(r)", srv.To("r"), "abc"},
				{"to(b)", srv.To("b"), "b"},
				{"to(b,c).except(c)", srv.To("b", "c").Except("c"), "b"},
				{"to(id of c)", srv.To(c.sockets[2].ID()), "c"},
				{"except(id of c)", srv.Except(c.sockets[2].ID()), "ab"},
				{"a.to(r)", c.sockets[0].To("r"), "bc"},
				{"a.to(r).local", c.sockets[0].To("r").Local(), ""},
				{"b.broadcast", c.sockets[1].Broadcast(), "ac"},
			} {
				if err := test.b.Emit(ctx, "e", 1, map[string]any{"x": "y"}); err != nil {
					t.Fatal(err)
				}
				if got := c.reached(); got != test.want {
					t.Errorf("%s reached %q, want %q", test.name, got, test.want)
				}
			}
			if err := srv.To("c").Emit(ctx, "bin", Binary{1, 2}, map[string]Binary{"b": {3}}); err != nil {
				t.Fatal(err)
			}
			c.peers[2].expect(`452-["bin",`+ph0+`,{"b":`+ph1+`}]`, "bin:\x01\x02", "bin:\x03")
			if err := srv.Emit(ctx, "e", strings.Repeat("x", 1<<20)); !errors.Is(err, ErrTooLarge) { // HRD-68
				t.Error(err)
			}
			if err := srv.ServerEmit(ctx, "e", strings.Repeat("x", 1<<20)); !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
			for _, err := range CallAll[int](ctx, srv.All(), "e", strings.Repeat("x", 1<<20)) {
				if !errors.Is(err, ErrTooLarge) {
					t.Error(err)
				}
			}
			if got := c.reached(); got != "" {
				t.Error(got)
			}
		})
	}
}

// Order: what one goroutine emits on one node reaches a client of another in
// order.
func TestClusterOrder(t *testing.T) {
	c := newCluster(t, true, func(int, *Server) {})
	for i := range 500 {
		b := c.nodes[0].To("c")
		if i%3 == 0 {
			b = c.nodes[0].All().Except("a", "b")
		}
		if err := b.Emit(t.Context(), "n", i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 500 {
		c.peers[2].expect(fmt.Sprintf(`42["n",%d]`, i))
	}
}

func TestClusterSockets(t *testing.T) {
	c := newCluster(t, true, func(int, *Server) {})
	ctx := t.Context()
	list := func(b Broadcast) map[string]RemoteSocket {
		t.Helper()
		m := map[string]RemoteSocket{}
		for rs, err := range b.Sockets(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			var data struct{ Name string }
			if err := rs.Data(&data); err != nil {
				t.Fatal(err)
			}
			m[data.Name] = rs
		}
		return m
	}
	srv := c.nodes[0]
	if got := list(srv.All()); len(got) != 3 {
		t.Fatal(got)
	}
	if got := list(srv.In("r").Except("b")); len(got) != 2 {
		t.Error(got)
	}
	if got := list(srv.Local()); len(got) != 1 {
		t.Error(got)
	}
	if got := list(c.sockets[0].To("r")); len(got) != 2 {
		t.Error(got)
	}
	all := list(srv.All())
	if s, ok := all["a"].Local(); !ok || s != c.sockets[0] || fmt.Sprint(all["a"].Rooms()[1:]) != "[r a]" {
		t.Error("own socket")
	}
	for name, rs := range map[string]RemoteSocket{"a": all["a"], "b": all["b"]} {
		h := rs.Handshake()
		if h.Query.Get("name") != name || h.Address != "127.0.0.1" || h.CrossDomain || h.Secure || h.Header.Get("Upgrade") != "websocket" ||
			!strings.HasPrefix(h.URL, "/socket.io/?") || !strings.HasPrefix(string(h.Auth), `{"token":"t`) || time.Since(h.Time) > time.Minute {
			t.Errorf("%s: handshake %+v", name, h)
		}
	}
	b := all["b"]
	if _, ok := b.Local(); ok || b.ID() != c.sockets[1].ID() || fmt.Sprint(b.Rooms()[1:]) != "[r b]" {
		t.Error("other node's socket")
	}
	if err := b.Emit(ctx, "e"); err != nil || c.reached() != "b" {
		t.Error("emit to a remote socket", err)
	}
	if err := all["a"].Emit(ctx, "e"); err != nil || c.reached() != "a" {
		t.Error("emit to an own socket", err)
	}
	if err := b.Join(ctx, "new", "newer"); err != nil {
		t.Error(err)
	}
	c.flush()
	if !c.sockets[1].InRoom("new") || c.sockets[0].InRoom("new") {
		t.Error("join")
	}
	if err := b.Leave(ctx, "new"); err != nil {
		t.Error(err)
	}
	c.flush()
	if c.sockets[1].InRoom("new") || !c.sockets[1].InRoom("newer") {
		t.Error("leave")
	}
	go func() { c.peers[1].read(); c.peers[1].send(`430["from b",2]`) }()
	if v, err := CallRemote[string](ctx, b, "q"); v != "from b" || err != nil { // SIO-A-10
		t.Error(v, err)
	}
	go func() { c.peers[0].read(); c.peers[0].send(`431["from a"]`) }()
	if v, err := CallRemote[string](ctx, all["a"], "q"); v != "from a" || err != nil {
		t.Error(v, err)
	}
	short := newExpiring(t)
	go func() { c.peers[1].read(); short.expire() }()
	if _, err := CallRemote[string](short, b, "q"); !errors.Is(err, ErrTimeout) {
		t.Error(err)
	}
	if err := b.Disconnect(ctx, false); err != nil {
		t.Error(err)
	}
	c.peers[1].expect("41")
	c.flush()
	if _, err := CallRemote[string](ctx, b, "q"); !errors.Is(err, ErrDisconnected) {
		t.Error(err)
	}
}

// socketsJoin, socketsLeave and disconnectSockets (SIO-R-08).
func TestClusterCommands(t *testing.T) {
	reasons := make(chan DisconnectReason, 3)
	c := newCluster(t, false, func(_ int, srv *Server) {
		srv.OnDisconnect(func(_ context.Context, _ *Socket, d Disconnect) { reasons <- d.Reason })
	})
	srv, ctx := c.nodes[1], t.Context()
	who := func(room string) string {
		c.flush()
		got := ""
		for i, s := range c.sockets {
			if s.InRoom(room) {
				got += string(rune('a' + i))
			}
		}
		return got
	}
	for _, test := range []struct {
		do   func() error
		want string
	}{
		{func() error { return srv.To("r").Except("c").Join(ctx, "x") }, "ab"},
		{func() error { return srv.Local().Leave(ctx, "x") }, "a"},
		{func() error { return srv.Join(ctx, "x") }, "abc"},
		{func() error { return srv.To("a").Leave(ctx, "x", "y") }, "bc"},
		{func() error { return c.sockets[1].Broadcast().Leave(ctx, "x") }, "b"},
		{func() error { return srv.Leave(ctx, "x") }, ""},
	} {
		if err := test.do(); err != nil {
			t.Fatal(err)
		}
		if got := who("x"); got != test.want {
			t.Errorf("in x: %q, want %q", got, test.want)
		}
	}
	if err := srv.Except("c").Disconnect(ctx, true); err != nil {
		t.Fatal(err)
	}
	for _, p := range c.peers[:2] {
		p.expect("41")
		p.closed()
		if reason := recv(t, reasons); reason != ReasonServerDisconnect {
			t.Error(reason)
		}
	}
	c.peers[2].sync("/")
	if err := srv.Disconnect(ctx, false); err != nil {
		t.Fatal(err)
	}
	c.peers[2].expect("41")
}

func TestClusterServerEvents(t *testing.T) {
	var got [3]atomic.Value
	errs := make(chan *HandlerError, 3)
	c := newCluster(t, false, func(i int, srv *Server) {
		OnServer(srv, "hello", func(_ context.Context, ns *Namespace, v Tuple2[int, map[string]string]) error {
			got[i].Store(fmt.Sprint(ns.Name(), v.A, v.B))
			return nil
		})
		HandleServer(srv, "id", func(_ context.Context, ns *Namespace, n int) (string, error) {
			return fmt.Sprint(ns.Server().NodeID(), n), nil
		})
		HandleServer(srv, "fail", func(context.Context, *Namespace, None) (int, error) { return 0, errors.New("no") })
		HandleServer(srv, "boom", func(context.Context, *Namespace, None) (int, error) { panic("boom") })
		srv.OnError(func(_ context.Context, s *Socket, e *HandlerError) { errs <- e })
	})
	srv, ctx := c.nodes[0], t.Context()
	if err := srv.ServerEmit(ctx, "hello", 1, map[string]string{"a": "b"}); err != nil {
		t.Fatal(err)
	}
	c.flush()
	for i, want := range []any{nil, "/1 map[a:b]", "/1 map[a:b]"} { // SIO-K-05
		if v := got[i].Load(); v != want {
			t.Errorf("node %d: %v", i, v)
		}
	}
	ask := func(event string) (answers []string) {
		for v, err := range CallServers[*string](ctx, srv.Of("/"), event, 7) {
			if err != nil {
				t.Error(err)
			}
			if v == nil {
				v = new("none")
			}
			answers = append(answers, *v)
		}
		return sorted(answers)
	}
	for event, want := range map[string]string{
		"id":      "[n17 n27]",
		"unknown": "[none none]", // CLU-G-03
		"hello":   "[none none]",
		"fail":    "[none none]",
		"boom":    "[none none]",
	} {
		if got := fmt.Sprint(ask(event)); got != want {
			t.Errorf("%s: %s, want %s", event, got, want)
		}
	}
	for range 2 {
		if e := recv(t, errs); e.Where != "server event" {
			t.Error(e)
		}
	}
	for _, name := range []string{"connect", "connection", "new_namespace", "disconnect"} { // SIO-K-14
		if err := srv.ServerEmit(ctx, name); !errors.Is(err, ErrReservedEvent) {
			t.Error(name, err)
		}
	}
	for range CallServers[int](ctx, newServer(t, Config{}).Of("/"), "alone") { // SIO-K-08
		t.Error("an answer")
	}
}

func TestClusterCallAll(t *testing.T) {
	c := newCluster(t, true, func(int, *Server) {})
	ctx := t.Context()
	var answering sync.WaitGroup
	answer := func(frames ...string) {
		for i, p := range c.peers {
			answering.Go(func() {
				q := p.read()
				id := strings.TrimSuffix(strings.TrimPrefix(q, "42"), `["q"]`)
				if frames[i] != "" {
					p.send("43" + id + frames[i])
				}
			})
		}
	}
	answer(`["A"]`, `["B","x"]`, `[]`)
	var got []string
	for v, err := range CallAll[string](ctx, c.nodes[2].To("r"), "q") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, v)
	}
	if fmt.Sprint(sorted(got)) != "[ A B]" {
		t.Error(got)
	}
	// Local counts this node only (SIO-K-09).
	go func() { c.peers[2].read(); c.peers[2].send(`431[3]`) }()
	for v, err := range CallAll[int](ctx, c.nodes[2].Local(), "q") {
		if v != 3 || err != nil {
			t.Error(v, err)
		}
	}
	for range CallAll[int](ctx, c.nodes[1].To("nobody"), "q") {
		t.Error("an answer")
	}
	answer(`[1]`, ``, `[2]`)
	short := newExpiring(t)
	sum := 0
	var partial *PartialError
	for v, err := range CallAll[int](short, c.nodes[0].All(), "q") {
		errors.As(err, &partial)
		if sum += v; sum == 3 && partial == nil { // nobody else answers
			c.flush() // nor has anybody yet to tell how many are asked
			short.expire()
		}
	}
	answering.Wait()
	if sum != 3 || partial == nil || partial.Got != 2 || partial.Want != 3 {
		t.Error(sum, partial)
	}
	for _, srv := range c.nodes {
		if len(srv.requests.byID) != 0 {
			t.Error("requests are left")
		}
	}
}

// silent is an adapter whose other nodes never answer, or cannot be counted.
type silent struct {
	adapter.Adapter
	count int
	err   error
	pub   error
}

func (s *silent) ServerCount(context.Context) (int, error) { return s.count, s.err }

func (s *silent) Publish(ctx context.Context, m *adapter.Message) (adapter.Placed, error) {
	return adapter.Placed{}, s.pub
}

// What came is yielded, then who did not answer is told (SIO-K-07).
func TestPartialResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("broker away")
		for _, test := range []struct {
			adapter silent
			want    int
			err     error
			took    time.Duration
		}{
			{silent{count: 3}, 2, ErrTimeout, 5 * time.Second},
			{silent{err: away}, -1, away, 0},
			{silent{count: 3, pub: away}, 2, away, 0},
		} {
			srv := newPlainServer(t, Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
				test.adapter.Adapter, _ = adapter.Alone(h)
				return &test.adapter, nil
			}})
			f := fakeClients(srv, 1)[0]
			check := func(what string, took time.Duration, wantGot int, do func(yield func(error))) {
				t.Helper()
				begin, got := time.Now(), 0
				var partial *PartialError
				do(func(err error) {
					if !errors.As(err, &partial) {
						got++
					}
				})
				if partial == nil || !errors.Is(partial, test.err) || got != wantGot || time.Since(begin).Round(10*time.Millisecond) != took {
					t.Errorf("%s: %v, %d before it, after %v", what, partial, got, time.Since(begin))
				}
			}
			check("sockets", test.took, 1, func(yield func(error)) {
				for _, err := range srv.Sockets(t.Context()) {
					yield(err)
				}
			})
			check("servers", test.took, 0, func(yield func(error)) {
				for _, err := range CallServers[int](t.Context(), srv.Of("/"), "e") {
					yield(err)
				}
			})
			id := srv.lastAck.Load()
			time.AfterFunc(0, func() {
				for srv.pending.len() == 0 {
					time.Sleep(time.Millisecond)
				}
				f.receive(fmt.Sprintf("3%d[1]", id))
			})
			check("clients", test.took*2, 1, // the default for clients
				func(yield func(error)) {
					for _, err := range CallAll[int](t.Context(), srv.All(), "e") {
						yield(err)
					}
				})
			err := srv.Emit(t.Context(), "e")
			if !errors.Is(err, test.adapter.pub) {
				t.Error(err)
			}
			if f.packets != 2 { // delivered here all the same (SIO-K-01)
				t.Error(f.packets)
			}
			f.end("transport close")
		}
	})
}

// Questions of other kinds of nodes, and answers that nobody asked for.
func TestReceive(t *testing.T) {
	answers := make(chan *adapter.Message, 10)
	srv := newPlainServer(t, Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
		a, _ := adapter.Alone(h)
		return &recorder{a, answers}, nil
	}})
	if err := srv.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := fakeClients(srv, 2)
	s := f[0].c.sockets[0]
	_ = s.Join(t.Context(), "x")
	h := host{srv.Of("/")}
	if h.NodeID() != srv.NodeID() || !strings.HasSuffix(s.ID(), h.IDTag()) || h.Namespace() != "/" || !h.HasRoom("x") || !h.HasRoom(s.ID()) || h.HasRoom("y") {
		t.Error("host")
	}
	h.Receive(&adapter.Message{Kind: adapter.FetchIDs, From: "n", RequestID: "1", Target: adapter.Target{Rooms: []string{"x"}}})
	if m := recv(t, answers); m.Kind != adapter.FetchIDsReply || m.RequestID != "1" || fmt.Sprint(m.Names) != "["+s.ID()+"]" {
		t.Error(m)
	}
	h.Receive(&adapter.Message{Kind: adapter.FetchRooms, From: "n", RequestID: "2"})
	if m := recv(t, answers); m.Kind != adapter.FetchRoomsReply || len(m.Names) != 4 {
		t.Error(m)
	}
	h.Receive(&adapter.Message{Kind: adapter.FetchSockets, From: "n", RequestID: "3", Target: adapter.Target{Rooms: []string{"none"}}})
	if m := recv(t, answers); m.Kind != adapter.FetchReply || m.Sockets == nil || len(m.Sockets) != 0 {
		t.Error(m)
	}
	h.Receive(&adapter.Message{Kind: adapter.FetchSockets, From: "n", RequestID: "4"})
	if m := recv(t, answers); len(m.Sockets) != 2 || !json.Valid(m.Sockets[0].Handshake) {
		t.Error(m)
	}
	// A broadcast with acks: the count first, also when it is 0 (CLU-R-29).
	packet := adapter.Payload{Data: []byte(`["q",1]`)}
	h.Receive(&adapter.Message{Kind: adapter.Broadcast, From: "n", RequestID: "5", Packet: packet, Target: adapter.Target{Rooms: []string{"none"}}})
	if m := recv(t, answers); m.Kind != adapter.ClientCount || m.Count != 0 {
		t.Error(m)
	}
	id := srv.lastAck.Load()
	h.Receive(&adapter.Message{Kind: adapter.Broadcast, From: "n", RequestID: "6", Packet: packet, Timeout: time.Minute})
	if m := recv(t, answers); m.Kind != adapter.ClientCount || m.Count != 2 {
		t.Error(m)
	}
	for _, f := range f {
		f.receive(fmt.Sprintf(`3%d[{"a":1},2]`, id))
		if m := recv(t, answers); m.Kind != adapter.ClientAck || m.RequestID != "6" || string(m.Packet.Data) != `{"a":1}` {
			t.Error(m)
		}
	}
	if srv.pending.len() != 0 {
		t.Error("collector is left")
	}
	for kind := adapter.Broadcast; kind <= adapter.FetchRoomsReply+1; kind++ {
		h.Receive(&adapter.Message{Kind: kind, Packet: packet, RequestID: "unknown"})
	}
	h.Receive(&adapter.Message{Kind: adapter.Broadcast}) // no packet: this panics inside (HRD-60)
	h.Receive(&adapter.Message{Kind: adapter.ServerEvent})
	h.Receive(&adapter.Message{Kind: adapter.Broadcast, Packet: packet})
}

// recorder is an adapter that keeps the answers.
type recorder struct {
	adapter.Adapter
	answers chan *adapter.Message
}

func (r *recorder) Respond(_ context.Context, to string, m *adapter.Message) error {
	if to == "n" {
		r.answers <- m
	}
	return nil
}

// A node that gets much at once waits for clients that have much to take, though not
// for long (adapter.Pacer).
func TestPace(t *testing.T) {
	const quarter = 16 << 10
	srv := newServer(t, Config{Limits: Limits{Output: 4 * quarter}})
	srv.poll(t).connect(srv)
	h := host{srv.Of("/")}
	began := time.Now()
	h.Receive(&adapter.Message{Kind: adapter.Broadcast, From: "n", Packet: adapter.Payload{Data: []byte(`["e","` + strings.Repeat("x", 3*quarter) + `"]`)}})
	h.Pace(quarter - 1)
	if h.ns.unpaced != quarter-1 {
		t.Error("looked too soon")
	}
	h.Pace(1) // nobody fetches it
	if d := time.Since(began); d < paceWait || h.ns.unpaced != 0 {
		t.Errorf("waited %v", d)
	}
	if n := srv.Stats().SlowConsumers; n != 0 {
		t.Errorf("%d slow consumers", n)
	}
}
