package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// Reasons why a socket was disconnected, in the official words. The first two
// are final; after the others the client reconnects.
const (
	ReasonServer         = "io server disconnect"
	ReasonClient         = "io client disconnect"
	ReasonTransportClose = engine.ReasonTransportClose
	ReasonTransportError = engine.ReasonTransportError
	ReasonPingTimeout    = engine.ReasonPingTimeout
	ReasonParseError     = engine.ReasonParseError
	ReasonForcedClose    = engine.ReasonForcedClose
)

// Disconnect says why a socket was disconnected.
type Disconnect struct {
	Reason string
	Err    error // more about it, or nil
}

func (d Disconnect) asError() error {
	if d.Err != nil {
		return fmt.Errorf("client: disconnected: %s: %w", d.Reason, d.Err)
	}
	return errors.New("client: disconnected: " + d.Reason)
}

// Socket is one namespace on a Client. Events are received by the handlers that
// On, Handle, OnAny and the like have registered; those should be there before
// it connects.
type Socket struct {
	// Static.
	client    *Client
	namespace string
	owner     bool // Close closes the client too

	handlers handlers
	queue    queue

	// The fields below are guarded by client.mu.
	auth      auth
	active    bool         // wants to be connected
	joining   int          // counts joins, so that a late auth function is noticed
	asked     *engine.Conn // where the answer to a CONNECT is awaited, or nil
	connected bool
	id        string
	pid       string // with recovery (SIO-Z-01); the queue knows the offset
	recovered bool
	waiters   map[chan error]struct{} // of Connect
	buffer    []pending               // events for the time after the next connect
	buffered  int                     // bytes in buffer
	nextID    uint64
	acks      map[uint64]*waitingAck
	retries   retries
}

// pending is an event that waits for a connection.
type pending struct {
	frames []engine.Frame
	ack    *waitingAck
}

func newSocket(c *Client, namespace string) *Socket {
	s := &Socket{client: c, namespace: namespace, auth: c.auth}
	s.queue = queue{run: s.handle, ctx: c.ctx, limit: c.opts.ReceiveQueue, wg: &c.wg}
	return s
}

// Client returns the connection that the socket shares with others.
func (s *Socket) Client() *Client { return s.client }

// Namespace is the name with its leading slash.
func (s *Socket) Namespace() string { return s.namespace }

// ID is the socket's id on the server, empty while it is not connected.
func (s *Socket) ID() string {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.id
}

// Connected tells whether the server has accepted the socket.
func (s *Socket) Connected() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.connected
}

// Active tells whether the socket is connected or will try to be.
func (s *Socket) Active() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.active
}

// Recovered tells whether the last connect restored the state that the socket
// had before, missed events included (connection state recovery).
func (s *Socket) Recovered() bool {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	return s.recovered
}

// Open begins to connect and returns at once. Failures to reach the server are
// met as Options.Reconnect says; OnConnect and OnConnectError tell how it goes.
func (s *Socket) Open() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.openLocked()
}

func (s *Socket) openLocked() {
	if s.active || s.client.closed {
		return
	}
	s.active = true
	if s.client.conn != nil {
		s.joinLocked()
	}
	s.client.activateLocked()
}

// Connect connects the socket and waits for the outcome. If the first attempt
// fails, or ctx ends before, it returns the error and the socket is as before: a
// socket that was not Open is not active then.
func (s *Socket) Connect(ctx context.Context) error {
	c := s.client
	c.mu.Lock()
	if c.closed || s.connected {
		defer c.mu.Unlock()
		if c.closed {
			return ErrClosed
		}
		return nil
	}
	opened := !s.active
	s.openLocked()
	outcome := make(chan error, 1)
	if s.waiters == nil {
		s.waiters = make(map[chan error]struct{})
	}
	s.waiters[outcome] = struct{}{}
	c.mu.Unlock()

	var err error
	select {
	case err = <-outcome:
	case <-ctx.Done():
		err = fmt.Errorf("client: connect: %w", ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(s.waiters, outcome)
	if s.connected {
		return nil
	}
	if err != nil && opened {
		s.disconnectLocked()
	}
	return err
}

// resolveLocked tells those in Connect.
func (s *Socket) resolveLocked(err error) {
	for w := range s.waiters {
		w <- err
	}
	clear(s.waiters)
}

// Disconnect leaves the namespace, and ends the connection if no other socket
// uses it. It returns at once; what was emitted before is sent. The handlers'
// OnDisconnect follows.
func (s *Socket) Disconnect() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	s.disconnectLocked()
}

func (s *Socket) disconnectLocked() {
	if s.connected {
		s.sendLocked(&socketio.Packet{Type: socketio.Disconnect})
		s.leftLocked(Disconnect{Reason: ReasonClient})
	}
	s.deactivateLocked(ErrDisconnected)
	s.client.relaxLocked()
}

// Close is Disconnect. If the socket comes from Dial it closes its Client, too:
// it waits for all goroutines to end, and must not be called from a handler.
func (s *Socket) Close() {
	if s.owner {
		s.client.Close()
		return
	}
	s.Disconnect()
}

// deactivateLocked gives up wanting to be connected.
func (s *Socket) deactivateLocked(err error) {
	if s.active {
		s.active = false
		s.joining++
		s.queue.shut()
	}
	s.resolveLocked(err)
}

// leftLocked ends the time of being connected.
func (s *Socket) leftLocked(d Disconnect) {
	s.connected, s.id = false, ""
	s.queue.disconnected(d)
	s.failAcksLocked()
}

// lostLocked is called when the connection has ended.
func (s *Socket) lostLocked(d Disconnect) {
	s.joining++
	if s.connected {
		s.leftLocked(d)
		return
	}
	s.connectFailedLocked(d.asError())
}

// connectFailedLocked tells of an attempt that came to nothing.
func (s *Socket) connectFailedLocked(err error) {
	s.queue.connectError(err)
	s.resolveLocked(err)
}

// refusedLocked ends the wish to be connected because of err (SIO-X-16).
func (s *Socket) refusedLocked(err error) {
	s.active = false
	s.joining++
	s.connectFailedLocked(err)
	s.client.relaxLocked()
}

// receive handles a packet for the socket. It is called by the connection's
// reader. An error ends the connection.
func (s *Socket) receive(conn *engine.Conn, p *socketio.Packet) error {
	switch p.Type {
	case socketio.Event:
		d := delivery{event: p.Event, args: args.Make(p.Args, p.Attachments)}
		if p.HasID {
			d.conn, d.ackID = conn, p.ID
		}
		if err := s.queue.event(d); err != nil {
			s.client.mu.Lock()
			s.pid = "" // the same would come again
			s.client.mu.Unlock()
			return err
		}
	case socketio.Ack:
		if p.HasID {
			s.acked(p.ID, args.Make(p.Args, p.Attachments))
		}
	default:
		apart(func() {
			s.client.mu.Lock()
			defer s.client.mu.Unlock()
			if s.client.conn == conn {
				s.changeLocked(conn, p)
			}
		})
	}
	return nil
}

// changeLocked handles a packet that changes the socket's state.
func (s *Socket) changeLocked(conn *engine.Conn, p *socketio.Packet) {
	if p.Type == socketio.Disconnect {
		if s.connected {
			s.leftLocked(Disconnect{Reason: ReasonServer})
			s.deactivateLocked(ErrDisconnected)
			s.client.relaxLocked()
		}
		return
	}
	if s.asked != conn {
		return // an answer that nobody asked for
	}
	s.asked = nil
	switch {
	case !s.active && p.Type == socketio.Connect: // we have changed our mind
		s.sendLocked(&socketio.Packet{Type: socketio.Disconnect})
	case p.Type == socketio.Connect:
		s.acceptedLocked(p.Data)
	case s.active:
		s.refusedLocked(connectError(p.Data))
	}
}

var errVersion = errors.New("client: the server speaks the protocol of Socket.IO 2, this client that of 3 and 4")

func (s *Socket) acceptedLocked(data []byte) {
	var state struct{ SID, PID string }
	if len(data) > 0 && json.Unmarshal(data, &state) != nil || state.SID == "" {
		s.refusedLocked(errVersion) // SIO-L-03
		return
	}
	s.connected, s.id = true, state.SID
	s.recovered = state.PID != "" && state.PID == s.pid
	s.pid = state.PID
	s.queue.connected(s.pid != "")
	s.flushLocked()
	s.sendNextLocked()
	s.resolveLocked(nil)
}

func connectError(data []byte) *ConnectError {
	e := new(ConnectError)
	var object struct {
		Message string
		Data    json.RawMessage
	}
	if json.Unmarshal(data, &object) == nil {
		e.Message, e.Data = object.Message, object.Data
	} else {
		_ = json.Unmarshal(data, &e.Message)
	}
	return e
}

// sendLocked encodes a packet of the protocol's own and sends it.
func (s *Socket) sendLocked(p *socketio.Packet) {
	p.Namespace = s.namespace
	frames, err := s.encode(p)
	if err != nil {
		s.client.opts.Logger.Error("client: encode", "type", p.Type, "error", err)
		return
	}
	s.client.conn.Send(frames...)
}

// encode makes the Engine.IO packets of p.
func (s *Socket) encode(p *socketio.Packet) ([]engine.Frame, error) {
	const message = '4'
	dst := make([]byte, 1, 64+len(p.Data))
	dst[0] = message
	text, binary, rest, err := s.client.opts.Parser.Encode(dst, p)
	if err != nil {
		return nil, err
	}
	if binary {
		text = text[1:] // a binary message has no type
	}
	frames := make([]engine.Frame, 0, 1+len(rest))
	frames = append(frames, engine.Frame{Data: text, Binary: binary})
	for _, b := range rest {
		frames = append(frames, engine.Frame{Data: b, Binary: true})
	}
	return frames, nil
}
