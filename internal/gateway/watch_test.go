package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// The metrics show what clients, backends and webhooks do.
func TestMetrics(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
	}))
	defer backend.Close()
	g := start(t, testConfig(withRules, func(c *config.Config) {
		c.Webhooks = map[string]config.Webhook{"backend": {
			URL: backend.URL, Secret: config.NewSecret(testSecret), Timeout: patience, MaxConcurrent: 4, AllowHTTP: true, AllowPrivate: true,
		}}
		c.Namespaces[0].Routes = append(c.Namespaces[0].Routes, config.Route{Events: []string{"ping"}, Webhook: "backend"})
	}))
	heard := make(chan string, 1)
	s := g.dial("/", client.Options{}, hears("say", heard))
	if err := s.Emit(t.Context(), "say", "x"); err != nil {
		t.Fatal(err)
	}
	next(t, heard)
	if answer, err := client.Call[map[string]any](t.Context(), s, "ping"); err != nil || answer["error"] == nil {
		t.Error(answer, err)
	}
	g.post("/v1/emit", `{"all":true,"event":"say","args":["x"]}`)
	next(t, heard)
	status, body := get(t, g.url(adminRole)+"/metrics")
	for _, want := range []string{
		"fanwire_ready 1", "fanwire_sockets 1", "fanwire_cluster_nodes 1", `fanwire_listener_connections{listener="client"}`,
		`webhook="backend"`, `operation="emit"`, "go_goroutines", "relay",
	} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, no %s", status, want)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
	if status, _ := get(t, g.url(clientsRole)+"/metrics"); status != 404 {
		t.Error("metrics on the port of clients:", status)
	}
}

// The log is JSON with the node's id.
func TestLog(t *testing.T) {
	var log logged
	g := start(t, testConfig(func(c *config.Config) { c.Node.ID = "n7" }), func(o *Options) { o.Logger, o.LogTo = nil, &log })
	line, rest, _ := strings.Cut(log.String(), "\n")
	if strings.Contains(line, "memory limit") { // where the process has one
		line, _, _ = strings.Cut(rest, "\n")
	}
	var l struct{ Level, Msg, Node string }
	if err := json.Unmarshal([]byte(line), &l); err != nil || l.Node != "n7" || l.Level != "WARN" {
		t.Errorf("%q: %v %+v", line, err, l)
	}
	if g.node.NodeID() != "n7" {
		t.Error(g.node.NodeID())
	}
}

// The console is there when it is wanted, and reaches clients' namespaces from its
// own origin.
func TestConsole(t *testing.T) {
	g := start(t, testConfig(func(c *config.Config) { c.Console.Enabled = true }))
	admin := g.url(adminRole)
	if status, body := get(t, admin+"/console/"); status != 200 || !strings.Contains(strings.ToLower(body), "<!doctype html>") {
		t.Error(status, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/socket.io/?EIO=4&transport=polling", nil)
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]int{admin: 200, "http://evil.example": 403} {
		req.Header.Set("Origin", origin)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Error(origin, res.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
