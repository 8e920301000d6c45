package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// logged collects what a logger writes.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// Reload changes what can be changed and keeps the clients; a mistake changes
// nothing.
func TestReload(t *testing.T) {
	var log logged
	g := start(t, testConfig(withRules), func(o *Options) { o.Logger, o.LogTo = nil, &log })
	debug := func() bool { return g.log.Enabled(t.Context(), slog.LevelDebug) }
	heard := make(chan string, 10)
	s := g.dial("/", client.Options{}, hears("say", heard), hears("shout", heard))
	emits := func(event string, want ...string) {
		t.Helper()
		if err := s.Emit(t.Context(), event, event); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if got := next(t, heard); got != w {
				t.Errorf("heard %q, want %q", got, w)
			}
		}
	}
	emits("say", "say")

	for want, change := range map[string]func(*config.Config){
		"routes": func(c *config.Config) {
			c.Namespaces[0].Routes = []config.Route{{Events: []string{"x"}, Webhook: "none"}}
		},
		"auth": func(c *config.Config) { // after the API, which is put back
			c.Auth.JWT.PublicKeyFile = "/none"
			c.API.Keys[0].Key = config.NewSecret("another key, of 32 bytes or more")
		},
		"api":     func(c *config.Config) { c.API.Keys = []config.APIKey{{Name: "a", Key: config.NewSecret("short")}} },
		"webhook": func(c *config.Config) { c.Webhooks = map[string]config.Webhook{"w": {URL: "ftp://x"}} },
		"limits":  func(c *config.Config) { c.Limits.HandshakeRate = -1 },
	} {
		cfg := testConfig(withRules, func(c *config.Config) { c.Log.Level = "debug" }, change)
		if err := g.Reload(cfg); err == nil {
			t.Error(want, "is no mistake")
		}
		if debug() {
			t.Error(want, "the level has changed")
		}
	}
	emits("say", "say")
	if status, body := g.post("/v1/emit", `{"all":true,"event":"say","args":["key still good"]}`); status >= 300 {
		t.Error(status, body)
	}
	next(t, heard)

	cfg := testConfig(withRules, func(c *config.Config) {
		c.Log.Level = "debug"
		c.Namespaces[0].Routes = []config.Route{{Events: []string{"shout"}, Relay: &config.Relay{Self: true}}}
		c.API.Keys[0].Key = config.NewSecret("another key, of 32 bytes or more")
		c.Limits.HandshakeRate, c.Limits.HandshakeBurst = 1e-9, 1
		c.SocketIO.PingInterval = time.Hour
		c.Node.ClusterSecret = config.NewSecret("something that nobody may see")
	})
	if err := g.Reload(cfg); err != nil {
		t.Fatal(err)
	}
	emits("say") // no route any more
	emits("shout", "shout")
	if status, _ := g.post("/v1/emit", `{"all":true,"event":"say","args":["x"]}`); status != 401 {
		t.Error("the old key:", status)
	}
	if !debug() || !s.Connected() {
		t.Error(debug(), s.Connected())
	}
	eventually(t, "the rate counts", func() bool {
		status, _ := get(t, g.url(clientsRole)+"/socket.io/?EIO=4&transport=polling")
		return status == 503
	})
	if !log.has("socketio.ping_interval") || !log.has("node.cluster_secret") || log.has("nobody may see") || log.has("limits.handshake_rate") {
		t.Error(log.String())
	}
	if g.cfg.Load().SocketIO.PingInterval == time.Hour {
		t.Error("what cannot be reloaded is in force")
	}
}

// Run serves until its context ends; SIGHUP reads the configuration again, and a
// wrong one is said in the log.
func TestRun(t *testing.T) {
	var log logged
	next := make(chan error, 1)
	started := make(chan []Endpoint, 1)
	g, err := New(testConfig(), Options{
		Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		Started: func(list []Endpoint) { started <- list },
		Load: func() (*config.Config, error) {
			return testConfig(), <-next
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	if list := <-started; len(list) != 3 {
		t.Error(list)
	}
	tg := &testGateway{g, t}
	eventually(t, "ready", func() bool { return log.has("msg=ready") })
	s := tg.dial("/", client.Options{})
	hangup := func(err error, want string) {
		t.Helper()
		next <- err
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, want, func() bool { return log.has(want) })
	}
	hangup(errors.New("line 7 is wrong"), "line 7 is wrong")
	hangup(nil, "the configuration was read again")
	if !s.Connected() {
		t.Error("the client is gone")
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("Run does not end")
	}
	for _, want := range []string{"draining", "stopped"} {
		if !log.has(want) {
			t.Errorf("no %q in the log", want)
		}
	}
}
