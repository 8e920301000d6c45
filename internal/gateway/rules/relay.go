package rules

import (
	"context"
	"errors"

	"github.com/fanwire/fanwire/internal/gateway/template"
	"github.com/fanwire/fanwire/node"
)

// done is the ack of an event that went where it should.
type done struct {
	OK bool   `json:"ok"`
	ID string `json:"id,omitempty"` // of a stream's entry
}

// relay emits the event to others. Its arguments are passed on as they are.
func (r *Rules) relay(ctx context.Context, c *call) error {
	rl := c.route.relay
	var few [4]string
	to := few[:0]
	for _, t := range rl.to {
		room, err := c.room(t)
		if err != nil {
			return err
		}
		to = append(to, room)
	}
	if rl.members && !isMember(c.s, to, rl.chosen) {
		return refuse(Forbidden, "the sender is not in the room")
	}
	b := c.s.Broadcast()
	if rl.self {
		b = c.s.Namespace().All()
	}
	if len(to) > 0 {
		b = b.To(to...)
	}
	if err := c.leaveOut(&b, rl.except); err != nil {
		return err
	}
	if rl.volatile {
		b = b.Volatile()
	}
	event := c.e.Name
	if rl.event != nil {
		var err error
		if event, err = rl.event.Expand(c.value); err != nil {
			return missing(err)
		}
		if len(event) > maxEvent {
			return refuse(BadRequest, "the name of the event is too long")
		}
	}
	return r.relayed(ctx, c, b.Emit(ctx, event, c.e.Args))
}

// maxEvent is the longest name of an event in bytes, as node has it for clients.
const maxEvent = 256

// leaveOut excepts rooms.
func (c *call) leaveOut(b *node.Broadcast, except []*template.Template) error {
	for _, t := range except {
		room, err := c.room(t)
		if err != nil {
			return err
		}
		*b = b.Except(room)
	}
	return nil
}

// isMember tells whether the sender may emit to rooms: it must be in each that the
// event has chosen, and if it has chosen none, in one of them. To emit to all takes
// no membership but that of the namespace.
func isMember(s *node.Socket, rooms []string, chosen []bool) bool {
	if len(rooms) == 0 {
		return true
	}
	free, in := true, false
	for i, room := range rooms {
		is := s.InRoom(room)
		if chosen[i] {
			if !is {
				return false
			}
			free = false
		}
		in = in || is
	}
	return in || !free
}

// relayed tells what became of the event.
func (r *Rules) relayed(ctx context.Context, c *call, err error) error {
	switch {
	case err == nil:
		r.count.relayed.Add(1)
	case errors.Is(err, node.ErrTooLarge):
		return refuse(TooLarge, "the event is larger than nodes tell each other")
	case errors.Is(err, node.ErrAttachments):
		return refuse(TooLarge, "the event has too many attachments")
	case errors.Is(err, node.ErrReservedEvent):
		return refuse(BadRequest, "the name of the event is reserved")
	default: // the broker's
		r.count.relayed.Add(1)
		r.count.partly.Add(1)
		return refuse(Unavailable, "sent to the clients of this node only")
	}
	if c.e.WantsAck {
		return ack(ctx, done{OK: true})
	}
	return nil
}
