package servecmd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fanwire/fanwire/internal/gateway"
	"github.com/fanwire/fanwire/internal/gateway/config"
)

// A session of a real node is opened and closed, though the first answers are those of a
// balancer without a node.
func TestHandshake(t *testing.T) {
	cfg := config.Defaults()
	cfg.Listen.Address, cfg.Admin.Address = "127.0.0.1:0", "off"
	g, err := gateway.New(cfg, gateway.Options{LogTo: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer g.Shutdown(t.Context())
	to, err := url.Parse(g.Endpoints()[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	var asked atomic.Int32
	site := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "no node", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer site.Close()
	out, err := run(t, "handshake", "--insecure", "--timeout=30s", site.URL)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "opened and closed") {
		t.Errorf("it prints %q", out)
	}
	if got := asked.Load(); got != 3 {
		t.Errorf("%d requests, want a refused one, the GET and the POST", got)
	}
	if _, err := run(t, "handshake", "--timeout=1s", site.URL); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

func TestHandshakeRefused(t *testing.T) {
	for name, test := range map[string]struct {
		status       int
		answer, want string
	}{
		"a page":          {http.StatusOK, "<html>", "no handshake"},
		"no id":           {http.StatusOK, `0{"sid":""}`, "no handshake"},
		"another path":    {http.StatusNotFound, "", "404"},
		"a closed answer": {http.StatusOK, "", "no handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.answer)
			}))
			defer site.Close()
			if _, err := run(t, "handshake", "--timeout=1s", site.URL); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	for _, url := range []string{"ftp://127.0.0.1", "127.0.0.1:3000", "http://"} {
		if _, err := run(t, "handshake", url); err == nil || !strings.Contains(err.Error(), "URL") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
