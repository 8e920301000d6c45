package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/node"
)

// maxAsked is how many rooms one event may name.
const maxAsked = 256

// rooms is the ack of an event that has joined or left them.
type rooms struct {
	Rooms []string `json:"rooms"`
}

// join puts the client into the rooms of its event: all of them or none.
func (r *Rules) join(ctx context.Context, c *call) error {
	names, err := c.askedRooms()
	if err != nil {
		return err
	}
	if may := c.client.MayJoin; may != nil {
		for _, name := range names {
			if !matchAny(may, name) {
				return refuse(Forbidden, "this client may not join the room")
			}
		}
	}
	switch err := c.s.Join(ctx, names...); {
	case errors.Is(err, node.ErrTooManyRooms):
		return refuse(Forbidden, "the client is in too many rooms")
	case errors.Is(err, node.ErrRoomName):
		return refuse(BadRequest, "the name of a room is none")
	case err != nil:
		return err // it has gone
	}
	r.count.joined.Add(1)
	if c.e.WantsAck {
		return ack(ctx, rooms{names})
	}
	return nil
}

// leave takes the client out of the rooms of its event.
func (r *Rules) leave(ctx context.Context, c *call) error {
	names, err := c.askedRooms()
	if err != nil {
		return err
	}
	c.s.Leave(names...)
	r.count.left.Add(1)
	if c.e.WantsAck {
		return ack(ctx, rooms{names})
	}
	return nil
}

// askedRooms returns the rooms in the first argument, a text or a list of texts, each
// once. All fit a pattern of the route.
func (c *call) askedRooms() ([]string, error) {
	names, err := readRooms(c.e.Args.Raw(0))
	if err != nil {
		return nil, err
	}
	patterns, err := c.globs()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !c.table.validRoom(name) {
			return nil, refuse(BadRequest, "the name of a room is empty, too long, or has a NUL")
		}
		if !patterns.allow(name) {
			return nil, refuse(Forbidden, "the room does not fit what clients may join or leave here")
		}
	}
	return names, nil
}

// readRooms reads the first argument of a join or leave.
func readRooms(raw []byte) ([]string, error) {
	raw = raw[skipSpace(raw, 0):]
	if len(raw) > 0 && raw[0] == '"' {
		name, ok := unquote(raw[:skipString(raw, 0)])
		if !ok {
			return nil, badRooms
		}
		return []string{name}, nil
	}
	if len(raw) == 0 || raw[0] != '[' {
		return nil, badRooms
	}
	var names []string
	for i := 1; ; i++ { // over the bracket, then over commas
		if i = skipSpace(raw, i); i == len(raw) || raw[i] != '"' {
			return nil, badRooms
		}
		end := skipString(raw, i)
		name, ok := unquote(raw[i:end])
		switch {
		case !ok:
			return nil, badRooms
		case slices.Contains(names, name):
		case len(names) == maxAsked:
			return nil, refuse(TooLarge, fmt.Sprintf("one event can name %d rooms", maxAsked))
		default:
			names = append(names, name)
		}
		i = skipSpace(raw, end)
		if i < len(raw) && raw[i] == ']' {
			return names, nil
		}
		if i == len(raw) || raw[i] != ',' {
			return nil, badRooms
		}
	}
}

var badRooms = refuse(BadRequest, "the first argument must be the name of a room, or a list of names")

// roomGlobs are the patterns of a route for one client.
type roomGlobs []roomGlob

type roomGlob struct {
	match func(string) bool
	named bool // one room, by the configuration
}

// globs returns the patterns of the route with what they stand for. One whose field
// has no value is left out: it fits no room.
func (c *call) globs() (roomGlobs, error) {
	list := make(roomGlobs, 0, len(c.route.rooms))
	var first error
	for _, p := range c.route.rooms {
		g := p.glob
		if !p.fixed {
			var err error
			if g, err = p.text.ExpandGlob(c.value); err != nil {
				if first == nil {
					first = missing(err)
				}
				continue
			}
		}
		list = append(list, roomGlob{g.Match, p.named})
	}
	if len(list) == 0 {
		return nil, first
	}
	return list, nil
}

// allow tells whether a client may join or leave a room by itself. What may be the
// room of a socket it may only if the configuration names the room: in another
// socket's room it would hear what is meant for that one, and out of its own it
// could not be reached.
func (list roomGlobs) allow(name string) bool {
	id := mayBeID(name)
	for _, g := range list {
		if (g.named || !id) && g.match(name) {
			return true
		}
	}
	return false
}

// mayBeID tells whether a room can be that of a socket, of this or an official node:
// 20 characters as in URL-safe base64; for clients of Socket.IO 2 a session id, in a
// namespace other than "/" with that and "#" before it.
func mayBeID(name string) bool {
	if name != "" && name[0] == '/' {
		i := strings.LastIndexByte(name, '#')
		if i < 0 {
			return false
		}
		name = name[i+1:]
	}
	if len(name) == idLength {
		return isIDText(name)
	}
	sid, node, ok := strings.Cut(name, ".")
	return ok && len(sid) == sidLength && isIDText(sid) && node != "" && isIDText(node)
}

const (
	idLength  = 20 // of public ids, and of the session ids of official nodes
	sidLength = 27 // of ours, before the dot
)

func isIDText(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
