package rules

import (
	"context"
	"sync"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/node"
)

// How long a dynamic namespace that has no clients here stays after somebody has
// used it, and how many of them do: to make one costs a moment and some subscriptions.
const (
	lingerTime = 30 * time.Second
	lingerMax  = 1000
)

// Open returns a namespace to emit to or to ask about, also if no client of this
// node is in it. It is there until release is called, and a while longer. It may
// wait some milliseconds the first time. The error is [command.ErrNoNamespace].
func (r *Rules) Open(name string) (ns *node.Namespace, release func(), err error) {
	t := r.table.Load()
	if t.find(name) == nil {
		return nil, nil, command.ErrNoNamespace
	}
	ns, release = r.holds.open(name)
	if ns == nil {
		return nil, nil, command.ErrNoNamespace
	}
	return ns, release, nil
}

// holds keeps namespaces for those who use them.
type holds struct {
	srv *node.Server

	mu     sync.Mutex // guards the fields below; not held while node works
	byName map[string]*hold
	idle   int
	closed bool
}

// hold is a namespace that is kept.
type hold struct {
	ns    *node.Namespace
	free  func()
	users int
	timer *time.Timer // while there are no users
}

func (h *holds) open(name string) (*node.Namespace, func()) {
	if ns, release := h.use(name); ns != nil {
		return ns, release
	}
	ns, free, ok := h.srv.Hold(context.Background(), name)
	if !ok {
		return nil, nil
	}
	h.mu.Lock()
	if h.byName == nil {
		h.byName = map[string]*hold{}
	}
	if h.byName[name] == nil && !h.closed {
		h.byName[name] = &hold{ns: ns, free: free}
		free = func() {}
	}
	h.mu.Unlock()
	if _, release := h.use(name); release != nil {
		free()
		return ns, release
	}
	return ns, free // closed
}

// use counts a user of a namespace that is kept.
func (h *holds) use(name string) (*node.Namespace, func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.byName[name]
	if k == nil {
		return nil, nil
	}
	if k.users++; k.timer != nil {
		k.timer.Stop()
		k.timer = nil
		h.idle--
	}
	return k.ns, sync.OnceFunc(func() { h.done(name, k) })
}

// done ends a use. The last one leaves the namespace for a while.
func (h *holds) done(name string, k *hold) {
	h.mu.Lock()
	k.users--
	gone := false
	switch {
	case k.users > 0:
	case h.closed || h.idle >= lingerMax:
		delete(h.byName, name)
		gone = true
	default:
		h.idle++
		k.timer = time.AfterFunc(lingerTime, func() { h.expire(name, k) })
	}
	h.mu.Unlock()
	if gone {
		k.free()
	}
}

func (h *holds) expire(name string, k *hold) {
	h.mu.Lock()
	due := k.timer != nil && k.users == 0 && h.byName[name] == k
	if due {
		delete(h.byName, name)
		h.idle--
	}
	h.mu.Unlock()
	if due {
		k.free()
	}
}

func (h *holds) len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.byName)
}

// close lets go of what nobody uses; the rest goes with its last user.
func (h *holds) close() {
	h.mu.Lock()
	h.closed = true
	var list []*hold
	for name, k := range h.byName {
		if k.timer != nil && k.timer.Stop() {
			delete(h.byName, name)
			h.idle--
			list = append(list, k)
		}
	}
	h.mu.Unlock()
	for _, k := range list {
		k.free()
	}
}
