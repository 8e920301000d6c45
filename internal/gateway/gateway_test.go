package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// patience bounds every wait in tests. Nothing waits for it to pass.
const patience = time.Minute

// testConfig are the defaults on free ports, with a quick end.
func testConfig(change ...func(*config.Config)) *config.Config {
	cfg := config.Defaults()
	cfg.Listen.Address, cfg.Admin.Address = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Drain.Delay, cfg.Drain.Spread = 0, 0
	for _, f := range change {
		f(cfg)
	}
	return cfg
}

// testGateway is a gateway that serves.
type testGateway struct {
	*Gateway
	t testing.TB
}

func start(t testing.TB, cfg *config.Config, opts ...func(*Options)) *testGateway {
	t.Helper()
	o := Options{Logger: quiet()}
	for _, f := range opts {
		f(&o)
	}
	g, err := New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.waitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return &testGateway{g, t}
}

// url is where a role listens.
func (g *testGateway) url(role string) string {
	g.t.Helper()
	for _, e := range g.Endpoints() {
		if e.Role == role {
			return e.URL
		}
	}
	g.t.Fatalf("nothing listens for %s: %v", role, g.Endpoints())
	return ""
}

// dial connects a client to a namespace.
func (g *testGateway) dial(namespace string, o client.Options, handlers ...func(*client.Socket)) *client.Socket {
	g.t.Helper()
	s, err := g.tryDial(clientsRole, namespace, o, handlers...)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func (g *testGateway) tryDial(role, namespace string, o client.Options, handlers ...func(*client.Socket)) (*client.Socket, error) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	s, err := client.Dial(ctx, g.url(role)+namespace, o, handlers...)
	if err == nil {
		g.t.Cleanup(func() { s.Close() })
	}
	return s, err
}

func get(t testing.TB, url string) (status int, body string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return res.StatusCode, string(text)
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("%s: not within %v", what, patience)
}

// Without any configuration there is a server, an embedded Redis, and a word about
// it.
func TestNoConfiguration(t *testing.T) {
	var log logged
	g := start(t, testConfig(), func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, transports := range [][]string{{client.Polling}, {client.WebSocket}, nil} {
		if s := g.dial("/", client.Options{Transports: transports}); s.ID() == "" {
			t.Error(transports, "no id")
		}
	}
	eventually(t, "three sockets", func() bool { return g.node.Stats().Sockets == 3 }) // a client is told before it is counted
	if !strings.HasPrefix(g.url("redis"), "redis://127.0.0.1:") || !log.has("embedded Redis serves this node alone") {
		t.Error(log.String())
	}
}

// A node alone does without an adapter, and all that goes through one ends at once.
func TestNoAdapter(t *testing.T) {
	redis := miniredis.RunT(t)
	heard := make(chan string, 10)
	g := start(t, testConfig(withRules, func(c *config.Config) {
		c.Redis.Addresses, c.Redis.Adapter = []string{redis.Addr()}, "none"
		c.SocketIO.Recovery = time.Minute
	}))
	g.dial("/", client.Options{}, hears("say", heard))
	g.must("/v1/emit", `{"all":true,"event":"say","args":["by the API"]}`, "key-1")
	g.must("/v1/emit", `{"all":true,"event":"say","args":["by the API"]}`, "key-1") // is answered as before
	if got := next(t, heard); got != "by the API" {
		t.Error(got)
	}
	other := g.dial("/", client.Options{})
	if _, err := client.Call[any](t.Context(), other, "say", "relayed"); err != nil {
		t.Error(err)
	}
	if got := next(t, heard); got != "relayed" {
		t.Error(got)
	}
	g.must("/v1/server-emit", `{"event":"hello"}`, "")
	if subscribed := redis.PubSubChannels("*"); slices.ContainsFunc(subscribed, func(c string) bool { return strings.HasPrefix(c, "socket.io") }) {
		t.Errorf("it listens to %q", subscribed)
	}
}

func TestHealth(t *testing.T) {
	g := start(t, testConfig())
	clients, admin := g.url(clientsRole), g.url(adminRole)
	for _, tt := range []struct {
		url    string
		status int
		body   string
	}{
		{clients + livePath, 200, "ok\n"},
		{admin + livePath, 200, "ok\n"},
		{clients + readyPath, 200, "ready\n"},
		{clients + "/", 404, ""},
		{clients + "/debug/pprof/", 404, ""},
		{admin + "/socket.io/?EIO=4&transport=polling", 404, ""},
		{admin + "/debug/pprof/", 404, ""},
	} {
		if status, body := get(t, tt.url); status != tt.status || tt.body != "" && body != tt.body {
			t.Errorf("%s: %d %q", tt.url, status, body)
		}
	}
	if res, err := http.Post(clients+readyPath, "text/plain", nil); err != nil || res.StatusCode != http.StatusMethodNotAllowed {
		t.Error(res, err)
	}
	ready := func() (bool, []string) {
		t.Helper()
		_, body := get(t, admin+readyPath)
		var answer struct {
			Ready  bool
			Causes []string
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatal(body, err)
		}
		return answer.Ready, answer.Causes
	}
	if ok, causes := ready(); !ok || len(causes) != 0 {
		t.Error(ok, causes)
	}
	// Redis goes: alive, not ready, and only the admin listener says why.
	g.broker.embedded.Close()
	eventually(t, "not ready", func() bool { ok, _ := ready(); return !ok })
	if _, causes := ready(); len(causes) != 1 || !strings.Contains(causes[0], "namespace") {
		t.Error(causes)
	}
	if status, body := get(t, clients+readyPath); status != 503 || body != "not ready\n" {
		t.Error(status, body)
	}
	if status, _ := get(t, clients+livePath); status != 200 {
		t.Error("alive:", status)
	}
	if err := g.broker.embedded.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready again", func() bool { ok, _ := ready(); return ok })
}

func TestIndexAndPprof(t *testing.T) {
	g := start(t, testConfig(func(c *config.Config) { c.Admin.Pprof = true }), func(o *Options) { o.Version = "v<1>" })
	status, body := get(t, g.url(adminRole)+"/")
	for _, want := range []string{g.node.NodeID(), "v&lt;1&gt;", `href="/readyz"`, `href="/debug/pprof/"`, "Ready"} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, no %s in %s", status, want, body)
		}
	}
	if status, body := get(t, g.url(adminRole)+"/debug/pprof/"); status != 200 || !strings.Contains(body, "goroutine") {
		t.Error(status, body)
	}
}

func TestAdminOff(t *testing.T) {
	g := start(t, testConfig(func(c *config.Config) { c.Admin.Address = "off" }))
	for _, e := range g.Endpoints() {
		if e.Role == adminRole {
			t.Error(e)
		}
	}
}

// A drain is in its order (HRD-70): not ready at once, new clients until the delay is
// over, then none, and the old ones go.
func TestDrain(t *testing.T) {
	redis := miniredis.RunT(t) // the delay is for those who have other nodes
	g := start(t, testConfig(func(c *config.Config) {
		c.Redis.Addresses = []string{redis.Addr()}
		c.Drain.Delay, c.Drain.Timeout, c.Drain.NotReadyStatus = time.Hour, time.Hour, 404
	}))
	gone := make(chan string, 1)
	s := g.dial("/", client.Options{Reconnect: client.ReconnectOptions{Disabled: true}}, func(s *client.Socket) {
		s.OnDisconnect(func(_ context.Context, d client.Disconnect) { gone <- d.Reason })
	})
	// The delay lasts as long as the test likes.
	ctx, cancel := context.WithCancel(t.Context())
	drained := make(chan error, 1)
	go func() { drained <- g.Drain(ctx) }()
	eventually(t, "not ready", func() bool {
		status, _ := get(t, g.url(clientsRole)+readyPath)
		return status == 404
	})
	if _, body := get(t, g.url(adminRole)+readyPath); !strings.Contains(body, "draining") {
		t.Error(body)
	}
	g.dial("/", client.Options{}).Close() // still served
	cancel()
	if err := <-drained; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	cfg := *g.cfg.Load()
	cfg.Drain.Delay = 0
	g.cfg.Store(&cfg)
	if err := g.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	select {
	case <-gone:
	case <-time.After(patience):
		t.Error("the client was not let go:", s.Connected())
	}
	if status, _ := get(t, g.url(clientsRole)+"/socket.io/?EIO=4&transport=polling"); status != 503 {
		t.Error("a new session:", status)
	}
	if status, _ := get(t, g.url(clientsRole)+livePath); status != 200 {
		t.Error("alive:", status)
	}
}

// Mistakes are errors of New, which leaves nothing behind.
func TestNewErrors(t *testing.T) {
	for want, change := range map[string]func(*config.Config){
		"sharded":          func(c *config.Config) { c.Redis.Adapter = "sharded" },
		"redis.addresses":  func(c *config.Config) { c.Redis.Addresses = []string{"http://x"} },
		"redis.password":   func(c *config.Config) { c.Redis.Addresses = []string{"redis://:secret@x:1"} },
		"redis.mode":       func(c *config.Config) { c.Redis.Addresses, c.Redis.Mode = []string{"x:1"}, "many" },
		"redis.adapter":    func(c *config.Config) { c.Redis.Adapter = "pigeon" },
		"redis.tls":        func(c *config.Config) { c.Redis.Addresses, c.Redis.TLS.CAFile = []string{"rediss://x:1"}, "/none" },
		"parser":           func(c *config.Config) { c.SocketIO.Parser = "x" },
		"client_dir":       func(c *config.Config) { c.SocketIO.ClientDir = "/none" },
		"NodeID":           func(c *config.Config) { c.Node.ID = "a b" },
		"unix_mode":        func(c *config.Config) { c.Listen.UnixMode = "x" },
		"trusted_proxies":  func(c *config.Config) { c.Listen.TrustedProxies = []string{"x"} },
		"certificate":      func(c *config.Config) { c.Listen.TLS.CertFile, c.Listen.TLS.KeyFile = "/none", "/none" },
		"tls.min_version":  func(c *config.Config) { c.Admin.TLS = config.TLS{CertFile: "a", KeyFile: "a", MinVersion: "1.1"} },
		"ClusterSecret is": func(c *config.Config) { c.Node.ClusterSecret = config.NewSecret("short") },
	} {
		g, err := New(testConfig(change), Options{Logger: quiet()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if err == nil {
			_ = g.Shutdown(t.Context())
		} else if strings.Contains(err.Error(), "secret@") {
			t.Error("a secret in:", err)
		}
	}
}

// What could not begin, or never did, ends all the same.
func TestEndWithoutStart(t *testing.T) {
	idle, err := New(testConfig(withRules), Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := idle.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	g := start(t, testConfig())
	taken := strings.TrimPrefix(g.url(clientsRole), "http://")
	second, err := New(testConfig(func(c *config.Config) { c.Admin.Address = taken }), Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "admin: ") {
		t.Error("an address that is taken:", err)
	}
}

// The namespace of load tests is there when it is asked for, beside those of the rules.
func TestLoadTest(t *testing.T) {
	g := start(t, testConfig(func(c *config.Config) { c.LoadTest = true }))
	s := g.dial(config.LoadTestNamespace, client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := client.Call[int](ctx, s, "echo", 7); got != 7 || err != nil {
		t.Error(got, err)
	}
	g.dial("/", client.Options{})
	without := start(t, testConfig())
	c, err := client.Dial(ctx, without.url(clientsRole)+config.LoadTestNamespace, client.Options{})
	if err == nil {
		c.Close()
		t.Error("it is there by default")
	}
}
