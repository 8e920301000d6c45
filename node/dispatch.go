package node

import (
	"context"
	"runtime/debug"

	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/node/internal/engine"
)

// event is a decoded event of a client, waiting for its handler.
type event struct {
	name []byte
	args Args
	size int // of arguments and attachments in bytes
	ack  uint64
	asks bool // for an ack
}

// incoming is an event on its way into a handler.
type incoming struct {
	args     Args
	ack      uint64
	wantsAck bool
	reply    *eventContext // nil when nobody but the handler can ack
}

// claim takes the right to send the ack.
func (e *incoming) claim() bool {
	return e.reply == nil || e.reply.claimed.CompareAndSwap(false, true)
}

func makeArgs(raw []byte, atts [][]byte) Args { return args.Make(raw, atts) }

// queue holds the events of a socket that wait, in order. Empty it holds no
// memory.
type queue struct {
	events []event
	head   int
	bytes  int
}

func (q *queue) len() int { return len(q.events) - q.head }

func (q *queue) full(l *Limits) bool { return q.len() >= l.QueueEvents || q.bytes >= l.QueueBytes }

func (q *queue) push(ev event) {
	q.bytes += ev.size
	q.events = append(q.events, ev)
}

func (q *queue) pop() event {
	ev := q.events[q.head]
	q.events[q.head] = event{}
	q.head++
	q.bytes -= ev.size
	if q.len() == 0 {
		*q = queue{}
	}
	return ev
}

// drain runs what waits in the socket's queue until it is empty; s.running is
// set. At the end of the socket it finishes it.
func (s *Socket) drain() {
	c := s.client
	for {
		c.mu.Lock()
		switch {
		case s.queue.len() > 0:
			ev := s.queue.pop()
			c.wakeLocked()
			c.mu.Unlock()
			s.handle(ev)
		case s.end != nil && !s.finished:
			s.finished = true
			s.cancelLocked()
			c.mu.Unlock()
			s.finish()
		default:
			s.running = false
			c.mu.Unlock()
			return
		}
	}
}

// handle runs what the namespace has for ev.
func (s *Socket) handle(ev event) {
	defer s.client.recovered("event")
	h := s.ns.handlers()
	if len(h.any) > 0 || h.wrapped != nil {
		s.handleWrapped(h, ev)
		return
	}
	hd := h.events[string(ev.name)]
	if hd == nil {
		s.client.srv.counters.unhandled.Add(1)
		return
	}
	in := incoming{args: ev.args, ack: ev.ack, wantsAck: ev.asks}
	ctx := s.Context()
	if ev.asks && !hd.answers {
		in.reply = &eventContext{socketContext: (*socketContext)(s), ack: ev.ack}
		ctx = in.reply
	}
	if hd.concurrent {
		s.spawn(ctx, string(ev.name), hd, in)
		return
	}
	var err error
	if s.client.srv.cfg.Tracer == nil {
		err = hd.run(ctx, s, in)
	} else {
		err = s.invoke(ctx, string(ev.name), hd, in)
	}
	if err != nil {
		s.failed(ctx, "event", string(ev.name), err)
	}
}

// handleWrapped is handle where others than the handler see the event: catch-all
// functions first, then the middlewares around the handler (SIO-V-01).
func (s *Socket) handleWrapped(h *handlerSet, ev event) {
	e := Event{Name: string(ev.name), Args: ev.args, WantsAck: ev.asks, ack: ev.ack}
	ctx := s.Context()
	if ev.asks {
		e.reply = &eventContext{socketContext: (*socketContext)(s), ack: ev.ack}
		ctx = e.reply
	}
	var err error
	if tr := s.client.srv.cfg.Tracer; tr == nil {
		err = s.callWrapped(ctx, h, e)
	} else {
		err = s.invokeWrapped(ctx, tr, h, e)
	}
	if err != nil {
		s.failed(ctx, "event", e.Name, err)
	}
}

func (s *Socket) callWrapped(ctx context.Context, h *handlerSet, e Event) error {
	for _, f := range h.any {
		f(ctx, s, e.Name, e.Args)
	}
	if h.wrapped == nil {
		return callHandler(ctx, s, e)
	}
	return h.wrapped(ctx, s, e)
}

// callHandler is the innermost [EventFunc].
func callHandler(ctx context.Context, s *Socket, e Event) error {
	hd := s.ns.handlers().events[e.Name]
	if hd == nil {
		s.client.srv.counters.unhandled.Add(1)
		return nil
	}
	in := incoming{args: e.Args, ack: e.ack, wantsAck: e.WantsAck, reply: e.reply}
	if hd.concurrent {
		s.spawn(ctx, e.Name, hd, in)
		return nil
	}
	return hd.run(ctx, s, in)
}

// spawn runs a handler with [Concurrent]. When too many run it waits, and the
// socket's queue with it.
func (s *Socket) spawn(ctx context.Context, name string, hd *handler, in incoming) {
	c := s.client
	c.mu.Lock()
	for s.concurrent >= c.srv.cfg.Limits.Concurrent && s.end == nil {
		c.mu.Unlock()
		c.sess.Detach()
		c.mu.Lock()
		if s.concurrent >= c.srv.cfg.Limits.Concurrent && s.end == nil {
			c.waitLocked()
		}
	}
	s.concurrent++
	c.mu.Unlock()
	c.run(func() {
		defer func() {
			c.mu.Lock()
			s.concurrent--
			c.wakeLocked()
			c.mu.Unlock()
		}()
		defer c.recovered("event")
		if err := s.invoke(ctx, name, hd, in); err != nil {
			s.failed(ctx, "event", name, err)
		}
	})
}

// failed reports the error of a handler. A client's mistake or an end of the
// connection is no news to an operator.
func (s *Socket) failed(ctx context.Context, where, event string, err error) {
	c := s.client
	defer c.recovered("hook")
	c.srv.counters.handlerErrors.Add(1)
	e := &HandlerError{Where: where, Event: event, Err: err}
	if hooks := s.ns.handlers().errs; len(hooks) > 0 {
		for _, f := range hooks {
			f(ctx, s, e)
		}
		return
	}
	c.srv.log.Debug("handler returned an error", "namespace", s.name, "socket", shortID(s.id), "error", e)
}

// recovered is to be deferred around user code that runs for one client: a panic
// costs that client its session and nothing else (HRD-01).
func (c *client) recovered(where string) {
	if v := recover(); v != nil {
		c.panicked(where, v)
	}
}

func (c *client) panicked(where string, v any) {
	c.srv.countPanic(where)
	c.srv.log.Error("panic in a handler", "where", where, "sid", shortID(c.sess.ID()), "panic", v, "stack", string(debug.Stack()))
	c.mu.Lock()
	for _, s := range c.sockets {
		s.queue = queue{}
	}
	c.wakeLocked()
	c.mu.Unlock()
	c.sess.Close(engine.Close{Reason: engine.ReasonForcedClose, Code: 1011, Cause: errPanic})
}

// run runs f in a goroutine that Shutdown waits for.
func (c *client) run(f func()) {
	c.srv.tasks.Go(func() {
		defer c.recovered("task") // of our own making
		f()
	})
}

// callHook runs one hook of a socket and tells whether it returned.
func (s *Socket) callHook(where string, f func()) (returned bool) {
	defer s.client.recovered(where)
	f()
	return true
}

// shortID is as much of an id as may be logged (HRD-12).
func shortID(id string) string { return id[:min(len(id), 6)] }
