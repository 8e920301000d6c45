package demo

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

//go:embed page
var pageFiles embed.FS

const (
	enginePath = "/socket.io/"
	sendPath   = "/send"
	nodesPath  = "/nodes"

	// The official client, where there is no --client-dir. The hash is of the
	// bundle in the npm package socket.io-client 4.8.1.
	cdnClient    = "https://cdn.socket.io/4.8.1/socket.io.min.js"
	cdnIntegrity = "sha384-mkQ3/7FUtcGyoppY6bz/PORYoGqOl7/aSUMn2ymDOJcapfS6PHqxhRTMh1RR0Q6+"

	// Scripts come from here and the CDN only, and no other page may frame this
	// one. ws: and wss: are for browsers that do not count them as 'self'.
	policy = "default-src 'self'; script-src 'self' https://cdn.socket.io; connect-src 'self' ws: wss:; " +
		"img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

// site is what the balancer serves: the chat page, the list of nodes, and, by way
// of a node, everything else that is ours.
type site struct {
	demo  *Demo
	files map[string]file
}

type file struct {
	contentType string
	data        []byte
}

func newSite(clientDir string, d *Demo) (*site, error) {
	index, err := indexPage(clientDir)
	if err != nil {
		return nil, err
	}
	s := &site{demo: d, files: map[string]file{"/": {"text/html; charset=utf-8", index}}}
	for name, contentType := range map[string]string{
		"chat.css": "text/css; charset=utf-8",
		"chat.js":  "text/javascript; charset=utf-8",
	} {
		data, err := pageFiles.ReadFile("page/" + name)
		if err != nil {
			return nil, err
		}
		s.files["/"+name] = file{contentType, data}
	}
	return s, nil
}

func indexPage(clientDir string) ([]byte, error) {
	t, err := template.ParseFS(pageFiles, "page/index.html")
	if err != nil {
		return nil, err
	}
	client := struct{ Client, Integrity string }{cdnClient, cdnIntegrity}
	if clientDir != "" {
		name, err := clientFile(clientDir)
		if err != nil {
			return nil, err
		}
		client.Client, client.Integrity = enginePath+name, ""
	}
	var b bytes.Buffer
	if err := t.Execute(&b, client); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// clientFile finds the bundle that the page loads.
func clientFile(dir string) (string, error) {
	for _, name := range []string{"socket.io.min.js", "socket.io.js"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && info.Mode().IsRegular() {
			return name, nil
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("demo: client files: %w", err)
		}
	}
	return "", fmt.Errorf("demo: client files: neither socket.io.min.js nor socket.io.js in %s", dir)
}

// ServeHTTP knows exact paths only and cleans none (HRD-17).
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, enginePath), path == strings.TrimSuffix(enginePath, "/"), path == sendPath:
		s.demo.balancer.ServeHTTP(w, r)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case path == nodesPath:
		s.serveNodes(w)
		return
	}
	f, ok := s.files[path]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.serve(w, f)
}

func (s *site) serve(w http.ResponseWriter, f file) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(f.data)
}

// nodeInfo is a node in the list that the page shows.
type nodeInfo struct {
	Node   string `json:"node"`
	Online int    `json:"online"` // sessions
	Up     bool   `json:"up"`     // answers the balancer
}

func (s *site) serveNodes(w http.ResponseWriter) {
	list := make([]nodeInfo, len(s.demo.nodes))
	for i, n := range s.demo.nodes {
		list[i] = nodeInfo{n.id, n.online(), s.demo.balancer.nodes[i].up()}
	}
	data, err := json.Marshal(list)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	s.serve(w, file{"application/json", data})
}
