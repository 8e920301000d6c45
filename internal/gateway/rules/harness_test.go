package rules

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/node"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds every wait in tests. Nothing waits for it to pass.
const patience = time.Minute

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// gateway is a node with rules over real HTTP on the loopback.
type gateway struct {
	*Rules
	url string
}

// start starts a node with rules and sees to its end.
func start(t testing.TB, s Settings, opts Options, cfg node.Config) *gateway {
	t.Helper()
	table, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Logger, opts.Logger = quiet(), quiet()
	srv, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{Rules: New(srv, table, opts)}
	server := httptest.NewServer(srv)
	g.url = server.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(srv.Shutdown(ctx), g.Close(ctx)); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	return g
}

// cluster starts nodes that share a Redis.
func cluster(t testing.TB, n int, s Settings, opts Options) (list []*gateway, server *miniredis.Miniredis) {
	t.Helper()
	server = miniredis.RunT(t)
	for range n {
		rdb := redisClient(t, server.Addr())
		opts.Redis = rdb
		list = append(list, start(t, s, opts, node.Config{Adapter: redis.NewAdapter(rdb, redis.Config{})}))
	}
	ready(t, list)
	return list, server
}

// ready waits until all namespaces that there are hear the other nodes.
func ready(t testing.TB, list []*gateway) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, g := range list {
		if err := g.srv.Ready(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func redisClient(t testing.TB, addr string) *goredis.Client {
	rdb := goredis.NewClient(&goredis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// one is the settings of one namespace.
func one(ns config.Namespace) Settings {
	if ns.Name == "" {
		ns.Name = "/"
	}
	return Settings{Namespaces: []config.Namespace{ns}}
}

// routes is the settings of the root with some routes.
func routes(list ...config.Route) Settings { return one(config.Namespace{Routes: list}) }

// guest is a client.
type guest struct {
	*client.Socket
	t     testing.TB
	heard chan string // events as ["name",args...]
	gone  chan client.Disconnect
}

func (g *gateway) dial(t testing.TB, ns string, auth any) (*guest, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := &guest{t: t, heard: make(chan string, 10_000), gone: make(chan client.Disconnect, 10)}
	opts := client.Options{Auth: auth, Transports: []string{client.WebSocket}, Logger: quiet()}
	opts.Reconnect.Disabled = true
	var err error
	p.Socket, err = client.Dial(ctx, g.url+ns, opts, func(s *client.Socket) {
		s.OnAny(func(_ context.Context, event string, a client.Args) {
			name, _ := json.Marshal(event)
			text := "[" + string(name)
			for raw := range a.All() {
				text += "," + string(raw)
			}
			p.heard <- text + "]"
		})
		s.OnDisconnect(func(_ context.Context, d client.Disconnect) { p.gone <- d })
	})
	if err == nil {
		t.Cleanup(p.Client().Close)
	}
	return p, err
}

// enter connects a client to a namespace.
func (g *gateway) enter(t testing.TB, ns string, auth any) *guest {
	t.Helper()
	p, err := g.dial(t, ns, auth)
	if err != nil {
		t.Fatalf("connect to %s: %v", ns, err)
	}
	return p
}

// refused connects a client that is refused, and returns message and data.
func (g *gateway) refused(t testing.TB, ns string, auth any) string {
	t.Helper()
	_, err := g.dial(t, ns, auth)
	var ce *client.ConnectError
	if !errors.As(err, &ce) {
		t.Fatalf("connect to %s: %v, want a refusal", ns, err)
	}
	return ce.Message + " " + string(ce.Data)
}

// socket returns the socket of a client. One that recovers is told a moment before it
// can be found.
func (g *gateway) socket(t testing.TB, ns string, p *guest) (s *node.Socket) {
	t.Helper()
	eventually(t, "the socket is there", func() bool {
		n, ok := g.srv.Lookup(ns)
		if ok {
			s, ok = n.Socket(p.ID())
		}
		return ok
	})
	return s
}

// emit sends an event without an ack.
func (p *guest) emit(event string, values ...any) {
	p.t.Helper()
	if err := p.Emit(context.Background(), event, values...); err != nil {
		p.t.Fatal(err)
	}
}

// ask sends an event and returns its ack.
func (p *guest) ask(event string, values ...any) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := client.Call[client.Args](ctx, p.Socket, event, values...)
	if err != nil {
		p.t.Fatalf("%s: %v", event, err)
	}
	return string(a.JSON())
}

// answers sends an event and compares its ack.
func (p *guest) answers(want, event string, values ...any) {
	p.t.Helper()
	if got := p.ask(event, values...); got != want {
		p.t.Errorf("%s %.300v: got %s, want %s", event, values, got, want)
	}
}

// code sends an event that is refused and compares the code.
func (p *guest) code(want Code, event string, values ...any) {
	p.t.Helper()
	var no refusal
	if got := p.ask(event, values...); json.Unmarshal([]byte(got), &no) != nil || no.Code != want || no.Message == "" {
		p.t.Errorf("%s %.300v: got %s, want %s", event, values, got, want)
	}
}

// hears takes the next event.
func (p *guest) hears(want ...string) {
	p.t.Helper()
	for _, want := range want {
		select {
		case got := <-p.heard:
			if got != want {
				p.t.Errorf("heard %.200s, want %.200s", got, want)
			}
		case <-time.After(patience):
			p.t.Fatalf("did not hear %.200s", want)
		}
	}
}

// hearsNothing waits for an event that was emitted to the client after all others.
func (p *guest) hearsNothing(ns *node.Namespace) {
	p.t.Helper()
	if err := ns.To(p.ID()).Emit(context.Background(), "last"); err != nil {
		p.t.Fatal(err)
	}
	p.hears(`["last"]`)
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// hook is a webhook in the test itself.
type hook func(ctx context.Context, req webhook.Request) (webhook.Response, error)

func (h hook) Call(ctx context.Context, req webhook.Request) (webhook.Response, error) {
	return h(ctx, req)
}

// verifier takes tokens that the test has made.
type verifier map[string]identity.Grant

func (v verifier) Verify(_ context.Context, token string) (identity.Grant, error) {
	g, ok := v[token]
	if !ok {
		return g, identity.ErrInvalid
	}
	if !g.Expires.IsZero() && g.Expires.Before(time.Now()) {
		return g, identity.ErrExpired
	}
	return g, nil
}

// tokenOf is an auth payload.
func tokenOf(token string) map[string]any { return map[string]any{"token": token} }
