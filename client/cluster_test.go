package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node"
)

// member is a node of a cluster, and the connections to it.
type member struct {
	srv *node.Server
	web *httptest.Server
	l   net.Listener

	mu    sync.Mutex
	conns map[net.Conn]bool
	dead  bool
}

// Accept implements net.Listener.
func (m *member) Accept() (net.Conn, error) {
	conn, err := m.l.Accept()
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

func (m *member) Close() error   { return m.l.Close() }
func (m *member) Addr() net.Addr { return m.l.Addr() }

// stop ends the node for its clients at once, without a word: the listener and all
// connections are gone.
func (m *member) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	m.l.Close()
	for conn := range m.conns {
		conn.Close()
	}
}

// cluster is three nodes behind one address: connections go to the living ones in
// turn, as by a balancer.
type cluster struct {
	nodes []*member

	mu   sync.Mutex
	next int
	used *member // by the last connection

	received []string // by the events "item"
}

func newCluster(t *testing.T) *cluster {
	c := new(cluster)
	hub := new(adapter.Hub)
	for range 3 {
		srv, err := node.New(node.Config{Adapter: hub.Factory, Recovery: new(node.Recovery), Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		srv.Of("/").OnConnect(func(ctx context.Context, s *node.Socket) error { return s.Join(ctx, "room") })
		node.Handle(srv.Of("/"), "item", func(ctx context.Context, s *node.Socket, item string) (string, error) {
			c.mu.Lock()
			c.received = append(c.received, item)
			c.mu.Unlock()
			return item, nil
		})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		m := &member{srv: srv, l: l, conns: make(map[net.Conn]bool), web: httptest.NewUnstartedServer(srv)}
		m.web.Listener.Close()
		m.web.Listener = m
		m.web.Start()
		t.Cleanup(func() {
			m.stop()
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			m.web.Close()
		})
		c.nodes = append(c.nodes, m)
	}
	return c
}

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

// TestNodeLoss stops the client's node twice while it sends and receives: it comes
// back on another one with its state, what it missed follows, and every item that
// it sends arrives at least once and in order.
func TestNodeLoss(t *testing.T) {
	c := newCluster(t)
	const items = 60
	o := fast(Options{Transports: []string{WebSocket}, DialContext: c.dial, Retries: 1000, AckTimeout: 5 * time.Second})
	var rec *recorder
	heard := make(chan int, 1000)
	s, err := Dial(testContext(t), "http://cluster", o, func(s *Socket) {
		rec = record(s)
		On(s, "said", func(_ context.Context, n int) { heard <- n })
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := recv(t, rec.connects)
	ctx := testContext(t)
	said := 0
	for i := range items {
		item := fmt.Sprint("item ", i)
		if i%2 == 0 {
			if err := s.Emit(ctx, "item", item); err != nil {
				t.Fatal(err)
			}
		} else if got, err := Call[string](ctx, s, "item", item); err != nil || got != item {
			t.Fatal(got, err)
		}
		if i == 20 || i == 40 {
			m := c.inUse()
			m.stop()
			equal(t, recv(t, rec.disconnects).Reason, ReasonTransportClose)
			other := c.nodes[(slices.Index(c.nodes, m)+1)%len(c.nodes)]
			for range 3 { // missed, or not, as it happens
				said++
				if err := other.srv.Of("/").To("room").Emit(ctx, "said", said); err != nil {
					t.Fatal(err)
				}
			}
			equal(t, recv(t, rec.connects), id)
			if !s.Recovered() || c.inUse() == m {
				t.Fatal("not recovered elsewhere")
			}
		}
	}
	for n := range said {
		equal(t, recv(t, heard), n+1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	unique := slices.Compact(slices.Clone(c.received))
	for i := range items {
		if i >= len(unique) || unique[i] != fmt.Sprint("item ", i) {
			t.Fatalf("received %q", c.received)
		}
	}
	equal(t, len(unique), items)
}
