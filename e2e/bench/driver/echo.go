//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// echo lets every client keep a number of events with ack outstanding. The
// acks of one client must come back in order, each with its own payload.
type echo struct {
	loop        *loop
	clients     []*client
	payload     payload
	outstanding uint64
	acks        uint64
	open        int // events without their ack
	stopped     bool
	frames      []byte
	want        []byte
}

func newEcho(l *loop, clients []*client, outstanding uint64, size int) *echo {
	e := &echo{loop: l, clients: clients, payload: newPayload(size, false), outstanding: outstanding}
	l.scenario = e
	return e
}

func (e *echo) packet(c *client, p []byte) error {
	e.want = append(strconv.AppendUint(append(e.want[:0], '3'), c.next, 10), `["`...)
	if !bytes.HasPrefix(p, e.want) {
		return orderError{c.id, c.next, append([]byte(nil), p...)}
	}
	seq, ok := e.payload.parse(p, string(e.want), eventSuffix)
	if !ok || seq != c.next {
		return orderError{c.id, c.next, append([]byte(nil), p...)}
	}
	c.next++
	e.acks++
	e.open--
	return nil
}

func (e *echo) flushed(c *client) error { return e.refill(c) }
func (e *echo) closed(c *client) error  { return closedError{c.id} }

// refill sends what is missing to the number outstanding, in one write.
func (e *echo) refill(c *client) error {
	if e.stopped || c.sent-c.next == e.outstanding {
		return nil
	}
	e.frames = e.frames[:0]
	for c.sent-c.next < e.outstanding {
		e.frames = appendFrame(e.frames, opText, "42", decimal(c.sent), `["echo","`, e.payload.text(c.sent), eventSuffix)
		c.sent++
		e.open++
	}
	return e.loop.send(c, e.frames)
}

// saturate keeps all clients busy for d and waits for the last acks.
func (e *echo) saturate(d time.Duration) error {
	e.stopped = false
	for _, c := range e.clients {
		if err := e.refill(c); err != nil {
			return err
		}
	}
	end := time.Now().Add(d)
	err := e.loop.run(
		func() bool { return e.stopped && e.open == 0 },
		func() (time.Duration, error) {
			e.stopped = !time.Now().Before(end)
			return time.Second, nil
		})
	if errors.Is(err, errStalled) {
		return fmt.Errorf("%w: %d acks are missing", err, e.open)
	}
	return err
}
