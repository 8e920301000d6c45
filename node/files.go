package node

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// clientFiles serves the official client bundle (SIO-S-01 to -03). Each file is
// read once.
type clientFiles struct {
	fsys fs.FS
	cors *CORS

	mu    sync.Mutex
	cache map[string]*clientFile
}

type clientFile struct {
	plain, gzip []byte
	etag        string
	contentType string
}

func newClientFiles(fsys fs.FS, cors *CORS) *clientFiles {
	return &clientFiles{fsys: fsys, cors: cors, cache: map[string]*clientFile{}}
}

// isClientFile applies SIO-S-01: fixed names, nothing else is ever opened.
func isClientFile(name string) bool {
	base, _ := strings.CutSuffix(name, ".map")
	switch base {
	case "socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js":
		return true
	}
	return false
}

// serve answers the request if it is for a client file that exists.
func (f *clientFiles) serve(w http.ResponseWriter, r *http.Request, name string) bool {
	if !isClientFile(name) {
		return false
	}
	file := f.open(name)
	if file == nil {
		return false
	}
	h := w.Header()
	f.allow(h, r)
	h.Set("Cache-Control", "public, max-age=0")
	h.Set("ETag", `"`+file.etag+`"`)
	h.Add("Vary", "Accept-Encoding")
	if matches(r.Header.Get("If-None-Match"), file.etag) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	body := file.plain
	h.Set("Content-Type", file.contentType)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = file.gzip
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body)
	}
	return true
}

// allow lets pages of the configured origins read the file.
func (f *clientFiles) allow(h http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	switch {
	case f.cors.AllowOrigin == nil && slices.Contains(f.cors.Origins, "*"):
		h.Set("Access-Control-Allow-Origin", "*")
	case f.cors.AllowOrigin == nil && len(f.cors.Origins) == 0:
	default:
		h.Add("Vary", "Origin")
		if origin != "" && (f.cors.AllowOrigin != nil && f.cors.AllowOrigin(r, origin) || slices.Contains(f.cors.Origins, origin)) {
			h.Set("Access-Control-Allow-Origin", origin)
		}
	}
}

func matches(header, etag string) bool {
	header = strings.TrimPrefix(header, "W/")
	return header == `"`+etag+`"`
}

func (f *clientFiles) open(name string) *clientFile {
	f.mu.Lock()
	defer f.mu.Unlock()
	if file, ok := f.cache[name]; ok {
		return file
	}
	plain, err := fs.ReadFile(f.fsys, name)
	if err != nil {
		f.cache[name] = nil
		return nil
	}
	file := &clientFile{plain: plain, etag: version(plain), contentType: "application/javascript; charset=utf-8"}
	if strings.HasSuffix(name, ".map") {
		file.contentType = "application/json; charset=utf-8"
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(plain) // to memory
	_ = z.Close()
	file.gzip = b.Bytes()
	f.cache[name] = file
	return file
}

var versionComment = regexp.MustCompile(`Socket\.IO v([0-9][0-9A-Za-z.+-]*)`)

// version is the bundle's version, by the comment at its head, else a hash.
func version(file []byte) string {
	if m := versionComment.FindSubmatch(file[:min(len(file), 200)]); m != nil {
		return string(m[1])
	}
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:8])
}
