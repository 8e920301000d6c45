package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Server is a node of the cluster: an [http.Handler] that clients connect to. It
// is also its namespace "/": all methods of a [Namespace] can be called on it.
// All methods are safe for concurrent use.
type Server struct {
	*rootNamespace

	// Static after construction.
	cfg        Config
	log        *slog.Logger
	tag        string // ends the public ids of this node
	text       bool   // the parser is the text parser
	decoding   socketio.Limits
	limits     atomic.Pointer[Limits] // those of cfg, but for what SetLimits has changed
	engine     *engine.Server
	files      *clientFiles
	forward    *forwarder
	epoch      time.Time       // to which clients count (HRD-77)
	ctx        context.Context // ends when Shutdown has ended
	end        context.CancelFunc
	engineDown chan struct{}   // closed when the engine has shut down
	starting   context.Context // ends when Shutdown begins
	abort      context.CancelFunc

	mu         sync.Mutex // guards the fields below and those of namespaces that say so
	namespaces map[string]*Namespace
	making     map[string]chan struct{} // closed when the namespace of that name is made
	patterns   []*Pattern
	created    []func(*Namespace)
	begun      bool

	draining atomic.Bool // Drain was called
	closing  atomic.Bool // Shutdown was called
	down     sync.Once
	tasks    engine.Group
	sockets  atomic.Int64
	counters counters

	memory     adapter.Memory // journal of a node that has no adapter
	recoveries chan struct{}  // has room for those that may go on at a time
}

type rootNamespace = Namespace

// New makes a server, which is to be ended by Shutdown: it has some goroutines
// from the start. It reports everything that is wrong with cfg at once. Adapters
// start with the first request, with Ready or with the first call that needs other
// nodes, so that handlers can be registered before.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	srv := &Server{
		cfg:        cfg,
		log:        cfg.Logger,
		tag:        newTag(),
		decoding:   cfg.Limits.decoder(),
		namespaces: map[string]*Namespace{},
		making:     map[string]chan struct{}{},
		engineDown: make(chan struct{}),
		epoch:      time.Now(),
		recoveries: make(chan struct{}, max(cfg.Limits.Recoveries, 1)),
	}
	if _, ok := cfg.Parser.(socketio.TextParser); ok {
		srv.text = true
		srv.cfg.Parser = socketio.TextParser{MaxAttachments: cfg.Limits.Attachments}
	}
	srv.ctx, srv.end = context.WithCancel(context.Background())
	srv.starting, srv.abort = context.WithCancel(srv.ctx)
	var forwardErr error
	srv.forward, forwardErr = newForwarder(srv)
	sessionCfg := cfg.engine()
	sessionCfg.Unknown = srv.forward.serve
	if cfg.Tracer != nil {
		sessionCfg.Refused = refusedIn(cfg.Refused)
	}
	eng, engineErr := engine.NewServer(sessionCfg, sessions{srv})
	root, rootErr := newNamespace(srv, "/", nil, nil)
	if err := errors.Join(err, forwardErr, engineErr, rootErr); err != nil {
		srv.end()
		if engineErr == nil {
			_ = eng.Shutdown(context.Background()) // it has no sessions
		}
		return nil, err
	}
	srv.limits.Store(&srv.cfg.Limits)
	srv.engine = eng
	srv.rootNamespace = root
	srv.namespaces["/"] = root
	if cfg.ClientFiles != nil {
		srv.files = newClientFiles(cfg.ClientFiles, &srv.cfg.CORS)
	}
	return srv, nil
}

// sessions makes the receivers of new sessions.
type sessions struct{ srv *Server }

func (h sessions) Open(s *engine.Session, r *http.Request) engine.Receiver {
	c := newClient(h.srv, s, newHandshake(s.Secure(), s.RemoteAddr(), r))
	if tr := h.srv.cfg.Tracer; tr != nil {
		c.trace = tr.Inject(r.Context())
	}
	if s.Protocol() == 3 {
		c.connect("/", nil) // EIO-3-02
	}
	return c
}

// ServeHTTP serves the endpoint at [Config.Path] and answers 404 elsewhere.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, srv.cfg.Path)
	if !ok && r.URL.Path+"/" != srv.cfg.Path {
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	}
	srv.start()
	r = srv.forward.acceptHop(r)
	if srv.files != nil && srv.files.serve(w, r, rest) {
		return
	}
	if tr := srv.cfg.Tracer; tr != nil {
		srv.serveTraced(tr, w, r)
		return
	}
	srv.engine.ServeHTTP(w, r)
}

// start starts the adapters, once.
func (srv *Server) start() {
	srv.mu.Lock()
	if srv.begun || srv.closing.Load() {
		srv.mu.Unlock()
		return
	}
	srv.begun = true
	var list []*Namespace
	for _, ns := range srv.namespaces {
		if !ns.begun {
			ns.begun = true
			list = append(list, ns)
		}
	}
	srv.mu.Unlock()
	for _, ns := range list {
		ns.start()
	}
	srv.forward.start()
}

// Of returns the namespace with a name, which it makes if there is none; "x" is
// "/x" (SIO-N-01). A name that a pattern of [Server.OfPattern] matches becomes a
// child of it. What Of has returned stays, also without sockets; see
// [Server.Lookup] for namespaces that should not. It panics if the name has a
// comma or NUL, is not UTF-8 or over [Limits.NamespaceName], or if the adapter's
// factory fails, which [New] reports for "/".
func (srv *Server) Of(name string) *Namespace {
	name = cleanName(name, srv.cfg.Limits.NamespaceName)
	parent, values := srv.parentOf(name)
	ns, err := srv.obtain(name, parent, values, func(ns *Namespace) { ns.pinned = true })
	if err != nil {
		panic(err)
	}
	return ns
}

// Lookup returns the namespace with a name if there is one.
func (srv *Server) Lookup(name string) (*Namespace, bool) {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	ns, ok := srv.namespaces[name]
	return ns, ok
}

// Hold returns the namespace with a name and keeps it until release is called,
// which may be called again. If there is none, but a pattern takes the name, it is
// made as for a client. So a node without clients in a dynamic namespace can emit
// to it, and ask the nodes that have some; the first call then waits some
// milliseconds for the adapter. What was made is freed with the last hold and the
// last socket: hold it for longer than a call where calls come one after the other.
//
// Not ok is a name that neither a namespace has nor a pattern takes, or that no
// client could ask for. Functions of [Server.OfFunc] are asked as for a client that
// has no auth payload.
func (srv *Server) Hold(ctx context.Context, name string) (ns *Namespace, release func(), ok bool) {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	if !validNamespace(name, srv.cfg.Limits.NamespaceName) {
		return nil, func() {}, false
	}
	if ns = srv.acquire(name); ns == nil {
		ns = srv.resolve(name, func(p *Pattern) (map[string]string, bool) { return p.accepts(ctx, name, nil) })
	}
	if ns == nil {
		return nil, func() {}, false
	}
	return ns, sync.OnceFunc(ns.release), true
}

// OnNamespace adds a function that is called when a namespace was created, other
// than "/", before its first client is in. It may register handlers.
func (srv *Server) OnNamespace(f func(ns *Namespace)) {
	srv.mu.Lock()
	srv.created = with(srv.created, f)
	srv.mu.Unlock()
}

// parentOf returns the pattern that a name matches (SIO-N-04).
func (srv *Server) parentOf(name string) (*Pattern, map[string]string) {
	srv.mu.Lock()
	patterns := srv.patterns
	srv.mu.Unlock()
	for _, p := range patterns {
		if p.accept == nil {
			if values, ok := p.match(name); ok {
				return p, values
			}
		}
	}
	return nil, nil
}

// dynamic tells whether names that no namespace has may be accepted.
func (srv *Server) dynamic() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return len(srv.patterns) > 0
}

// acquire returns a namespace that exists and counts a user.
func (srv *Server) acquire(name string) *Namespace {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	ns := srv.namespaces[name]
	if ns != nil {
		ns.users++
	}
	return ns
}

// resolve returns the namespace with a name that a pattern takes, made if need be,
// and counts a user; nil if none does (SIO-N-02).
func (srv *Server) resolve(name string, accepts func(p *Pattern) (values map[string]string, ok bool)) *Namespace {
	srv.mu.Lock()
	patterns := srv.patterns
	srv.mu.Unlock()
	for _, p := range patterns {
		values, ok := accepts(p)
		if !ok {
			continue
		}
		ns, err := srv.obtain(name, p, values, func(ns *Namespace) { ns.users++ })
		if err != nil {
			srv.log.Error("making a namespace", "error", err)
			return nil
		}
		return ns
	}
	return nil
}

// obtain returns the namespace with a name, made if need be, after use was called
// for it under the lock.
func (srv *Server) obtain(name string, parent *Pattern, values map[string]string, use func(*Namespace)) (*Namespace, error) {
	for {
		srv.mu.Lock()
		if ns := srv.namespaces[name]; ns != nil {
			use(ns)
			srv.mu.Unlock()
			return ns, nil
		}
		making := srv.making[name]
		if making == nil {
			srv.making[name] = make(chan struct{})
			srv.mu.Unlock()
			return srv.create(name, parent, values, use)
		}
		srv.mu.Unlock()
		<-making
	}
}

// create makes a namespace, which nobody else does meanwhile.
func (srv *Server) create(name string, parent *Pattern, values map[string]string, use func(*Namespace)) (*Namespace, error) {
	ns, err := newNamespace(srv, name, parent, values)
	srv.mu.Lock()
	created := srv.created
	srv.mu.Unlock()
	if err == nil {
		ns.announce(created)
	}
	srv.mu.Lock()
	close(srv.making[name])
	delete(srv.making, name)
	if err != nil {
		srv.mu.Unlock()
		return nil, err
	}
	srv.namespaces[name] = ns
	if parent != nil {
		parent.children[ns] = struct{}{}
	}
	use(ns)
	ns.begun = srv.begun && !srv.closing.Load()
	srv.mu.Unlock()
	if ns.begun {
		ns.start()
	}
	return ns, nil
}

func (ns *Namespace) announce(created []func(*Namespace)) {
	defer ns.recovered("hook")
	for _, f := range created {
		f(ns)
	}
}

// Ready tells whether this node can serve: nil when it is neither draining nor
// shutting down and every adapter is in touch with its broker. It waits, until ctx
// ends, for adapters that are only starting.
func (srv *Server) Ready(ctx context.Context) error {
	switch {
	case srv.closing.Load():
		return ErrServerClosed
	case srv.draining.Load():
		return ErrDraining
	}
	srv.start()
	var errs []error
	for _, ns := range srv.all() {
		if !ns.isUp(ctx) {
			errs = append(errs, fmt.Errorf("node: namespace %q: adapter is starting: %w", ns.name, context.Cause(ctx)))
			continue
		}
		if p, ok := ns.adapter.(adapter.Prober); ok {
			if err := p.Ready(); err != nil {
				errs = append(errs, fmt.Errorf("node: namespace %q: %w", ns.name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// isUp waits until the adapter has started or ctx ends, and tells which. A ctx that
// has ended already asks without waiting.
func (ns *Namespace) isUp(ctx context.Context) bool {
	select {
	case <-ns.up: // first: of two that are there, select takes any
		return true
	default:
	}
	select {
	case <-ns.up:
		return true
	case <-ctx.Done():
		return false
	}
}

// all returns the namespaces.
func (srv *Server) all() []*Namespace {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	list := make([]*Namespace, 0, len(srv.namespaces))
	for _, ns := range srv.namespaces {
		list = append(list, ns)
	}
	return list
}

// Namespaces returns the namespaces that exist, in no order.
func (srv *Server) Namespaces() []*Namespace { return srv.all() }

// NodeID returns the node's id.
func (srv *Server) NodeID() string { return srv.cfg.NodeID }

// Nodes returns the nodes of the cluster that live, this one included, in the order
// of their ids. It is empty without an adapter, with one that is no
// [adapter.Directory], and until the adapter has started. Official nodes are not
// among them: they have no ids. A node that was killed or hangs is listed for some
// seconds more. It does not wait.
func (srv *Server) Nodes() []adapter.NodeInfo {
	if d := srv.directory(); d != nil {
		return d.Nodes()
	}
	return nil
}

// directory returns what knows the other nodes; nil if nothing does, or not yet.
func (srv *Server) directory() adapter.Directory {
	d, _ := srv.rootNamespace.adapter.(adapter.Directory)
	if d == nil || !isClosed(srv.rootNamespace.up) {
		return nil
	}
	return d
}

// Drain lets the clients go before [Server.Shutdown], so that a node can be replaced
// without a crowd at the others (HRD-70). From the call on Ready returns
// [ErrDraining] and new sessions are refused with 503; those that there are go on
// being served. Their clients are let go in random order, perSecond of them a
// second, evenly with some jitter; all at once if perSecond is not positive. For
// a drain of about 20 s that is float64(srv.Stats().Sessions) / 20.
//
// A session ends with all its sockets. What is queued for it is delivered first,
// for which it has 5 s; then it is closed without a DISCONNECT, so that official
// clients connect again by themselves (HRD-53). Disconnect handlers run with the
// reason "server shutting down" and the cause ErrDraining, after what the client
// had sent before.
//
// WebSockets of other nodes' sessions are not handed on any more, so that clients
// stay on polling for the moment; polls are, and so are those WebSockets that there
// are, until Shutdown.
//
// Drain returns when no session is left, or with an error when ctx ends: those
// sessions that are left then are Shutdown's. Calls may overlap: each lets clients
// go at its own pace, and all return when none is left; so Drain(ctx, 0) ends a
// slow drain. A Shutdown ends one too.
//
// Balancers take a moment to see that a node is not ready: fail the readiness check
// some seconds before Drain, while the node still takes new sessions.
func (srv *Server) Drain(ctx context.Context, perSecond float64) error {
	srv.draining.Store(true)
	if err := srv.engine.Drain(ctx, perSecond); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	for _, ns := range srv.all() {
		ns.records.wait(ctx)
	}
	srv.forward.settle(ctx)
	return nil
}

// Shutdown ends the server: new sessions are refused, all sockets end with the
// reason "server shutting down", without a DISCONNECT, so that clients connect
// again elsewhere (SIO-X-21); then, when the handlers have returned, the adapters
// are closed. It returns when nothing that the server started is left. If ctx
// ends before, it returns an error, having closed the adapters all the same;
// another call waits for the rest. What is queued for clients is dropped, as
// officially: Drain delivers it first. The listener is the caller's.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.closing.Store(true)
	srv.down.Do(func() {
		go func() { // ends with the last session; waited for below
			defer close(srv.engineDown)
			_ = srv.engine.Shutdown(context.Background()) // errors are those of the context
		}()
	})
	srv.abort()
	err := srv.waitEngine(ctx)
	for _, ns := range srv.all() {
		ns.records.stop(ctx)
	}
	err = errors.Join(err, srv.tasks.Wait(ctx))
	err = errors.Join(err, srv.closeAdapters(ctx), srv.tasks.Wait(ctx))
	srv.forward.transport.CloseIdleConnections()
	srv.end()
	if err != nil {
		return fmt.Errorf("node: shutdown: %w", err)
	}
	return nil
}

func (srv *Server) waitEngine(ctx context.Context) error {
	select {
	case <-srv.engineDown:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sessions are left: %w", context.Cause(ctx))
	}
}

// closeAdapters closes the adapters that were started and not closed before.
func (srv *Server) closeAdapters(ctx context.Context) error {
	srv.mu.Lock()
	var list []*Namespace
	for _, ns := range srv.namespaces {
		if ns.begun && !ns.closed && ns.adapter != nil {
			ns.closed = true
			list = append(list, ns)
		}
	}
	srv.mu.Unlock()
	var errs []error
	for _, ns := range list {
		errs = append(errs, ns.adapter.Close(ctx))
	}
	return errors.Join(errs...)
}
