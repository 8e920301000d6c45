//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// rooms lets one member of each room publish to its room. A message is
// complete when every member has it; each publisher keeps window messages
// incomplete.
type rooms struct {
	loop    *loop
	payload payload
	window  uint64
	all     []room

	joined     int
	sent, done uint64
	stopped    bool
	frames     []byte
}

type room struct {
	name      string
	members   []*client
	publisher *client // nil: nobody publishes
	missing   []int   // by sequence number: members that have not got it
	done      uint64
}

func newRooms(l *loop, p payload, window uint64) *rooms {
	r := &rooms{loop: l, payload: p, window: window}
	l.scenario = r
	return r
}

// add makes a room of members. publisher is one of them, or nil.
func (r *rooms) add(publisher *client, members ...*client) {
	name := "room-" + strconv.Itoa(len(r.all))
	for _, c := range members {
		c.room = len(r.all)
	}
	r.all = append(r.all, room{name: name, members: members, publisher: publisher, missing: make([]int, r.window)})
}

// join enters every client into its room and waits for the acks.
func (r *rooms) join() error {
	members := 0
	for i := range r.all {
		for _, c := range r.all[i].members {
			members++
			frame := appendFrame(nil, opText, `420["join","`, r.all[i].name, `"]`)
			if err := r.loop.send(c, frame); err != nil {
				return err
			}
		}
	}
	return r.loop.run(func() bool { return r.joined == members }, nil)
}

func (r *rooms) packet(c *client, p []byte) error {
	if bytes.HasPrefix(p, []byte("30[")) {
		r.joined++
		return nil
	}
	seq, ok := r.payload.parse(p, eventPrefix, eventSuffix)
	if !ok || seq != c.next {
		return orderError{c.id, c.next, append([]byte(nil), p...)}
	}
	c.next++
	room := &r.all[c.room]
	left := &room.missing[seq%r.window]
	*left--
	if *left > 0 {
		return nil
	}
	room.done++
	r.done++
	return r.publish(room)
}

func (r *rooms) flushed(*client) error  { return nil }
func (r *rooms) closed(c *client) error { return closedError{c.id} }

// publish fills the window of a room.
func (r *rooms) publish(room *room) error {
	c := room.publisher
	if r.stopped || c == nil || c.sent-room.done == r.window {
		return nil
	}
	r.frames = r.frames[:0]
	for c.sent-room.done < r.window {
		room.missing[c.sent%r.window] = len(room.members)
		r.frames = appendFrame(r.frames, opText, `42["say","`, room.name, `","`, r.payload.text(c.sent), eventSuffix)
		c.sent++
		r.sent++
	}
	return r.loop.send(c, r.frames)
}

// saturate keeps all publishers busy for d and waits for the last deliveries.
func (r *rooms) saturate(d time.Duration) error {
	r.stopped = false
	for i := range r.all {
		if err := r.publish(&r.all[i]); err != nil {
			return err
		}
	}
	end := time.Now().Add(d)
	err := r.loop.run(
		func() bool { return r.stopped && r.done == r.sent },
		func() (time.Duration, error) {
			r.stopped = !time.Now().Before(end)
			return time.Second, nil
		})
	if errors.Is(err, errStalled) {
		return fmt.Errorf("%w: %d of %d messages are complete", err, r.done, r.sent)
	}
	return err
}
