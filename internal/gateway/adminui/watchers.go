package adminui

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/node"
)

const (
	tickInterval = 2 * time.Second // as officially
	// watchTime is how long a node is believed to have admins that said so.
	watchTime = 3*tickInterval + time.Second
	// greetTicks is how often nodes look for official ones, which do not say so.
	greetTicks  = 15
	maxWatchers = 1000 // nodes
)

// greetTime bounds the wait for answers. Tests give nodes more.
var greetTime = 500 * time.Millisecond

// eventWatch says that a node has so many admins; the answer says so of the other.
const eventWatch = "fanwire:admin:watch"

// watch is what a node says.
type watch struct {
	Node   string `json:"node"`
	Admins int    `json:"admins"`
}

// watchers knows whether there is any admin to tell something.
type watchers struct {
	ui *UI
	on atomic.Bool // somebody is there

	kicked chan struct{}

	mu     sync.Mutex           // guards the fields below
	count  int                  // of this node
	others map[string]time.Time // nodes with admins, until when that is believed
	silent bool                 // there are nodes that would not say so
}

func (w *watchers) init(ui *UI) {
	w.ui = ui
	w.kicked = make(chan struct{}, 1)
	w.others = map[string]time.Time{}
	node.HandleServer(ui.admin, eventWatch, func(_ context.Context, _ *node.Namespace, said watch) (watch, error) {
		if w.heard(said, time.Now()) {
			w.kick() // they have nothing yet
		}
		return w.say(), nil
	})
}

// say is what this node has to say.
func (w *watchers) say() watch { return watch{w.ui.srv.NodeID(), w.here()} }

func (w *watchers) here() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count
}

// heard takes what another node has said. It reports whether that is news.
func (w *watchers) heard(said watch, now time.Time) (news bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.others[said.Node]
	switch {
	case said.Node == "" || said.Node == w.ui.srv.NodeID():
		return false
	case said.Admins <= 0:
		delete(w.others, said.Node)
	case known || len(w.others) < maxWatchers:
		w.others[said.Node] = now.Add(watchTime)
		news = !known
	}
	w.lookLocked(now)
	return news
}

// lookLocked sets on to what is so.
func (w *watchers) lookLocked(now time.Time) {
	for id, until := range w.others {
		if now.After(until) {
			delete(w.others, id)
		}
	}
	w.on.Store(w.count > 0 || len(w.others) > 0 || w.silent)
}

// far tells whether there are admins on other nodes of ours, and whether there may be
// some on official ones.
func (w *watchers) far() (ours, official bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.others) > 0, w.silent
}

// came counts an admin. The first one waits until the other nodes know.
func (w *watchers) came(ctx context.Context) {
	w.mu.Lock()
	w.count++
	first := w.count == 1
	w.lookLocked(time.Now())
	w.mu.Unlock()
	if first {
		w.greet(ctx)
	}
	w.kick()
}

func (w *watchers) left(ctx context.Context) {
	w.mu.Lock()
	w.count--
	last := w.count == 0
	w.lookLocked(time.Now())
	w.mu.Unlock()
	if last {
		w.tell(ctx)
	}
}

// tell says to the other nodes how many admins there are.
func (w *watchers) tell(ctx context.Context) {
	if err := w.ui.admin.ServerEmit(ctx, eventWatch, w.say()); err != nil {
		w.ui.log.Debug("admin UI: telling other nodes of admins", "error", err)
	}
}

// greet says it and hears what they say.
func (w *watchers) greet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	silent := false
	for said, err := range node.CallServers[watch](ctx, w.ui.admin, eventWatch, w.say()) {
		var partial *node.PartialError
		switch {
		case err == nil:
			w.heard(said, time.Now())
		case errors.As(err, &partial):
			silent = partial.Unnamed > 0
		}
	}
	if ctx.Err() != nil && context.Cause(ctx) != context.DeadlineExceeded {
		return // the node or the admin is gone
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = silent
	w.lookLocked(time.Now())
}

// tick does what is to be done every two seconds.
func (ui *UI) tick() {
	t := time.NewTicker(tickInterval)
	defer t.Stop()
	w := &ui.watchers
	before := ui.srv.Stats()
	for n := 0; ; {
		select {
		case <-t.C:
			w.keepUp(ui.ctx, n%greetTicks == 0)
			ui.admins.catchUp()
			ui.snapshots.repair(ui.ctx)
			n++
		case <-w.kicked:
		case <-ui.ctx.Done():
			return
		}
		now := ui.srv.Stats()
		if w.on.Load() {
			ui.emitStats(&before, &now, time.Now())
		}
		before = now
	}
}

// keepUp tells the others what is, and now and then hears them all.
func (w *watchers) keepUp(ctx context.Context, greet bool) {
	switch {
	case greet:
		w.greet(ctx)
	case w.here() > 0:
		w.tell(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookLocked(time.Now())
}

// kick has this node's figures sent at once: somebody has come who has none.
func (w *watchers) kick() {
	select {
	case w.kicked <- struct{}{}:
	default:
	}
}
