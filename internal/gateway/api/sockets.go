package api

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"slices"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/node"
)

// socketView is a socket as backends see it. Of sockets of official nodes, and of
// programs that use package node, Node and Protocol are not known; of those of
// official ones Transport is not either.
type socketView struct {
	ID        string          `json:"id"`
	Node      string          `json:"node,omitempty"`
	User      string          `json:"user,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Rooms     []string        `json:"rooms"` // but for the one named by its id
	Transport string          `json:"transport,omitempty"`
	Protocol  int             `json:"protocol,omitempty"`
	Expires   time.Time       `json:"expires,omitzero"` // of its token
	Handshake handshakeView   `json:"handshake"`
}

// handshakeView leaves out what may be secret: the query and most headers.
type handshakeView struct {
	Address   string    `json:"address"`
	Time      time.Time `json:"time"`
	Secure    bool      `json:"secure"`
	Origin    string    `json:"origin,omitempty"`
	UserAgent string    `json:"userAgent,omitempty"`
}

// socketsAnswer is a part of the sockets of one node.
type socketsAnswer struct {
	Node    string       `json:"node"`
	Sockets []socketView `json:"sockets"` // in the order of their ids
	// Cut says that there was no room for more, though more were asked for.
	Cut bool `json:"cut,omitempty"`
}

func (s socketsAnswer) from() string { return s.Node }

// socketsHere answers with sockets of this node.
func (a *API) socketsHere(_ context.Context, q question) socketsAnswer {
	answer := socketsAnswer{Node: a.srv.NodeID(), Sockets: []socketView{}}
	p := newPage[*node.Socket](q.After, q.Limit)
	for s := range a.local(&q) {
		p.put(s.ID(), s)
	}
	size := 0
	for _, id := range p.shrink() {
		if size > a.room {
			answer.Cut = true
			break
		}
		view := a.view(p.m[id])
		size += len(view.Data) + 512
		for _, room := range view.Rooms {
			size += len(room) + 3
		}
		answer.Sockets = append(answer.Sockets, view)
	}
	return answer
}

// local yields the sockets of this node that a question is about.
func (a *API) local(q *question) iter.Seq[*node.Socket] {
	return func(yield func(*node.Socket) bool) {
		ns, ok := a.srv.Lookup(q.Namespace)
		switch {
		case !ok:
		case q.Socket != "":
			if s, ok := ns.Socket(q.Socket); ok {
				yield(s)
			}
		case q.Room != nil:
			for r := range ns.In(*q.Room).Local().Sockets(context.Background()) { // asks nobody
				if s, ok := r.Local(); ok && !yield(s) {
					return
				}
			}
		default:
			for s := range ns.LocalSockets() {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// view is a socket of this node.
func (a *API) view(s *node.Socket) socketView {
	h := s.Handshake()
	v := socketView{ID: s.ID(), Node: a.srv.NodeID(), Transport: s.Transport(), Protocol: s.Protocol()}
	v.setHandshake(&h)
	v.setRooms(s.Rooms())
	if c, ok := node.Data[identity.Client](s); ok {
		v.User, v.Data, v.Expires = c.User, c.Data, c.Expires
	}
	return v
}

// viewRemote is a socket of another node, as far as that tells of it.
func viewRemote(r node.RemoteSocket) socketView {
	h := r.Handshake()
	v := socketView{ID: r.ID(), Transport: r.Transport()}
	v.setHandshake(&h)
	v.setRooms(r.Rooms())
	c := clientOf(r)
	v.User, v.Data, v.Expires = c.User, c.Data, c.Expires
	return v
}

// clientOf reads the data of a socket of another node: what a gateway knows of its
// client, or else whatever an official node has.
func clientOf(r node.RemoteSocket) (c identity.Client) {
	var raw json.RawMessage
	if r.Data(&raw) != nil || len(raw) == 0 {
		return c
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if dec.Decode(&c) != nil {
		return identity.Client{Data: raw}
	}
	return c
}

func (v *socketView) setHandshake(h *node.Handshake) {
	v.Handshake = handshakeView{
		Address:   h.Address,
		Time:      h.Time.UTC().Truncate(time.Millisecond),
		Secure:    h.Secure,
		Origin:    h.Header.Get("Origin"),
		UserAgent: h.Header.Get("User-Agent"),
	}
}

func (v *socketView) setRooms(rooms []string) {
	v.Rooms = make([]string, 0, len(rooms))
	for _, room := range rooms {
		if room != v.ID {
			v.Rooms = append(v.Rooms, room)
		}
	}
	slices.Sort(v.Rooms)
}

// sockets answers a question about sockets of the whole cluster. Gateways are asked
// for their part of the page. If there are nodes that do not answer that, all nodes
// are asked for all sockets besides, as officially.
func (a *API) sockets(c *call, q question) (p *page[socketView], g gap, err error) {
	ns, release, err := c.open(q.Namespace)
	if err != nil {
		return nil, g, err
	}
	defer release()
	p = newPage[socketView](q.After, q.Limit)
	take := func(s socketsAnswer) bool {
		for _, v := range s.Sockets {
			p.put(v.ID, v)
		}
		if s.Cut && len(s.Sockets) > 0 { // what follows is not known of this node
			p.cutAfter(s.Sockets[len(s.Sockets)-1].ID)
		}
		return q.Socket == "" || len(s.Sockets) == 0
	}
	if !take(a.socketsHere(c.ctx, q)) {
		return p, g, nil
	}
	g = ask(c.ctx, a, socketsEvent, q, take)
	if g.Unnamed > 0 && (q.Socket == "" || len(p.m) == 0) {
		g = gap{Missing: g.Missing}
		g.add(a.strangers(c.ctx, ns, q, p))
	}
	return p, g, nil
}

// strangers adds the sockets that only nodes other than gateways may have.
func (a *API) strangers(ctx context.Context, ns *node.Namespace, q question, p *page[socketView]) (g gap) {
	ctx, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	for r, err := range q.selection(ns).Sockets(ctx) {
		if err != nil {
			g.note(err)
			break
		}
		id := r.ID()
		if q.Socket != "" && id != q.Socket || !p.wants(id) {
			continue
		}
		if _, ok := p.m[id]; !ok {
			p.put(id, viewRemote(r))
		}
	}
	return g
}

// selection is the sockets that a question is about.
func (q *question) selection(ns *node.Namespace) node.Broadcast {
	switch {
	case q.Socket != "":
		return ns.In(q.Socket)
	case q.Room != nil:
		return ns.In(*q.Room)
	}
	return ns.All()
}

// listSockets lists sockets in the order of their ids.
func (a *API) listSockets(c *call) error {
	w, q, err := c.window("room")
	if err != nil {
		return err
	}
	ask := question{Namespace: c.namespace, After: w.after, Limit: w.limit}
	if q.Has("room") {
		room := q.Get("room")
		ask.Room = &room
	}
	p, g, err := a.sockets(c, ask)
	if err != nil {
		return err
	}
	names, next := p.names()
	return c.list("sockets", len(names), func(i int) any { return p.m[names[i]] }, listEnd{next, g})
}

// getSocket finds one socket.
func (a *API) getSocket(c *call) error {
	if err := c.noQuery(); err != nil {
		return err
	}
	v, err := a.find(c)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, v)
}

// find returns the socket that the path names.
func (a *API) find(c *call) (socketView, error) {
	id := c.vars["socket"]
	p, g, err := a.sockets(c, question{Namespace: c.namespace, Socket: id, Limit: 1})
	if err != nil {
		return socketView{}, err
	}
	if v, ok := p.m[id]; ok {
		return v, nil
	}
	return socketView{}, notFound("no_socket", "There is no such socket in the namespace.", g)
}

// notFound is the answer when nobody has something; those who have not answered may
// have it.
func notFound(code, detail string, g gap) error {
	if g.complete() {
		return refuse(http.StatusNotFound, code, "%s", detail)
	}
	p := refuse(http.StatusServiceUnavailable, "incomplete", "Not all nodes have answered. Of the others none has it.").after(time.Second)
	p.Missing, p.Unnamed = g.Missing, g.Unnamed
	return p
}
