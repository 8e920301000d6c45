package node

import (
	"context"
	"encoding/json"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/fanwire/fanwire/node/internal/engine"
)

// Socket is one client in one namespace. A client that joins several has a
// Socket in each; they share its session. All methods are safe for concurrent
// use.
type Socket struct {
	// Static after construction, ns from when handlers see the socket.
	client *client
	ns     *Namespace
	name   string       // of the namespace
	id     string       // another one while it is connecting, if it recovers
	auth   []byte       // JSON object, nil if there is none
	rec    *recoverable // nil without recovery

	state   socketState
	leftOwn atomic.Bool // has left the room named by its id (SIO-R-05)

	pos int // among the sockets of the namespace; guarded by its index

	// Guarded by client.mu.
	rooms      []membership // in the order they were joined
	calls      map[uint64]*call
	data       any
	life       *lifetime   // made on demand
	end        *Disconnect // why it ends, once that is known
	queue      queue
	concurrent int  // handlers with Concurrent that run
	running    bool // somebody runs the queue, or s has not entered yet
	finished   bool // the disconnect handlers were called, or are being
}

// state of a socket. It only grows.
const (
	stateConnecting uint32 = iota // middlewares decide
	stateAccepting                // for a moment, under client.mu
	stateConnected
	stateLeaving // will be closed when the events before that are handled
	stateClosed
)

type socketState = atomic.Uint32

// ID returns the public id: it may be shown to other clients. It is also the name
// of a room that holds this socket alone.
func (s *Socket) ID() string { return s.id }

// Namespace returns the namespace that the socket is in.
func (s *Socket) Namespace() *Namespace { return s.ns }

// Handshake returns what is known of the connection's first HTTP request, and
// the client's auth payload. It is built anew by each call.
func (s *Socket) Handshake() Handshake { return s.client.handshake.build(s) }

// Auth stores the auth payload that the client gave for this namespace in the
// value that v points to, which it leaves alone if there was none.
func (s *Socket) Auth(v any) error {
	if len(s.auth) == 0 {
		return nil
	}
	return json.Unmarshal(s.auth, v)
}

// Connected tells whether the socket was accepted and has not ended.
func (s *Socket) Connected() bool { return s.ready() }

// Recovered tells whether the socket continues one whose connection was lost: it
// has that one's id, rooms and data, and the client has got what it has missed
// ([Recovery]).
func (s *Socket) Recovered() bool { return s.rec != nil && s.rec.recovered }

// ClientID names the client's connection: it is the same for the client's sockets in
// all namespaces, and may be shown, which the session id may not (HRD-12).
func (s *Socket) ClientID() string { return clientID(s.client.sess.ID()) }

// Transport returns "polling" or "websocket", whichever is in use now.
func (s *Socket) Transport() string { return s.client.sess.Transport() }

// Queued returns how many bytes wait to be sent to the client, by all its sockets: what
// the operating system has taken does not count. At [Limits.Output] it is closed.
func (s *Socket) Queued() int { return s.client.sess.Queued() }

// Protocol returns the Engine.IO revision of the client: 4, or 3 for Socket.IO
// 2.x clients.
func (s *Socket) Protocol() int { return s.client.sess.Protocol() }

// RemoteAddr returns the address of the TCP peer, which may be a proxy, with its
// port.
func (s *Socket) RemoteAddr() string { return s.client.sess.RemoteAddr() }

// Context returns a context that ends when the socket disconnects. It is the one
// that handlers get, without what belongs to an event.
func (s *Socket) Context() context.Context { return (*socketContext)(s) }

// SetData keeps v with the socket. Other nodes see it as JSON in [RemoteSocket].
// v must not be changed afterwards; set another one instead.
//
// If the socket recovers, which it may do on another node, it is there again,
// having become JSON on its way.
func (s *Socket) SetData(v any) {
	s.client.mu.Lock()
	s.data = v
	s.client.mu.Unlock()
	s.changed()
	s.updated()
}

// updated calls the functions of OnUpdate, if the socket is connected.
func (s *Socket) updated() {
	if !s.ready() {
		return
	}
	h := s.ns.handlers()
	for _, f := range h.updated {
		s.callHook("hook", func() { f(s.Context(), s) })
	}
}

// Data returns what SetData kept with s; false if that is not a T, or, in a
// recovered socket, if its JSON is none.
func Data[T any](s *Socket) (T, bool) {
	s.client.mu.Lock()
	v := s.data
	s.client.mu.Unlock()
	if old, ok := v.(*restoredData); ok {
		return restored[T](s, old)
	}
	t, ok := v.(T)
	return t, ok
}

// Peers returns the other sockets of the same client, in other namespaces, as
// far as they are connected.
func (s *Socket) Peers() iter.Seq[*Socket] {
	s.client.mu.Lock()
	peers := slices.Clone(s.client.sockets)
	s.client.mu.Unlock()
	return func(yield func(*Socket) bool) {
		for _, p := range peers {
			if p != s && p.ready() && !yield(p) {
				return
			}
		}
	}
}

// Disconnect ends the socket: the client is told, and does not come back by
// itself. With closeSession it ends all sockets of the client and its session
// (SIO-X-18). It does not block: the disconnect handlers run after the handler
// that is running now. A socket that was not accepted yet is left alone; refuse
// it by an error.
func (s *Socket) Disconnect(closeSession bool) {
	c := s.client
	if !closeSession {
		s.kick()
		return
	}
	c.mu.Lock()
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	for _, s := range sockets {
		s.kick()
	}
	c.closeSession(0, nil)
}

// CloseSession ends the client's session without telling it to stay away, so
// that official clients connect again: for draining and the like. Handlers see
// the reason "forced close" and cause, which may be nil.
func (s *Socket) CloseSession(cause error) { s.client.closeSession(0, cause) }

// kick ends one socket.
func (s *Socket) kick() {
	c := s.client
	c.mu.Lock()
	if s.state.Load() != stateConnected {
		c.mu.Unlock()
		return
	}
	s.sendDisconnectLocked()
	run := s.endLocked(Disconnect{Reason: ReasonServerDisconnect}, true)
	s.cancelLocked()
	c.removeLocked(s)
	if len(c.kicked) >= c.srv.limits.Load().Namespaces {
		c.kicked = c.kicked[1:]
	}
	c.kicked = append(c.kicked, s.name)
	c.mu.Unlock()
	if run {
		s.runEnd()
	}
}

// ready tells whether events reach the socket. It waits for the moment in which
// a socket is accepted to pass: its client must get the CONNECT first.
func (s *Socket) ready() bool {
	state := s.state.Load()
	if state == stateAccepting {
		s.client.mu.Lock()
		state = s.state.Load()
		s.client.mu.Unlock()
	}
	return state == stateConnected
}

// endLocked notes that s ends because of d. It reports whether the caller has to
// run the queue, without the lock. With drop the events that wait are dropped;
// otherwise they are handled before the disconnect handlers.
func (s *Socket) endLocked(d Disconnect, drop bool) (run bool) {
	if s.end != nil {
		return false
	}
	s.end = &d
	if s.state.Load() == stateConnected {
		s.state.Store(stateLeaving)
	}
	if drop {
		s.queue = queue{}
	}
	for id, call := range s.calls {
		delete(s.calls, id)
		call.disconnected()
	}
	s.client.wakeLocked()
	if s.running {
		return false
	}
	s.running = true
	return true
}

// runEnd runs what endLocked has left to do.
func (s *Socket) runEnd() {
	if s.ns.handlers().quiet() {
		s.drain() // calls nobody
		return
	}
	s.client.run(s.drain)
}

// cancelLocked ends the socket's context.
func (s *Socket) cancelLocked() {
	s.state.Store(stateClosed)
	if s.life != nil {
		s.life.cancel(ErrDisconnected)
	}
}

// send queues p for the client; false when it was dropped.
func (s *Socket) send(p *engine.Packet, volatile bool) bool {
	if s.client.sess.Send(p, volatile) {
		return true
	}
	if volatile {
		s.client.srv.counters.volatileDropped.Add(1)
	}
	return false
}

// DisconnectReason says why a socket ended, in the official words.
type DisconnectReason string

// Reasons (socketio.md, section 8).
const (
	ReasonClientDisconnect DisconnectReason = "client namespace disconnect"
	ReasonServerDisconnect DisconnectReason = "server namespace disconnect"
	ReasonTransportClose   DisconnectReason = engine.ReasonTransportClose
	ReasonTransportError   DisconnectReason = engine.ReasonTransportError
	ReasonPingTimeout      DisconnectReason = engine.ReasonPingTimeout
	ReasonParseError       DisconnectReason = engine.ReasonParseError
	ReasonForcedClose      DisconnectReason = engine.ReasonForcedClose
	ReasonServerShutdown   DisconnectReason = engine.ReasonServerShutdown
)

// Disconnect tells why a socket ended. Cause is the error behind it, if there is
// one (SIO-X-24).
type Disconnect struct {
	Reason DisconnectReason
	Cause  error
}
