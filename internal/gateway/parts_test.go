package gateway

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

const (
	testKey    = "0123456789abcdef0123456789abcdef"
	testSecret = "a secret of thirty-two bytes, and more"
)

// token is a JWT of a user, signed by HS256.
func token(t testing.TB, secret, user string, expires time.Time) string {
	t.Helper()
	encode := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(data)
	}
	head := encode(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + encode(map[string]any{
		"sub": user, "exp": expires.Unix(), "iat": time.Now().Unix(), "rooms": []string{"team"},
	})
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, head)
	return head + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// withRules is a configuration with something of each part.
func withRules(c *config.Config) {
	c.Auth.JWT.Secret = config.NewSecret(testSecret)
	c.API.Keys = []config.APIKey{{
		Name: "test", Key: config.NewSecret(testKey),
		Scopes: []string{"publish", "manage", "read"}, Namespaces: []string{"*"},
	}}
	c.Namespaces = []config.Namespace{
		{Name: "/", Auth: []string{"anonymous"}, Routes: []config.Route{
			{Events: []string{"say"}, Relay: &config.Relay{Self: true}},
			{Events: []string{"join"}, Join: &config.RoomRule{Rooms: []string{"public-*"}}},
		}},
		{Name: "/private", Auth: []string{"jwt"}, Routes: []config.Route{
			{Events: []string{"say"}, Relay: &config.Relay{To: []string{"team"}, Members: true, Self: true}},
		}},
	}
}

// post asks the HTTP API.
func (g *testGateway) post(path, body string) (status int, answer string) {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url(adminRole)+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return res.StatusCode, string(text)
}

// listener collects what a client hears.
func hears(event string, to chan<- string) func(*client.Socket) {
	return func(s *client.Socket) {
		client.On(s, event, func(_ context.Context, text string) { to <- text })
	}
}

func next(t testing.TB, from <-chan string) string {
	t.Helper()
	select {
	case text := <-from:
		return text
	case <-time.After(patience):
		t.Fatal("nothing came")
		return ""
	}
}

// A token lets in, a route relays, the API emits.
func TestParts(t *testing.T) {
	g := start(t, testConfig(withRules))
	heard := make(chan string, 10)
	for name, auth := range map[string]any{
		"no token":     nil,
		"wrong secret": map[string]string{"token": token(t, "another secret of thirty-two bytes", "eve", time.Now().Add(time.Hour))},
		"expired":      map[string]string{"token": token(t, testSecret, "eve", time.Now().Add(-time.Hour))},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		s, err := client.Dial(ctx, g.url(clientsRole)+"/private", client.Options{Auth: auth, Reconnect: client.ReconnectOptions{Disabled: true}})
		if err == nil {
			t.Error(name, "was let in")
			s.Close()
		}
		cancel()
	}
	auth := map[string]string{"token": token(t, testSecret, "ann", time.Now().Add(time.Hour))}
	ann := g.dial("/private", client.Options{Auth: auth}, hears("say", heard))
	if err := ann.Emit(t.Context(), "say", "hello"); err != nil {
		t.Fatal(err)
	}
	if got := next(t, heard); got != "hello" {
		t.Error(got)
	}
	if status, body := g.post("/v1/emit", `{"namespace":"/private","to":["team"],"event":"say","args":["from a backend"]}`); status >= 300 {
		t.Error(status, body)
	}
	if got := next(t, heard); got != "from a backend" {
		t.Error(got)
	}
	if status, _ := get(t, g.url(clientsRole)+"/v1/emit"); status != 404 {
		t.Error("the API on the port of clients:", status)
	}
}

// A webhook decides and answers; a dead one costs its clients' events only.
func TestPartsWebhook(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Webhook-Signature") == "" || !bytes.Contains(body, []byte(`"event"`)) {
			t.Errorf("%v %s", r.Header, body)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ack":["pong"]}`)
	}))
	defer backend.Close()
	g := start(t, testConfig(withRules, func(c *config.Config) {
		c.Webhooks = map[string]config.Webhook{"backend": {
			URL: backend.URL, Secret: config.NewSecret(testSecret), Timeout: patience, MaxConcurrent: 4, AllowHTTP: true, AllowPrivate: true,
		}}
		c.Namespaces[0].Routes = append(c.Namespaces[0].Routes, config.Route{Events: []string{"ping"}, Webhook: "backend"})
	}))
	s := g.dial("/", client.Options{})
	if got, err := client.Call[string](t.Context(), s, "ping", 1); err != nil || got != "pong" {
		t.Error(got, err)
	}
}

// Two gateways on one Redis are one cluster, for clients and for backends.
func TestCluster(t *testing.T) {
	redis := miniredis.RunT(t)
	for _, adapter := range []string{"classic", "streams"} {
		t.Run(adapter, func(t *testing.T) {
			var nodes []*testGateway
			for range 2 {
				nodes = append(nodes, start(t, testConfig(withRules, func(c *config.Config) {
					c.Redis.Addresses, c.Redis.Adapter = []string{redis.Addr()}, adapter
					c.Redis.Prefix = "test-" + adapter
				})))
			}
			eventually(t, "both know each other", func() bool {
				return len(nodes[0].node.Nodes()) == 2 && len(nodes[1].node.Nodes()) == 2
			})
			eventually(t, "both are advertised", func() bool {
				for _, n := range nodes[0].node.Nodes() {
					if !strings.HasPrefix(n.Address, "http://127.0.0.1:") {
						return false
					}
				}
				return true
			})
			heard := make(chan string, 10)
			nodes[0].dial("/", client.Options{}, hears("say", heard))
			b := nodes[1].dial("/", client.Options{})
			if err := b.Emit(t.Context(), "say", "over there"); err != nil {
				t.Fatal(err)
			}
			if got := next(t, heard); got != "over there" {
				t.Error(got)
			}
			if status, body := nodes[1].post("/v1/emit", `{"all":true,"event":"say","args":["to all"]}`); status >= 300 {
				t.Error(status, body)
			}
			if got := next(t, heard); got != "to all" {
				t.Error(got)
			}
		})
	}
}
