package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node/internal/engine"
)

// forwarder hands requests for sessions of other nodes on to them, so that a
// balancer need not be sticky. The owner of a session stands at the end of its id
// (HRD-12), its address in the adapter's [adapter.Directory]. The owner is asked
// over HTTP, once: a hop (hop.go) marks the request. What happens to a request of
// polling is in relay.go, to a WebSocket in tunnel.go.
type forwarder struct {
	// Static after construction.
	srv       *Server
	limit     int64
	transport *http.Transport

	secret atomic.Pointer[hopKey] // nil until it is known
	asking sync.Once              // of the directory, for the secret
	known  chan struct{}          // closed when the secret is known

	mu      sync.Mutex // guards the fields below; an adapter's Announce may follow
	address string     // where peers reach this node; "" for nowhere
	begun   bool
	since   time.Time // when it has begun

	now                         atomic.Int64 // requests under way
	upgraded                    atomic.Int64 // when the last WebSocket was handed on, after srv.epoch
	forwarded, relayed, badHops atomic.Uint64

	noOwner, noSecret, busy, unreachable, slow, cut atomic.Uint64
}

const (
	forwardDial   = 2 * time.Second  // to the owner of a session
	forwardSlack  = 10 * time.Second // on top of the longest poll
	forwardIdle   = 60 * time.Second // below what owners allow (operations.md, 1.3)
	forwardSecret = time.Second      // for the first request, while the broker is asked
	forwardYoung  = time.Second      // how long after its start a node may not know the others yet
	forwardLook   = 20 * time.Millisecond
	secretRetry   = time.Second
	secretLook    = 30 * time.Second // whether it is still the same, when it is known
	secretTimeout = 5 * time.Second
)

func newForwarder(srv *Server) (*forwarder, error) {
	cfg := &srv.cfg
	longest := cmp.Or(cfg.PingInterval, 25*time.Second) + cmp.Or(cfg.PingTimeout, 20*time.Second)
	f := &forwarder{srv: srv, limit: int64(cfg.Limits.Forwarded), known: make(chan struct{}), transport: &http.Transport{
		DialContext:            (&net.Dialer{Timeout: forwardDial}).DialContext,
		TLSHandshakeTimeout:    forwardDial,
		ResponseHeaderTimeout:  longest + forwardSlack,
		MaxIdleConns:           1024,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        forwardIdle,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // the client's own Accept-Encoding counts
		Protocols:              new(http.Protocols),
	}}
	f.transport.Protocols.SetHTTP1(true)
	if len(cfg.ClusterSecret) > 0 {
		f.asking.Do(func() {})
		if err := f.setSecret(cfg.ClusterSecret); err != nil {
			return nil, err
		}
	}
	f.address = cfg.Advertise
	return f, nil
}

// checkAddress refuses what is not the root of an HTTP server.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf(`node: address %q is not of the form "http://host:port"`, address)
	}
	return nil
}

// Advertise tells the other nodes where they reach this one, like
// [Config.Advertise], once the listener is there; "" takes it back.
func (srv *Server) Advertise(address string) error {
	if address != "" {
		if err := checkAddress(address); err != nil {
			return err
		}
	}
	f := srv.forward
	f.mu.Lock()
	f.address = address
	begun := f.begun
	f.mu.Unlock()
	if begun {
		srv.tasks.Go(f.announce)
	}
	return nil
}

// start is called when the adapters have begun to start.
func (f *forwarder) start() {
	f.mu.Lock()
	f.begun, f.since = true, time.Now()
	address := f.address
	f.mu.Unlock()
	if address != "" {
		f.srv.tasks.Go(f.announce) // ends with the announcement or with Shutdown
	}
}

// announce tells the other nodes the address, once this one can check what they
// send.
func (f *forwarder) announce() {
	select {
	case <-f.srv.rootNamespace.up:
	case <-f.srv.starting.Done():
		return
	}
	d := f.srv.directory()
	if d == nil {
		return
	}
	f.ask(d)
	select {
	case <-f.known:
	case <-f.srv.starting.Done():
		return
	}
	f.mu.Lock() // the last address is announced last
	defer f.mu.Unlock()
	d.Announce(f.address)
}

// key returns what signs hops, nil while it is not known.
func (f *forwarder) key() hopKey {
	if k := f.secret.Load(); k != nil {
		return *k
	}
	return nil
}

func (f *forwarder) setSecret(secret []byte) error {
	k, err := newHopKey(secret)
	if err != nil {
		return fmt.Errorf("node: key of the cluster's secret: %w", err)
	}
	if f.secret.Swap(&k) == nil {
		close(f.known)
	}
	return nil
}

// ask gets the nodes' common secret, and sees to it that it stays common, unless that
// was begun before: a Redis that has lost its data gets it back, or has one that a
// younger node has made.
func (f *forwarder) ask(d adapter.Directory) {
	f.asking.Do(func() {
		f.srv.tasks.Go(func() { // ends with Shutdown
			var secret []byte
			for f.srv.starting.Err() == nil {
				secret = f.askOnce(d, secret)
				pause := secretLook
				if secret == nil {
					pause = secretRetry
				}
				select {
				case <-time.After(pause):
				case <-f.srv.starting.Done():
				}
			}
		})
	})
}

// askOnce returns the secret, which is the known one if there is no answer.
func (f *forwarder) askOnce(d adapter.Directory, known []byte) []byte {
	ctx, cancel := context.WithTimeout(f.srv.starting, secretTimeout)
	defer cancel()
	secret, err := d.Secret(ctx, known)
	changed := err == nil && (known == nil || !bytes.Equal(secret, known))
	if changed {
		err = f.setSecret(secret)
	}
	switch {
	case err != nil && known == nil && f.srv.starting.Err() == nil:
		f.srv.log.Warn("asking for the cluster's secret", "error", err)
		return nil
	case err != nil: // it is away, which others tell
		return known
	case changed && known != nil:
		f.srv.log.Warn("the cluster has another secret: Redis had lost it")
	}
	return secret
}

// waitKey waits for the key, not for long.
func (f *forwarder) waitKey(ctx context.Context, d adapter.Directory) hopKey {
	if k := f.key(); k != nil {
		return k
	}
	f.ask(d)
	t := time.NewTimer(forwardSecret)
	defer t.Stop()
	select {
	case <-f.known:
	case <-t.C:
	case <-ctx.Done():
	}
	return f.key()
}

// ownerOf returns the node at the end of a session's id, "" if it is none of ours
// (HRD-12).
func ownerOf(sid string) string {
	const random = 27
	if len(sid) <= random+1 || sid[random] != '.' || !validNodeID(sid[random+1:]) {
		return ""
	}
	return sid[random+1:]
}

// serve hands r on to the node that has the session; false if there is none that
// answers, so that the client learns that its session is unknown and connects anew.
func (f *forwarder) serve(w http.ResponseWriter, r *http.Request, sid string) bool {
	owner := ownerOf(sid)
	d := f.srv.directory()
	if d == nil || f.limit < 0 || owner == "" || owner == f.srv.cfg.NodeID || hopped(r) {
		return false
	}
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return false
	}
	if f.now.Add(1) > f.limit {
		f.now.Add(-1)
		f.busy.Add(1)
		f.srv.engine.Overloaded(w, r)
		return true
	}
	if f.srv.starting.Err() != nil || f.srv.draining.Load() && engine.IsUpgrade(r) {
		f.now.Add(-1)
		f.srv.engine.Overloaded(w, r)
		return true
	}
	address := f.addressOf(r.Context(), d, owner)
	if address == "" || checkAddress(address) != nil {
		f.now.Add(-1)
		f.noOwner.Add(1)
		return false
	}
	key := f.waitKey(r.Context(), d)
	if key == nil {
		f.now.Add(-1)
		f.noSecret.Add(1)
		return false
	}
	h := &handover{f: f, owner: owner, address: address, key: key, w: w, r: r}
	return h.serve()
}

// settle waits until no client is in the middle of an upgrade through this node,
// which takes none on any more. Official clients whose probe breaks off just then
// wait for a packet that never comes, until their ping timeout.
func (f *forwarder) settle(ctx context.Context) {
	left := upgradeTime - (time.Since(f.srv.epoch) - time.Duration(f.upgraded.Load()))
	if f.upgraded.Load() == 0 || left <= 0 {
		return
	}
	t := time.NewTimer(left)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// upgradeTime is how long an upgrade takes, from the first request to the last
// packet: a noop comes every 100 ms.
const upgradeTime = time.Second

// addressOf returns where a node is reached, "" if it is not known. A node that has
// only begun may get requests before it has heard of the others: those wait a moment.
func (f *forwarder) addressOf(ctx context.Context, d adapter.Directory, owner string) string {
	f.mu.Lock()
	young := f.since.Add(forwardYoung)
	f.mu.Unlock()
	address := d.Address(owner)
	for address == "" && time.Now().Before(young) {
		select {
		case <-time.After(forwardLook):
		case <-ctx.Done():
			return ""
		case <-f.srv.starting.Done():
			return ""
		}
		address = d.Address(owner)
	}
	return address
}

// handover is one request that is handed on.
type handover struct {
	f              *forwarder
	owner, address string
	key            hopKey
	w              http.ResponseWriter
	r              *http.Request
	body           *relayBody // of a POST
}

func (h *handover) serve() bool {
	if h.r.ContentLength > int64(h.f.srv.cfg.MaxPayload) {
		h.done()
		h.refuse(http.StatusRequestEntityTooLarge) // the session stays (EIO-P-10)
		return true
	}
	// The request's context ends with the handler, a tunnel's does not.
	ctx, cancel := context.WithCancel(context.Background())
	detach := context.AfterFunc(h.r.Context(), cancel)
	stay := h.leaveOnShutdown(cancel)
	res, err := h.f.transport.RoundTrip(h.request(h.r.Method).WithContext(ctx))
	if err == nil && res.StatusCode == http.StatusSwitchingProtocols {
		stay()
		detach()
		h.tunnel(res, cancel)
		return true
	}
	defer h.done()
	defer cancel()
	defer stay()
	defer detach()
	if err != nil {
		return h.failed(err)
	}
	h.f.forwarded.Add(1)
	h.answer(res)
	return true
}

// done ends the counting of a request that is under way.
func (h *handover) done() { h.f.now.Add(-1) }

// request is h.r as it goes to the owner: what the client and its balancers sent,
// Host and Origin included, which the owner compares again (HRD-13), with a hop.
// Instead of the client's method there may be one for the client's poll.
func (h *handover) request(method string) *http.Request {
	u, err := url.ParseRequestURI(requestURI(h.r))
	if err != nil { // net/http has parsed it before
		u = &url.URL{Path: h.r.URL.Path, RawQuery: h.r.URL.RawQuery}
	}
	u.Scheme, u.Host, _ = strings.Cut(strings.TrimRight(h.address, "/"), "://")
	header := make(http.Header, len(h.r.Header)+1)
	copyEndToEnd(header, h.r.Header)
	if engine.IsUpgrade(h.r) {
		header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = nil // net/http would add its own
	}
	header[hopHeader] = []string{h.key.sign(h.f.srv.cfg.NodeID, h.owner, method, u.RequestURI(), h.r.RemoteAddr)}
	out := &http.Request{Method: method, URL: u, Host: h.r.Host, Header: header}
	if method == http.MethodPost && h.r.ContentLength != 0 {
		h.body = newRelayBody(h.w, h.r, int64(h.f.srv.cfg.MaxPayload))
		out.Body, out.ContentLength = h.body, h.r.ContentLength
	}
	return out
}

// failed answers for an owner that has not.
func (h *handover) failed(err error) (served bool) {
	if h.body != nil {
		if status := h.body.end(); status != 0 {
			h.refuse(status)
			return true
		}
	}
	var op *net.OpError
	var late net.Error
	switch {
	case h.r.Context().Err() != nil || h.body != nil && h.body.lost():
		panic(http.ErrAbortHandler) // the client is gone
	case h.f.srv.starting.Err() != nil:
		h.f.srv.engine.Overloaded(h.w, h.r)
		return true
	case errors.As(err, &op) && op.Op == "dial":
		h.f.unreachable.Add(1)
	case errors.As(err, &late) && late.Timeout():
		h.f.slow.Add(1)
	default:
		h.f.cut.Add(1)
	}
	h.f.srv.log.Debug("forwarding a request", "owner", h.owner, "error", err)
	return false
}

// refuse answers a request whose body was not read to its end.
func (h *handover) refuse(status int) {
	h.w.Header().Set("Connection", "close")
	h.w.WriteHeader(status)
}

// perHop are the headers that concern one connection (RFC 9110, section 7.6.1),
// and Expect, which net/http has seen to.
var perHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Expect", hopHeader,
}

// copyEndToEnd copies the headers that do not concern one connection only. The
// values of src take the place of those in dst.
func copyEndToEnd(dst, src http.Header) {
	for name, values := range src {
		dst[name] = values
	}
	for _, list := range src["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			delete(dst, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	for _, name := range perHop {
		delete(dst, name)
	}
}

// stats adds what the forwarder has counted.
func (f *forwarder) stats(st *Stats) {
	st.Forwarding = f.now.Load()
	st.Forwarded = f.forwarded.Load()
	st.ForwardErrors = map[string]uint64{
		"owner unknown":     f.noOwner.Load(),
		"owner unreachable": f.unreachable.Load(),
		"timeout":           f.slow.Load(),
		"cut":               f.cut.Load(),
		"busy":              f.busy.Load(),
		"no secret":         f.noSecret.Load(),
	}
	st.Relayed = f.relayed.Load()
	st.BadHops = f.badHops.Load()
}
