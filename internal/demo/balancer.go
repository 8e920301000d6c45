package demo

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/internal/listener"
)

const (
	// cookieName is the balancer's cookie; its value is a node's id.
	cookieName = "fanwire-node"
	// pinParameter of a handshake's query chooses the node of the session.
	pinParameter = "node"

	dialTimeout = 3 * time.Second
	// downTime is how long new sessions pass over a node that did not answer.
	downTime = time.Second
	// stallTime is how long a client may take nothing from its tunnel (HRD-35).
	stallTime = 10 * time.Second
)

// balancer spreads the sessions of Socket.IO clients over nodes and keeps every
// session on its node. A request of a session follows the node's name at the end
// of its sid, or, should the sid name none, the cookie; new sessions take turns,
// unless the query parameter "node" chooses. (The sid goes first because the
// tabs of a browser share their cookies, not their sessions.)
//
// When a node cannot be reached, another one answers: new sessions start there,
// and clients of the dead node learn that their session is unknown and connect
// anew. A request of a session that may have reached its node is never sent twice.
// The balancer changes nothing of a request but X-Forwarded-For, -Host and
// -Proto; Host stays, since the nodes compare it with Origin (HRD-13).
type balancer struct {
	nodes     []*backend // at least one
	next      atomic.Uint64
	proxy     httputil.ReverseProxy
	transport *http.Transport
}

// backend is a node as the balancer sees it.
type backend struct {
	id        string
	addr      string
	downSince atomic.Int64 // by clock; 0 while up
}

var began = time.Now()

// clock is a monotonic time, never 0 (HRD-77).
func clock() int64 { return int64(time.Since(began)) + 1 }

func (b *backend) up() bool {
	since := b.downSince.Load()
	return since == 0 || clock()-since > int64(downTime)
}

func newBalancer(nodes []*backend, log *slog.Logger) *balancer {
	b := &balancer{nodes: nodes, transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     60 * time.Second, // below the nodes' (operations.md 1.3)
		DisableCompression:  true,             // the client's own Accept-Encoding counts
	}}
	b.proxy = httputil.ReverseProxy{
		Rewrite:      rewrite,
		Transport:    b,
		ErrorHandler: proxyError,
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return b
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.proxy.ServeHTTP(tunnelWriter{w}, r)
}

func (b *balancer) close() { b.transport.CloseIdleConnections() }

func rewrite(p *httputil.ProxyRequest) {
	p.Out.URL.Scheme = "http"
	p.Out.URL.RawQuery = p.In.URL.RawQuery // also what does not parse: the node answers that
	p.Out.Host = p.In.Host
	p.Out.Header["X-Forwarded-For"] = p.In.Header["X-Forwarded-For"]
	p.SetXForwarded()
}

// RoundTrip sends a request to its node or, when that does not answer, to the
// next. What a node may have handled already is repeated only if it is a GET
// without a session: a repeated poll would lose what the first answer took along.
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r.Body = io.NopCloser(r.Body) // the transport closes it also when it sent nothing
	} else {
		// The transport repeats requests by itself when a kept connection breaks, also
		// one that was read, unless they have a body that it cannot rewind.
		r.Body = io.NopCloser(strings.NewReader(""))
	}
	first, isNew := b.choose(r)
	var err error
	for _, n := range b.order(first) {
		r.URL.Host = n.addr
		var res *http.Response
		if res, err = b.transport.RoundTrip(r); err == nil {
			n.downSince.Store(0)
			if isNew {
				setCookie(res, r, n.id)
			}
			return res, nil
		}
		if r.Context().Err() != nil || !notSent(err) && (r.Method != http.MethodGet || !isNew) {
			break
		}
		n.downSince.Store(clock())
	}
	return nil, err
}

// notSent tells that the request cannot have reached a node.
func notSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// choose finds the node for a request, and tells whether that begins a session.
func (b *balancer) choose(r *http.Request) (n *backend, isNew bool) {
	q := r.URL.Query()
	sid := q.Get("sid")
	if sid == "" {
		if n := b.find(q.Get(pinParameter)); n != nil && n.up() {
			return n, true
		}
		return b.turn(), true
	}
	if n := b.find(sid[strings.LastIndexByte(sid, '.')+1:]); n != nil {
		return n, false
	}
	if c, err := r.Cookie(cookieName); err == nil {
		if n := b.find(c.Value); n != nil {
			return n, false
		}
	}
	return b.turn(), false
}

func (b *balancer) find(id string) *backend {
	for _, n := range b.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// turn takes the next node that is up, or just the next.
func (b *balancer) turn() *backend {
	start := b.next.Add(1) - 1
	for i := range b.nodes {
		if n := b.nodes[(start+uint64(i))%uint64(len(b.nodes))]; n.up() {
			return n
		}
	}
	return b.nodes[start%uint64(len(b.nodes))]
}

// order lists all nodes: first, then those that are up, then the others.
func (b *balancer) order(first *backend) []*backend {
	up, down := []*backend{first}, []*backend(nil)
	for _, n := range b.nodes {
		switch {
		case n == first:
		case n.up():
			up = append(up, n)
		default:
			down = append(down, n)
		}
	}
	return append(up, down...)
}

// setCookie tells the client which node took its new session.
func setCookie(res *http.Response, r *http.Request, node string) {
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	if c, err := r.Cookie(cookieName); err == nil && c.Value == node {
		return
	}
	c := http.Cookie{Name: cookieName, Value: node, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	res.Header.Add("Set-Cookie", c.String())
}

// proxyError answers when no node did.
func proxyError(w http.ResponseWriter, r *http.Request, err error) {
	var slow net.Error
	switch {
	case r.Context().Err() != nil: // the client is gone
		panic(http.ErrAbortHandler)
	case notSent(err):
		listener.Unavailable(w)
	case r.Method != http.MethodGet && errors.As(err, &slow) && slow.Timeout():
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestTimeout) // its body did not come in time
	default:
		w.WriteHeader(http.StatusBadGateway)
	}
}

// tunnelWriter makes the tunnel of a WebSocket end when its client stops reading.
// (The listener sees to it for ordinary answers.)
type tunnelWriter struct{ http.ResponseWriter }

func (w tunnelWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w tunnelWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, buf, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return tunnelConn{c}, buf, err
}

type tunnelConn struct{ net.Conn }

func (c tunnelConn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(stallTime))
	return c.Conn.Write(p)
}
