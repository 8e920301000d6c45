package gateway

import (
	"bytes"
	"html/template"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/fanwire/fanwire/internal/gateway/adminui"
	"github.com/fanwire/fanwire/internal/gateway/config"
	"github.com/fanwire/fanwire/internal/gateway/console"
	"github.com/fanwire/fanwire/node"
)

// adminPort is what the admin listener serves: the parts that are there, and a page
// that lists them.
type adminPort struct {
	g     *Gateway
	mux   *http.ServeMux
	links []link
}

type link struct{ Path, Title string }

func (g *Gateway) newAdmin(cfg *config.Config) *adminPort {
	a := &adminPort{g: g, mux: http.NewServeMux()}
	a.mux.HandleFunc("/{$}", a.serveIndex)
	a.mount("/v1/", "The HTTP API; described in /v1/openapi.yaml", g.parts.api)
	if m := g.watch.metrics; m != nil {
		a.mount("/metrics", "Metrics for Prometheus", m.Handler())
	}
	if g.adminUI != nil && cfg.AdminUI.Dir != "" {
		a.mount(adminui.PagePath, "The official Socket.IO Admin UI", g.adminUI.Handler())
	}
	if cfg.Console.Enabled {
		a.mount(console.Path, "The console: connections to any namespace, and the cluster", console.Handler(console.Options{
			SocketPath: cfg.SocketIO.Path,
		}))
	}
	if cfg.Console.Enabled || g.adminUI != nil {
		// The pages are of another origin than the port of clients (HRD-13); here they are
		// of the same.
		a.mux.HandleFunc(strings.TrimSuffix(cfg.SocketIO.Path, "/")+"/", func(w http.ResponseWriter, r *http.Request) {
			g.node.ServeHTTP(w, node.Internal(r))
		})
	}
	if cfg.Admin.Pprof {
		a.mountPprof()
	}
	return a
}

// mountAdminUI adds the namespace of the Admin UI, before anybody else registers
// handlers.
func (g *Gateway) mountAdminUI(cfg *config.Config) error {
	if !cfg.AdminUI.Enabled {
		return nil
	}
	ui, err := adminui.New(cfg.AdminUI, adminui.Options{Logger: g.log})
	if err != nil {
		return err
	}
	ui.Mount(g.node)
	g.adminUI = ui
	return nil
}

// mount serves a part below a path.
func (a *adminPort) mount(path, title string, h http.Handler) {
	a.mux.Handle(path, h)
	a.links = append(a.links, link{path, title})
}

func (a *adminPort) mountPprof() {
	a.mount("/debug/pprof/", "Profiles of the Go runtime", http.HandlerFunc(pprof.Index))
	for path, h := range map[string]http.HandlerFunc{
		"cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		a.mux.HandleFunc("/debug/pprof/"+path, h)
	}
}

func (a *adminPort) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.g.serveHealth(w, r, true) {
		return
	}
	a.mux.ServeHTTP(w, r)
}

var indexPage = template.Must(template.New("index").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Fanwire {{.Node}}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;margin:3rem auto;max-width:40rem;padding:0 1rem;color-scheme:light dark}dt{margin-top:.7rem}dd{margin:0}</style>
<h1>Fanwire node {{.Node}}</h1>
<p>{{with .Version}}Version {{.}}. {{end}}{{.State}}.</p>
<dl>
{{range .Links}}<dt><a href="{{.Path}}">{{.Path}}</a></dt><dd>{{.Title}}</dd>
{{end}}</dl>
</html>
`))

func (a *adminPort) serveIndex(w http.ResponseWriter, r *http.Request) {
	state := "Ready"
	if err := a.g.Ready(r.Context()); err != nil {
		state = "Not ready: " + err.Error()
	}
	var page bytes.Buffer
	err := indexPage.Execute(&page, map[string]any{
		"Node": a.g.node.NodeID(), "Version": a.g.opts.Version, "State": state,
		"Links": append([]link{{livePath, "Is it alive"}, {readyPath, "Is it ready, and if not why"}}, a.links...),
	})
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(page.Bytes())
}
