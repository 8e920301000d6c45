package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter/redis"
	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/leaktest"
	"github.com/fanwire/fanwire/node"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// patience bounds what must happen; no test waits for it when all is well.
const patience = time.Minute

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// Keys of the tests.
const (
	allKey     = "all-0123456789-0123456789-0123456789"
	publishKey = "publish-0123456789-0123456789-012345"
	manageKey  = "manage-0123456789-0123456789-0123456"
	readKey    = "read-0123456789-0123456789-012345678"
	tenantKey  = "tenant-0123456789-0123456789-0123456"
)

func apiKey(name, value, namespaces string, scopes ...string) config.APIKey {
	return config.APIKey{Name: name, Key: config.NewSecret(value), Scopes: scopes, Namespaces: []string{namespaces}}
}

func testConfig() config.API {
	return config.API{
		Keys: []config.APIKey{
			apiKey("all", allKey, "*", "publish", "manage", "read"),
			apiKey("publisher", publishKey, "*", "publish"),
			apiKey("manager", manageKey, "*", "manage"),
			apiKey("reader", readKey, "*", "read"),
			apiKey("tenant", tenantKey, "/tenant/*", "publish", "manage", "read"),
		},
		MaxBody:           1 << 20,
		IdempotencyWindow: time.Minute,
	}
}

// gateway is a node with its API.
type gateway struct {
	id      string
	srv     *node.Server
	api     *API
	redis   *goredis.Client
	clients *httptest.Server // for clients
	http    *httptest.Server // the API
	log     *logLines
}

// Open implements [command.Namespaces].
func (g *gateway) Open(name string) (*node.Namespace, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ns, release, ok := g.srv.Hold(ctx, name)
	if !ok {
		return nil, nil, command.ErrNoNamespace
	}
	return ns, release, nil
}

// testCluster is gateways that share a Redis.
type testCluster struct {
	nodes       []*gateway
	redis       *miniredis.Miniredis
	revocations *fakeRevocations
}

type fakeRevocations struct {
	mu   sync.Mutex
	list []identity.Revocation
	err  error
}

func (f *fakeRevocations) Revoke(_ context.Context, r identity.Revocation) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.User == "" && r.TokenID == "" && !r.All {
		return &identity.RevocationError{Problem: "exactly one of tokenId, user and all must be given"}
	}
	if f.err == nil {
		f.list = append(f.list, r)
	}
	return f.err
}

func (f *fakeRevocations) List() []identity.Revocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]identity.Revocation(nil), f.list...)
}

// logLines keeps what is logged.
type logLines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newCluster starts n gateways that know each other.
func newCluster(t testing.TB, n int) *testCluster {
	t.Helper()
	c := &testCluster{redis: miniredis.RunT(t), revocations: &fakeRevocations{}}
	for i := range n {
		c.nodes = append(c.nodes, c.start(t, fmt.Sprint("n", i+1)))
	}
	for _, g := range c.nodes {
		eventually(t, "the nodes know each other", func() bool { return len(g.srv.Nodes()) == n })
	}
	return c
}

// acquainted waits until the first node knows the others by name, which it does some
// moments after it has heard of them.
func (c *testCluster) acquainted(t testing.TB) {
	t.Helper()
	gate, others := make(chan struct{}, 1000), len(c.nodes)-1
	for _, g := range c.nodes[1:] {
		node.OnServer(g.srv, "probe", func(context.Context, *node.Namespace, node.None) error { <-gate; return nil })
	}
	eventually(t, "the first node knows the others", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		var partial *node.PartialError
		for _, err := range node.CallServers[node.None](ctx, c.nodes[0].srv.Of("/"), "probe") {
			_ = errors.As(err, &partial)
		}
		for range others {
			gate <- struct{}{}
		}
		return partial != nil && len(partial.Missing) == others
	})
}

func (c *testCluster) start(t testing.TB, id string) *gateway {
	t.Helper()
	g := &gateway{id: id, log: &logLines{}}
	g.redis = goredis.NewClient(&goredis.Options{Addr: c.redis.Addr(), MaxRetries: -1})
	var err error
	g.srv, err = node.New(node.Config{NodeID: id, Adapter: redis.NewAdapter(g.redis, redis.Config{Logger: quiet()}), Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	runner := command.NewRunner(command.Options{Namespaces: g, SetData: func(s *node.Socket, data json.RawMessage) {
		who, _ := node.Data[identity.Client](s)
		who.Data = data
		s.SetData(who)
	}})
	pattern := g.srv.OfPattern("/tenant/{id}")
	for _, ns := range []node.Handlers{g.srv, g.srv.Of("/chat"), pattern} {
		runner.Handle(ns)
	}
	for _, ns := range []interface {
		Use(func(node.ConnectFunc) node.ConnectFunc)
	}{g.srv, g.srv.Of("/chat"), pattern} {
		ns.Use(admit)
	}
	g.api, err = New(Options{
		Config: testConfig(), Server: g.srv, Runner: runner, Namespaces: g, Revocations: c.revocations,
		Redis: g.redis, Version: "test", Logger: slog.New(slog.NewTextHandler(g.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	g.serveClients(t)
	g.http = httptest.NewServer(g.api)
	t.Cleanup(func() { g.stop(t) })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.srv.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) serveClients(testing.TB) { g.clients = httptest.NewServer(g.srv) }

func (g *gateway) stop(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g.http.Close()
	if err := g.srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	g.clients.Close()
	g.redis.Close()
}

// admit takes the client for who it says it is.
func admit(next node.ConnectFunc) node.ConnectFunc {
	return func(ctx context.Context, s *node.Socket) error {
		var auth struct {
			User  string
			Data  json.RawMessage
			Rooms []string
		}
		if err := s.Auth(&auth); err != nil {
			return err
		}
		s.SetData(identity.Client{User: auth.User, Data: auth.Data})
		if err := s.Join(ctx, auth.Rooms...); err != nil {
			return err
		}
		return next(ctx, s)
	}
}

// guest is a client.
type guest struct {
	*client.Socket
	events chan string // "event arg,arg"
}

type auth map[string]any

func (g *gateway) connect(t testing.TB, namespace string, a auth, setup ...func(*client.Socket)) *guest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out := &guest{events: make(chan string, 1000)}
	setup = append(setup, func(s *client.Socket) {
		s.OnAny(func(_ context.Context, event string, a client.Args) {
			text, _ := command.Args{Args: a}.MarshalJSON()
			out.events <- event + " " + string(text)
		})
	})
	opts := client.Options{Transports: []string{"websocket"}, Auth: a, Logger: quiet()}
	opts.Reconnect.Disabled = true
	s, err := client.Dial(ctx, g.clients.URL+namespace, opts, setup...)
	if err != nil {
		t.Fatal(err)
	}
	out.Socket = s
	t.Cleanup(s.Close)
	if err := g.srv.Ready(ctx); err != nil { // a client does not wait for long until its new namespace hears the other nodes
		t.Fatal(err)
	}
	return out
}

func (g *guest) hears(t testing.TB, want ...string) {
	t.Helper()
	for _, want := range want {
		select {
		case got := <-g.events:
			if got != want {
				t.Fatalf("client got %q, want %q", got, want)
			}
		case <-time.After(patience):
			t.Fatalf("client did not get %q", want)
		}
	}
}

// answer is a response of the API.
type answer struct {
	*http.Response
	text string
}

func (a *answer) decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.text), v); err != nil {
		t.Fatalf("%v: %s", err, a.text)
	}
}

// do sends a request as the holder of a key; headers are "Name: value". Every answer
// is compared with openapi.yaml.
func (g *gateway) do(t testing.TB, key, method, path, body string, headers ...string) *answer {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, g.http.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Del(name)
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	res, err := g.http.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{res, string(text)}
	checkAnswer(t, g.api, req, a)
	return a
}

// get asks and expects 200.
func (g *gateway) get(t testing.TB, path string, v any) {
	t.Helper()
	a := g.do(t, allKey, "GET", path, "")
	if a.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s %s", path, a.Status, a.text)
	}
	a.decode(t, v)
}

// send sends JSON and expects a status.
func (g *gateway) send(t testing.TB, method, path, body string, status int, headers ...string) *answer {
	t.Helper()
	a := g.do(t, allKey, method, path, body, headers...)
	if a.StatusCode != status {
		t.Fatalf("%s %s %s: %s %s, want %d", method, path, body, a.Status, a.text, status)
	}
	return a
}
