// Package clustertest has clients see a cluster: three nodes on an adapter, and package
// client on every transport. The tests of node, of the adapters and of the client run
// it, so that whatever moves the messages, clients see the same.
package clustertest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/node"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// patience bounds every wait. Nothing waits for it to pass.
const patience = time.Minute

var quiet = slog.New(slog.DiscardHandler)

// Connect is called once for each cluster, and returns what gives a node its adapter,
// which must be an [adapter.Journal] and an [adapter.Directory].
type Connect func(t *testing.T) func(t *testing.T) adapter.Factory

// OnHub connects the nodes of a cluster by a hub.
func OnHub(selective bool) Connect {
	return func(*testing.T) func(*testing.T) adapter.Factory {
		hub := &adapter.Hub{Selective: selective}
		return func(*testing.T) adapter.Factory { return hub.Factory }
	}
}

// Run makes a cluster for each test.
func Run(t *testing.T, connect Connect) {
	RunWith(t, Options{}, connect)
}

// Options are what nodes and clients of a cluster have in common.
type Options struct {
	Parser            socketio.Parser
	PerMessageDeflate bool
}

// RunWith is [Run] with options.
func RunWith(t *testing.T, o Options, connect Connect) {
	for _, test := range []struct {
		name     string
		recovery bool
		run      func(t *testing.T, c *cluster)
	}{
		{"broadcasts", false, testBroadcasts},
		{"order", false, testOrder},
		{"arguments", false, testArguments},
		{"acks", false, testAcks},
		{"sockets of all nodes", false, testSockets},
		{"namespaces", false, testNamespaces},
		{"no stickiness", false, testNoStickiness},
		{"node loss", true, testNodeLoss},
		{"drain", true, testDrain},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newCluster(t, o, connect(t), test.recovery)) })
	}
}

// member is a node, and the connections to it.
type member struct {
	srv *node.Server
	web *httptest.Server
	net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	dead  bool
}

// Accept implements net.Listener.
func (m *member) Accept() (net.Conn, error) {
	conn, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		conn.Close()
	}
	m.conns[conn] = true
	return conn, nil
}

func (m *member) url() string { return "http://" + m.Addr().String() }

// stop ends the node for its clients at once, without a word: the listener and all
// connections are gone.
func (m *member) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	m.Listener.Close()
	for conn := range m.conns {
		conn.Close()
	}
}

// cluster is three nodes, and a balancer without stickiness.
type cluster struct {
	Options
	nodes []*member

	mu   sync.Mutex
	next int
	used *member // by the last connection through the balancer

	items []string // by the events "item"
}

func newCluster(t *testing.T, o Options, factory func(t *testing.T) adapter.Factory, recovery bool) *cluster {
	t.Helper()
	c := &cluster{Options: o}
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		m := &member{Listener: l, conns: make(map[net.Conn]bool)}
		cfg := node.Config{NodeID: fmt.Sprint("n", i), Advertise: m.url(), Adapter: factory(t), Parser: o.Parser, PerMessageDeflate: o.PerMessageDeflate, Logger: quiet}
		if recovery {
			cfg.Recovery = new(node.Recovery)
		}
		if m.srv, err = node.New(cfg); err != nil {
			t.Fatal(err)
		}
		c.serve(m.srv)
		m.web = httptest.NewUnstartedServer(m.srv)
		m.web.Listener.Close()
		m.web.Listener = m
		m.web.Start()
		t.Cleanup(func() {
			m.stop()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := m.srv.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			m.web.Close()
		})
		c.nodes = append(c.nodes, m)
	}
	for _, m := range c.nodes {
		must(t, m.srv.Ready(testContext(t)))
	}
	for _, m := range c.nodes {
		eventually(t, "three nodes", func() bool {
			addresses := 0
			for _, n := range m.srv.Nodes() {
				if n.Address != "" {
					addresses++
				}
			}
			return addresses == len(c.nodes)
		})
	}
	return c
}

// serve is what all nodes do with what clients send.
func (c *cluster) serve(srv *node.Server) {
	for _, ns := range []interface {
		node.Handlers
		OnConnect(f node.ConnectFunc)
	}{srv.Of("/"), srv.OfPattern("/tenant/{id}")} {
		ns.OnConnect(func(ctx context.Context, s *node.Socket) error {
			var name string
			if err := s.Auth(&struct{ Name *string }{&name}); err != nil {
				return err
			}
			s.SetData(name)
			return s.Emit(ctx, "welcome", name)
		})
		node.Handle(ns, "join", func(ctx context.Context, s *node.Socket, room string) (node.None, error) {
			return node.None{}, s.Join(ctx, room)
		})
		node.Handle(ns, "item", func(_ context.Context, _ *node.Socket, item string) (string, error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.items = append(c.items, item)
			return item, nil
		})
		node.On(ns, "say", func(ctx context.Context, s *node.Socket, in node.Tuple2[string, string]) error {
			return s.Namespace().To(in.A).Emit(ctx, "said", in.B)
		})
		node.On(ns, "tell", func(ctx context.Context, s *node.Socket, a node.Args) error {
			return s.Broadcast().Emit(ctx, "told", a)
		})
		node.Handle(ns, "echo", func(_ context.Context, _ *node.Socket, a node.Args) (node.Args, error) { return a, nil })
	}
	srv.Of("/deny").Use(func(node.ConnectFunc) node.ConnectFunc {
		return func(context.Context, *node.Socket) error {
			return &node.ConnectError{Message: "nope", Data: map[string]int{"code": 7}}
		}
	})
	node.HandleServer(srv.Of("/"), "who", func(_ context.Context, _ *node.Namespace, _ node.None) (string, error) {
		return srv.NodeID(), nil
	})
}

// dial is the balancer: connections go to the living nodes in turn.
func (c *cluster) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	for range c.nodes {
		m := c.pick()
		if conn, err := new(net.Dialer).DialContext(ctx, network, m.Addr().String()); err == nil {
			c.mu.Lock()
			c.used = m
			c.mu.Unlock()
			return conn, nil
		}
	}
	return nil, errors.New("no node lives")
}

func (c *cluster) pick() *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return c.nodes[c.next%len(c.nodes)]
}

func (c *cluster) inUse() *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// balanced are the options of a client whose every connection goes to another node.
func (c *cluster) balanced(transports ...string) client.Options {
	return client.Options{Transports: transports, DialContext: c.dial}
}

// person is a client with a name.
type person struct {
	*client.Socket
	name  string
	heard chan string // what was said to it
	told  chan client.Args
	ready chan string // ids, by connects
	lost  chan client.Disconnect
}

// enter connects a client.
func (c *cluster) enter(t *testing.T, url, name string, o client.Options) *person {
	t.Helper()
	p := &person{
		name: name, heard: make(chan string, 10_000), told: make(chan client.Args, 100), ready: make(chan string, 100), lost: make(chan client.Disconnect, 100),
	}
	o.Auth, o.Logger, o.Parser, o.PerMessageDeflate = map[string]string{"name": name}, quiet, c.Parser, c.PerMessageDeflate
	o.Reconnect.Delay, o.Reconnect.DelayMax = time.Millisecond, 5*time.Millisecond
	o.CloseTimeout = 50 * time.Millisecond
	welcome := make(chan string, 100)
	s, err := client.Dial(testContext(t), url, o, func(s *client.Socket) {
		client.On(s, "said", func(_ context.Context, text string) { p.heard <- text })
		client.On(s, "told", func(_ context.Context, a client.Args) { p.told <- a })
		client.On(s, "welcome", func(_ context.Context, name string) { welcome <- name })
		client.Handle(s, "name?", func(context.Context, client.None) (string, error) { return name, nil })
		s.OnConnect(func(context.Context) { p.ready <- s.ID() })
		s.OnDisconnect(func(_ context.Context, d client.Disconnect) { p.lost <- d })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p.Socket = s
	equal(t, receive(t, welcome), name)
	return p
}

// transports are the ways to a node, for a client each.
var transports = [][]string{{client.WebSocket}, {client.Polling}, nil}

// crowd is six clients, a to f, two at each node, and on every transport.
func (c *cluster) crowd(t *testing.T) []*person {
	t.Helper()
	var all []*person
	for i := range 6 {
		o := client.Options{Transports: transports[i%len(transports)]}
		all = append(all, c.enter(t, c.nodes[i/2].url(), string(rune('a'+i)), o))
	}
	return all
}

func (p *person) call(t *testing.T, event string, values ...any) {
	t.Helper()
	if _, err := client.Call[client.None](testContext(t), p.Socket, event, values...); err != nil {
		t.Fatal(p.name, event, err)
	}
}

// join puts the clients with these letters into a room.
func join(t *testing.T, all []*person, room, letters string) {
	t.Helper()
	for _, p := range all {
		if strings.Contains(letters, p.name) {
			p.call(t, "join", room)
		}
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// same compares lists in any order.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still not: ", what)
		}
	}
}
