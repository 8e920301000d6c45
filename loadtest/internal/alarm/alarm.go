// Package alarm waits for a moment, and is less late than a timer of the runtime, which
// may come a millisecond late in a process that has nothing else to do: the runtime waits
// for the network in whole milliseconds. Where the system has no better clock it is such
// a timer.
package alarm

import (
	"context"
	"time"
)

// Alarm is for one goroutine at a time, but for Close.
type Alarm struct {
	ctx   context.Context
	clock clock
	stop  func() bool // of the function that ends a wait with ctx
}

// clock waits for a time that is d from now; it may return before, and does when it was
// woken.
type clock interface {
	wait(d time.Duration)
	wake()
	close()
}

// New makes an alarm whose waits end with ctx. Close it in the end.
func New(ctx context.Context) *Alarm {
	a := &Alarm{ctx: ctx, clock: newClock()}
	a.stop = context.AfterFunc(ctx, a.clock.wake)
	return a
}

// Plain makes one of a timer of the runtime, for tests with a clock of their own.
func Plain(ctx context.Context) *Alarm {
	a := &Alarm{ctx: ctx, clock: newTimer()}
	a.stop = context.AfterFunc(ctx, a.clock.wake)
	return a
}

// Wait returns at a time, at once if that has passed; false if the context has ended.
func (a *Alarm) Wait(at time.Time) bool {
	for a.ctx.Err() == nil {
		d := time.Until(at)
		if d <= 0 {
			return true
		}
		a.clock.wait(d)
	}
	return false
}

// Close frees what the alarm has. Nobody may wait.
func (a *Alarm) Close() {
	a.stop()
	a.clock.close()
}

// timer is the clock of the runtime.
type timer struct {
	t     *time.Timer
	woken chan struct{}
}

func newTimer() clock {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &timer{t: t, woken: make(chan struct{}, 1)}
}

func (t *timer) wait(d time.Duration) {
	t.t.Reset(d)
	select {
	case <-t.t.C:
	case <-t.woken:
	}
}

func (t *timer) wake() { t.woken <- struct{}{} } // once

func (t *timer) close() { t.t.Stop() }
