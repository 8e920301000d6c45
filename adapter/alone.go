package adapter

import (
	"context"
	"sync/atomic"
)

// Alone is the [Factory] of a node that has no others: nothing is sent, nothing
// arrives, and the server count is 1.
func Alone(Host) (Adapter, error) { return &alone{}, nil }

type alone struct{ closed atomic.Bool }

func (a *alone) Start(context.Context) error { return nil }

func (a *alone) Publish(context.Context, *Message) (Placed, error) { return Placed{}, a.err() }

func (a *alone) Respond(context.Context, string, *Message) error { return a.err() }

func (a *alone) ServerCount(context.Context) (int, error) { return 1, a.err() }

func (a *alone) Close(context.Context) error {
	a.closed.Store(true)
	return nil
}

func (a *alone) err() error {
	if a.closed.Load() {
		return ErrClosed
	}
	return nil
}
