package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/node"
)

// call is one request on its way. It belongs to the request's goroutine.
type call struct {
	api   *API
	state *state
	w     recorder
	r     *http.Request
	ctx   context.Context // with the deadline
	start time.Time

	route *route
	vars  map[string]string // of the path
	key   *key
	body  []byte

	namespace string // for the log
	commands  int
	failed    error
}

// recorder notes the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// serve answers the request, unless it returns an error.
func (c *call) serve() error {
	select {
	case c.api.slots <- struct{}{}:
		defer func() { <-c.api.slots }()
	default:
		return refuse(http.StatusServiceUnavailable, "busy", "Too many requests are under way.").after(time.Second)
	}
	var allow []string
	c.route, c.vars, allow = c.api.match(c.r.Method, c.r.URL.EscapedPath())
	switch {
	case len(c.state.keys) == 0:
		return refuse(http.StatusNotFound, "off", "The API is off: the configuration has no api.keys.")
	case allow == nil:
		return refuse(http.StatusNotFound, "no_path", "There is no such path.")
	case c.r.Method == http.MethodOptions:
		c.w.Header().Set("Allow", strings.Join(allow, ", "))
		c.w.WriteHeader(http.StatusNoContent)
		return nil
	case c.route == nil:
		c.w.Header().Set("Allow", strings.Join(allow, ", "))
		return refuse(http.StatusMethodNotAllowed, "method", "This path takes %s.", strings.Join(allow, ", "))
	}
	if err := c.admit(); err != nil {
		return err
	}
	return c.perform()
}

// perform does what the request asks for, which may.
func (c *call) perform() (err error) {
	if c.api.opts.Trace != nil {
		var end func(error)
		c.r, end = c.api.opts.Trace(c.r, c.route.name)
		defer func() { end(err) }()
	}
	id, once := c.r.Header[idempotencyHeader]
	once = once && c.r.Method == http.MethodPost
	ctx := c.r.Context()
	if once { // who has gone away will ask for the answer
		ctx = context.WithoutCancel(ctx)
	}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithTimeout(ctx, c.route.timeout)
	defer cancel()
	if err := c.readBody(); err != nil {
		return err
	}
	if once {
		return c.once(id)
	}
	return c.route.run(c)
}

// admit lets a request in by its key.
func (c *call) admit() error {
	if c.route.scope == public && !c.route.changes() {
		return nil
	}
	c.key = c.state.identify(c.r)
	if c.key == nil {
		c.api.counters.strangers.Add(1)
		if !c.state.strange.Allow() {
			return refuse(http.StatusTooManyRequests, "rate", "Too many requests without a valid key.").after(time.Second)
		}
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="fanwire"`)
		return refuse(http.StatusUnauthorized, "key", "A valid key is needed, in the header Authorization: Bearer KEY.")
	}
	if !c.state.limiter.Allow() {
		return refuse(http.StatusTooManyRequests, "rate", "Too many requests: see api.rate.").after(time.Second)
	}
	if c.route.scope != public && !c.key.may(c.route.scope) {
		return c.forbidden(c.route.scope)
	}
	if ns, ok := c.vars["namespace"]; ok {
		if err := c.enter(ns); err != nil {
			return err
		}
		c.vars["namespace"] = c.namespace
	}
	return nil
}

func (c *call) forbidden(s scope) error {
	return refuse(http.StatusForbidden, "scope", "The key %q has no scope %q.", c.key.name, s)
}

// enter checks whether the key is good for a namespace, whose slash may be missing.
func (c *call) enter(namespace string) error {
	if !strings.HasPrefix(namespace, "/") {
		namespace = "/" + namespace
	}
	c.namespace = namespace
	if !c.key.in(namespace) {
		return refuse(http.StatusForbidden, "namespace", "The key %q is not good for the namespace.", c.key.name)
	}
	return nil
}

// open returns a namespace; release is to be called.
func (c *call) open(namespace string) (ns *node.Namespace, release func(), err error) {
	return c.api.opts.Namespaces.Open(namespace)
}

// readBody reads the body of a route that takes one, and refuses it elsewhere.
func (c *call) readBody() error {
	if !c.route.body {
		if c.r.ContentLength > 0 {
			return refuse(http.StatusBadRequest, "body", "This operation takes no body.")
		}
		return nil
	}
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	charset, given := params["charset"]
	if err != nil || kind != "application/json" || given && !strings.EqualFold(charset, "utf-8") || c.r.Header.Get("Content-Encoding") != "" {
		return refuse(http.StatusUnsupportedMediaType, "content_type", "The body must be application/json, not encoded.")
	}
	limit := c.state.maxBody
	if c.r.ContentLength > limit {
		return tooLarge(limit)
	}
	body := make([]byte, 0, max(c.r.ContentLength, 0)+512)
	body, err = readAll(http.MaxBytesReader(c.w.ResponseWriter, c.r.Body, limit), body)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge(limit)
	case err != nil:
		return refuse(http.StatusBadRequest, "body", "The body could not be read.")
	case !utf8.Valid(body):
		return invalid([]command.Problem{{Message: "is not UTF-8"}})
	}
	c.body = body
	return nil
}

func tooLarge(limit int64) error {
	return refuse(http.StatusRequestEntityTooLarge, "too_large", "The body is larger than %d bytes: see api.max_body.", limit)
}

func readAll(r io.Reader, dst []byte) ([]byte, error) {
	for {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// answer sends a value as JSON.
func (c *call) answer(status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // a client that is gone
	return nil
}

// done is the answer of an operation that has nothing to tell.
func (c *call) done() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// fail answers with an error.
func (c *call) fail(err error) {
	c.failed = err
	if c.w.status == 0 { // else it is too late to say so
		problemOf(err).write(&c.w)
	}
}

// finish counts the request, and logs it if it was to change something.
func (c *call) finish() {
	name := ""
	if c.route != nil {
		name = c.route.name
	}
	took := time.Since(c.start)
	c.api.counters.count(name, c.w.status)
	if done := c.api.opts.Done; done != nil {
		done(name, c.w.status, took)
	}
	var p *problem
	if c.failed != nil && (!errors.As(c.failed, &p) || p.cause != nil) && c.w.status >= 500 {
		c.api.log.Warn("api request", "operation", name, "error", c.failed)
	}
	if c.route == nil || !c.route.changes() || c.key == nil {
		return
	}
	c.api.log.LogAttrs(c.r.Context(), slog.LevelInfo, "api",
		slog.String("key", c.key.name),
		slog.String("operation", name),
		slog.String("namespace", cut(c.namespace)),
		slog.Int("commands", c.commands),
		slog.Int("status", c.w.status),
		slog.Duration("took", took))
}

// cut shortens a client's text for the log (HRD-85).
func cut(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "")
	}
	return s
}
