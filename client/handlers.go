package client

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/internal/args"
)

// On registers a handler for an event. v is the first argument, or all of them:
// see the package documentation. Several handlers of one event run in the order
// of registration. The returned function removes the handler.
func On[T any](s *Socket, event string, h func(ctx context.Context, v T)) (remove func()) {
	return s.on(event, func(ctx context.Context, a Args) error {
		v, err := args.Decode[T](a)
		if err == nil {
			h(ctx, v)
		}
		return err
	})
}

// Once registers a handler for the next event of that name alone.
func Once[T any](s *Socket, event string, h func(ctx context.Context, v T)) (remove func()) {
	var once sync.Once
	var registered atomic.Pointer[func()]
	remove = On(s, event, func(ctx context.Context, v T) {
		if r := registered.Load(); r != nil {
			(*r)()
		}
		once.Do(func() { h(ctx, v) })
	})
	registered.Store(&remove)
	return remove
}

// Handle registers a handler that answers: the result is the ack, if the server
// asked for one. After an error there is no ack, unless it is an *AckError; the
// error goes to OnError.
func Handle[T, R any](s *Socket, event string, h func(ctx context.Context, v T) (R, error)) (remove func()) {
	return s.on(event, func(ctx context.Context, a Args) error {
		v, err := args.Decode[T](a)
		if err != nil {
			return err
		}
		var answer any
		if answer, err = h(ctx, v); err != nil {
			refused, ok := errors.AsType[*AckError](err)
			if !ok {
				return err
			}
			answer = refused.Value
		}
		if err := Reply(ctx, answer); !errors.Is(err, ErrNoAck) {
			return err
		}
		return nil
	})
}

// OnAny registers a handler for all events. It runs before the others.
func (s *Socket) OnAny(h func(ctx context.Context, event string, a Args)) (remove func()) {
	return add(s, h, func(t *table) *[]*func(context.Context, string, Args) { return &t.any })
}

// PrependAny is OnAny for a handler that runs before those registered so far.
func (s *Socket) PrependAny(h func(ctx context.Context, event string, a Args)) (remove func()) {
	return prepend(s, h, func(t *table) *[]*func(context.Context, string, Args) { return &t.any })
}

// PrependAnyOutgoing is OnAnyOutgoing for a function that is called before those
// registered so far.
func (s *Socket) PrependAnyOutgoing(h func(event string, a Args)) (remove func()) {
	return prepend(s, h, func(t *table) *[]*func(string, Args) { return &t.outgoing })
}

// OnAnyOutgoing registers a function that is called in Emit, Call and EmitAck,
// before the event is queued.
func (s *Socket) OnAnyOutgoing(h func(event string, a Args)) (remove func()) {
	return add(s, h, func(t *table) *[]*func(string, Args) { return &t.outgoing })
}

// OnConnect registers a handler that runs after each connect.
func (s *Socket) OnConnect(h func(ctx context.Context)) (remove func()) {
	return add(s, h, func(t *table) *[]*func(context.Context) { return &t.connect })
}

// OnDisconnect registers a handler that runs after each disconnect.
func (s *Socket) OnDisconnect(h func(ctx context.Context, d Disconnect)) (remove func()) {
	return add(s, h, func(t *table) *[]*func(context.Context, Disconnect) { return &t.disconnect })
}

// OnConnectError registers a handler that runs when an attempt to connect has
// failed: with a *ConnectError for good, otherwise the client tries again (if
// Active says so).
func (s *Socket) OnConnectError(h func(ctx context.Context, err error)) (remove func()) {
	return add(s, h, func(t *table) *[]*func(context.Context, error) { return &t.connectError })
}

// OnError registers a handler for events whose arguments do not fit the type of
// a handler, and for errors of functions given to Handle. Without one they are
// logged.
func (s *Socket) OnError(h func(ctx context.Context, err *HandlerError)) (remove func()) {
	return add(s, h, func(t *table) *[]*func(context.Context, *HandlerError) { return &t.err })
}

// handlers holds a table that is replaced when it changes, so that deliveries
// read it without a lock.
type handlers struct {
	mu    sync.Mutex // serialises changes
	table atomic.Pointer[table]
}

type eventHandler = func(context.Context, Args) error

// table holds handlers by pointers, which tell them apart.
type table struct {
	events       map[string][]*eventHandler
	raw          []*func(*RawEvent) bool
	any          []*func(context.Context, string, Args)
	outgoing     []*func(string, Args)
	connect      []*func(context.Context)
	disconnect   []*func(context.Context, Disconnect)
	connectError []*func(context.Context, error)
	err          []*func(context.Context, *HandlerError)
}

var noHandlers table

func (h *handlers) load() *table {
	if t := h.table.Load(); t != nil {
		return t
	}
	return &noHandlers
}

// change replaces the table by one that f has changed. Slices must be copied.
func (h *handlers) change(f func(*table)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := *h.load()
	f(&t)
	h.table.Store(&t)
}

// add appends h to one of the lists.
func add[F any](s *Socket, h F, list func(*table) *[]*F) (remove func()) {
	return insert(s, h, list, func(l []*F, p *F) []*F { return append(slices.Clip(l), p) })
}

func prepend[F any](s *Socket, h F, list func(*table) *[]*F) (remove func()) {
	return insert(s, h, list, func(l []*F, p *F) []*F { return append([]*F{p}, l...) })
}

func insert[F any](s *Socket, h F, list func(*table) *[]*F, with func([]*F, *F) []*F) (remove func()) {
	p := &h
	s.handlers.change(func(t *table) {
		l := list(t)
		*l = with(*l, p)
	})
	return func() {
		s.handlers.change(func(t *table) {
			l := list(t)
			*l = without(*l, p)
		})
	}
}

func without[F any](list []*F, p *F) []*F {
	return slices.DeleteFunc(slices.Clone(list), func(q *F) bool { return q == p })
}

func (s *Socket) on(event string, h eventHandler) (remove func()) {
	p := &h
	set := func(f func(list []*eventHandler) []*eventHandler) {
		s.handlers.change(func(t *table) {
			if t.events = maps.Clone(t.events); t.events == nil {
				t.events = make(map[string][]*eventHandler)
			}
			t.events[event] = f(t.events[event])
		})
	}
	set(func(list []*eventHandler) []*eventHandler { return append(slices.Clip(list), p) })
	return func() {
		set(func(list []*eventHandler) []*eventHandler { return without(list, p) })
	}
}

// handle runs the handlers for d. It is called by the queue's worker.
func (s *Socket) handle(ctx context.Context, d *delivery) {
	t := s.handlers.load()
	switch d.kind {
	case deliverEvent:
		s.handleEvent(ctx, t, d)
	case deliverConnect:
		for _, h := range t.connect {
			(*h)(ctx)
		}
	case deliverDisconnect:
		for _, h := range t.disconnect {
			(*h)(ctx, d.end)
		}
	case deliverConnectError:
		for _, h := range t.connectError {
			(*h)(ctx, d.err)
		}
	}
}

func (s *Socket) handleEvent(ctx context.Context, t *table, d *delivery) {
	if d.conn != nil {
		ctx = &eventContext{Context: ctx, socket: s, conn: d.conn, id: d.ackID}
	}
	if len(t.any) > 0 {
		name := string(d.event)
		for _, h := range t.any {
			(*h)(ctx, name, d.args)
		}
	}
	for _, h := range t.events[string(d.event)] {
		if err := (*h)(ctx, d.args); err != nil {
			s.report(ctx, t, &HandlerError{Event: string(d.event), Err: err})
		}
	}
}

func (s *Socket) report(ctx context.Context, t *table, err *HandlerError) {
	for _, h := range t.err {
		(*h)(ctx, err)
	}
	if len(t.err) == 0 {
		s.client.opts.Logger.Warn("client: handler", "namespace", s.namespace, "event", err.Event, "error", err.Err)
	}
}

func (s *Socket) notifyOutgoing(event string, data []byte, attachments [][]byte) {
	t := s.handlers.load()
	if len(t.outgoing) == 0 {
		return
	}
	a := args.Make(data[1:len(data)-1], attachments).From(1)
	for _, h := range t.outgoing {
		(*h)(event, a)
	}
}

// eventContext is the context of a handler whose event wants an ack.
type eventContext struct {
	context.Context
	socket  *Socket
	conn    *engine.Conn
	id      uint64
	replied atomic.Bool
}

type eventKey struct{}

// Value implements context.Context.
func (c *eventContext) Value(key any) any {
	if key == (eventKey{}) {
		return c
	}
	return c.Context.Value(key)
}
