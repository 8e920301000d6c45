// Package console is the testing page on the admin listener: connections to any
// namespace side by side, what comes and goes, acks, binary data, rooms, and a view of
// the cluster's nodes. It has no part on the server but files: it talks to the client
// port as any page does, and to the HTTP API with a key that its user types and that
// it keeps in memory.
package console

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"
)

// Path is where the page is on the admin listener.
const Path = "/console/"

// Options say where the page finds what it talks to.
type Options struct {
	// SocketPath is the path of the Socket.IO endpoint, "/socket.io/" if empty. The
	// page takes the client's bundle from there, on its own origin, if it is there.
	SocketPath string
	// SocketURL is the server that is suggested for connections, that of the page if
	// empty.
	SocketURL string
	// APIPath is where the HTTP API is on the page's origin, "/v1/" if empty.
	APIPath string
}

//go:embed page
var page embed.FS

// policy: scripts come from here, or are the client's bundle that the user has chosen,
// which the page runs from memory (blob:). The page may connect anywhere: that is what
// it is for.
const policy = "default-src 'none'; script-src 'self' blob:; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self' http: https: ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/json",
}

// Handler serves the page below [Path] to GET and HEAD, and answers 404 elsewhere.
func Handler(opts Options) http.Handler {
	files := map[string][]byte{}
	err := fs.WalkDir(page, "page", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[strings.TrimPrefix(name, "page/")], err = page.ReadFile(name)
		return err
	})
	if err != nil {
		panic(err) // the files are in the program
	}
	files[""] = files["index.html"]
	files["config.json"], _ = json.Marshal(map[string]string{ // texts always can be encoded
		"path": orDefault(opts.SocketPath, "/socket.io/"),
		"url":  opts.SocketURL,
		"api":  orDefault(opts.APIPath, "/v1/"),
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, files) })
}

func serve(w http.ResponseWriter, r *http.Request, files map[string][]byte) {
	name, ok := strings.CutPrefix(r.URL.Path, Path)
	data, found := files[name]
	switch {
	case !ok || !found:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	case name == "":
		name = "index.html"
	}
	h := w.Header()
	h.Set("Content-Type", contentTypes[name[strings.LastIndexByte(name, '.'):]])
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-cache")
	_, _ = w.Write(data)
}

func orDefault(text, def string) string {
	if text == "" {
		return def
	}
	return text
}
