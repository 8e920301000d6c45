package client

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/fanwire/fanwire/node"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// startNode serves what testdata/official.mjs serves.
func startNode(t testing.TB, cfg node.Config) string {
	t.Helper()
	cfg.Logger, cfg.PingInterval, cfg.PingTimeout = quiet, 300*time.Millisecond, 20*time.Second
	srv, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/", "/chat"} {
		serveEvents(srv.Of(name))
	}
	srv.Of("/deny").Use(func(node.ConnectFunc) node.ConnectFunc {
		return func(context.Context, *node.Socket) error {
			return &node.ConnectError{Message: "nope", Data: map[string]int{"code": 7}}
		}
	})
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return web.URL
}

func serveEvents(ns *node.Namespace) {
	ns.OnConnect(func(ctx context.Context, s *node.Socket) error {
		var auth any
		_ = s.Auth(&auth)
		h := s.Handshake()
		query := make(map[string]string)
		for name := range h.Query {
			query[name] = h.Query.Get(name)
		}
		return s.Emit(ctx, "hello", auth, query, h.Header.Get("X-Test"), s.Recovered())
	})
	node.On(ns, "echo", func(ctx context.Context, s *node.Socket, a node.Args) error {
		if err := s.Emit(ctx, "echoed", a); err != nil {
			return err
		}
		if err := node.Reply(ctx, a); !errors.Is(err, node.ErrNoAck) {
			return err
		}
		return nil
	})
	node.Handle(ns, "ask", func(ctx context.Context, s *node.Socket, a node.Args) (node.Args, error) {
		return node.Call[node.Args](ctx, s, "question", a)
	})
	node.On(ns, "burst", func(ctx context.Context, s *node.Socket, n int) error {
		for i := range n {
			if err := s.Emit(ctx, "n", i); err != nil {
				return err
			}
		}
		return nil
	})
	node.Handle(ns, "transport", func(_ context.Context, s *node.Socket, _ node.None) (string, error) { return s.Transport(), nil })
	node.On(ns, "bye", func(_ context.Context, s *node.Socket, _ node.None) error { s.Disconnect(false); return nil })
	node.On(ns, "bye all", func(_ context.Context, s *node.Socket, _ node.None) error { s.Disconnect(true); return nil })
	node.On(ns, "close session", func(_ context.Context, s *node.Socket, _ node.None) error { s.CloseSession(nil); return nil })
	node.Handle(ns, "join", func(ctx context.Context, s *node.Socket, room string) (node.None, error) {
		return node.None{}, s.Join(ctx, room)
	})
	node.On(ns, "to room", func(ctx context.Context, s *node.Socket, in node.Tuple2[string, int]) error {
		return s.Namespace().To(in.A).Emit(ctx, "from room", in.B)
	})
}

func TestNode(t *testing.T) {
	servers := map[string]string{
		"text":    startNode(t, node.Config{}),
		"msgpack": startNode(t, node.Config{Parser: msgpack.Parser}),
		"deflate": startNode(t, node.Config{PerMessageDeflate: true}),
	}
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			s, rec := dialPeer(t, servers[m.server], m)
			checkAll(t, s, rec, m)
			checkRetries(t, servers[m.server], m)
			checkEnds(t, s, rec, []end{
				{"close session", ReasonTransportClose}, // SIO-X-09
				{"bye", ReasonServer},                   // SIO-X-02
				{"bye all", ReasonServer},               // SIO-X-03
			})
		})
	}
}

func TestNodeUpgradeUnderLoad(t *testing.T) { checkUpgrades(t, startNode(t, node.Config{})) }
