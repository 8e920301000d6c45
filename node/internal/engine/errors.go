package engine

import (
	"encoding/json"
	"html"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// Codes of refused requests (engineio.md, section 4).
const (
	codeUnknownTransport   = 0
	codeUnknownSession     = 1
	codeBadMethod          = 2
	codeBadRequest         = 3
	codeForbidden          = 4
	codeUnsupportedVersion = 5
	codeOverloaded         = -1 // a 503, for which the protocol has no code
)

var codeTexts = [...]string{
	codeUnknownTransport:   "Transport unknown",
	codeUnknownSession:     "Session ID unknown",
	codeBadMethod:          "Bad handshake method",
	codeBadRequest:         "Bad request",
	codeForbidden:          "Forbidden",
	codeUnsupportedVersion: "Unsupported protocol version",
}

// refusal is why a request is not served. cause is the official name of the
// reason where there is one (EIO-E-03); text overrides the code's text.
type refusal struct {
	code  int
	cause string
	text  string
}

func (e *refusal) message() string {
	if e.text != "" {
		return e.text
	}
	return codeTexts[e.code]
}

// refuse answers a request that is not served: JSON on polling, text on an
// upgrade (EIO-E-06), where even a forbidden one is a 400.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, e *refusal) {
	s.refused.Add(1)
	if s.cfg.Refused != nil {
		s.cfg.Refused(r, e.code, e.cause)
	}
	if IsUpgrade(r) {
		body := html.EscapeString(e.message()) // the text may come from a hook
		h := w.Header()
		h.Set("Connection", "close")
		h.Set("Content-Type", "text/html")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, body)
		return
	}
	status := http.StatusBadRequest
	if e.code == codeForbidden {
		status = http.StatusForbidden
	}
	body, _ := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{e.code, e.message()})
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Overloaded answers a request that is one too many: cheaply, and with a time
// to come back that spreads the crowd (HRD-14).
func (s *Server) Overloaded(w http.ResponseWriter, r *http.Request) {
	s.refused.Add(1)
	if s.cfg.Refused != nil {
		s.cfg.Refused(r, codeOverloaded, "OVERLOADED")
	}
	h := w.Header()
	h.Set("Retry-After", strconv.Itoa(1+rand.IntN(5)))
	h.Set("Connection", "close")
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusServiceUnavailable)
}
