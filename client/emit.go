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
//
// With Options.Retries the event is sent when those before it are acknowledged,
// and again when no ack has come; one that is given up in the end is logged.
func (s *Socket) Emit(ctx context.Context, event string, values ...any) error {
	return s.emit(ctx, event, values, emitOptions{})
}

// emitOptions are those of an Emitter.
type emitOptions struct {
	volatile bool
	plain    bool // not to be compressed
}

// Emitter emits with options. It is a value; it can be kept and shared.
type Emitter struct {
	socket *Socket
	opts   emitOptions
}

// Volatile returns an Emitter whose events are dropped unless they can leave at
// once: the socket is connected and nothing is being sent. Options.Retries does
// not apply to them.
func (s *Socket) Volatile() Emitter { return Emitter{socket: s}.Volatile() }

// Compress returns an Emitter whose events are compressed, or not, where
// Options.PerMessageDeflate is in use. Without it they are.
func (s *Socket) Compress(on bool) Emitter { return Emitter{socket: s}.Compress(on) }

// Volatile is Socket.Volatile with the options that e has.
func (e Emitter) Volatile() Emitter {
	e.opts.volatile = true
	return e
}

// Compress is Socket.Compress with the options that e has.
func (e Emitter) Compress(on bool) Emitter {
	e.opts.plain = !on
	return e
}

// Emit sends an event as Socket.Emit does. A volatile one may be dropped without
// an error.
func (e Emitter) Emit(ctx context.Context, event string, values ...any) error {
	return e.socket.emit(ctx, event, values, e.opts)
}

// EmitAck is Socket.EmitAck. Of a volatile event that is dropped no ack comes: ctx
// should end.
func (e Emitter) EmitAck(ctx context.Context, event string, done func(Args, error), values ...any) error {
	return e.socket.emitAck(ctx, event, done, values, e.opts)
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
//
// With Options.Retries it waits until ctx ends, or all tries have failed: then
// the error is that of the last one, ErrTimeout or ErrDisconnected.
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
	opts := &s.client.opts
	if _, ok := ctx.Deadline(); !ok && opts.AckTimeout > 0 && opts.Retries == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, opts.AckTimeout, ErrTimeout)
		defer cancel()
	}
	arrived := make(chan outcome, 1)
	forget, err := s.request(ctx, event, values, emitOptions{}, func(a Args, err error) { arrived <- outcome{a, err} })
	if err != nil {
		return Args{}, err
	}
	select {
	case o := <-arrived:
		return o.args, o.err
	case <-ctx.Done():
	}
	if forget() {
		return Args{}, context.Cause(ctx)
	}
	o := <-arrived // it came just now
	return o.args, o.err
}

// EmitAck is Emit with a function that is called once when the ack has arrived,
// or with ErrDisconnected, or with ctx's error when that ends first: then the
// ack is not waited for any longer. Without Options.Retries it has no time limit
// of its own, unlike Call; with them done hears what Call would return. done must
// not block; it may be called before EmitAck returns, and is not called if
// EmitAck returns an error.
func (s *Socket) EmitAck(ctx context.Context, event string, done func(Args, error), values ...any) error {
	return s.emitAck(ctx, event, done, values, emitOptions{})
}

func (s *Socket) emitAck(ctx context.Context, event string, done func(Args, error), values []any, o emitOptions) error {
	stop := func() bool { return true }
	settled := make(chan struct{}) // closed when stop is set
	forget, err := s.request(ctx, event, values, o, func(a Args, err error) {
		<-settled
		stop()
		done(a, err)
	})
	if err == nil && ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() {
			if forget() {
				done(Args{}, context.Cause(ctx))
			}
		})
	}
	close(settled)
	return err
}

// request sends an event whose ack, or the lack of it, done is called with.
// forget gives the ack up: then done is not called, unless it reports false.
func (s *Socket) request(ctx context.Context, event string, values []any, o emitOptions, done func(Args, error)) (forget func() bool, err error) {
	if s.retried(o) {
		return s.retry(ctx, event, values, o, done)
	}
	ack := &waitingAck{done: done}
	if err := s.send(ctx, event, values, o, ack); err != nil {
		return nil, err
	}
	return func() bool { return s.forget(ack) }, nil
}

func (s *Socket) emit(ctx context.Context, event string, values []any, o emitOptions) error {
	if s.retried(o) {
		_, err := s.retry(ctx, event, values, o, nil)
		return err
	}
	return s.send(ctx, event, values, o, nil)
}

func (s *Socket) retried(o emitOptions) bool { return s.client.opts.Retries > 0 && !o.volatile }

// retry adds an event to those that are sent until they are acknowledged.
func (s *Socket) retry(ctx context.Context, event string, values []any, o emitOptions, done func(Args, error)) (forget func() bool, err error) {
	p, err := s.packet(event, values, nil)
	if err == nil {
		_, err = s.encode(&p) // later nobody could be told
	}
	if err != nil {
		return nil, fmt.Errorf("client: emit %q: %w", event, err)
	}
	return s.enqueue(ctx, &retried{event: event, packet: p, opts: o, done: done})
}

func (s *Socket) send(ctx context.Context, event string, values []any, o emitOptions, ack *waitingAck) error {
	p, err := s.packet(event, values, ack)
	if err != nil {
		return fmt.Errorf("client: emit %q: %w", event, err)
	}
	frames, err := s.encode(&p)
	if err != nil {
		return fmt.Errorf("client: emit %q: %w", event, err)
	}
	if o.plain {
		markPlain(frames)
	}
	if !o.volatile {
		if err := s.client.waitRoom(ctx); err != nil {
			return err
		}
	}
	return s.submit(frames, o.volatile, ack)
}

func markPlain(frames []engine.Frame) {
	for i := range frames {
		frames[i].Plain = true
	}
}

func emitError(err error) error { return fmt.Errorf("client: emit: %w", err) }

// packet makes an event. Attachments are copied: they are written later.
func (s *Socket) packet(event string, values []any, ack *waitingAck) (socketio.Packet, error) {
	p := socketio.Packet{Type: socketio.Event, Namespace: s.namespace}
	if socketio.Reserved(event) {
		return p, errReserved // SIO-V-12
	}
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
		return emitError(err)
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
	dropped := volatile && (!s.connected || !c.conn.Writable())
	if dropped || s.connected && c.conn.Send(frames...) || volatile {
		s.expectLocked(ack, false)
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
	var ended []*retried
	if s.client.closed {
		ended = s.takeAllLocked()
	} else {
		s.retries.roomLocked() // who waits for room is not to wait for a connection
	}
	if len(failed) == 0 && len(ended) == 0 {
		return
	}
	s.client.wg.Add(1)
	go func() { // done may be the user's, and we hold mu
		defer s.client.wg.Done()
		for _, ack := range failed {
			ack.done(Args{}, ErrDisconnected)
		}
		for _, r := range ended {
			if r.done != nil {
				r.done(Args{}, ErrDisconnected)
			}
		}
	}()
}
