package adminui

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/fanwire/fanwire/node"
)

const (
	// maxSockets is how many sockets the page is told of at once: with more it is of
	// no use, and a message of megabytes.
	maxSockets   = 5000
	snapshotTime = 5 * time.Second
	// maxAnswer bounds what one node answers about one namespace.
	maxAnswer = 500
)

// Names of events between nodes, in the admin namespace.
const (
	eventNamespaces = "fanwire:admin:namespaces" // which ones do you have?
	eventSockets    = "fanwire:admin:sockets"    // which ones do you have in a namespace that I have not?
	eventGap        = "fanwire:admin:gap"        // admins must hear of all sockets anew
)

// snapshots tell admins of all sockets there are: when they come, and when changes
// had to be dropped. One goroutine makes them, for all who wait together.
type snapshots struct {
	ui   *UI
	wake chan struct{}

	mu      sync.Mutex
	waiting []*node.Socket // guarded by mu; admins of this node
}

func (sn *snapshots) init(ui *UI) {
	sn.ui = ui
	sn.wake = make(chan struct{}, 1)
	node.HandleServer(ui.admin, eventNamespaces, func(context.Context, *node.Namespace, node.None) ([]string, error) {
		return sn.names(), nil
	})
	node.HandleServer(ui.admin, eventSockets, func(ctx context.Context, _ *node.Namespace, name string) ([]description, error) {
		list := []description{}
		if ns, ok := ui.srv.Lookup(name); ok {
			list = appendSockets(ctx, list, ns.Local(), name, maxAnswer)
		}
		return list, nil
	})
	node.OnServer(ui.admin, eventGap, func(context.Context, *node.Namespace, node.None) error {
		sn.again()
		return nil
	})
}

// names are those of this node's namespaces.
func (sn *snapshots) names() []string {
	var names []string
	for _, ns := range sn.ui.namespaces() {
		names = append(names, ns.Name)
	}
	return names
}

// request has all sockets told to an admin.
func (sn *snapshots) request(s *node.Socket) {
	sn.mu.Lock()
	if !slices.Contains(sn.waiting, s) {
		sn.waiting = append(sn.waiting, s)
	}
	sn.mu.Unlock()
	select {
	case sn.wake <- struct{}{}:
	default:
	}
}

// again has them told to all admins of this node.
func (sn *snapshots) again() {
	if !sn.ui.verbose {
		return
	}
	for s := range sn.ui.admin.LocalSockets() {
		sn.request(s)
	}
}

// repair makes good that changes were dropped, once the flood is over.
func (sn *snapshots) repair(ctx context.Context) {
	f := &sn.ui.feed
	if len(f.queue) > 0 || !f.gap.Swap(false) {
		return
	}
	sn.again()
	if ours, _ := sn.ui.watchers.far(); !ours {
		return
	}
	if err := sn.ui.admin.ServerEmit(ctx, eventGap); err != nil {
		sn.ui.log.Debug("admin UI: telling other nodes of a gap", "error", err)
	}
}

// run makes snapshots until Close.
func (sn *snapshots) run() {
	for {
		select {
		case <-sn.wake:
			sn.serve(sn.ui.ctx)
		case <-sn.ui.ctx.Done():
			return
		}
	}
}

func (sn *snapshots) serve(ctx context.Context) {
	sn.mu.Lock()
	admins := sn.waiting
	sn.waiting = nil
	sn.mu.Unlock()
	if len(admins) == 0 {
		return
	}
	list := sn.collect(ctx)
	args, err := node.NewArgs(list)
	if err != nil {
		sn.ui.log.Error("admin UI: describing sockets", "error", err)
		return
	}
	for _, s := range admins {
		_ = s.Emit(ctx, "all_sockets", args) // or the admin is gone
	}
}

// collect asks all nodes for their sockets. What does not come in time is left out.
func (sn *snapshots) collect(ctx context.Context) []description {
	ctx, cancel := context.WithTimeout(ctx, snapshotTime)
	defer cancel()
	list := []description{}
	for _, name := range sn.allNames(ctx) {
		if len(list) >= maxSockets {
			sn.ui.log.Warn("admin UI: there are more sockets than it can show", "shown", maxSockets)
			break
		}
		if ns, ok := sn.ui.srv.Lookup(name); ok {
			list = appendSockets(ctx, list, ns.All(), name, maxSockets)
			continue
		}
		for more, err := range node.CallServers[[]description](ctx, sn.ui.admin, eventSockets, name) {
			if err == nil {
				list = append(list, more[:min(len(more), maxSockets-len(list))]...)
			}
		}
	}
	return list
}

// allNames are those of the namespaces of all nodes; official ones do not tell
// theirs.
func (sn *snapshots) allNames(ctx context.Context) []string {
	names := sn.names()
	ctx, cancel := context.WithTimeout(ctx, greetTime)
	defer cancel()
	for more, err := range node.CallServers[[]string](ctx, sn.ui.admin, eventNamespaces) {
		if err == nil {
			names = append(names, more[:min(len(more), maxNamespaces)]...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// appendSockets describes selected sockets until the list has so many.
func appendSockets(ctx context.Context, list []description, b node.Broadcast, nsp string, most int) []description {
	for rs, err := range b.Sockets(ctx) {
		if len(list) >= most {
			break
		}
		if err == nil {
			list = append(list, describe(rs, nsp))
		}
	}
	return list
}
