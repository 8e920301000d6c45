package node

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/fanwire/fanwire/node/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// session is what a client needs of an [engine.Session].
type session interface {
	ID() string
	Protocol() int
	Transport() string
	RemoteAddr() string
	Secure() bool
	Send(p *engine.Packet, volatile bool) bool
	SendText(text []byte) bool
	Close(engine.Close) bool
	SetAlarm(d time.Duration)
	BeginInline() bool
	EndInline() bool
	Hold()
	Unhold()
	Detach()
	Admit()
	AwaitRoom() bool
	Answered() (ago time.Duration, ok bool)
	Queued() int
}

// client is one Engine.IO session as Socket.IO sees it: it puts packets together
// and holds what the sockets of one session share. It is the receiver of the
// session's messages.
type client struct {
	// Static after construction.
	srv       *Server
	sess      session
	handshake handshake
	opened    time.Duration // after srv.epoch
	trace     string        // of the handshake; "" if it is not followed
	home      uint8         // which of the hot counters it uses

	// Owned by whoever calls Message, one at a time.
	dec  socketio.Decoder
	dead bool // the session was closed for what it sent

	mu      sync.Mutex    // guards the fields below and those of the sockets
	sockets []*Socket     // connecting and connected, in the order they asked
	kicked  []string      // namespaces that the server has ended, until asked for again
	wait    chan struct{} // closed when a queue has room; made on demand
	refused int           // CONNECTs refused
	knocked bool          // a CONNECT has come
	joined  bool          // a namespace was joined
	parts   bool          // attachments are awaited
	closed  bool          // the session has ended
}

// newClient makes the client of a session; Message may be called once it has
// returned.
func newClient(srv *Server, sess session, hs handshake) *client {
	c := &client{srv: srv, sess: sess, handshake: hs, opened: time.Since(srv.epoch), home: srv.counters.next()}
	limits := srv.decoding
	if sess.Protocol() == 3 {
		limits.Namespace += srv.cfg.Limits.ConnectData // it carries the query there (EIO-3-14)
	}
	c.dec = srv.cfg.Parser.NewDecoder(limits)
	sess.SetAlarm(srv.cfg.FirstConnectTimeout)
	return c
}

// age is how long the session exists.
func (c *client) age() time.Duration { return time.Since(c.srv.epoch) - c.opened }

// The causes of a session's end that packets can be (HRD-40). Handlers see the
// reason "forced close" (SIO-X-12).
var (
	errNotJoined    = errors.New("node: packet for a namespace that was not joined")
	errJoined       = errors.New("node: namespace was joined before")
	errPacketType   = errors.New("node: packet type is not for clients")
	errConnectData  = errors.New("node: CONNECT payload too large")
	errRefusals     = errors.New("node: too many refused CONNECTs")
	errNoConnect    = errors.New("node: no namespace was joined in time")
	errMissingParts = errors.New("node: binary attachments did not come")
	errPanic        = errors.New("internal error")
)

// partTimeout is how long a missing attachment may take (HRD-41).
const partTimeout = 10 * time.Second

var packets = sync.Pool{New: func() any { return new(socketio.Packet) }}

// Message implements [engine.Receiver].
func (c *client) Message(data []byte, binary, inline bool) {
	if c.dead {
		return
	}
	p := packets.Get().(*socketio.Packet)
	complete, err := c.dec.Decode(data, binary, p)
	if err != nil {
		*p = socketio.Packet{}
		packets.Put(p)
		c.srv.counters.badPackets.Add(1)
		c.violate(err)
		return
	}
	if !complete || c.parts {
		c.expectParts(!complete)
	}
	if complete {
		c.packet(p, inline)
		return
	}
	*p = socketio.Packet{}
	packets.Put(p)
}

// packet handles p, which it gives back to the pool as soon as what is needed of
// it is on the stack: a handler may take its time.
func (c *client) packet(p *socketio.Packet, inline bool) {
	q := *p
	*p = socketio.Packet{}
	packets.Put(p)
	if c.sess.Protocol() == 3 {
		q.Namespace, q.Data = namespace3(&q)
	}
	switch q.Type {
	case socketio.Event:
		c.event(q.Namespace, event{
			name: q.Event,
			args: makeArgs(q.Args, q.Attachments),
			size: packetSize(&q),
			ack:  q.ID,
			asks: q.HasID,
		}, inline)
	case socketio.Ack:
		c.acked(&q)
	case socketio.Connect:
		c.connect(q.Namespace, q.Data)
	case socketio.Disconnect:
		c.left(q.Namespace)
	default: // HRD-40
		c.violate(errPacketType)
	}
}

// violate closes the session for what its client sent.
func (c *client) violate(cause error) {
	c.dead = true
	c.closeSession(0, cause)
}

// closeSession ends the session with what is queued sent before.
func (c *client) closeSession(code int, cause error) {
	c.sess.Close(engine.Close{Reason: engine.ReasonForcedClose, Code: code, Cause: cause})
}

// expectParts notes whether attachments are awaited, and for how long.
func (c *client) expectParts(awaited bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts = awaited
	c.armLocked()
}

// armLocked sets the session's one alarm to what comes first.
func (c *client) armLocked() {
	switch {
	case c.parts:
		c.sess.SetAlarm(partTimeout)
	case c.joined:
		c.sess.SetAlarm(0)
	case c.knocked:
		c.sess.SetAlarm(max(c.srv.cfg.ConnectTimeout-c.age(), time.Millisecond))
	default:
		c.sess.SetAlarm(max(c.srv.cfg.FirstConnectTimeout-c.age(), time.Millisecond))
	}
}

// Alarm implements [engine.Receiver].
func (c *client) Alarm() {
	c.mu.Lock()
	parts, joined := c.parts, c.joined
	c.mu.Unlock()
	cause := errNoConnect
	switch {
	case parts:
		cause = errMissingParts
	case joined:
		return
	}
	// Nobody may be there to take a farewell: on polling the session would wait for
	// that, and count as pending, half a minute more (HRD-15).
	c.sess.Close(engine.Close{Reason: engine.ReasonForcedClose, Cause: cause, Discard: true})
}

// Upgraded implements [engine.UpgradeReceiver].
func (c *client) Upgraded() {
	c.mu.Lock()
	sockets := slices.Clone(c.sockets)
	c.mu.Unlock()
	for _, s := range sockets {
		s.updated()
	}
}

// Closed implements [engine.Receiver]. It runs the disconnect handlers of the
// sockets that have nothing else to do, one after the other (SIO section 8).
func (c *client) Closed(reason string, cause error) {
	d := Disconnect{Reason: DisconnectReason(reason), Cause: cause}
	drop := d.Reason == ReasonForcedClose || d.Reason == ReasonServerShutdown && !errors.Is(cause, ErrDraining)
	c.mu.Lock()
	c.closed = true
	sockets := c.sockets
	c.sockets = nil
	var run []*Socket
	for _, s := range sockets {
		if s.endLocked(d, drop) {
			run = append(run, s)
		}
		s.cancelLocked()
	}
	c.wakeLocked()
	c.mu.Unlock()
	for _, s := range run {
		s.drain()
	}
}

// lookupLocked returns the socket of a namespace, nil if the client has none.
func (c *client) lookupLocked(name string) *Socket {
	for _, s := range c.sockets {
		if s.name == name {
			return s
		}
	}
	return nil
}

// removeLocked forgets s.
func (c *client) removeLocked(s *Socket) {
	if i := slices.Index(c.sockets, s); i >= 0 {
		c.sockets = slices.Delete(c.sockets, i, i+1)
	}
}

// lockSocket takes mu and returns the socket that a packet of the client is for.
// Without one it returns nil, mu released: the packet is ignored if the server has
// ended the namespace, which the client may not have known yet; else it is a
// violation (SIO-M-12).
func (c *client) lockSocket(name string) *Socket {
	c.mu.Lock()
	s := c.lookupLocked(name)
	if s != nil && (s.state.Load() != stateConnecting || c.sess.Protocol() == 3) {
		return s
	}
	ignored := s == nil && slices.Contains(c.kicked, name)
	c.mu.Unlock()
	if !ignored {
		c.violate(errNotJoined)
	}
	return nil
}

// event hands ev to its socket: it runs the handler here, or leaves it to whoever
// runs the socket's queue.
func (c *client) event(name string, ev event, inline bool) {
	c.hot().eventsIn.Add(1)
	s := c.lockSocket(name)
	if s == nil {
		return
	}
	for s.queue.full(&c.srv.cfg.Limits) && s.end == nil {
		c.sess.Hold() // HRD-48
		c.waitLocked()
		c.sess.Unhold()
	}
	if s.end != nil {
		c.mu.Unlock()
		return
	}
	if s.running {
		s.queue.push(ev)
		c.mu.Unlock()
		return
	}
	s.running = true
	c.mu.Unlock()
	if inline && c.sess.BeginInline() {
		s.handle(ev)
		s.settle(!c.sess.EndInline())
		return
	}
	c.mu.Lock()
	s.queue.push(ev)
	c.mu.Unlock()
	c.run(s.drain)
}

// settle ends a run of user code in Message. Unless the session has gone on
// reading without it, the caller must read on: what there is left to run, if
// there is anything, then needs a goroutine.
func (s *Socket) settle(free bool) {
	if free {
		s.drain()
		return
	}
	c := s.client
	c.mu.Lock()
	idle := s.queue.len() == 0 && (s.end == nil || s.finished)
	if idle {
		s.running = false
	}
	c.mu.Unlock()
	if !idle {
		c.run(s.drain)
	}
}

// left handles a DISCONNECT of the client. What it sent before is still handled.
func (c *client) left(name string) {
	s := c.lockSocket(name)
	if s == nil {
		return
	}
	run := s.endLocked(Disconnect{Reason: ReasonClientDisconnect}, false)
	c.removeLocked(s)
	c.mu.Unlock()
	if run {
		s.runEnd()
	}
}

// waitLocked waits until some queue has room, or a socket has ended. It gives up
// the lock meanwhile.
func (c *client) waitLocked() {
	if c.wait == nil {
		c.wait = make(chan struct{})
	}
	wait := c.wait
	c.mu.Unlock()
	<-wait
	c.mu.Lock()
}

// wakeLocked lets those in waitLocked look again.
func (c *client) wakeLocked() {
	if c.wait != nil {
		close(c.wait)
		c.wait = nil
	}
}

// connect handles a CONNECT of the client.
func (c *client) connect(name string, auth []byte) {
	if len(auth) > c.srv.cfg.Limits.ConnectData {
		c.violate(errConnectData)
		return
	}
	many, err := c.knock(name)
	switch {
	case err != nil:
		c.violate(err)
		return
	case many: // HRD-44
		c.refuse(name, errManyNamespaces)
		return
	}
	// A name that neither is known nor may be needs no socket.
	ns := c.srv.acquire(name)
	if ns == nil && !c.srv.dynamic() {
		c.refuse(name, errInvalidNamespace)
		return
	}
	s := &Socket{client: c, ns: ns, name: name, auth: bytes.Clone(auth), id: c.socketID(name)}
	s.rec = c.newRecoverable(s.id, s.auth)
	s.running = true // events wait until it has entered
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.sockets = append(c.sockets, s)
	}
	c.mu.Unlock()
	switch {
	case closed && ns != nil:
		ns.release()
	case closed:
	case ns != nil && ns.plain() && (s.rec == nil || s.rec.claim.pid == ""):
		s.enter() // no user code
	default:
		c.run(s.enter)
	}
}

// knock notes that the client asks for a namespace. It reports whether it is in
// too many, and an error if it must not ask.
func (c *client) knock(name string) (many bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lookupLocked(name) != nil {
		return false, errJoined
	}
	if !c.knocked && !c.closed {
		c.knocked = true
		c.armLocked()
	}
	if i := slices.Index(c.kicked, name); i >= 0 {
		c.kicked = slices.Delete(c.kicked, i, i+1)
	}
	return len(c.sockets) >= c.srv.limits.Load().Namespaces, nil
}

// errManyNamespaces answers the CONNECT of who is in too many (HRD-44).
var errManyNamespaces = &ConnectError{Message: "Too many namespaces"}

// errInvalidNamespace has the official text (SIO-M-17).
var errInvalidNamespace = &ConnectError{Message: "Invalid namespace"}

// refuse answers a CONNECT. Clients that go on asking are closed (HRD-40).
func (c *client) refuse(name string, err error) {
	c.mu.Lock()
	c.refused++
	many := c.refused > c.srv.cfg.Limits.Refusals
	closed := c.closed
	c.mu.Unlock()
	c.srv.counters.refused.Add(1)
	if closed {
		return
	}
	c.sendConnectError(name, err)
	if many {
		c.closeSession(0, errRefusals)
	}
}

// socketID returns the public id of a new socket.
func (c *client) socketID(name string) string {
	switch {
	case c.sess.Protocol() != 3:
		return publicID(c.srv.tag)
	case name == "/":
		return c.sess.ID()
	}
	return name + "#" + c.sess.ID() // EIO-3-14
}

func packetSize(p *socketio.Packet) int {
	n := len(p.Data)
	for _, a := range p.Attachments {
		n += len(a)
	}
	return n
}
