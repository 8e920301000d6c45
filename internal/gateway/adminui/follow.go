package adminui

import (
	"context"
	"time"

	"github.com/fanwire/fanwire/node"
)

// follow sees to it that what happens in each namespace is told.
func (ui *UI) follow() {
	for _, ns := range ui.srv.Namespaces() {
		ui.followNamespace(ns)
	}
	ui.srv.OnNamespace(ui.followNamespace)
}

func (ui *UI) followNamespace(ns *node.Namespace) {
	f, on := &ui.feed, &ui.watchers.on
	name := ns.Name()
	ns.OnConnect(func(ctx context.Context, s *node.Socket) error {
		if on.Load() {
			if d, ok := describeLocal(ctx, s); ok {
				f.change("socket_connected", d, timestamp(time.Now()))
			}
		}
		return nil
	})
	ns.OnUpdate(func(ctx context.Context, s *node.Socket) {
		if on.Load() {
			if d, ok := describeLocal(ctx, s); ok {
				f.change("socket_updated", update{d.ID, d.Namespace, d.Transport, d.Data})
			}
		}
	})
	ns.OnDisconnecting(func(_ context.Context, s *node.Socket, d node.Disconnect) {
		if on.Load() {
			f.change("socket_disconnected", name, s.ID(), string(d.Reason), timestamp(time.Now()))
		}
	})
	ns.OnRoom(node.RoomEvents{
		Joined: func(_ *node.Namespace, room string, s *node.Socket) {
			if on.Load() && room != adminRoom {
				f.change("room_joined", name, room, s.ID(), timestamp(time.Now()))
			}
		},
		Left: func(_ *node.Namespace, room string, s *node.Socket) {
			if on.Load() && room != adminRoom {
				f.change("room_left", name, room, s.ID(), timestamp(time.Now()))
			}
		},
	})
	if ns == ui.admin { // it would tell of what it tells
		return
	}
	ns.OnAny(func(_ context.Context, s *node.Socket, event string, a node.Args) {
		if on.Load() {
			f.event("event_received", s, event, a)
		}
	})
	ns.OnAnyOutgoing(func(_ context.Context, s *node.Socket, event string, a node.Args) {
		if on.Load() {
			f.event("event_sent", s, event, a)
		}
	})
}
