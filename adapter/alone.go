package adapter

import (
	"context"
	"sync/atomic"
)

// Alone is the [Factory] of a node that has no others: nothing is sent, nothing
// arrives, and the server count is 1. What it keeps for connection state recovery
// ends with the namespace.
func Alone(host Host) (Adapter, error) {
	a := new(alone)
	if host.RecoveryWindow() > 0 {
		a.attach(&a.own, host)
	}
	return a, nil
}

type alone struct {
	memoryJournal // in use if its log is not nil
	own           Memory
	closed        atomic.Bool
}

func (a *alone) Start(context.Context) error { return nil }

func (a *alone) Publish(_ context.Context, m *Message) (Placed, error) {
	if err := a.err(); err != nil || !a.keeps(m) {
		return Placed{}, err
	}
	return a.keep(m), nil
}

func (a *alone) Respond(context.Context, string, *Message) error { return a.err() }

func (a *alone) ServerCount(context.Context) (int, error) { return 1, a.err() }

func (a *alone) Close(context.Context) error {
	a.closed.Store(true)
	return nil
}

func (a *alone) Stats() (st Stats) {
	if a.log != nil {
		a.addStats(&st)
	}
	return st
}

func (a *alone) err() error {
	if a.closed.Load() {
		return ErrClosed
	}
	return nil
}
