package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node"
)

// patience bounds every wait. Nothing waits for it to pass.
const patience = 60 * time.Second

// server is the server's side of a test, with faults. It delivers what is said to one
// member after the other, and counts what it does wrong.
type server struct {
	url  string
	node *node.Server

	// Faults, each for every so many deliveries; 0: none. To be set before the test.
	drop, double, swap int64
	delay              time.Duration // of what is said
	stall              time.Duration // of the first echo
	refuse             error         // of clients

	dropped, doubled, swapped, delivered, echoes atomic.Int64

	mu      sync.Mutex // guards the fields below; deliveries are in order
	members map[string][]*node.Socket
	count   int64
	held    map[*node.Socket]node.Args // to be overtaken by the next one
}

// start serves until the test ends. Nodes on the same hub are one cluster.
func start(t testing.TB, cfg node.Config) *server {
	t.Helper()
	return serve(t, cfg, (*server).mount)
}

func serve(t testing.TB, cfg node.Config, mount func(s *server, ns *node.Namespace)) *server {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	srv, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{node: srv, members: make(map[string][]*node.Socket), held: make(map[*node.Socket]node.Args)}
	mount(s, srv.Of("/loadtest"))
	web := httptest.NewServer(srv)
	s.url = web.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = srv.Shutdown(ctx)
		web.Close()
	})
	return s
}

func (s *server) mount(ns *node.Namespace) {
	ns.Use(func(next node.ConnectFunc) node.ConnectFunc {
		return func(ctx context.Context, c *node.Socket) error {
			if s.refuse != nil {
				return s.refuse
			}
			s.mu.Lock()
			s.members[everybody] = append(s.members[everybody], c)
			s.mu.Unlock()
			return next(ctx, c)
		}
	})
	node.Handle(ns, "echo", func(_ context.Context, _ *node.Socket, a node.Args) (node.Args, error) {
		if s.echoes.Add(1) == 100 {
			time.Sleep(s.stall) // the fault that is looked for
		}
		return a, nil
	})
	node.Handle(ns, "join", func(ctx context.Context, c *node.Socket, room string) (node.None, error) {
		s.mu.Lock()
		s.members[room] = append(s.members[room], c)
		s.mu.Unlock()
		return node.None{}, c.Join(ctx, room)
	})
	node.Handle(ns, "leave", func(_ context.Context, c *node.Socket, room string) (node.None, error) {
		s.remove(c, room)
		c.Leave(room)
		return node.None{}, nil
	})
	ns.OnDisconnect(func(_ context.Context, c *node.Socket, _ node.Disconnect) { s.remove(c, "") })
	node.Handle(ns, "say", func(ctx context.Context, _ *node.Socket, a node.Args) (node.None, error) {
		var room string
		if err := a.Bind(0, &room); err != nil {
			return node.None{}, err
		}
		if s.drop+s.double+s.swap == 0 {
			time.Sleep(s.delay)
			return node.None{}, ns.To(room).Emit(ctx, "msg", a.From(1))
		}
		s.say(ctx, room, a.From(1))
		return node.None{}, nil
	})
	node.Handle(ns, "all", func(ctx context.Context, _ *node.Socket, a node.Args) (node.None, error) {
		if s.drop+s.double+s.swap == 0 {
			return node.None{}, ns.Emit(ctx, "msg", a)
		}
		s.say(ctx, everybody, a)
		return node.None{}, nil
	})
}

// everybody is the room of all.
const everybody = "everybody"

// remove takes a client out of a room, or of all.
func (s *server) remove(c *node.Socket, room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, members := range s.members {
		if room == "" || name == room {
			s.members[name] = slices.DeleteFunc(members, func(o *node.Socket) bool { return o == c })
		}
	}
}

// say delivers with faults.
func (s *server) say(ctx context.Context, room string, a node.Args) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.members[room] {
		s.count++
		every := func(n int64) bool { return n > 0 && s.count%n == 0 }
		if held, ok := s.held[c]; ok {
			delete(s.held, c)
			s.emit(ctx, c, a)
			s.emit(ctx, c, held)
			s.swapped.Add(1)
			continue
		}
		switch {
		case every(s.drop):
			s.dropped.Add(1)
		case every(s.double):
			s.doubled.Add(1)
			s.emit(ctx, c, a)
			s.emit(ctx, c, a)
		case every(s.swap):
			s.held[c] = a
		default:
			s.emit(ctx, c, a)
		}
	}
}

func (s *server) emit(ctx context.Context, c *node.Socket, a node.Args) {
	if c.Emit(ctx, "msg", a) == nil {
		s.delivered.Add(1)
	}
}

// cluster starts nodes that share a hub.
func cluster(t testing.TB, n int) []*server {
	t.Helper()
	hub := new(adapter.Hub)
	all := make([]*server, n)
	for i := range all {
		all[i] = start(t, node.Config{Adapter: hub.Factory, NodeID: string(rune('a' + i))})
	}
	for _, s := range all {
		if err := s.node.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

var errRefused = errors.New("no entry")

func compact(t testing.TB, raw json.RawMessage) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(v)
	return string(text)
}
