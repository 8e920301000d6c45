package api

import (
	"context"
	"slices"

	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/node"
)

// roomView is a room and how many sockets are in it.
type roomView struct {
	Name    string `json:"name"`
	Sockets int    `json:"sockets"`
}

// roomsAnswer is a part of the rooms of one node.
type roomsAnswer struct {
	Node  string     `json:"node"`
	Rooms []roomView `json:"rooms"` // in the order of their names
}

func (r roomsAnswer) from() string { return r.Node }

// roomsHere answers with rooms of this node, but for those that are ids.
func (a *API) roomsHere(_ context.Context, q question) roomsAnswer {
	answer := roomsAnswer{Node: a.srv.NodeID(), Rooms: []roomView{}}
	ns, ok := a.srv.Lookup(q.Namespace)
	if !ok {
		return answer
	}
	p := newPage[struct{}](q.After, q.Limit)
	for _, name := range ns.Rooms() {
		p.put(name, struct{}{})
	}
	for _, name := range p.shrink() {
		if n := ns.RoomLen(name); n > 0 { // not left meanwhile
			answer.Rooms = append(answer.Rooms, roomView{name, n})
		}
	}
	return answer
}

// listRooms lists rooms in the order of their names.
func (a *API) listRooms(c *call) error {
	w, _, err := c.window()
	if err != nil {
		return err
	}
	_, release, err := c.open(c.namespace)
	if err != nil {
		return err
	}
	defer release()
	q := question{Namespace: c.namespace, After: w.after, Limit: w.limit}
	p := newPage[int](q.After, q.Limit)
	take := func(r roomsAnswer) bool {
		for _, room := range r.Rooms {
			p.put(room.Name, p.m[room.Name]+room.Sockets)
		}
		return true
	}
	take(a.roomsHere(c.ctx, q))
	g := ask(c.ctx, a, roomsEvent, q, take)
	names, next := p.names()
	return c.list("rooms", len(names), func(i int) any { return roomView{names[i], p.m[names[i]]} }, listEnd{next, g})
}

// maxIDs is how many sockets of one user are listed.
const maxIDs = 100

// userView is a user in a room.
type userView struct {
	User    string   `json:"user"`
	Count   int      `json:"count"`   // of sockets
	Sockets []string `json:"sockets"` // their ids, the first hundred
}

func (u *userView) add(count int, ids ...string) {
	u.Count += count
	u.Sockets = append(u.Sockets, ids...)
	if len(u.Sockets) > 2*maxIDs {
		slices.Sort(u.Sockets)
		u.Sockets = u.Sockets[:maxIDs]
	}
}

// presenceAnswer is a part of who is in a room on one node.
type presenceAnswer struct {
	Node      string     `json:"node"`
	Sockets   int        `json:"sockets"`   // all
	Anonymous int        `json:"anonymous"` // of them, without a user
	Users     []userView `json:"users"`     // in the order of their names
}

func (p presenceAnswer) from() string { return p.Node }

// crowd counts who is in a room.
type crowd struct {
	sockets, anonymous int
	users              *page[*userView]
}

func newCrowd(q question) *crowd { return &crowd{users: newPage[*userView](q.After, q.Limit)} }

func (c *crowd) add(user string, count int, ids ...string) {
	if user == "" || !c.users.wants(user) {
		return
	}
	u := c.users.m[user]
	if u == nil {
		u = &userView{User: user}
		c.users.put(user, u)
	}
	u.add(count, ids...)
}

func (c *crowd) socket(user, id string) {
	c.sockets++
	if user == "" {
		c.anonymous++
	}
	c.add(user, 1, id)
}

// list is the users with these names.
func (c *crowd) list(names []string) []userView {
	users := make([]userView, 0, len(names))
	for _, name := range names {
		u := *c.users.m[name]
		slices.Sort(u.Sockets)
		u.Sockets = u.Sockets[:min(len(u.Sockets), maxIDs)]
		users = append(users, u)
	}
	return users
}

// userOf is the user of a socket of this node.
func userOf(s *node.Socket) string {
	c, _ := node.Data[identity.Client](s)
	return c.User
}

// presenceHere answers with who of this node is in a room.
func (a *API) presenceHere(_ context.Context, q question) presenceAnswer {
	c := newCrowd(q)
	if q.Room != nil {
		for s := range a.local(&q) {
			c.socket(userOf(s), s.ID())
		}
	}
	return presenceAnswer{a.srv.NodeID(), c.sockets, c.anonymous, c.list(c.users.shrink())}
}

// presenceEnd follows the users.
type presenceEnd struct {
	Room      string `json:"room"`
	Sockets   int    `json:"sockets"`
	Anonymous int    `json:"anonymous"`
	listEnd
}

// getPresence tells who is in a room. If there are nodes that do not answer gateways
// all nodes are asked for the sockets, as officially.
func (a *API) getPresence(c *call) error {
	w, _, err := c.window()
	if err != nil {
		return err
	}
	ns, release, err := c.open(c.namespace)
	if err != nil {
		return err
	}
	defer release()
	room := c.vars["room"]
	q := question{Namespace: c.namespace, Room: &room, After: w.after, Limit: w.limit}
	who := newCrowd(q)
	take := func(p presenceAnswer) bool {
		who.sockets += p.Sockets
		who.anonymous += p.Anonymous
		for _, u := range p.Users {
			who.add(u.User, u.Count, u.Sockets...)
		}
		return true
	}
	take(a.presenceHere(c.ctx, q))
	g := ask(c.ctx, a, presenceEvent, q, take)
	if g.Unnamed > 0 {
		who, g = a.officialPresence(c.ctx, ns, q)
	}
	names, next := who.users.names()
	users := who.list(names)
	end := presenceEnd{room, who.sockets, who.anonymous, listEnd{next, g}}
	return c.list("users", len(users), func(i int) any { return users[i] }, end)
}

func (a *API) officialPresence(ctx context.Context, ns *node.Namespace, q question) (*crowd, gap) {
	ctx, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	who, g := newCrowd(q), gap{Missing: []string{}}
	for r, err := range q.selection(ns).Sockets(ctx) {
		if err != nil {
			g.note(err)
			break
		}
		who.socket(clientOf(r).User, r.ID())
	}
	return who, g
}
