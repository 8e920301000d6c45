package adminui

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"

	"github.com/fanwire/fanwire/node"
)

// maxQueued is how many bytes may wait for an admin before it is told nothing more,
// until it has read most of them. Far from where it would be closed.
const maxQueued = 128 << 10

// eventTell carries entries to the admins of another node.
const eventTell = "fanwire:admin:tell"

// adminRoom has the admins of our nodes. They get everything by eventTell; what is
// broadcast for those of official nodes leaves them out.
const adminRoom = "fanwire:admins"

// admins are those of this node.
type admins struct {
	ui *UI

	mu     sync.Mutex
	behind map[*node.Socket]bool // guarded by mu; were not told something, and if it was a change
}

func (ad *admins) init(ui *UI) {
	ad.ui = ui
	ad.behind = map[*node.Socket]bool{}
	node.OnServer(ui.admin, eventTell, func(ctx context.Context, _ *node.Namespace, a node.Args) error {
		if ui.watchers.here() == 0 {
			return nil
		}
		list, err := readEntries(a)
		ad.pass(ctx, list)
		return err
	})
}

var errEntry = errors.New("adminui: another node tells something that is no entry")

// readEntries reads what another node tells: arrays of a name and arguments.
func readEntries(a node.Args) (list []entry, err error) {
	for raw := range a.All() {
		var parts []json.RawMessage
		e := entry{}
		if json.Unmarshal(raw, &parts) != nil || len(parts) == 0 || json.Unmarshal(parts[0], &e.name) != nil {
			return list, errEntry
		}
		for _, part := range parts[1:] {
			e.values = append(e.values, part)
		}
		e.event = strings.HasPrefix(e.name, "event_")
		list = append(list, e)
	}
	return list, nil
}

// tell tells the admins of all nodes.
func (ui *UI) tell(ctx context.Context, list []entry) {
	if len(list) == 0 || !ui.watchers.on.Load() {
		return
	}
	ui.admins.pass(ctx, list)
	ours, official := ui.watchers.far()
	if ours {
		parts := make([]any, len(list))
		for i, e := range list {
			parts[i] = append([]any{e.name}, e.values...)
		}
		if err := ui.admin.ServerEmit(ctx, eventTell, parts...); err != nil {
			ui.failed(list, err)
		}
	}
	if official {
		for _, e := range list {
			if err := ui.admin.Except(adminRoom).Emit(ctx, e.name, e.values...); err != nil {
				ui.failed(list, err)
			}
		}
	}
}

// failed counts what did not reach the admins of other nodes.
func (ui *UI) failed(list []entry, err error) {
	ui.log.Debug("admin UI: telling other nodes", "error", err)
	for i := range list {
		ui.feed.missed(&list[i])
	}
}

// pass hands entries to the admins of this node that keep up.
func (ad *admins) pass(ctx context.Context, list []entry) {
	var all, ready []string
	ad.mu.Lock()
	for s := range ad.ui.admin.LocalSockets() {
		all = append(all, s.ID())
		if !ad.keepsUpLocked(s) {
			for i := range list {
				ad.missedLocked(s, &list[i])
			}
			continue
		}
		ready = append(ready, s.ID())
	}
	ad.mu.Unlock()
	if len(ready) == 0 {
		return
	}
	to := ad.ui.admin.Local()
	if len(ready) < len(all) {
		to = to.To(ready...)
	}
	for _, e := range list {
		if err := to.Emit(ctx, e.name, e.values...); err != nil {
			ad.ui.log.Debug("admin UI: telling admins", "event", e.name, "error", err)
		}
	}
}

// keepsUpLocked tells whether an admin is told more. Who has missed no change may go
// on as soon as it has read.
func (ad *admins) keepsUpLocked(s *node.Socket) bool {
	queued := s.Queued()
	change, behind := ad.behind[s]
	if behind && !change && queued <= maxQueued/8 {
		delete(ad.behind, s)
		behind = false
	}
	return !behind && queued <= maxQueued
}

func (ad *admins) missedLocked(s *node.Socket, e *entry) {
	ad.behind[s] = ad.behind[s] || e.change()
	switch {
	case e.event:
		ad.ui.feed.eventsDropped.Add(1)
	case e.change():
		ad.ui.feed.changesDropped.Add(1)
	}
}

// catchUp goes on with admins that have read what waited for them. Who was not told of
// changes gets all sockets anew.
func (ad *admins) catchUp() {
	var missed []*node.Socket
	ad.mu.Lock()
	for s, change := range ad.behind {
		switch {
		case !s.Connected():
			delete(ad.behind, s)
		case s.Queued() <= maxQueued/8:
			delete(ad.behind, s)
			if change {
				missed = append(missed, s)
			}
		}
	}
	ad.mu.Unlock()
	for _, s := range missed {
		ad.ui.snapshots.request(s)
	}
}
