package engine

import (
	"context"
	"time"
)

// item is something to write: a packet or a WebSocket control frame.
type item struct {
	Frame
	control control
}

type control byte

const (
	controlNone  control = iota
	controlPong          // Data is that of the WebSocket ping
	controlClose         // end of a WebSocket
)

// Send queues frames, one after the other, and does not block. It reports false
// when the session has ended or is about to.
func (c *Conn) Send(frames ...Frame) bool {
	items := make([]item, len(frames))
	for i, f := range frames {
		items[i].Frame = f
	}
	return c.push(items)
}

func (c *Conn) push(items []item) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.closing {
		return false
	}
	c.out = append(c.out, items...)
	for _, i := range items {
		c.queued += len(i.Data)
	}
	c.startFlusherLocked()
	return true
}

// Writable tells whether a frame sent now would go out at once.
func (c *Conn) Writable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ended && !c.closing && !c.flushing && !c.paused
}

// Wait returns when less than the limit is queued.
func (c *Conn) Wait(ctx context.Context) error {
	for {
		room := c.waitRoom()
		if room == nil {
			return nil
		}
		select {
		case <-room:
		case <-c.done:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waitRoom returns a channel that tells of room, nil if there is some.
func (c *Conn) waitRoom() chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued < c.cfg.MaxQueue {
		return nil
	}
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

// startFlusherLocked starts a flusher if there is work for one.
func (c *Conn) startFlusherLocked() {
	if c.flushing || c.paused || c.ended || len(c.out) == 0 {
		return
	}
	c.flushing = true
	c.wg.Add(1)
	go c.flush()
}

// flush writes what is queued until nothing is.
func (c *Conn) flush() {
	defer c.wg.Done()
	for {
		batch, ws := c.take()
		if batch == nil {
			return
		}
		size := sizeOf(batch)
		c.observe(batch)
		if ws != nil {
			c.writeWebSocket(ws, batch)
		} else {
			c.post(batch)
		}
		c.written(size)
	}
}

// observe tells of packets that are about to be written.
func (c *Conn) observe(batch []item) {
	if c.cfg.Observer == nil {
		return
	}
	for _, i := range batch {
		if i.control == controlNone {
			c.cfg.Observer.Packet(true, i.Data, i.Binary)
		}
	}
}

// take removes what can be written at once. Nil tells the flusher to end.
func (c *Conn) take() (batch []item, ws *wsConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.paused || len(c.out) == 0 {
		c.flushing = false
		if c.idle != nil {
			close(c.idle)
			c.idle = nil
		}
		return nil, nil
	}
	n := len(c.out)
	if c.ws == nil {
		n = fitting(c.out, c.handshake.MaxPayload)
	}
	batch = c.out[:n:n]
	if c.out = c.out[n:]; len(c.out) == 0 {
		c.out = nil
	}
	return batch, c.ws
}

func (c *Conn) written(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queued = max(0, c.queued-size) // end sets it to zero
	if c.room != nil && c.queued < c.cfg.MaxQueue {
		close(c.room)
		c.room = nil
	}
}

// waitIdle returns when no flusher runs, or false when limit has passed before.
// The caller has set paused.
func (c *Conn) waitIdle(limit <-chan time.Time) bool {
	c.mu.Lock()
	if c.flushing && c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return true
	}
	select {
	case <-idle:
		return true
	case <-limit:
		return false
	}
}

func sizeOf(items []item) (size int) {
	for _, i := range items {
		size += len(i.Data)
	}
	return size
}
