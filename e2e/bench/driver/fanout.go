//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"
)

const (
	eventPrefix = `2["msg","`
	eventSuffix = `"]`
)

// orderError says that a client did not get the message that was its next.
type orderError struct {
	client int
	want   uint64
	got    []byte
}

func (e orderError) Error() string {
	return fmt.Sprintf("client %d: wanted message %d, got %.60q", e.client, e.want, e.got)
}

// fanout lets client 0 publish to everyone. A message is complete when every
// client has it; the publisher keeps window messages incomplete. In the paced
// form it sends one message each interval instead.
type fanout struct {
	loop    *loop
	clients []*client
	payload payload
	window  int

	sent, done uint64
	missing    []int // by sequence number: clients that have not got it
	stopped    bool
	frames     []byte
}

func newFanout(l *loop, clients []*client, window int, p payload) *fanout {
	f := &fanout{loop: l, clients: clients, payload: p, window: window}
	slots := 1
	for slots < window {
		slots *= 2
	}
	f.missing = make([]int, slots)
	l.scenario = f
	return f
}

func (f *fanout) slot(seq uint64) *int { return &f.missing[seq&uint64(len(f.missing)-1)] }

func (f *fanout) packet(c *client, p []byte) error {
	seq, ok := f.payload.parse(p, eventPrefix, eventSuffix)
	if !ok || seq != c.next {
		return orderError{c.id, c.next, append([]byte(nil), p...)}
	}
	c.next++
	left := f.slot(seq)
	*left--
	if *left == 0 {
		f.done++
	}
	return nil
}

func (f *fanout) flushed(*client) error  { return nil }
func (f *fanout) closed(c *client) error { return closedError{c.id} }

// publish sends the next n messages with one write.
func (f *fanout) publish(n int) error {
	f.frames = f.frames[:0]
	for range n {
		*f.slot(f.sent) = len(f.clients)
		f.frames = appendFrame(f.frames, opText, `42["all","`, f.payload.text(f.sent), eventSuffix)
		f.sent++
	}
	if n == 0 {
		return nil
	}
	return f.loop.send(f.clients[0], f.frames)
}

func (f *fanout) drained() bool { return f.stopped && f.done == f.sent }

// saturate publishes for d with a full window and waits until all is
// delivered.
func (f *fanout) saturate(d time.Duration) error {
	f.stopped = false
	end := time.Now().Add(d)
	return f.complete(f.loop.run(f.drained, func() (time.Duration, error) {
		f.stopped = !time.Now().Before(end)
		if f.stopped {
			return time.Second, nil
		}
		return time.Second, f.publish(f.window - int(f.sent-f.done))
	}))
}

// pace publishes one message each interval for d.
func (f *fanout) pace(d, interval time.Duration) error {
	f.stopped = false
	next := time.Now()
	end := next.Add(d)
	return f.complete(f.loop.run(f.drained, func() (time.Duration, error) {
		now := time.Now()
		f.stopped = !now.Before(end)
		if f.stopped || now.Before(next) {
			return time.Until(next), nil
		}
		if int(f.sent-f.done) == f.window {
			return 0, fmt.Errorf("the server is %d messages behind: not a low rate", f.window)
		}
		next = next.Add(interval)
		return time.Until(next), f.publish(1)
	}))
}

// complete adds to a stall who misses what.
func (f *fanout) complete(err error) error {
	if !errors.Is(err, errStalled) {
		return err
	}
	for _, c := range f.clients {
		if c.next < f.sent {
			return fmt.Errorf("%w: client %d has %d of %d messages", err, c.id, c.next, f.sent)
		}
	}
	return err
}
