package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/fanwire/fanwire/protocol/socketio"
)

// Handlers is what handlers can be registered on: a [Namespace], the namespaces
// of a [Pattern], or a [Server], which means its namespace "/".
//
// Register before serving. Registering later is safe and concerns events that
// arrive from then on; what is registered on a Pattern reaches the namespaces
// that are created from then on (SIO-N-03).
type Handlers interface {
	reg() *registry
}

type (
	// ConnectFunc decides about a socket that wants in ([Namespace.Use]) or greets
	// one that is in ([Namespace.OnConnect]). The context ends with the socket.
	ConnectFunc func(ctx context.Context, s *Socket) error
	// EventFunc handles an event of a client; see [Namespace.UseEvent].
	EventFunc func(ctx context.Context, s *Socket, e Event) error
	// AnyFunc sees events of any name; see [Namespace.OnAny].
	AnyFunc func(ctx context.Context, s *Socket, event string, args Args)
	// DisconnectFunc hears of a socket's end. The context does not end with the
	// socket but with the server.
	DisconnectFunc func(ctx context.Context, s *Socket, d Disconnect)
	// UpdateFunc hears of changes of a socket; see [Namespace.OnUpdate].
	UpdateFunc func(ctx context.Context, s *Socket)
	// ErrorFunc hears of errors that handlers returned; s is nil if it was not
	// about a socket.
	ErrorFunc func(ctx context.Context, s *Socket, err *HandlerError)
)

// Event is an event of a client on its way to its handler.
type Event struct {
	Name     string
	Args     Args
	WantsAck bool // the client waits for an ack

	ack   uint64
	reply *eventContext
}

// RoomEvents are called when sockets of this node join and leave rooms, the room
// named by their own id included (SIO-R-07). The functions may be nil; they run
// in the goroutine that changed the room and must be quick.
type RoomEvents struct {
	Created func(ns *Namespace, room string)            // before the first Joined
	Joined  func(ns *Namespace, room string, s *Socket) //
	Left    func(ns *Namespace, room string, s *Socket) //
	Deleted func(ns *Namespace, room string)            // after the last Left
}

// HandlerOption changes how a handler is called.
type HandlerOption func(*handlerOptions)

type handlerOptions struct{ concurrent bool }

// Concurrent runs the handler in a goroutine of its own: the events that follow
// on the same socket do not wait for it. At most [Limits.Concurrent] run at a
// time for one socket.
func Concurrent() HandlerOption { return func(o *handlerOptions) { o.concurrent = true } }

// On registers h for an event of clients. There is one handler for each event:
// On panics when there is one already, or when the name is reserved (SIO-D-07).
//
// One socket's events are handled one at a time in the order they came, those of
// different sockets in parallel. The context ends when the socket disconnects. An
// error goes to [Namespace.OnError] and the log at debug level; the client learns
// nothing of it. A panic closes the client's session, nothing else (HRD-01).
//
// T is read from the first argument as by [json.Unmarshal], its zero value if
// there is none. Other forms: [Args] is all arguments untouched, [None] none,
// [Tuple2] and [Tuple3] are several, a []byte or [Binary] is a binary one,
// wherever it stands, and a type with a method UnmarshalArgs(Args) error reads
// them itself. Arguments that do not fit are an error; h is not called then.
//
// If the client asked for an ack, h may give it by [Reply].
func On[T any](ns Handlers, event string, h func(ctx context.Context, s *Socket, v T) error, opts ...HandlerOption) {
	decode := decoderOf[T]()
	register(ns, event, opts, &handler{run: func(ctx context.Context, s *Socket, e incoming) error {
		v, err := decode(e.args)
		if err != nil {
			return err
		}
		return h(ctx, s, v)
	}})
}

// Handle is [On] for a handler whose result acknowledges the event: R is the one
// argument of the ack, [None], [Args], [Tuple2] or [Tuple3] are none or several.
// When h returns an error no ack is sent, unless it is an [*AckError]. If the
// client asked for no ack the result is dropped.
func Handle[T, R any](ns Handlers, event string, h func(ctx context.Context, s *Socket, v T) (R, error), opts ...HandlerOption) {
	decode, encode := decoderOf[T](), encoderOf[R]()
	register(ns, event, opts, &handler{answers: true, run: func(ctx context.Context, s *Socket, e incoming) error {
		v, err := decode(e.args)
		if err != nil {
			return err
		}
		acks := e.wantsAck && e.claim()
		r, err := h(ctx, s, v)
		if !acks {
			return err
		}
		if err != nil {
			return s.ackError(e.ack, err)
		}
		return ackResult(s, e.ack, r, encode)
	}})
}

// OnServer registers h for an event that another node sent by
// [Namespace.ServerEmit]. Such events of one namespace are handled one at a
// time. It panics like [On].
func OnServer[T any](ns Handlers, event string, h func(ctx context.Context, ns *Namespace, v T) error) {
	HandleServer(ns, event, func(ctx context.Context, ns *Namespace, v T) (None, error) {
		return None{}, h(ctx, ns, v)
	})
}

// HandleServer is [OnServer] for a handler that answers [CallServers] with its
// result: one value, or none for [None] and after an error.
func HandleServer[T, R any](ns Handlers, event string, h func(ctx context.Context, ns *Namespace, v T) (R, error)) {
	decode, encode := decoderOf[T](), encoderOf[R]()
	if reservedServerEvent(event) {
		panic(fmt.Sprintf("node: reserved event name %q", event))
	}
	ns.reg().update(func(h2 *handlerSet) {
		if _, ok := h2.server[event]; ok {
			panic(fmt.Sprintf("node: event %q of servers has a handler", event))
		}
		h2.server = maps.Clone(h2.server)
		if h2.server == nil {
			h2.server = map[string]serverHandler{}
		}
		h2.server[event] = func(ctx context.Context, ns *Namespace, a Args) ([]byte, [][]byte, error) {
			v, err := decode(a)
			if err != nil {
				return nil, nil, err
			}
			r, err := h(ctx, ns, v)
			if err != nil {
				return nil, nil, err
			}
			return encode(nil, nil, r)
		}
	})
}

// handler is a registered handler of one event.
type handler struct {
	run        func(ctx context.Context, s *Socket, e incoming) error
	answers    bool // acks by its result (Handle)
	concurrent bool
}

type serverHandler func(ctx context.Context, ns *Namespace, a Args) (raw []byte, atts [][]byte, err error)

func register(ns Handlers, event string, opts []HandlerOption, h *handler) {
	if socketio.Reserved(event) {
		panic(fmt.Sprintf("node: reserved event name %q", event))
	}
	var o handlerOptions
	for _, opt := range opts {
		opt(&o)
	}
	h.concurrent = o.concurrent
	ns.reg().update(func(set *handlerSet) {
		if _, ok := set.events[event]; ok {
			panic(fmt.Sprintf("node: event %q has a handler", event))
		}
		set.events = maps.Clone(set.events)
		if set.events == nil {
			set.events = map[string]*handler{}
		}
		set.events[event] = h
	})
}

// registry holds the handlers of a namespace or pattern.
type registry struct {
	set atomic.Pointer[handlerSet] // nil while empty
}

// handlerSet is immutable once it is in a registry: registering copies it.
type handlerSet struct {
	events        map[string]*handler
	server        map[string]serverHandler
	middlewares   []func(ConnectFunc) ConnectFunc
	admit         ConnectFunc // the middlewares, nil without any
	wrappers      []func(EventFunc) EventFunc
	wrapped       EventFunc // the event middlewares around the handlers, nil without any
	connect       []ConnectFunc
	expired       []ExpiredFunc
	disconnecting []DisconnectFunc
	disconnect    []DisconnectFunc
	any           []AnyFunc
	outgoing      []AnyFunc
	rooms         []RoomEvents
	errs          []ErrorFunc
	updated       []UpdateFunc
}

var noHandlers handlerSet

func (r *registry) reg() *registry { return r }

// handlers returns the set as it is now.
func (r *registry) handlers() *handlerSet {
	if set := r.set.Load(); set != nil {
		return set
	}
	return &noHandlers
}

// update puts a changed copy in place. change may be called again if another
// update came first.
func (r *registry) update(change func(*handlerSet)) {
	for {
		old := r.set.Load()
		set := noHandlers
		if old != nil {
			set = *old
		}
		change(&set)
		if r.set.CompareAndSwap(old, &set) {
			return
		}
	}
}

// quiet tells whether the end of a socket calls nobody.
func (set *handlerSet) quiet() bool {
	return len(set.disconnecting) == 0 && len(set.disconnect) == 0 && len(set.rooms) == 0
}

// with returns s and v, without touching s's array.
func with[T any](s []T, v T) []T { return append(slices.Clip(s), v) }

// Use adds a middleware for connections. Middlewares run in the order in which
// they were added, each inside the one before; a socket is in when all of them
// returned nil. An error refuses it: the client gets the message in its
// connect_error event, with data if it is a [*ConnectError]. While they run the
// socket has an id and handshake and may join rooms, but receives no broadcasts
// (SIO-C-08). They may block; [Config.ConnectTimeout] bounds them.
func (r *registry) Use(mw func(next ConnectFunc) ConnectFunc) {
	r.update(func(set *handlerSet) {
		set.middlewares = with(set.middlewares, mw)
		set.admit = func(context.Context, *Socket) error { return nil }
		for _, mw := range slices.Backward(set.middlewares) {
			set.admit = mw(set.admit)
		}
	})
}

// UseEvent adds a middleware around the handlers of events. It runs for every
// event, also for one without a handler, after the functions of OnAny, in the
// socket's order even if the handler is [Concurrent]. It ends the event by not
// calling next; an error is treated like one of the handler (SIO-V-02).
func (r *registry) UseEvent(mw func(next EventFunc) EventFunc) {
	r.update(func(set *handlerSet) {
		set.wrappers = with(set.wrappers, mw)
		set.wrapped = callHandler
		for _, mw := range slices.Backward(set.wrappers) {
			set.wrapped = mw(set.wrapped)
		}
	})
}

// OnConnect adds a function that is called when a socket has been accepted; the
// client has been told already. The socket's events wait until it returns. An
// error goes to OnError; the socket stays.
func (r *registry) OnConnect(f ConnectFunc) {
	r.update(func(set *handlerSet) { set.connect = with(set.connect, f) })
}

// OnSessionExpired adds a function that is called when a client that wanted to
// continue its session ([Recovery]) has got a new one instead, with a new id and
// in no rooms: it may have missed events. So does a client of a node that has lost
// events for good, which closes its connection. It runs before the functions of
// OnConnect. cause is [adapter.ErrNoSession] when the client was away for too long
// or its session had ended for good, [adapter.ErrLost] when events that it has
// missed are not kept any more, [ErrOverrun], or an error of the broker.
func (r *registry) OnSessionExpired(f ExpiredFunc) {
	r.update(func(set *handlerSet) { set.expired = with(set.expired, f) })
}

// OnDisconnecting adds a function that is called when a socket ends, while its
// rooms are still there. Emitting to it is an error already.
func (r *registry) OnDisconnecting(f DisconnectFunc) {
	r.update(func(set *handlerSet) { set.disconnecting = with(set.disconnecting, f) })
}

// OnDisconnect adds a function that is called when a socket has ended and left
// its rooms. It is called once for each socket that was accepted, after the
// handlers of its events, other than [Concurrent] ones, have returned.
func (r *registry) OnDisconnect(f DisconnectFunc) {
	r.update(func(set *handlerSet) { set.disconnect = with(set.disconnect, f) })
}

// OnAny adds a function that sees every event of clients before its handler, in
// order. It may [Reply].
func (r *registry) OnAny(f AnyFunc) {
	r.update(func(set *handlerSet) { set.any = with(set.any, f) })
}

// OnAnyOutgoing adds a function that sees every event sent to a socket of this
// node, once for each recipient of a broadcast. It runs in the goroutine that
// emits, for events from other nodes in the one that receives: it must not block.
// With such a function a broadcast costs far more.
func (r *registry) OnAnyOutgoing(f AnyFunc) {
	r.update(func(set *handlerSet) { set.outgoing = with(set.outgoing, f) })
}

// OnRoom adds functions that follow the rooms of this node.
func (r *registry) OnRoom(e RoomEvents) {
	r.update(func(set *handlerSet) { set.rooms = with(set.rooms, e) })
}

// OnUpdate adds a function that is called when a connected socket's data has been
// set ([Socket.SetData]) or its transport has changed from polling to WebSocket. It
// runs in the goroutine that set the data or reads the client, so it must not block;
// calls for one socket may overlap. Setting data in it would never end.
func (r *registry) OnUpdate(f UpdateFunc) {
	r.update(func(set *handlerSet) { set.updated = with(set.updated, f) })
}

// OnError adds a function that hears of the errors of handlers, and of events
// whose arguments did not fit.
func (r *registry) OnError(f ErrorFunc) {
	r.update(func(set *handlerSet) { set.errs = with(set.errs, f) })
}

// Off removes the handler of an event of clients, if there is one.
func (r *registry) Off(event string) {
	r.update(func(set *handlerSet) {
		set.events = maps.Clone(set.events)
		delete(set.events, event)
	})
}
