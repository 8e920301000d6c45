package node

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// socketContext is a Socket as a context that ends with it. Nothing is kept for
// it until somebody waits for the end.
type socketContext Socket

// lifetime is the ordinary context behind a socketContext.
type lifetime struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (c *socketContext) Deadline() (time.Time, bool) { return time.Time{}, false }

func (c *socketContext) Done() <-chan struct{} {
	s := (*Socket)(c)
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.life == nil {
		s.life = new(lifetime)
		s.life.ctx, s.life.cancel = context.WithCancelCause(context.Background())
		if s.state.Load() == stateClosed {
			s.life.cancel(ErrDisconnected)
		}
	}
	return s.life.ctx.Done()
}

func (c *socketContext) Err() error {
	if c.state.Load() == stateClosed {
		return context.Canceled
	}
	return nil
}

// Value also lets package context find the ordinary context once there is one:
// derived contexts then cost no goroutine.
func (c *socketContext) Value(key any) any {
	s := (*Socket)(c)
	if key == (socketKey{}) {
		return s
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.life == nil {
		return nil
	}
	return s.life.ctx.Value(key)
}

func (c *socketContext) String() string { return "node.Socket(" + shortID(c.id) + ")" }

type (
	socketKey struct{}
	replyKey  struct{}
)

// detach tells the session whose handler runs under ctx, if one does, that the
// handler is about to wait: its reader goes on without it.
func detach(ctx context.Context) {
	if s, ok := ctx.Value(socketKey{}).(*Socket); ok {
		s.client.sess.Detach()
	}
}

// eventContext is the context of an event whose ack can be given by Reply.
type eventContext struct {
	*socketContext
	ack     uint64
	claimed atomic.Bool
}

func (c *eventContext) Value(key any) any {
	if key == (replyKey{}) {
		return c
	}
	return c.socketContext.Value(key)
}

// ErrNoAck says that the event being handled asks for no ack, or has got it.
var ErrNoAck = errors.New("node: no ack is due")

// Reply acknowledges the event that is handled under ctx, with values as in
// [Socket.Emit]. It serves handlers of [On], functions of OnAny and middlewares
// of UseEvent, also after they returned; the first one wins. A handler of
// [Handle] returns its ack instead. Without an ack to give it returns
// [ErrNoAck].
func Reply(ctx context.Context, values ...any) error {
	e, ok := ctx.Value(replyKey{}).(*eventContext)
	if !ok || !e.claimed.CompareAndSwap(false, true) {
		return ErrNoAck
	}
	return (*Socket)(e.socketContext).sendAck(e.ack, values)
}
