package adminui

import (
	"io/fs"
	"net/http"
	"os"
	"strings"
)

// PagePath is where the page is on the admin listener.
const PagePath = "/admin-ui/"

// pagePolicy is what the page needs: it loads fonts and their styles from two sites,
// has styles of its own, and connects to whatever server its user types.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline' https://fonts.googleapis.com https://cdn.jsdelivr.net; " +
	"font-src 'self' https://fonts.gstatic.com https://cdn.jsdelivr.net; img-src 'self' data:; connect-src 'self' http: https: ws: wss:; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler serves the files of the configured folder below [PagePath]; without a folder
// everything is 404. Folders are not listed.
func (ui *UI) Handler() http.Handler {
	if ui.cfg.Dir == "" {
		return http.NotFoundHandler()
	}
	files := os.DirFS(ui.cfg.Dir)
	serve := http.StripPrefix(strings.TrimSuffix(PagePath, "/"), http.FileServerFS(files))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, PagePath)
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		case !ok || name != "" && !isFile(files, name):
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		serve.ServeHTTP(w, r)
	})
}

func isFile(files fs.FS, name string) bool {
	info, err := fs.Stat(files, name)
	return err == nil && info.Mode().IsRegular()
}
