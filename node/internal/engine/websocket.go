package engine

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/fanwire/fanwire/protocol/engineio"
)

// hijacker gives gorilla our connection in place of the server's.
type hijacker struct {
	http.ResponseWriter
	conn *wsConn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = newWSConn(nc)
	return h.conn, rw, nil
}

// accept answers an upgrade request. On failure the refusal has been sent.
func (s *Server) accept(w http.ResponseWriter, r *http.Request, handshake bool) (*wsConn, error) {
	u := websocket.Upgrader{
		HandshakeTimeout: writeTimeout,
		// The smallest that gorilla takes: our connection buffers below it.
		ReadBufferSize:    1,
		WriteBufferPool:   &gorillaBuffers,
		CheckOrigin:       func(*http.Request) bool { return true }, // decided before
		EnableCompression: s.cfg.PerMessageDeflate,
		Error: func(w http.ResponseWriter, r *http.Request, _ int, reason error) {
			s.refuse(w, r, &refusal{codeBadRequest, "TRANSPORT_HANDSHAKE_ERROR", upgradeRefusal(r)})
		},
	}
	h := &hijacker{ResponseWriter: w}
	gws, err := u.Upgrade(h, r, s.upgradeHeaders(w.Header(), r, handshake))
	if err != nil {
		return nil, err
	}
	c := h.conn
	c.gws = gws
	gws.SetReadLimit(int64(s.cfg.MaxPayload)) // HRD-30
	return c, nil
}

// gorillaBuffers serves gorilla's writer, which is used for nothing but would
// otherwise hold a buffer per connection.
var gorillaBuffers sync.Pool

// upgradeRefusal says what is wrong with an upgrade request in the official
// words (EIO-E-11).
func upgradeRefusal(r *http.Request) string {
	switch {
	case r.Header.Get("Sec-Websocket-Version") != "13":
		return "Missing or invalid Sec-WebSocket-Version header"
	case r.Header.Get("Sec-Websocket-Key") == "" || len(r.Header.Get("Sec-Websocket-Key")) != 24:
		return "Missing or invalid Sec-WebSocket-Key header"
	default:
		return "Invalid Upgrade header"
	}
}

// upgradeHeaders returns the headers of the 101: what was set before (CORS), the
// first sub-protocol (EIO-W-05), and what the hook adds.
func (s *Server) upgradeHeaders(h http.Header, r *http.Request, handshake bool) http.Header {
	if p := websocket.Subprotocols(r); len(p) > 0 && isToken(p[0]) {
		h.Set("Sec-Websocket-Protocol", p[0])
	}
	if s.cfg.Headers != nil {
		s.cfg.Headers(h, r, handshake)
	}
	return h
}

// isToken tells whether a sub-protocol may stand in a header of ours.
func isToken(p string) bool {
	if p == "" || len(p) > 64 {
		return false
	}
	for i := range len(p) {
		if c := p[i]; c <= ' ' || c > '~' || bytes.IndexByte([]byte(`()<>@,;:\"/[]?={}`), c) >= 0 {
			return false
		}
	}
	return true
}

// attach makes c the connection of session s. From here on everything gorilla
// writes goes through the session's output.
func (c *wsConn) attach(s *Session) {
	c.s = s
	c.gws.SetPingHandler(c.peerPinged)
	c.gws.SetPongHandler(func(string) error { return nil })
	c.gws.SetCloseHandler(c.peerClosed)
}

// serveReader reads until the connection ends, in a goroutine of its own: the
// one that accepted the connection belongs to the HTTP server and has a larger
// stack.
func (c *wsConn) serveReader() { c.startReader(0, true) }

// startReader starts the reader of that number. Shutdown waits for it.
func (c *wsConn) startReader(number uint32, settle bool) {
	c.s.srv.conns.Add(1)
	go c.readLoop(number, settle)
}

// readLoop is the reader of a WebSocket. It owns the connection's end: whoever
// wants it to end wakes the reader. It returns early if it loses the role.
//
// Stacks do not shrink below four kilobytes, though waiting needs less than two.
// So a reader that has handled something after a long wait, or is to settle
// down, leaves the next wait to a fresh goroutine: what is mostly idle then has
// the smallest stack. Busy connections never pay for that.
func (c *wsConn) readLoop(number uint32, settle bool) {
	defer c.s.srv.conns.Done()
	defer func() {
		if v := recover(); v != nil {
			c.s.srv.panicked(c.s, "reader", v)
			c.abandon(number)
		}
	}()
	for {
		since := c.s.srv.wheel.ticks.Load()
		err := c.await()
		settle = settle || c.s.srv.wheel.ticks.Load()-since > settleTicks
		if err == nil {
			err = c.next()
		}
		if err != nil {
			c.lost(err)
			return
		}
		if !c.isReader(number) {
			c.detached.Add(-1)
			return
		}
		if settle && c.rb == nil && c.raw != nil {
			c.beforeWait()
			c.startReader(number, false)
			return
		}
	}
}

// abandon is for a reader that has panicked: if it still has the role, it ends
// the connection.
func (c *wsConn) abandon(number uint32) {
	phase := c.phase.Load()
	if uint32(phase>>32) == number && c.phase.CompareAndSwap(phase, phase&^1) {
		c.finish(true)
	}
}

// settleTicks of the wheel are a long wait.
const settleTicks = 3

// next reads one message and passes it on.
func (c *wsConn) next() error {
	op, data, err := c.readMessage()
	if err == nil {
		c.handle(op, data)
	}
	return err
}

// messageBuffers are for reading messages of unknown length.
var messageBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

var (
	errBadUTF8 = errors.New("invalid UTF-8 in a text message")
	errTooBig  = errors.New("message too big")
)

// readMessage returns the next message in memory of its own.
func (c *wsConn) readMessage() (op int, data []byte, err error) {
	op, r, err := c.gws.NextReader()
	if err != nil {
		return 0, nil, err
	}
	limit := c.s.srv.cfg.MaxPayload
	b := messageBuffers.Get().(*bytes.Buffer)
	b.Reset()
	// The limit counts here again: gorilla's is on compressed bytes (HRD-32).
	n, err := b.ReadFrom(io.LimitReader(r, int64(limit)+1))
	if err == nil && n > int64(limit) {
		err = errTooBig
	}
	if err == nil {
		data = bytes.Clone(b.Bytes())
	}
	if b.Cap() <= 64<<10 {
		messageBuffers.Put(b)
	}
	c.counted = 0
	if err == nil && op == websocket.TextMessage && !utf8.Valid(data) {
		err = errBadUTF8 // gorilla does not look (HRD-33)
	}
	return op, data, err
}

// handle passes one message on. Once the session has ended, the reader goes on
// for the peer's close frame only.
func (c *wsConn) handle(op int, data []byte) {
	s := c.s
	if !s.active(c) || !c.withinLimits(len(data)) {
		return
	}
	p, err := s.decodeFrame(op == websocket.BinaryMessage, data)
	if err != nil {
		s.fail(ReasonParseError, err)
		return
	}
	s.waitOutput()
	s.received(p, true)
}

// active tells whether the session is open and c is its connection.
func (s *Session) active(c *wsConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateOpen && s.ws == c
}

func (s *Session) decodeFrame(binary bool, data []byte) (engineio.Packet, error) {
	switch {
	case binary && s.proto == 3:
		return engineio.DecodeBinary3(data)
	case binary:
		return engineio.Packet{Type: engineio.Message, Binary: true, Data: data}, nil
	case s.proto == 3:
		return engineio.DecodeText3(data)
	default:
		return engineio.DecodeText(data)
	}
}

// lost handles the end of reading: the peer went, broke the protocol, or did not
// answer a close frame in time.
func (c *wsConn) lost(err error) {
	reason, code := readFailure(err)
	s := c.s
	s.mu.Lock()
	current := s.ws == c && s.polling == nil
	if code == 0 {
		c.peerGone = true
	} else {
		if code == closeTooBig {
			err = errTooBig // whoever found it (HRD-30)
		}
		c.addCloseLocked(code, err.Error())
	}
	s.mu.Unlock()
	if current {
		s.end(reason, err)
	}
	c.finish(code != 0 || saidGoodbye(err))
}

// saidGoodbye tells whether the peer has sent a close frame; it waits for ours.
func saidGoodbye(err error) bool {
	var ce *websocket.CloseError
	return errors.As(err, &ce) && ce.Code != websocket.CloseAbnormalClosure
}

// end ends the session without a close frame of its own; the transport has seen
// to that.
func (s *Session) end(reason string, cause error) {
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return
	}
	end := s.endLocked(reason, cause)
	s.mu.Unlock()
	end()
}

// readFailure maps an error of reading to the reason of the session's end and to
// the code that the peer gets for it; 0 if there is nobody to get it, or if
// gorilla has sent it.
func readFailure(err error) (reason string, code int) {
	var ce *websocket.CloseError
	switch {
	case errors.As(err, &ce):
		return ReasonTransportClose, 0
	case errors.Is(err, errBadUTF8):
		return ReasonTransportError, closeBadText
	case errors.Is(err, errTooBig), errors.Is(err, websocket.ErrReadLimit):
		return ReasonTransportError, closeTooBig
	case errors.Is(err, errFragments), errors.Is(err, errPings):
		return ReasonTransportError, closePolicy
	case errors.Is(err, errBadClose):
		return ReasonTransportError, closeProtocol
	case isProtocolError(err):
		return ReasonTransportError, closeProtocol
	default:
		return ReasonTransportClose, 0
	}
}

// isProtocolError tells gorilla's findings, which it has answered already, from
// errors of the connection.
func isProtocolError(err error) bool {
	return bytes.HasPrefix([]byte(err.Error()), []byte("websocket: ")) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// finish ends the connection: what is queued is written as far as the kernel
// takes it, and a peer that was told to go has a moment to read that. If wait is
// set the peer is there: somebody who writes at this moment has a moment too.
func (c *wsConn) finish(wait bool) {
	s := c.s
	s.flush()
	if wait {
		c.waitIdle()
	}
	s.mu.Lock()
	linger, stalled := c.closeSent && !c.peerGone, s.stalled
	s.mu.Unlock()
	if linger {
		c.linger(!stalled)
	}
	_ = c.Conn.Close()
	s.mu.Lock()
	if s.ws == c && s.polling == nil {
		s.out.discard()
	}
	s.mu.Unlock()
}

// waitIdle waits until everything is written, for closeTimeout at most.
func (c *wsConn) waitIdle() {
	s := c.s
	s.mu.Lock()
	if !s.writing && s.out.empty() {
		s.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	c.idle = idle
	s.mu.Unlock()
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
}

// idleLocked wakes waitIdle.
func (c *wsConn) idleLocked() {
	if c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// linger waits for the peer to end the connection, so that our last frame is not
// lost to a reset. It reads and drops a bounded amount.
func (c *wsConn) linger(written bool) {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok && written {
		_ = cw.CloseWrite()
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(closeTimeout))
	_, _ = io.CopyN(io.Discard, c.Conn, int64(c.s.srv.cfg.MaxPayload))
}

// peerPinged answers WebSocket pings within a budget, the newest only (HRD-34).
func (c *wsConn) peerPinged(data string) error {
	if c.pings == nil {
		c.pings = newBucket(10, 50)
	}
	if !c.pings.take(1) {
		return errPings
	}
	s := c.s
	s.mu.Lock()
	list := false
	if !c.closeSent {
		c.pongWaits = true
		c.pongFrame = append(append(c.pongFrame[:0:0], opPong, byte(len(data))), data...)
		list = !s.listed
		s.listed = true
	}
	s.unlock(list)
	return nil
}

var errPings = errors.New("too many pings")

var errBadClose = errors.New("close frame of one byte")

// peerClosed echoes the peer's close frame (EIO-W-10).
func (c *wsConn) peerClosed(code int, _ string) error {
	if code == websocket.CloseNoStatusReceived {
		if c.frames.odd {
			return errBadClose // RFC 6455, section 5.5.1
		}
		code = 0
	}
	s := c.s
	s.mu.Lock()
	c.peerGone = true
	c.addCloseLocked(code, "")
	s.mu.Unlock()
	return nil
}
