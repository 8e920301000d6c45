package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// call is an event to one client that waits for its ack.
type call struct {
	answer chan Args // one answer, or closed when the socket has ended
}

func newCall() *call { return &call{answer: make(chan Args, 1)} }

// answered and disconnected are called once, by whoever took the call out of the
// socket's map.
func (c *call) answered(a Args) { c.answer <- a }
func (c *call) disconnected()   { close(c.answer) }

// Call sends an event to the client and waits for its ack, whose first argument
// is the result; other forms of R are as in [On]. It waits until the context's
// deadline, without one for [Config.AckTimeout]; then the error is [ErrTimeout].
// It is [ErrDisconnected] when the socket ends before. A handler that waits
// holds up the events of its own socket, not its acks.
func Call[R any](ctx context.Context, s *Socket, event string, values ...any) (R, error) {
	a, err := s.call(ctx, event, values)
	if err != nil {
		var zero R
		return zero, err
	}
	r, err := args.Decode[R](a)
	if err != nil {
		err = fmt.Errorf("node: ack of %.200q: %w", event, err)
	}
	return r, err
}

func (s *Socket) call(ctx context.Context, event string, values []any) (Args, error) {
	ctx, cancel := withDefaultTimeout(ctx, s.client.srv.cfg.AckTimeout)
	defer cancel()
	id, c, err := s.expectAck()
	if err != nil {
		return Args{}, err
	}
	defer s.forgetCall(id)
	if err := s.emit(ctx, event, values, sendOptions{ack: id, asks: true}); err != nil {
		return Args{}, err
	}
	detach(ctx)
	select {
	case a, ok := <-c.answer:
		if !ok {
			return Args{}, ErrDisconnected
		}
		return a, nil
	case <-ctx.Done():
		return Args{}, fmt.Errorf("node: call %.200q: %w", event, endOf(ctx))
	}
}

// expectAck registers a call to the client.
func (s *Socket) expectAck() (uint64, *call, error) {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.end != nil {
		return 0, nil, ErrDisconnected
	}
	if len(s.calls) >= c.srv.cfg.Limits.Calls {
		return 0, nil, ErrTooManyCalls
	}
	if s.calls == nil {
		s.calls = map[uint64]*call{}
	}
	id := s.ns.nextAck()
	s.calls[id] = newCall()
	return id, s.calls[id], nil
}

func (s *Socket) forgetCall(id uint64) {
	s.client.mu.Lock()
	delete(s.calls, id)
	s.client.mu.Unlock()
}

// acked handles an ACK of the client. Unknown ids are ignored (SIO-M-18).
func (c *client) acked(p *socketio.Packet) {
	s := c.lockSocket(p.Namespace)
	if s == nil {
		return
	}
	ns := s.ns // nil before it has entered (protocol 3)
	var pending *call
	if p.HasID {
		pending = s.calls[p.ID]
		delete(s.calls, p.ID)
	}
	c.mu.Unlock()
	a := makeArgs(p.Args, p.Attachments)
	switch {
	case pending != nil:
		pending.answered(a)
	case p.HasID && ns != nil && ns.answered(p.ID, s, a):
	default:
		c.srv.counters.unknownAcks.Add(1)
	}
}

// sendAck acknowledges an event.
func (s *Socket) sendAck(id uint64, values []any) error {
	b := getScratch()
	defer b.put()
	b.buf = append(b.buf, '[')
	if err := b.appendValues(values, false); err != nil {
		return err
	}
	b.buf = append(b.buf, ']')
	return s.sendScratch(b, socketio.Ack, sendOptions{ack: id, asks: true})
}

// ackResult acknowledges an event with the result of a handler. In the usual case
// it does not allocate.
func ackResult[R any](s *Socket, id uint64, r R, encode encodeFunc[R]) error {
	b := getScratch()
	defer b.put()
	var err error
	b.buf = append(b.buf, '[')
	if b.buf, b.atts, err = encode(b.buf, b.atts, r); err != nil {
		return fmt.Errorf("node: encode ack: %w", err)
	}
	b.buf = append(b.buf, ']')
	return s.sendScratch(b, socketio.Ack, sendOptions{ack: id, asks: true})
}

// ackError acknowledges an event with the values of an [*AckError], if err is
// one, and returns what is left to report.
func (s *Socket) ackError(id uint64, err error) error {
	var ae *AckError
	if !errors.As(err, &ae) {
		return err
	}
	return errors.Join(ae.Err, s.sendAck(id, ae.Values))
}

// withDefaultTimeout gives ctx a deadline if it has none.
func withDefaultTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d)
}

// endOf is the error of a wait that ctx has ended.
func endOf(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ErrTimeout
	}
	return context.Cause(ctx)
}
