package console

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/fanwire/fanwire/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func get(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestHandler(t *testing.T) {
	h := Handler(Options{})
	for path, want := range map[string]string{
		"/console/":            "text/html; charset=utf-8",
		"/console/index.html":  "text/html; charset=utf-8",
		"/console/main.js":     "text/javascript; charset=utf-8",
		"/console/console.css": "text/css; charset=utf-8",
		"/console/config.json": "application/json",
	} {
		w := get(h, "GET", path)
		if w.Code != 200 || w.Header().Get("Content-Type") != want || w.Body.Len() == 0 {
			t.Errorf("%s: %d %s", path, w.Code, w.Header())
		}
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self' blob:;") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: %s", path, csp)
		}
	}
	for _, path := range []string{"/", "/console", "/console/../console.go", "/console/page/main.js", "/console/none.js", "/console//"} {
		if w := get(h, "GET", path); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := get(h, "POST", "/console/"); w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Error(w.Code, w.Header())
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		opts           Options
		path, url, api string
	}{
		{Options{}, "/socket.io/", "", "/v1/"},
		{Options{SocketPath: "/rt/", SocketURL: `https://a.example/"</script>`, APIPath: "/x/"}, "/rt/", `https://a.example/"</script>`, "/x/"},
	} {
		var got struct{ Path, URL, API string }
		if err := json.Unmarshal(get(Handler(tt.opts), "GET", "/console/config.json").Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Path != tt.path || got.URL != tt.url || got.API != tt.api {
			t.Error(got)
		}
	}
}

// The policy forbids what would break silently: scripts and styles in the HTML, and
// anything from elsewhere. Nothing is kept in the browser, and no text becomes HTML.
func TestFilesObeyPolicy(t *testing.T) {
	forbidden := map[string]*regexp.Regexp{
		".html": regexp.MustCompile(`(?i)<script[^>]*>[^<]|<style|\sstyle=|\son\w+=|(src|href)="(https?:)?//`),
		".css":  regexp.MustCompile(`(?i)@import|url\(`),
		".js":   regexp.MustCompile(`localStorage|sessionStorage|indexedDB|document\.cookie|innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function|\.style\b`),
	}
	n := 0
	err := fs.WalkDir(page, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		data, err := page.ReadFile(name)
		if err != nil {
			return err
		}
		re := forbidden[name[strings.LastIndexByte(name, '.'):]]
		if re == nil {
			t.Errorf("%s: a kind of file without a content type", name)
		} else if found := re.Find(data); found != nil {
			t.Errorf("%s: %s", name, found)
		}
		return nil
	})
	if err != nil || n < 5 {
		t.Error(n, err)
	}
}
