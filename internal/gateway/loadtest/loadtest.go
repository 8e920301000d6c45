// Package loadtest is the server's side of a load test: a namespace with the few
// events that the tool in loadtest/ needs of any server. loadtest/peers/ has the same
// for the official one.
//
//	echo  ...args          acked with the same arguments
//	join  room             the client joins it; acked when it hears what others say there
//	leave room             the client leaves it; acked
//	say   room, ...args    "msg" with args to everybody in the room, of all nodes; acked
//	all   ...args          "msg" with args to everybody in the namespace; acked
//
// Arguments are passed on as they came, without being decoded. There is no
// permission for anything: it is never for production.
package loadtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/node"
)

// Message is the event that say and all emit.
const Message = "msg"

var errNoRoom = errors.New("loadtest: the first argument must be the name of a room")

// Mount registers the events. Call it once, before the server serves.
func Mount(ns *node.Namespace) {
	node.Handle(ns, "echo", func(_ context.Context, _ *node.Socket, a node.Args) (node.Args, error) { return a, nil })
	node.Handle(ns, "join", func(ctx context.Context, s *node.Socket, a node.Args) (node.None, error) {
		room, err := roomOf(a)
		if err != nil {
			return node.None{}, err
		}
		return node.None{}, s.Join(ctx, room)
	})
	node.Handle(ns, "leave", func(_ context.Context, s *node.Socket, a node.Args) (node.None, error) {
		room, err := roomOf(a)
		if err == nil {
			s.Leave(room)
		}
		return node.None{}, err
	})
	node.Handle(ns, "say", func(ctx context.Context, _ *node.Socket, a node.Args) (node.None, error) {
		room, err := roomOf(a)
		if err != nil {
			return node.None{}, err
		}
		return node.None{}, ns.To(room).Emit(ctx, Message, a.From(1))
	})
	node.Handle(ns, "all", func(ctx context.Context, _ *node.Socket, a node.Args) (node.None, error) {
		return node.None{}, ns.Emit(ctx, Message, a)
	})
}

// roomOf is the first argument. Without a text there, there is no ack, which a load
// test counts.
func roomOf(a node.Args) (room string, err error) {
	if err := a.Bind(0, &room); err != nil {
		return "", fmt.Errorf("loadtest: the name of a room: %w", err)
	}
	if room == "" {
		return "", errNoRoom
	}
	return room, nil
}
