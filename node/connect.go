package node

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/fanwire/fanwire/node/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// enter leads a socket into its namespace, or refuses it. Events of the client
// wait meanwhile: s.running is set.
func (s *Socket) enter() {
	var entered bool
	if tr := s.client.srv.cfg.Tracer; tr == nil {
		entered = s.enterIn(s.Context())
	} else {
		entered = s.enterTraced(tr)
	}
	if entered {
		s.drain()
	}
}

// enterIn is enter up to the point where its events are let in. User code gets ctx.
func (s *Socket) enterIn(ctx context.Context) (entered bool) {
	if !s.find(ctx) {
		return false
	}
	s.ns.started(ctx)
	var lost error // why it does not continue another one
	if s.rec != nil && s.rec.claim.pid != "" {
		if entered, lost = s.restore(ctx); !entered && lost == nil {
			return false
		}
	}
	if !entered && !s.admit(ctx) {
		return false
	}
	if s.rec != nil {
		s.ns.records.opened(s)
	}
	s.greet(ctx, lost)
	return true
}

// greet calls the functions for a socket that was accepted.
func (s *Socket) greet(ctx context.Context, lost error) {
	h := s.ns.handlers()
	s.ownRoomEntered(h)
	if lost != nil {
		s.client.srv.counters.notRecovered(causeName(lost))
		s.client.srv.log.Debug("a session could not be continued", "namespace", s.name, "socket", shortID(s.id), "cause", lost)
		for _, f := range h.expired {
			s.callHook("connect", func() { f(ctx, s, lost) })
		}
	}
	for _, f := range h.connect {
		var err error
		if !s.callHook("connect", func() { err = f(ctx, s) }) {
			break
		}
		if err != nil {
			s.failed(ctx, "connect", "", err)
		}
	}
}

// find finds the namespace, or refuses the socket.
func (s *Socket) find(ctx context.Context) bool {
	if s.ns != nil {
		return true
	}
	ns := s.client.srv.resolve(s.name, func(p *Pattern) (values map[string]string, ok bool) {
		s.callHook("connect", func() { values, ok = p.accepts(ctx, s.name, s.auth) })
		return values, ok
	})
	if ns == nil {
		s.refuse(errInvalidNamespace)
		return false
	}
	s.client.mu.Lock()
	s.ns = ns
	s.client.mu.Unlock()
	return true
}

// admit runs the middlewares and accepts the socket, or refuses it.
func (s *Socket) admit(ctx context.Context) bool {
	if !s.pass(ctx) {
		return false
	}
	if !s.accept() {
		s.abandon()
		return false
	}
	return true
}

// pass runs the middlewares, or refuses the socket.
func (s *Socket) pass(ctx context.Context) bool { return s.passed(s.decide(ctx)) }

// decide runs the middlewares. They have not returned if one has panicked.
func (s *Socket) decide(ctx context.Context) (returned bool, err error) {
	admit := s.ns.handlers().admit
	if admit == nil {
		return true, nil
	}
	returned = s.callHook("connect", func() { err = admit(ctx, s) })
	return returned, err
}

// passed refuses the socket if the middlewares have said so.
func (s *Socket) passed(returned bool, err error) bool {
	switch {
	case err != nil:
		s.refuse(err)
		return false
	case !returned:
		s.abandon()
		return false
	}
	return true
}

// accept makes the socket a member of its namespace and tells the client; false
// if the session has ended. Whoever sends to the socket meanwhile waits: the
// CONNECT comes first.
func (s *Socket) accept() bool {
	c := s.client
	if s.rec != nil {
		s.ns.order.Lock()
		defer s.ns.order.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.end != nil || c.closed {
		return false
	}
	s.state.Store(stateAccepting)
	s.ns.index.add(s)
	if s.rec != nil {
		s.rec.floor = s.ns.journal.Here()
	}
	s.connectedLocked()
	return true
}

// connectedLocked tells the client that it is in the namespace.
func (s *Socket) connectedLocked() {
	c := s.client
	s.sendConnectLocked()
	s.state.Store(stateConnected)
	if s.rec != nil {
		s.rec.accepted = time.Since(c.srv.epoch)
	}
	c.srv.counters.connected.Add(1)
	c.srv.sockets.Add(1)
	if !c.joined {
		c.joined = true
		c.sess.Admit()
		c.armLocked()
	}
}

// refuse ends a socket that was not accepted and tells the client.
func (s *Socket) refuse(err error) {
	if s.rec != nil {
		s.client.mu.Lock()
		s.rec.taken = nil // a session that was refused does not come back
		s.client.mu.Unlock()
	}
	s.abandon()
	s.client.refuse(s.name, err)
}

// abandon undoes what a socket has that was not accepted.
func (s *Socket) abandon() {
	c := s.client
	c.mu.Lock()
	c.removeLocked(s)
	s.endLocked(Disconnect{Reason: ReasonServerDisconnect}, true)
	s.finished = true
	s.cancelLocked()
	c.mu.Unlock()
	if s.ns != nil {
		if s.rec != nil {
			s.giveUp()
		}
		s.leaveAll()
		s.ns.release()
	}
}

// finish calls the disconnect handlers of a socket that was accepted.
func (s *Socket) finish() {
	h := s.ns.handlers()
	ctx := s.client.srv.ctx
	for _, f := range h.disconnecting {
		s.callHook("disconnect", func() { f(ctx, s, *s.end) })
	}
	if s.rec != nil {
		s.ns.records.ended(s) // SIO-Z-04
	}
	s.ownRoomLeft(h)
	s.leaveAll()
	s.ns.index.remove(s)
	for _, f := range h.disconnect {
		s.callHook("disconnect", func() { f(ctx, s, *s.end) })
	}
	if s.rec != nil {
		s.goneForGood()
	}
	s.client.srv.counters.disconnected.Add(1)
	s.client.srv.sockets.Add(-1)
	s.ns.release()
}

// sendConnectLocked tells the client that it is in (SIO-E-06, EIO-3-14).
func (s *Socket) sendConnectLocked() {
	b := getScratch()
	defer b.put()
	if s.client.sess.Protocol() != 3 {
		b.buf = append(b.buf, `{"sid":"`...)
		b.buf = append(b.buf, s.id...)
		if s.rec != nil {
			b.buf = append(b.buf, `","pid":"`...)
			b.buf = append(b.buf, s.rec.pid...)
		}
		b.buf = append(b.buf, `"}`...)
	}
	s.client.sendControl(b, socketio.Connect, s.name)
}

func (s *Socket) sendDisconnectLocked() {
	b := getScratch()
	defer b.put()
	s.client.sendControl(b, socketio.Disconnect, s.name)
}

// sendConnectError refuses a CONNECT (SIO-C-05, SIO-L-02).
func (c *client) sendConnectError(name string, err error) {
	b := getScratch()
	defer b.put()
	var ce *ConnectError
	if !errors.As(err, &ce) {
		ce = &ConnectError{Message: err.Error()}
	}
	body := struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	}{ce.Message, ce.Data}
	var v any = body
	if c.sess.Protocol() == 3 && ce != errInvalidNamespace {
		if v = ce.Data; v == nil {
			v = ce.Message
		}
	}
	w := jsonWriter{&b.buf}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		b.buf = b.buf[:0]
		body.Data = nil
		_ = enc.Encode(body)
	}
	b.buf = b.buf[:len(b.buf)-1] // the line feed
	c.sendControl(b, socketio.ConnectError, name)
}

type jsonWriter struct{ buf *[]byte }

func (w jsonWriter) Write(p []byte) (int, error) {
	*w.buf = append(*w.buf, p...)
	return len(p), nil
}

// sendControl sends a packet without attachments whose JSON is in b.
func (c *client) sendControl(b *scratch, t socketio.Type, name string) {
	p := socketio.Packet{Type: t, Namespace: name}
	if len(b.buf) > 0 {
		p.Data = b.buf
	}
	msg, binary, rest, err := c.srv.cfg.Parser.Encode(nil, &p)
	if err != nil {
		c.srv.log.Error("encoding a packet", "type", t, "error", err)
		return
	}
	if binary || len(rest) > 0 {
		c.sess.Send(engine.NewPacket(msg, binary, rest, true), false)
		return
	}
	c.sess.SendText(msg)
}
