package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/fanwire/fanwire/node"
)

// registrar is what the handlers need of a namespace or pattern.
type registrar interface {
	node.Handlers
	OnConnect(node.ConnectFunc)
	OnDisconnect(node.DisconnectFunc)
	OnRoom(node.RoomEvents)
	Use(func(node.ConnectFunc) node.ConnectFunc)
}

func register(srv *node.Server) {
	id := srv.NodeID()
	guarded := srv.Of("/guarded")
	guarded.Use(guard)
	for _, ns := range []registrar{srv, srv.Of("/chat"), guarded, srv.OfPattern("/tenant/{id}")} {
		connections(ns, id)
		serverEvents(ns, id)
		talk(ns)
		rooms(ns)
		requests(ns)
		describe(ns, id)
	}
}

// guard lets those in who know the secret.
func guard(next node.ConnectFunc) node.ConnectFunc {
	return func(ctx context.Context, s *node.Socket) error {
		var auth struct {
			Token *string `json:"token"`
		}
		if err := s.Auth(&auth); err != nil {
			return err
		}
		if auth.Token != nil && *auth.Token == "secret" {
			return next(ctx, s)
		}
		return &node.ConnectError{Message: "unauthorized", Data: refusal{Code: "E_TOKEN", Given: auth.Token}}
	}
}

type refusal struct {
	Code  string  `json:"code"`
	Given *string `json:"given"`
}

type hello struct {
	Node string `json:"node"`
	ID   string `json:"id"`
}

type gone struct {
	Node   string                `json:"node"`
	ID     string                `json:"id"`
	Reason node.DisconnectReason `json:"reason"`
}

func connections(ns registrar, id string) {
	ns.OnConnect(func(ctx context.Context, s *node.Socket) error {
		return s.Emit(ctx, "hello", hello{id, s.ID()})
	})
	ns.OnDisconnect(func(ctx context.Context, s *node.Socket, d node.Disconnect) {
		_ = s.Namespace().To("watch").Emit(ctx, "gone", gone{id, s.ID(), d.Reason})
	})
}

// note is what one node tells of the arguments that another one sent.
type note struct {
	Node string `json:"node"`
	Args []any  `json:"args"`
}

func serverEvents(ns registrar, id string) {
	node.OnServer(ns, "note", func(ctx context.Context, ns *node.Namespace, a node.Args) error {
		list, err := values(a)
		if err != nil {
			return err
		}
		return ns.Local().Emit(ctx, "noted", note{id, list})
	})
	node.HandleServer(ns, "question", func(_ context.Context, _ *node.Namespace, a node.Args) (note, error) {
		list, err := values(a)
		return note{id, list}, err
	})
}

// talk registers what sends events.
func talk(ns registrar) {
	node.On(ns, "echo", func(ctx context.Context, s *node.Socket, a node.Args) error {
		if err := node.Reply(ctx, a); !errors.Is(err, node.ErrNoAck) {
			return err
		}
		return s.Emit(ctx, "echo", a)
	})
	node.Handle(ns, "emit", func(ctx context.Context, s *node.Socket, a node.Args) (node.None, error) {
		var t target
		var event string
		if err := a.BindAll(&t, &event); err != nil {
			return node.None{}, err
		}
		return node.None{}, t.broadcast(s).Emit(ctx, event, a.From(2))
	})
	node.Handle(ns, "emitAck", func(ctx context.Context, s *node.Socket, a node.Args) (outcome, error) {
		var t target
		var event string
		if err := a.BindAll(&t, &event); err != nil {
			return outcome{}, err
		}
		ctx, cancel := t.deadline(ctx)
		defer cancel()
		return newOutcome(collect(node.CallAll[any](ctx, t.broadcast(s), event, a.From(2)))), nil
	})
	node.Handle(ns, "ask", func(ctx context.Context, s *node.Socket, a node.Args) (outcome, error) {
		return ask(ctx, a, func(ctx context.Context, event string, rest node.Args) (node.Args, error) {
			return node.Call[node.Args](ctx, s, event, rest)
		})
	})
	node.Handle(ns, "bye", func(_ context.Context, s *node.Socket, closeSession bool) (node.None, error) {
		s.Disconnect(closeSession)
		return node.None{}, nil
	})
}

// ask reads timeout, event and arguments from a and gives all arguments of the ack.
func ask(ctx context.Context, a node.Args, call func(ctx context.Context, event string, rest node.Args) (node.Args, error)) (outcome, error) {
	var ms int
	var event string
	if err := a.BindAll(&ms, &event); err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
	defer cancel()
	answer, err := call(ctx, event, a.From(2))
	if err != nil {
		return newOutcome[any](nil, err), nil
	}
	list, err := values(answer)
	return newOutcome(list, err), nil
}

// rooms registers what changes rooms.
func rooms(ns registrar) {
	node.Handle(ns, "join", func(ctx context.Context, s *node.Socket, rooms names) (node.None, error) {
		return node.None{}, s.Join(ctx, rooms...)
	})
	node.Handle(ns, "leave", func(_ context.Context, s *node.Socket, room string) (node.None, error) {
		s.Leave(room)
		return node.None{}, nil
	})
	node.Handle(ns, "data", func(_ context.Context, s *node.Socket, v json.RawMessage) (node.None, error) {
		s.SetData(slices.Clone(v))
		return node.None{}, nil
	})
	node.Handle(ns, "socketsJoin", func(ctx context.Context, s *node.Socket, v node.Tuple2[target, names]) (node.None, error) {
		return node.None{}, v.A.broadcast(s).Join(ctx, v.B...)
	})
	node.Handle(ns, "socketsLeave", func(ctx context.Context, s *node.Socket, v node.Tuple2[target, names]) (node.None, error) {
		return node.None{}, v.A.broadcast(s).Leave(ctx, v.B...)
	})
	node.Handle(ns, "disconnectSockets", func(ctx context.Context, s *node.Socket, v node.Tuple2[target, bool]) (node.None, error) {
		return node.None{}, v.A.broadcast(s).Disconnect(ctx, v.B)
	})
	log := newRoomLog()
	ns.OnRoom(log.events())
	node.Handle(ns, "roomLog", func(_ context.Context, s *node.Socket, rooms names) ([][2]string, error) {
		return log.of(s.Namespace().Name(), rooms), nil
	})
}

// requests registers what asks other nodes.
func requests(ns registrar) {
	node.Handle(ns, "sockets", func(ctx context.Context, s *node.Socket, t target) ([]socket, error) {
		return sockets(ctx, t.broadcast(s))
	})
	node.Handle(ns, "fetch", func(ctx context.Context, s *node.Socket, t target) (outcome, error) {
		ctx, cancel := t.deadline(ctx)
		defer cancel()
		return newOutcome(sockets(ctx, t.broadcast(s))), nil
	})
	node.Handle(ns, "remote", func(ctx context.Context, s *node.Socket, a node.Args) (node.Args, error) {
		var t target
		var action string
		if err := a.BindAll(&t, &action); err != nil {
			return node.Args{}, err
		}
		found, err := t.only(ctx, s)
		if err != nil {
			return node.Args{}, err
		}
		return remote(ctx, found, action, a.From(2))
	})
	node.Handle(ns, "serverEmit", func(ctx context.Context, s *node.Socket, a node.Args) (node.None, error) {
		var event string
		if err := a.BindAll(&event); err != nil {
			return node.None{}, err
		}
		return node.None{}, s.Namespace().ServerEmit(ctx, event, a.From(1))
	})
	node.Handle(ns, "serverEmitAck", func(ctx context.Context, s *node.Socket, a node.Args) (outcome, error) {
		var event string
		if err := a.BindAll(&event); err != nil {
			return outcome{}, err
		}
		return newOutcome(collect(node.CallServers[any](ctx, s.Namespace(), event, a.From(1)))), nil
	})
}

// remote acts on one socket of any node.
func remote(ctx context.Context, r node.RemoteSocket, action string, a node.Args) (node.Args, error) {
	var room string
	switch action {
	case "emit":
		var event string
		if err := a.BindAll(&event); err != nil {
			return node.Args{}, err
		}
		return node.Args{}, r.Emit(ctx, event, a.From(1))
	case "ask":
		o, err := ask(ctx, a, func(ctx context.Context, event string, rest node.Args) (node.Args, error) {
			return node.CallRemote[node.Args](ctx, r, event, rest)
		})
		if err != nil {
			return node.Args{}, err
		}
		return node.NewArgs(o)
	case "join":
		var list names
		if err := a.BindAll(&list); err != nil {
			return node.Args{}, err
		}
		return node.Args{}, r.Join(ctx, list...)
	case "leave":
		if err := a.BindAll(&room); err != nil {
			return node.Args{}, err
		}
		return node.Args{}, r.Leave(ctx, room)
	case "disconnect":
		var closeSession bool
		if err := a.BindAll(&closeSession); err != nil {
			return node.Args{}, err
		}
		return node.Args{}, r.Disconnect(ctx, closeSession)
	}
	return node.Args{}, errUnknownAction
}
