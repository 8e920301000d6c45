package rules

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/fanwire/fanwire/internal/gateway/identity"
	"github.com/fanwire/fanwire/internal/gateway/template"
	"github.com/fanwire/fanwire/node"
)

// call is an event on its way through its route. It lives on the stack of the
// client's handler: what goes on beside it takes a copy.
type call struct {
	table  *Table
	space  *space
	route  *route
	s      *node.Socket
	e      node.Event
	client identity.Client
}

// Code is what a client is told, in the member "error" of its ack, when its event
// was refused.
type Code string

// The codes.
const (
	Rate        Code = "rate"        // too many events: a later one may pass
	Forbidden   Code = "forbidden"   // this client may not do that
	TooLarge    Code = "too large"   // the event, or what it makes
	Unavailable Code = "unavailable" // a backend or Redis is away, or has too much to do
	BadRequest  Code = "bad request" // the arguments are not what the route needs
)

// refusal is why an event is refused; a client that wants an ack gets it as such.
type refusal struct {
	Code    Code   `json:"error"`
	Message string `json:"message"`
}

func (e *refusal) Error() string { return "rules: " + string(e.Code) + ": " + e.Message }

func refuse(code Code, message string) error { return &refusal{code, message} }

// event leads an event of a client to its route. It runs in the order of the
// client's events, and the next one waits until it returns.
func (r *Rules) event(ctx context.Context, s *node.Socket, e node.Event, next node.EventFunc) error {
	t := r.table.Load()
	c := call{table: t, space: t.find(s.Namespace().Name()), s: s, e: e}
	if e.Name == identity.AuthEvent && r.opts.Sentry != nil {
		return r.finish(ctx, &c, r.refresh(ctx, &c))
	}
	if c.space != nil {
		c.route = c.space.route(e.Name)
	}
	if c.route == nil {
		r.count.unmatched.Add(1)
		return next(ctx, s, e)
	}
	if err := r.admitEvent(&c); err != nil {
		return r.finish(ctx, &c, err)
	}
	var err error
	switch c.route.act {
	case actIgnore:
		r.count.ignored.Add(1)
	case actRelay:
		err = r.relay(ctx, &c)
	case actWebhook:
		if c.route.concurrent {
			err = r.beside(ctx, &c, r.ask)
		} else {
			err = r.ask(ctx, &c)
		}
	case actStream:
		err = r.stream(ctx, &c)
	case actJoin:
		err = r.join(ctx, &c)
	case actLeave:
		err = r.leave(ctx, &c)
	}
	return r.finish(ctx, &c, err)
}

// admitEvent tells whether the client may send the event now.
func (r *Rules) admitEvent(c *call) error {
	c.client, _ = node.Data[identity.Client](c.s)
	if c.client.MaySend != nil && !matchAny(c.client.MaySend, c.e.Name) {
		return refuse(Forbidden, "this client may not send the event")
	}
	rt := c.route
	if rt.rate > 0 && !r.member(c.s).allow(c.space, rt) {
		return refuse(Rate, "too many events of this kind")
	}
	if rt.maxSize > 0 && size(c.e.Args) > rt.maxSize {
		return refuse(TooLarge, "the event is larger than it may be")
	}
	return nil
}

// finish counts what became of an event and tells the client if it was refused.
func (r *Rules) finish(ctx context.Context, c *call, err error) error {
	if err == nil {
		return nil
	}
	var no *refusal
	if !errors.As(err, &no) {
		return err // the connection has ended
	}
	r.count.refused(no.Code)
	if c.e.WantsAck {
		return ack(ctx, no)
	}
	return nil
}

// ack answers the event, if its client wants that.
func ack(ctx context.Context, value any) error {
	if err := node.Reply(ctx, value); !errors.Is(err, node.ErrNoAck) {
		return err
	}
	return nil
}

func matchAny(patterns []string, s string) bool {
	for _, p := range patterns {
		if template.Match(p, s) {
			return true
		}
	}
	return false
}

// size is that of an event's arguments in bytes, JSON and attachments.
func size(a node.Args) int {
	n := len(a.JSON())
	for _, att := range a.Attachments() {
		n += len(att)
	}
	return n
}

// value is the [template.Lookup] of an event.
func (c *call) value(f template.Field) (string, bool) {
	switch f.Source {
	case template.Event:
		return c.e.Name, true
	case template.Args:
		return lookUp(c.e.Args.Raw(f.Arg), f.Names)
	default:
		return clientValue(c.s, c.space, &c.client, f)
	}
}

// clientValue looks up what does not belong to an event.
func clientValue(s *node.Socket, sp *space, client *identity.Client, f template.Field) (string, bool) {
	switch f.Source {
	case template.User:
		return client.User, client.User != ""
	case template.Socket:
		return s.ID(), true
	case template.Namespace:
		return s.Namespace().Name(), true
	case template.Path:
		value := sp.path.value(s.Namespace().Name(), f.Names[0])
		return value, value != ""
	case template.Claims:
		return lookUp(json.RawMessage(client.Claims), f.Names)
	case template.Data:
		return lookUp(client.Data, f.Names)
	}
	return "", false
}

// room expands the template of a room's name. The name is not empty, and not longer
// than those of rooms may be.
func (c *call) room(t *template.Template) (string, error) {
	name, err := t.Expand(c.value)
	if err != nil {
		return "", missing(err)
	}
	if !c.table.validRoom(name) {
		return "", refuse(BadRequest, "the name of a room is too long, or none")
	}
	return name, nil
}

// missing is the refusal for a template whose field has no value: what of the event
// is missing is the event's fault.
func missing(err error) error {
	var m *template.MissingError
	if errors.As(err, &m) && m.Field.Source != template.Args {
		return refuse(Forbidden, err.Error())
	}
	return refuse(BadRequest, err.Error()+": a text or a number is needed")
}

// validRoom tells whether a room may have this name.
func (t *Table) validRoom(name string) bool {
	return name != "" && len(name) <= t.maxName && strings.IndexByte(name, 0) < 0 && utf8.ValidString(name)
}
