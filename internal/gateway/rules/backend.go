package rules

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/fanwire/fanwire/internal/gateway/command"
	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/node"
)

// ask sends the event to its webhook, does what the answer says, and passes its ack
// on. The client's next event waits for that. It ends with the answer, also if the
// client has gone meanwhile: what it has sent before counts.
func (r *Rules) ask(ctx context.Context, c *call) error {
	ctx, cancel := r.beyond(ctx)
	defer cancel()
	req := r.request(webhook.Event, c.s, &c.client)
	req.Event, req.Args, req.WantsAck = c.e.Name, command.Args{Args: c.e.Args}, c.e.WantsAck
	resp, err := c.route.hook.Call(ctx, req)
	if err != nil {
		r.count.hookFailed.Add(1)
		return hookRefusal(err)
	}
	r.count.hookOK.Add(1)
	r.act(ctx, resp.Actions, c.s)
	switch {
	case !c.e.WantsAck:
		return nil
	case resp.Ack != nil:
		return ack(ctx, resp.Ack.Args)
	}
	return ack(ctx, node.Args{}) // so that the client need not wait
}

// hookRefusal is what a client is told of an event that no backend has taken.
func hookRefusal(err error) error {
	var status *webhook.StatusError
	if errors.As(err, &status) && status.Refused() {
		return refuse(Forbidden, "the backend refuses the event")
	}
	return refuse(Unavailable, "the backend is not available")
}

// act does what a backend's answer says, one after the other, also if one of them
// fails. s is the client that it is about, nil if it has gone.
func (r *Rules) act(ctx context.Context, actions []command.Command, s *node.Socket) {
	for i := range actions {
		err := r.runner.Run(ctx, actions[i], s)
		if err == nil || errors.Is(err, node.ErrDisconnected) {
			continue
		}
		r.count.actionsFailed.Add(1)
		r.log.Warn("an action of a webhook's answer cannot be done", "action", string(actions[i].Kind), "error", err)
	}
}

// beyond returns a context that does not end with the socket, as ctx does, but with
// the rules.
func (r *Rules) beyond(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(r.ctx, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// beside handles the event of a copy of c in a goroutine of its own, so that the
// next one need not wait, unless the client has too many of them already.
func (r *Rules) beside(ctx context.Context, c *call, handle func(ctx context.Context, c *call) error) error {
	m := r.member(c.s)
	if err := m.enter(ctx, r.ctx); err != nil {
		return err
	}
	mine := *c
	r.tasks.Go(func() { // ends with its work, which ends with the rules
		defer m.exit()
		defer r.recovered(mine.s)
		if err := r.finish(ctx, &mine, handle(ctx, &mine)); err != nil {
			r.log.Debug("an event beside others", "error", err)
		}
	})
	return nil
}

// recovered is to be deferred in goroutines of our own: a panic costs the client its
// session and nothing else.
func (r *Rules) recovered(s *node.Socket) {
	v := recover()
	if v == nil {
		return
	}
	r.count.panics.Add(1)
	r.log.Error("panic in the rules", "panic", v, "stack", string(debug.Stack()))
	if s != nil {
		s.CloseSession(errors.New("internal error"))
	}
}
