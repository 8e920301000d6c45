package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/fanwire/fanwire/adapter"
)

// Namespace is a part of the server that clients join by name, with handlers,
// sockets and rooms of its own. All methods are safe for concurrent use.
type Namespace struct {
	registry
	caster

	// Static after construction.
	srv     *Server
	name    string
	parent  *Pattern // nil unless it is dynamic
	values  map[string]string
	adapter adapter.Adapter // nil if the node is alone
	index   index
	journal adapter.Journal // nil without recovery
	orders  bool            // the journal's broker decides on the order
	records records

	// order is held while an event gets its offset and is delivered (see
	// [adapter.Journal]): with recovery on, sockets get events in the order of their
	// offsets.
	order sync.Mutex

	open      chan struct{} // closed when the adapter may be used
	opened    sync.Once
	up        chan struct{}   // closed when the adapter's Start has returned
	startCtx  context.Context // ends when the adapter is not needed any more
	stopStart context.CancelFunc

	users  int  // sockets that are in or on their way, and holds; guarded by srv.mu
	pinned bool // stays without sockets; guarded by srv.mu
	begun  bool // start was called; guarded by srv.mu
	closed bool // the adapter was closed by Shutdown; guarded by srv.mu

	unpaced int // bytes; owned by the adapter's goroutine

	lastAck  atomic.Uint64
	pending  collectors // broadcasts that wait for acks
	requests requests   // asked of other nodes
	events   worker     // of other nodes
	fetches  worker     // answers to other nodes
}

// newNamespace makes a namespace, without starting its adapter.
func newNamespace(srv *Server, name string, parent *Pattern, values map[string]string) (*Namespace, error) {
	ns := &Namespace{srv: srv, name: name, parent: parent, values: values, open: make(chan struct{}), up: make(chan struct{})}
	ns.caster.all = Broadcast{ns: ns}
	if parent != nil {
		ns.set.Store(parent.set.Load()) // SIO-N-03
	}
	if srv.cfg.Adapter == nil {
		close(ns.open)
		close(ns.up)
		return ns, ns.findJournal()
	}
	a, err := srv.cfg.Adapter(host{ns})
	if err != nil {
		return nil, fmt.Errorf("node: adapter of namespace %q: %w", name, err)
	}
	ns.adapter = a
	ns.startCtx, ns.stopStart = context.WithCancel(srv.starting)
	ns.index.observer, _ = a.(adapter.RoomObserver)
	return ns, ns.findJournal()
}

// Name returns the namespace's name with its leading slash.
func (ns *Namespace) Name() string { return ns.name }

// Server returns the server that the namespace belongs to.
func (ns *Namespace) Server() *Server { return ns.srv }

// PathValue returns what stands in the name for a wildcard of the pattern that
// the namespace was made by, "" without one.
func (ns *Namespace) PathValue(name string) string { return ns.values[name] }

// startWait is how long a new namespace waits for its adapter to hear the other
// nodes, before it goes on without: longer than a broker takes that is there, so
// that who is in hears everybody, and no delay to speak of while it is away.
const startWait = 50 * time.Millisecond

// start lets the adapter receive. It is called once.
func (ns *Namespace) start() {
	if ns.adapter == nil {
		return
	}
	timer := time.AfterFunc(startWait, ns.goOn)
	ns.srv.tasks.Go(func() {
		if err := ns.adapter.Start(ns.startCtx); err != nil && ns.startCtx.Err() == nil {
			ns.srv.log.Error("starting an adapter", "namespace", ns.name, "error", err)
		}
		timer.Stop()
		ns.goOn()
		close(ns.up)
	})
}

func (ns *Namespace) goOn() { ns.opened.Do(func() { close(ns.open) }) }

// started waits until the adapter may be used: [startWait] at most, and only while
// the namespace is as young as that. Not to wait at all would lose what an adapter
// is told before its Start has begun.
func (ns *Namespace) started(ctx context.Context) {
	select {
	case <-ns.open:
		return
	default:
	}
	ns.srv.start()
	detach(ctx)
	select {
	case <-ns.open:
	case <-ctx.Done():
	case <-ns.srv.starting.Done():
	}
}

// plain tells whether a socket may enter without user code and without waiting.
func (ns *Namespace) plain() bool {
	h := ns.handlers()
	return h.admit == nil && len(h.connect) == 0 && len(h.rooms) == 0 && isClosed(ns.open)
}

// release is called for each user that acquire or resolve counted, when it is
// gone. The last one takes a dynamic namespace with it (SIO-N-06).
func (ns *Namespace) release() {
	if ns.parent == nil {
		return
	}
	srv := ns.srv
	srv.mu.Lock()
	ns.users--
	gone := ns.users == 0 && !ns.pinned && !srv.cfg.KeepEmptyNamespaces && srv.namespaces[ns.name] == ns
	begun := ns.begun && !ns.closed
	if gone {
		delete(srv.namespaces, ns.name)
		delete(ns.parent.children, ns)
	}
	srv.mu.Unlock()
	if gone && (begun && ns.adapter != nil || ns.adapter == nil && ns.journal != nil) {
		srv.tasks.Go(ns.closeAdapter)
	}
}

// closeAdapter closes the adapter of a namespace that is not needed any more.
func (ns *Namespace) closeAdapter() {
	ctx, cancel := context.WithTimeout(ns.srv.ctx, 5*time.Second)
	defer cancel()
	if ns.journal != nil {
		ns.records.stop(ctx)
	}
	if ns.adapter == nil {
		ns.closeMemory()
		return
	}
	ns.stopStart()
	<-ns.up // Close comes after Start
	if err := ns.adapter.Close(ctx); err != nil {
		ns.srv.log.Warn("closing an adapter", "namespace", ns.name, "error", err)
	}
	if m, ok := ns.adapter.(adapter.Measurer); ok {
		c := &ns.srv.counters
		c.mu.Lock()
		addStats(&c.gone, m.Stats(), false)
		c.mu.Unlock()
	}
}

// nextAck returns a fresh ack id; one counter serves all sockets and broadcasts
// of the namespace (SIO-F-09).
func (ns *Namespace) nextAck() uint64 { return (ns.lastAck.Add(1) - 1) & maxAckID }

// cleanName gives a namespace its slash (SIO-N-01). It panics if no client could
// ask for the name.
func cleanName(name string, limit int) string {
	if !strings.HasPrefix(name, "/") {
		name = "/" + name
	}
	if !validNamespace(name, limit) {
		panic(fmt.Sprintf("node: not a valid namespace name: %.300q", name))
	}
	return name
}

func validNamespace(name string, limit int) bool {
	return len(name) <= limit && !strings.ContainsAny(name, ",\x00") && utf8.ValidString(name)
}

// host is a Namespace as its adapter sees it.
type host struct{ ns *Namespace }

func (h host) NodeID() string           { return h.ns.srv.cfg.NodeID }
func (h host) IDTag() string            { return h.ns.srv.tag }
func (h host) Namespace() string        { return h.ns.name }
func (h host) HasRoom(room string) bool { return h.ns.index.has(room) }

func (h host) Receive(m *adapter.Message) { h.ns.receive(m) }

func (h host) EventsLost() { h.ns.eventsLost() }

// Pace implements [adapter.Pacer].
func (h host) Pace(bytes int) { h.ns.pace(bytes) }

func (h host) RecoveryWindow() time.Duration { return h.ns.srv.cfg.keepEvents() }
