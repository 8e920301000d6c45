package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/node"
)

// invalidNamespace has the official text.
var invalidNamespace = &node.ConnectError{Message: "Invalid namespace"}

// connectData is the data of our refusals: a code that programs can tell apart.
type connectData struct {
	Code string `json:"code"`
}

// turnAway refuses a client.
func turnAway(code, message string) error {
	return &node.ConnectError{Message: message, Data: connectData{code}}
}

// The codes of refusals, besides those of identity.
const (
	notHere       = "forbidden"   // a valid token, or a backend's no
	backendIsAway = "unavailable" // the client may try again
)

// admit decides on a client that wants in, and gives it its data and rooms.
func (r *Rules) admit(ctx context.Context, s *node.Socket) error {
	t := r.table.Load()
	sp := t.find(s.Namespace().Name())
	if sp == nil {
		return invalidNamespace
	}
	if s.Recovered() {
		return r.readmit(ctx, sp, s)
	}
	g, err := r.identify(ctx, sp, s)
	if err != nil {
		return err
	}
	if r.revoked(g.Client) {
		return refuseToken(identity.ErrRevoked)
	}
	rooms, err := t.firstRooms(s, sp, &g)
	if err != nil {
		return err
	}
	s.SetData(g.Client)
	if len(rooms) == 0 {
		return nil
	}
	if err := s.Join(ctx, rooms...); errors.Is(err, node.ErrTooManyRooms) {
		return turnAway(notHere, "too many rooms")
	} else if err != nil {
		return err
	}
	return nil
}

// readmit decides on a client that continues: it has its data and rooms. What it was
// given must still hold, and it may bring a new token. Otherwise it is looked at as a new
// client, which official ones are after their token has ended: refused they stay away.
func (r *Rules) readmit(ctx context.Context, sp *space, s *node.Socket) error {
	c, _ := node.Data[identity.Client](s)
	var err error
	switch {
	case r.revoked(c):
		err = identity.ErrRevoked
	case sp.jwt && r.opts.Sentry != nil:
		ctx, cancel := context.WithTimeout(ctx, r.opts.ConnectTimeout)
		defer cancel()
		err = r.opts.Sentry.Readmit(ctx, s)
	case !c.Expires.IsZero() && time.Now().After(c.Expires):
		err = identity.ErrExpired
	}
	if err != nil {
		return fmt.Errorf("%w: %w", node.ErrBeginAnew, err)
	}
	return nil
}

func (r *Rules) revoked(c identity.Client) bool { return r.opts.Revoked != nil && r.opts.Revoked(c) }

// identify finds out who the client is. If jwt is among the ways in, a token must be
// valid where there is one; it is required unless there are other ways. If webhook
// is, it is asked about each client and has the last word.
func (r *Rules) identify(ctx context.Context, sp *space, s *node.Socket) (g identity.Grant, err error) {
	if !sp.jwt && !sp.ask {
		return g, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.ConnectTimeout)
	defer cancel()
	if sp.jwt {
		if g, err = r.token(ctx, sp, s); err != nil {
			return g, err
		}
	}
	if sp.ask {
		err = r.askHook(ctx, sp, s, &g)
	}
	return g, err
}

// token checks the client's token, if it has one.
func (r *Rules) token(ctx context.Context, sp *space, s *node.Socket) (g identity.Grant, err error) {
	text, err := identity.Token(s)
	switch {
	case errors.Is(err, identity.ErrMissing) && (sp.anonymous || sp.ask):
		return g, nil
	case err != nil:
		return g, refuseToken(err)
	case r.opts.Verifier == nil:
		return g, refuseToken(identity.ErrInvalid)
	}
	if g, err = r.opts.Verifier.Verify(ctx, text); err != nil {
		return g, refuseToken(err)
	}
	if !g.In(s.Namespace().Name()) {
		return g, turnAway(notHere, "the token is not for this namespace")
	}
	return g, nil
}

func refuseToken(err error) error {
	code := string(identity.CodeOf(err))
	return turnAway(code, code)
}

// askHook lets the webhook decide. Without an answer the client is refused.
func (r *Rules) askHook(ctx context.Context, sp *space, s *node.Socket, g *identity.Grant) error {
	req := r.request(webhook.Connect, s, &g.Client)
	req.Handshake = handshake(s)
	resp, err := sp.hook.Call(ctx, req)
	var status *webhook.StatusError
	switch {
	case errors.As(err, &status) && status.Refused():
		return turnAway(notHere, "the backend refuses the client")
	case err != nil:
		r.log.Debug("a connect webhook has not decided", "webhook", sp.hookName, "error", err)
		return turnAway(backendIsAway, "the backend is not available")
	case resp.Refuse != nil:
		no := &node.ConnectError{Message: resp.Refuse.Message}
		if resp.Refuse.Data != nil {
			no.Data = resp.Refuse.Data
		}
		return no
	}
	if resp.User != "" {
		g.User = resp.User
	}
	if resp.Data != nil {
		g.Data = resp.Data
	}
	if resp.MayJoin != nil {
		g.MayJoin = resp.MayJoin
	}
	if resp.MaySend != nil {
		g.MaySend = resp.MaySend
	}
	if !resp.Expires.IsZero() && (g.Expires.IsZero() || resp.Expires.Before(g.Expires)) {
		g.Expires = resp.Expires
	}
	g.Rooms = append(g.Rooms, resp.Rooms...)
	return nil
}

// firstRooms returns the rooms that a client joins when it comes: those of the
// configuration whose fields have values, of the token and of the webhook. One that
// has no name a room can have refuses the client: it would miss what is sent there.
func (t *Table) firstRooms(s *node.Socket, sp *space, g *identity.Grant) ([]string, error) {
	if len(sp.join) == 0 && len(g.Rooms) == 0 {
		return nil, nil
	}
	rooms := make([]string, 0, len(sp.join)+len(g.Rooms))
	c := call{table: t, space: sp, s: s, client: g.Client}
	for _, text := range sp.join {
		if room, err := text.Expand(c.value); err == nil {
			rooms = append(rooms, room)
		}
	}
	rooms = append(rooms, g.Rooms...)
	if len(rooms) > t.maxRooms {
		return nil, turnAway(notHere, "too many rooms")
	}
	for _, room := range rooms {
		if !t.validRoom(room) {
			return nil, turnAway(notHere, "the name of a room is empty, too long, or has a NUL")
		}
	}
	return rooms, nil
}

// connected is called when a client is in.
func (r *Rules) connected(_ context.Context, s *node.Socket) error {
	if r.opts.Sentry != nil {
		r.opts.Sentry.Watch(s)
	}
	if sp := r.table.Load().find(s.Namespace().Name()); sp != nil && sp.connected {
		c, _ := node.Data[identity.Client](s)
		r.notify.add(sp, s, r.request(webhook.Connected, s, &c))
	}
	return nil
}

// disconnected is called when a client has gone and its events are handled.
func (r *Rules) disconnected(_ context.Context, s *node.Socket, d node.Disconnect) {
	r.forget(s)
	if r.opts.Sentry != nil {
		r.opts.Sentry.Forget(s)
	}
	if sp := r.table.Load().find(s.Namespace().Name()); sp != nil && sp.gone {
		c, _ := node.Data[identity.Client](s)
		req := r.request(webhook.Disconnected, s, &c)
		req.Reason = string(d.Reason)
		r.notify.add(sp, nil, req)
	}
}

// request is what a webhook is told of a client.
func (r *Rules) request(kind webhook.Type, s *node.Socket, c *identity.Client) webhook.Request {
	return webhook.Request{
		Type:      kind,
		Time:      time.Now(),
		Node:      r.srv.NodeID(),
		Namespace: s.Namespace().Name(),
		Socket:    s.ID(),
		User:      c.User,
		Data:      c.Data,
	}
}

func handshake(s *node.Socket) *webhook.Handshake {
	h := s.Handshake()
	return &webhook.Handshake{Address: h.Address, Header: h.Header, Query: h.Query, Auth: h.Auth}
}

// SetData stores what belongs to the application in the data of a socket; null takes
// it away. It does not block.
func (r *Rules) SetData(s *node.Socket, data json.RawMessage) {
	if string(data) == "null" {
		data = nil
	}
	identity.Update(s, func(c identity.Client) identity.Client {
		c.Data = data
		return c
	})
}
