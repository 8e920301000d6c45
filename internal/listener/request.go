package listener

import (
	"io"
	"net/http"
	"runtime/debug"
	"time"
)

// serveHTTP applies the limits that net/http does not have, then calls the
// handler.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if headerLines(r) > s.cfg.MaxHeaderLines { // HRD-10
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestHeaderFieldsTooLarge)
		return
	}
	if s.forwarded(r) && s.perAddress != nil {
		done, ok := s.countClient(r)
		if !ok {
			s.tooMany.Add(1)
			Unavailable(w)
			return
		}
		defer done()
	}
	if r.Body != http.NoBody {
		r.Body = s.limitBody(w, r.Body)
	}
	defer s.recoverPanic(r)
	s.cfg.Handler.ServeHTTP(w, r)
}

// headerLines counts the lines of the header; net/http has moved Host, Content-Length
// and Transfer-Encoding of bodies out of the map, at most three.
func headerLines(r *http.Request) int {
	n := 1 // Host
	for _, values := range r.Header {
		n += len(values)
	}
	return n
}

// recoverPanic reports a panic of the handler and ends the connection, as
// net/http would (HRD-01). http.ErrAbortHandler is no fault.
func (s *Server) recoverPanic(r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler {
		s.panics.Add(1)
		s.cfg.Logger.Error("listener: panic", "method", r.Method, "path", cut(r.URL.Path), "panic", v, "stack", string(debug.Stack()))
	}
	panic(http.ErrAbortHandler)
}

// cut bounds text of a client in a log line (HRD-85).
func cut(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}

// timedBody is a request body that must arrive in time: BodyTimeout, and a second
// more for each 16 KiB that came (HRD-10). The deadline stands until the end of
// the body, also when the handler leaves it unread: net/http reads on then.
type timedBody struct {
	io.ReadCloser
	rc    *http.ResponseController
	start time.Time
	limit time.Duration
	got   int64
	done  bool
}

const bytesPerSecond = 16 << 10

func (s *Server) limitBody(w http.ResponseWriter, b io.ReadCloser) io.ReadCloser {
	t := &timedBody{ReadCloser: b, rc: http.NewResponseController(w), start: time.Now(), limit: s.cfg.BodyTimeout}
	_ = t.rc.SetReadDeadline(t.start.Add(t.limit))
	return t
}

func (t *timedBody) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if t.done {
		return n, err
	}
	before := t.got / bytesPerSecond
	t.got += int64(n)
	switch after := t.got / bytesPerSecond; {
	case err == io.EOF:
		t.done = true
		_ = t.rc.SetReadDeadline(time.Time{})
	case after > before:
		_ = t.rc.SetReadDeadline(t.start.Add(t.limit + time.Duration(after)*time.Second))
	}
	return n, err
}
