package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Emit sends an event. It returns when the event is queued, in order after those
// before it; it waits only while Options.SendQueue is full, and then until ctx
// ends. While the socket is not connected, the event is kept until it is. An
// error means that the event will not be sent. Values are encoded before Emit
// returns; they may be changed afterwards.
func (s *Socket) Emit(ctx context.Context, event string, values ...any) error {
	return s.emit(ctx, event, values, false, nil)
}

// Emitter emits with options. It is a value; it can be kept and shared.
type Emitter struct {
	socket   *Socket
	volatile bool
}

// Volatile returns an Emitter whose events are dropped unless they can leave at
// once: the socket is connected and nothing is being sent.
func (s *Socket) Volatile() Emitter { return Emitter{socket: s, volatile: true} }

// Emit sends an event, or drops it without an error.
func (e Emitter) Emit(ctx context.Context, event string, values ...any) error {
	return e.socket.emit(ctx, event, values, e.volatile, nil)
}

// waitingAck is an ack that the server owes us.
type waitingAck struct {
	id       uint64
	done     func(Args, error) // called once, by who takes it off the map
	buffered bool              // the event has not been sent
}

// Call sends an event and waits for the ack, which it decodes as handlers decode
// events: R is the first argument, or Args, None, a tuple. It waits until ctx
// ends, or for Options.AckTimeout if ctx has no deadline; when the socket is
// disconnected the error is ErrDisconnected. An event that could not be sent yet
// is given up with its ack.
func Call[R any](ctx context.Context, s *Socket, event string, values ...any) (R, error) {
	var result R
	a, err := s.call(ctx, event, values)
	if err == nil {
		err = args.DecodeInto(a, &result)
	}
	if err != nil {
		err = fmt.Errorf("client: call %q: %w", event, err)
	}
	return result, err
}

func (s *Socket) call(ctx context.Context, event string, values []any) (Args, error) {
	type outcome struct {
		args Args
		err  error
	}
	if _, ok := ctx.Deadline(); !ok && s.client.opts.AckTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.client.opts.AckTimeout, ErrTimeout)
		defer cancel()
	}
	arrived := make(chan outcome, 1)
	ack := &waitingAck{done: func(a Args, err error) { arrived <- outcome{a, err} }}
	if err := s.emit(ctx, event, values, false, ack); err != nil {
		return Args{}, err
	}
	select {
	case o := <-arrived:
		return o.args, o.err
	case <-ctx.Done():
	}
	if s.forget(ack) {
		return Args{}, context.Cause(ctx)
	}
	o := <-arrived // it came just now
	return o.args, o.err
}

// EmitAck is Emit with a function that is called once when the ack has arrived,
// or with ErrDisconnected, or with ctx's error when that ends first: then the
// ack is not waited for any longer. Unlike Call it has no time limit of its own.
// done must not block; it may be called before EmitAck returns, and is not
// called if EmitAck returns an error.
func (s *Socket) EmitAck(ctx context.Context, event string, done func(Args, error), values ...any) error {
	stop := func() bool { return true }
	settled := make(chan struct{}) // closed when stop is set
	ack := &waitingAck{done: func(a Args, err error) {
		<-settled
		stop()
		done(a, err)
	}}
	err := s.emit(ctx, event, values, false, ack)
	if err == nil && ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() {
			if s.forget(ack) {
				done(Args{}, context.Cause(ctx))
			}
		})
	}
	close(settled)
	return err
}

func (s *Socket) emit(ctx context.Context, event string, values []any, volatile bool, ack *waitingAck) error {
	if socketio.Reserved(event) {
		return fmt.Errorf("client: emit: %q is a reserved event name", event) // SIO-V-12
	}
	p, err := s.packet(event, values, ack)
	if err != nil {
		return fmt.Errorf("client: emit %q: %w", event, err)
	}
	frames, err := s.encode(&p)
	if err != nil {
		return fmt.Errorf("client: emit %q: %w", event, err)
	}
	if !volatile {
		if err := s.client.waitRoom(ctx); err != nil {
			return err
		}
	}
	return s.submit(frames, volatile, ack)
}

// packet makes an event. Attachments are copied: they are written later.
func (s *Socket) packet(event string, values []any, ack *waitingAck) (socketio.Packet, error) {
	p := socketio.Packet{Type: socketio.Event, Namespace: s.namespace}
	all := append(make([]any, 0, 1+len(values)), event)
	data, attachments, err := args.Append([]byte{'['}, nil, append(all, values...)...)
	if err != nil {
		return p, err
	}
	p.Data, p.Attachments = append(data, ']'), attachments
	for i, b := range attachments {
		attachments[i] = bytes.Clone(b)
	}
	s.notifyOutgoing(event, p.Data, attachments)
	if ack != nil {
		s.client.mu.Lock()
		p.ID, p.HasID = s.nextID, true
		s.nextID++
		s.client.mu.Unlock()
		ack.id = p.ID
	}
	return p, nil
}

// waitRoom waits while there is a connection whose queue is full.
func (c *Client) waitRoom(ctx context.Context) error {
	conn := c.current()
	if conn == nil {
		return nil
	}
	if err := conn.Wait(ctx); err != nil && !errors.Is(err, engine.ErrClosed) {
		return fmt.Errorf("client: emit: %w", err)
	}
	return nil
}

// submit sends frames or keeps them.
func (s *Socket) submit(frames []engine.Frame, volatile bool, ack *waitingAck) error {
	c := s.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	if volatile && (!s.connected || !c.conn.Writable()) {
		return nil
	}
	if s.connected && c.conn.Send(frames...) {
		s.expectLocked(ack, false)
		return nil
	}
	if volatile {
		return nil
	}
	size := sizeOf(frames)
	if s.buffered > 0 && s.buffered+size > c.opts.SendQueue {
		return ErrQueueFull
	}
	s.buffered += size
	s.buffer = append(s.buffer, pending{frames, ack})
	s.expectLocked(ack, true)
	return nil
}

func sizeOf(frames []engine.Frame) (size int) {
	for _, f := range frames {
		size += len(f.Data)
	}
	return size
}

func (s *Socket) expectLocked(ack *waitingAck, buffered bool) {
	if ack == nil {
		return
	}
	ack.buffered = buffered
	if s.acks == nil {
		s.acks = make(map[uint64]*waitingAck)
	}
	s.acks[ack.id] = ack
}

// flushLocked sends what was kept.
func (s *Socket) flushLocked() {
	for i, p := range s.buffer {
		if !s.client.conn.Send(p.frames...) {
			s.buffer = s.buffer[i:]
			return
		}
		s.buffered -= sizeOf(p.frames)
		if p.ack != nil {
			p.ack.buffered = false
		}
	}
	s.buffer = nil
}

// acked is called when an ack has arrived. One that nobody waits for is ignored.
func (s *Socket) acked(id uint64, a Args) {
	s.client.mu.Lock()
	ack := s.acks[id]
	delete(s.acks, id)
	s.client.mu.Unlock()
	if ack != nil {
		ack.done(a, nil)
	}
}

// forget gives up waiting; false if the ack has been taken already. The event is
// not sent any more if it was kept.
func (s *Socket) forget(ack *waitingAck) bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.acks[ack.id] != ack {
		return false
	}
	delete(s.acks, ack.id)
	for i, p := range s.buffer {
		if p.ack == ack {
			s.buffered -= sizeOf(p.frames)
			s.buffer = append(s.buffer[:i:i], s.buffer[i+1:]...)
			break
		}
	}
	return true
}

// failAcksLocked is called at a disconnect. Acks of events that were not sent
// keep waiting (SIO-J-03), unless the client is closed.
func (s *Socket) failAcksLocked() {
	var failed []*waitingAck
	for id, ack := range s.acks {
		if !ack.buffered || s.client.closed {
			delete(s.acks, id)
			failed = append(failed, ack)
		}
	}
	if len(failed) == 0 {
		return
	}
	s.client.wg.Add(1)
	go func() { // done may be the user's, and we hold mu
		defer s.client.wg.Done()
		for _, ack := range failed {
			ack.done(Args{}, ErrDisconnected)
		}
	}()
}

// Reply sends the ack of the event whose handler was given ctx. Only the first
// call for an event sends one; the others return ErrNoAck, and so do all for
// an event that wants none.
func Reply(ctx context.Context, values ...any) error {
	e, _ := ctx.Value(eventKey{}).(*eventContext)
	if e == nil || e.replied.Swap(true) {
		return ErrNoAck
	}
	return e.socket.reply(ctx, e, values)
}

func (s *Socket) reply(ctx context.Context, e *eventContext, values []any) error {
	data, attachments, err := args.Append([]byte{'['}, nil, values...)
	if err != nil {
		return fmt.Errorf("client: reply: %w", err)
	}
	for i, b := range attachments {
		attachments[i] = bytes.Clone(b)
	}
	frames, err := s.encode(&socketio.Packet{
		Type: socketio.Ack, Namespace: s.namespace, ID: e.id, HasID: true, Data: append(data, ']'), Attachments: attachments,
	})
	if err != nil {
		return fmt.Errorf("client: reply: %w", err)
	}
	if err := e.conn.Wait(ctx); err != nil && !errors.Is(err, engine.ErrClosed) {
		return fmt.Errorf("client: reply: %w", err)
	}
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.client.conn != e.conn || !s.connected || !e.conn.Send(frames...) {
		return ErrNoAck
	}
	return nil
}
