package main

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"sync"

	"github.com/fanwire/fanwire/node"
)

// identity is what a client learns of itself.
type identity struct {
	Node      string            `json:"node"`
	ID        string            `json:"id"`
	Namespace string            `json:"nsp"`
	Transport string            `json:"transport"`
	Protocol  int               `json:"protocol"`
	Auth      json.RawMessage   `json:"auth"`
	Query     map[string]string `json:"query"`
	Rooms     []string          `json:"rooms"`
}

func describe(ns registrar, id string) {
	node.Handle(ns, "whoami", func(_ context.Context, s *node.Socket, _ node.None) (identity, error) {
		h := s.Handshake()
		return identity{
			Node:      id,
			ID:        s.ID(),
			Namespace: s.Namespace().Name(),
			Transport: s.Transport(),
			Protocol:  s.Protocol(),
			Auth:      h.Auth,
			Query:     firsts(h.Query),
			Rooms:     slices.Sorted(slices.Values(s.Rooms())),
		}, nil
	})
}

// socket is what a node tells of a socket of any node.
type socket struct {
	ID    string            `json:"id"`
	Rooms []string          `json:"rooms"`
	Data  json.RawMessage   `json:"data"`
	Auth  json.RawMessage   `json:"auth"`
	Query map[string]string `json:"query"`
}

// sockets returns those that came, also with an error.
func sockets(ctx context.Context, b node.Broadcast) ([]socket, error) {
	found, err := collect(b.Sockets(ctx))
	list := make([]socket, len(found))
	for i, r := range found {
		h := r.Handshake()
		list[i] = socket{
			ID:    r.ID(),
			Rooms: slices.Sorted(slices.Values(r.Rooms())),
			Auth:  h.Auth,
			Query: firsts(h.Query),
		}
		if err := r.Data(&list[i].Data); err != nil {
			return nil, err
		}
	}
	return list, err
}

// firsts gives the first value of each parameter.
func firsts(query url.Values) map[string]string {
	m := make(map[string]string, len(query))
	for name := range query {
		m[name] = query.Get(name)
	}
	return m
}

// roomLog keeps what happened to the rooms of this node, by namespace.
type roomLog struct {
	mu  sync.Mutex
	log map[string][][2]string
}

func newRoomLog() *roomLog { return &roomLog{log: make(map[string][][2]string)} }

func (l *roomLog) add(ns *node.Namespace, kind, room string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.log[ns.Name()] = append(l.log[ns.Name()], [2]string{kind, room})
}

func (l *roomLog) events() node.RoomEvents {
	return node.RoomEvents{
		Created: func(ns *node.Namespace, room string) { l.add(ns, "create", room) },
		Joined:  func(ns *node.Namespace, room string, _ *node.Socket) { l.add(ns, "join", room) },
		Left:    func(ns *node.Namespace, room string, _ *node.Socket) { l.add(ns, "leave", room) },
		Deleted: func(ns *node.Namespace, room string) { l.add(ns, "delete", room) },
	}
}

// of returns the entries about rooms, in order.
func (l *roomLog) of(namespace string, rooms []string) [][2]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := [][2]string{}
	for _, entry := range l.log[namespace] {
		if slices.Contains(rooms, entry[1]) {
			list = append(list, entry)
		}
	}
	return list
}
