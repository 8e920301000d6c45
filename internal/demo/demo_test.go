package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fanwire/fanwire/client"
)

func startDemo(t *testing.T, cfg Config) *Demo {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, d) })
	return d
}

func TestConfigReportsEveryProblem(t *testing.T) {
	_, err := Start(t.Context(), Config{Nodes: 100, ClientDir: t.TempDir(), Redis: "http://x"})
	for _, want := range []string{"100 nodes", "client files", "address of Redis"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	d := startDemo(t, Config{Nodes: 1})
	_, err := Start(t.Context(), Config{Nodes: 2, Listen: d.front.Addr().String(), Logger: quiet()})
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

// The nodes wait for a Redis that does not answer only so long.
func TestNoRedis(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan error, 1)
	go func() {
		_, err := Start(ctx, Config{Nodes: 1, Listen: "127.0.0.1:0", Redis: dead(t), Logger: quiet()})
		started <- err
	}()
	cancel()
	if err := <-started; err == nil || !strings.Contains(err.Error(), "node n1 is not ready") {
		t.Error(err)
	}
}

func TestPage(t *testing.T) {
	url := startDemo(t, Config{}).URL()
	res, page := do(t, url, request{path: "/"})
	page = html.UnescapeString(page)
	for _, id := range []string{"node", "transport", "messages", "form", "input", "via", "nodes", "status"} {
		if !strings.Contains(page, `id="`+id+`"`) {
			t.Errorf("the page has no #%s", id)
		}
	}
	if !strings.Contains(page, cdnClient) || !strings.Contains(page, `integrity="`+cdnIntegrity+`"`) {
		t.Error("the page does not load the client from the CDN, or without its hash")
	}
	if res.Header.Get("Content-Security-Policy") == "" {
		t.Error("no content security policy")
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page, -1) {
		if res, body := do(t, url, request{path: m[1]}); res.StatusCode != 200 || body == "" {
			t.Errorf("%s: %s", m[1], res.Status)
		}
	}
}

// HRD-17: exact paths, nothing echoed.
func TestOtherPaths(t *testing.T) {
	url := startDemo(t, Config{Nodes: 1}).URL()
	for _, path := range []string{"/nothing", "//", "/chat.js/", "/page/chat.js", "/%2e%2e/etc/passwd", "/socket.iox", "/../../etc/passwd"} {
		if res, body := do(t, url, request{path: path}); res.StatusCode != 404 || strings.Contains(body, "passwd") {
			t.Errorf("%s: %s %q", path, res.Status, body)
		}
	}
	if res, _ := do(t, url, request{method: "POST", path: "/"}); res.StatusCode != 405 {
		t.Errorf("POST /: %s", res.Status)
	}
}

func TestNodesList(t *testing.T) {
	url := startDemo(t, Config{Nodes: 2}).URL()
	_, body := do(t, url, request{path: "/nodes"})
	if want := `[{"node":"n1","online":0,"up":true},{"node":"n2","online":0,"up":true}]`; body != want {
		t.Errorf("nodes %s", body)
	}
}

func TestClientDir(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.min.js.map", "socket.io.esm.min.js", "socket.io.msgpack.min.js"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("// "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	url := startDemo(t, Config{Nodes: 1, ClientDir: dir}).URL()
	if _, page := do(t, url, request{path: "/"}); !strings.Contains(page, `src="/socket.io/socket.io.min.js"`) || strings.Contains(page, "cdn.socket.io/4") {
		t.Error("the page does not load the local client")
	}
	for _, name := range []string{"socket.io.js", "socket.io.min.js", "socket.io.min.js.map", "socket.io.esm.min.js", "socket.io.msgpack.min.js"} {
		if res, body := do(t, url, request{path: "/socket.io/" + name}); res.StatusCode != 200 || body != "// "+name {
			t.Errorf("%s: %s %q", name, res.Status, body)
		}
	}
}

func TestSendRefuses(t *testing.T) {
	url := startDemo(t, Config{Nodes: 1}).URL()
	tests := []struct {
		method, body string
		want         int
	}{
		{"GET", "", 405},
		{"POST", "", 400},
		{"POST", " \n", 400},
		{"POST", "\xff\xfe", 400},
		{"POST", strings.Repeat("a", maxText+1), 413},
		{"POST", "hello", 200},
	}
	for _, tt := range tests {
		if res, _ := do(t, url, request{method: tt.method, path: "/send", body: tt.body}); res.StatusCode != tt.want {
			t.Errorf("%s of %d bytes: %s, want %d", tt.method, len(tt.body), res.Status, tt.want)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/send", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "http://evil.example")
	r.Close = true
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("from a foreign page: %s", res.Status)
	}
}

// Run prints stable lines and ends with its context, without an error.
func TestRunJSON(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{Listen: "127.0.0.1:0", Nodes: 2, Logger: quiet()}, w, true)
		_ = w.Close()
	}()
	var events []string
	for dec := json.NewDecoder(r); ; {
		var l map[string]string
		if err := dec.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		events = append(events, strings.Join([]string{l["event"], l["role"], l["node"]}, " "))
		switch l["event"] {
		case "listening":
			if !regexp.MustCompile(`^(http|redis)://127\.0\.0\.1:\d+$`).MatchString(l["url"]) {
				t.Errorf("url %q", l["url"])
			}
		case "ready":
			if len(l) != 1 {
				t.Errorf("ready with %v", l)
			}
			cancel()
		}
	}
	want := []string{"listening balancer ", "listening node n1", "listening node n2", "listening redis ", "ready  ", "stopping  "}
	if !slices.Equal(events, want) {
		t.Errorf("events %q", events)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A demo that ends lets its clients go: what is queued for them arrives, over
// either transport, and they are told to come back (HRD-53, HRD-70).
func TestRunDrains(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{Listen: "127.0.0.1:0", Nodes: 2, Logger: quiet()}, w, true)
		_ = w.Close()
	}()
	var address string
	dec := json.NewDecoder(r)
	for ready := false; !ready; {
		var l map[string]string
		if err := dec.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l["role"] == "balancer" {
			address = l["url"]
		}
		ready = l["event"] == "ready"
	}
	go func() { _, _ = io.Copy(io.Discard, r) }() // ends with Run
	var guests []*guest
	left := make(chan client.Disconnect, 10)
	for _, transport := range []string{client.Polling, client.WebSocket, client.Polling, client.WebSocket} {
		g := join(t, address, client.Options{Transports: []string{transport}})
		g.OnDisconnect(func(_ context.Context, d client.Disconnect) { left <- d })
		guests = append(guests, g)
	}
	guests[0].say(t, "last words")
	for _, g := range guests {
		g.hears(t, "last words")
	}
	cancel()
	for range guests {
		select {
		case d := <-left:
			if d.Reason != "transport close" {
				t.Errorf("left for %q (%v)", d.Reason, d.Err)
			}
		case <-time.After(patience):
			t.Fatal("a client was not let go")
		}
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestPlainLines(t *testing.T) {
	var out bytes.Buffer
	p := printer{out: &out}
	for _, l := range []line{
		{Event: "listening", Role: "balancer", URL: "http://a"},
		{Event: "listening", Role: "node", Node: "n1", URL: "http://b"},
		{Event: "stopping"},
	} {
		p.print(l)
	}
	if want := "balancer  http://a\nnode n1   http://b\nstopping\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}
