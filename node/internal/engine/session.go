package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/protocol/engineio"
)

// Reasons for the end of a session, as officially (engineio.md, section 9).
const (
	ReasonTransportClose = "transport close"
	ReasonTransportError = "transport error"
	ReasonPingTimeout    = "ping timeout"
	ReasonParseError     = "parse error"
	ReasonForcedClose    = "forced close"
	ReasonServerShutdown = "server shutting down"
)

// Receiver is told what happens to a session.
type Receiver interface {
	// Message takes one message of the peer. Calls come in order and, but for
	// [Session.BeginInline], do not overlap. inline is true if the caller is the
	// reader of a WebSocket: only then may the receiver run user code in the call,
	// between BeginInline and EndInline. Otherwise it queues. Message may block:
	// the peer is not read meanwhile; see
	// [Session.Hold]. data belongs to the receiver. A call may still come while Closed runs; it is
	// to be ignored.
	Message(data []byte, binary, inline bool)
	// Alarm tells that the time given to SetAlarm has come. It must not block.
	Alarm()
	// Closed comes once, when the session has ended. It may block.
	Closed(reason string, cause error)
}

// UpgradeReceiver is a [Receiver] that wants to know when the session has changed
// from polling to WebSocket. Upgraded runs before anything is read from there, and
// must not block.
type UpgradeReceiver interface{ Upgraded() }

// DrainReceiver is a [Receiver] that wants to know before [Server.Drain] closes the
// session. Leaving may block until ctx ends: the sessions after it wait, too.
type DrainReceiver interface{ Leaving(ctx context.Context) }

// Session is one Engine.IO session. It outlives its transports. All methods are
// safe for concurrent use.
type Session struct {
	// Static after construction.
	srv    *Server
	id     string
	remote string
	recv   Receiver // set before anything is read
	proto  uint8
	form   form // how this peer wants its frames
	secure bool
	home   uint8 // which flusher and which counters are its own

	awaiting atomic.Bool // a ping was sent, its pong has not come

	mu        sync.Mutex // guards what follows; not held during I/O or calls to recv
	state     sessionState
	pending   bool // not admitted yet (HRD-15)
	listed    bool // on the flusher's list
	writing   bool // somebody writes to ws; nobody else may
	stalled   bool // the one who writes waits for the peer to take more
	crowded   bool // more than half of the queue is in use; counted in srv.crowded
	refreshed bool // the pong deadline was restarted once (EIO-B-06)
	ws        *wsConn
	polling   *pollState // nil once the session is on WebSocket
	out       outbox
	inflight  int           // bytes taken from out that wait behind a stalled write
	below     chan struct{} // closed when out is under its half; made on demand
	ended     chan struct{} // closed at the end; made on demand
	opening   chan struct{} // while the handler opens the session; closed then
	holding   int32         // who holds the peer's input back
	moved     uint32        // while crowded: when the peer last took something, see settleNow

	// The wheel's fields, in nanoseconds of the server's clock.
	heldSince int64 // while holding is not 0
	pinged    int64 // when the last ping was queued; 0 for none
	nextPing  int64 // when to ping; for protocol 3, and while a pong is awaited: the deadline
	alarm     int64 // 0 for none
	timer     wheelEntry
}

type sessionState uint8

const (
	stateOpen    sessionState = iota
	stateClosing              // polling only: waits for the polls that take the rest (EIO-C-06)
	stateClosed
)

// ID returns the sid. It is a secret between server and client.
func (s *Session) ID() string { return s.id }

// Protocol returns the Engine.IO revision, 4 or 3.
func (s *Session) Protocol() int { return int(s.proto) }

// RemoteAddr returns the address of the TCP peer, with port.
func (s *Session) RemoteAddr() string { return s.remote }

// Secure tells whether the handshake came over TLS.
func (s *Session) Secure() bool { return s.secure }

// Transport returns the name of the current transport.
func (s *Session) Transport() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.polling != nil {
		return TransportPolling
	}
	return TransportWebSocket
}

// Queued returns the bytes that wait to be written.
func (s *Session) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.size + s.inflight
}

// Writable tells whether a volatile packet would be sent now (SIO-V-08).
func (s *Session) Writable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateOpen && s.writableLocked()
}

func (s *Session) writableLocked() bool {
	if !s.out.empty() || s.inflight > 0 {
		return false
	}
	return s.polling == nil || s.polling.get != nil
}

// Admit tells that the peer has become a client; until then the session counts
// against the bound on pending ones (HRD-15).
func (s *Session) Admit() {
	s.mu.Lock()
	was := s.pending
	s.pending = false
	s.mu.Unlock()
	if was {
		s.srv.pending.Add(-1)
	}
}

// Send queues p. It does not block. It returns false when p was dropped: a
// volatile packet that cannot leave now (HRD-54), a session that has ended, or
// one that ends now because its queue is full (HRD-50).
func (s *Session) Send(p *Packet, volatile bool) bool {
	s.mu.Lock()
	if s.state != stateOpen || volatile && !s.writableLocked() {
		s.mu.Unlock()
		s.srv.stats.at(s).dropped.Add(1)
		return false
	}
	if !s.roomLocked() {
		return s.overflow(p)
	}
	s.takeAndUnlock(p)
	return true
}

// takeAndUnlock queues p, for which there is room, and releases mu.
func (s *Session) takeAndUnlock(p *Packet) {
	s.addLocked(p)
	s.crowdLocked()
	list := s.wakeLocked()
	s.unlock(list)
	s.srv.stats.at(s).messagesOut.Add(1)
}

// SendText queues one text message for this session only. It copies text and
// does not block. The result is that of Send.
//
// While the session's reader runs user code inline, the reader itself writes what
// was queued before it waits for more input, at the latest at the hand-off: so
// answers to a batch of messages leave in one write and cost no wake-up.
func (s *Session) SendText(text []byte) bool {
	s.mu.Lock()
	if s.state != stateOpen {
		s.mu.Unlock()
		s.srv.stats.at(s).dropped.Add(1)
		return false
	}
	if s.polling != nil || len(text) > shareFrom || !s.roomLocked() {
		s.mu.Unlock()
		return s.Send(NewPacket(append([]byte(nil), text...), false, nil, true), false)
	}
	b := s.out.buffer()
	before := len(b.own)
	b.own = appendTextFrame(b.own, engineio.Message, text, s.form&formDeflate != 0)
	n := len(b.own) - before
	b.size += n
	s.out.size += n
	s.crowdLocked()
	list := !s.ws.inInline() && s.wakeLocked()
	s.unlock(list)
	s.srv.stats.at(s).messagesOut.Add(1)
	return true
}

// addLocked queues p in the form that the current transport takes.
func (s *Session) addLocked(p *Packet) {
	if s.polling != nil {
		s.out.addPacket(p)
		return
	}
	s.out.addFrames(p.frames(s.form))
}

// wakeLocked tells the pending poll, or returns true when the session has to be
// put on a flusher's list.
func (s *Session) wakeLocked() bool {
	if s.polling != nil {
		s.polling.wake()
		return false
	}
	if s.listed {
		return false
	}
	s.listed = true
	return true
}

// unlock releases mu, and puts the session on its flusher's list if wakeLocked
// has said so.
func (s *Session) unlock(list bool) {
	s.mu.Unlock()
	if list {
		s.srv.flushers.push(s)
	}
}

// roomLocked tells whether one more packet is taken (HRD-50). What a flusher is
// writing at this moment is not held against the peer, within reason.
func (s *Session) roomLocked() bool {
	limit := s.srv.limits.Load().MaxQueue
	if s.writing && !s.stalled {
		limit *= 2
	}
	return s.out.size+s.inflight < limit
}

// overflow is Send for a full queue: only what the kernel does not take counts.
// It is called with mu held and releases it.
func (s *Session) overflow(p *Packet) bool {
	if s.polling == nil && !s.writing {
		s.mu.Unlock()
		s.flush()
		s.mu.Lock()
		if s.state == stateOpen && s.roomLocked() {
			s.takeAndUnlock(p)
			return true
		}
	}
	s.mu.Unlock()
	s.srv.stats.at(s).dropped.Add(1)
	s.closeSlow()
	return false
}

// errSlowConsumer is the cause of the end of a session whose peer does not keep
// up.
var errSlowConsumer = errors.New("slow consumer")

func (s *Session) closeSlow() {
	if s.Close(Close{Reason: ReasonForcedClose, Code: closePolicy, Cause: errSlowConsumer, Discard: true}) {
		s.srv.slow.Add(1)
	}
}

// control queues a packet of the engine's own, whatever the size of the queue.
func (s *Session) control(p *Packet) {
	s.mu.Lock()
	list := false
	if s.state == stateOpen {
		s.addLocked(p)
		list = s.wakeLocked()
	}
	s.unlock(list)
}

// Close codes of WebSocket (HRD-37).
const (
	closeGoingAway = 1001
	closeProtocol  = 1002
	closeBadText   = 1007
	closePolicy    = 1008
	closeTooBig    = 1009
	closeInternal  = 1011
)

// Close says how to end a session.
type Close struct {
	Reason string // reported to the receiver; ReasonForcedClose if empty
	Code   int    // WebSocket status; 0 is none
	Cause  error
	// Discard drops what is queued. Otherwise it leaves before the end: on
	// polling the session lives on until the client has fetched it, for Linger at
	// most, which is 30 s if zero.
	Discard bool
	Linger  time.Duration
}

// Close ends the session; false if it had ended before. It does not block.
func (s *Session) Close(c Close) bool {
	orDefault(&c.Reason, ReasonForcedClose)
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return false
	}
	if s.polling != nil && !c.Discard && s.lingerLocked(c) {
		s.mu.Unlock()
		return true
	}
	list := false
	if s.ws != nil && s.polling == nil {
		list = s.closeFrameLocked(c)
	}
	end := s.endLocked(c.Reason, c.Cause)
	s.unlock(list)
	go end() // counted in closers since endLocked; Shutdown waits for it
	return true
}

// closeFrameLocked queues the WebSocket's last frame and starts the time that
// the peer has to answer it.
func (s *Session) closeFrameLocked(c Close) (list bool) {
	if c.Discard {
		s.out.discard()
	}
	text := ""
	if c.Cause != nil && c.Code != 0 {
		text = c.Cause.Error()
		text = text[:min(len(text), 100)]
	}
	s.ws.addCloseLocked(c.Code, text)
	s.ws.expectEnd(c.Discard)
	return s.wakeLocked()
}

// endLocked makes the session ended and returns what is left to do without the
// lock: release whoever waits, and tell the receiver.
func (s *Session) endLocked(reason string, cause error) (end func()) {
	s.state = stateClosed
	s.srv.wheel.remove(s)
	s.uncrowdLocked()
	if s.below != nil {
		close(s.below)
		s.below = nil
	}
	if s.ended != nil {
		close(s.ended)
	}
	pending := s.pending
	s.pending = false
	polling := s.polling
	if polling != nil {
		polling.endLocked()
		s.out.discard()
	}
	opening := s.opening
	s.srv.closers.Add(1)
	return func() {
		defer s.srv.closers.Done()
		if opening != nil {
			<-opening
		}
		if pending {
			s.srv.pending.Add(-1)
		}
		s.srv.forget(s, polling != nil)
		if s.recv != nil {
			s.tellClosed(reason, cause)
		}
	}
}

func (s *Session) tellClosed(reason string, cause error) {
	defer s.srv.guard(s, "closed")
	s.recv.Closed(reason, cause)
}

// fail ends the session because of its transport.
func (s *Session) fail(reason string, cause error) {
	s.Close(Close{Reason: reason, Cause: cause, Discard: true})
}

// done returns a channel that is closed when the session has ended.
func (s *Session) done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = make(chan struct{})
		if s.state == stateClosed {
			close(s.ended)
		}
	}
	return s.ended
}

// waitOutput blocks while more than half of the queue is in use: who does not
// listen is not read (HRD-48).
func (s *Session) waitOutput() {
	for {
		s.mu.Lock()
		if s.state != stateOpen || s.overHalfLocked() <= 0 {
			s.mu.Unlock()
			return
		}
		if s.below == nil {
			s.below = make(chan struct{})
		}
		c := s.below
		// On polling the clock goes on: no write finds a peer dead that does not
		// come to fetch (HRD-24).
		hold := s.polling == nil
		s.mu.Unlock()
		if hold {
			s.Hold()
		}
		<-c
		if hold {
			s.Unhold()
		}
	}
}

// AwaitRoom blocks while more than half of the queue is in use: for who has more to
// send than the queue takes. It returns false when the session has ended.
func (s *Session) AwaitRoom() bool {
	for {
		s.mu.Lock()
		open := s.state == stateOpen
		if !open || s.overHalfLocked() <= 0 {
			s.mu.Unlock()
			return open
		}
		if s.below == nil {
			s.below = make(chan struct{})
		}
		c := s.below
		s.mu.Unlock()
		<-c
	}
}

// Hold tells that the peer's input is not read for now because somebody waits
// for room: its pong deadline stands still until Unhold (HRD-48). What was queued
// meanwhile for the reader to write leaves.
func (s *Session) Hold() {
	s.mu.Lock()
	s.holding++
	if s.holding == 1 {
		s.heldSince = s.srv.wheel.now()
	}
	s.mu.Unlock()
	s.flush()
}

// Unhold ends one Hold.
func (s *Session) Unhold() {
	s.mu.Lock()
	s.holding--
	if s.holding == 0 && (s.awaiting.Load() || s.proto == 3) {
		s.nextPing += s.srv.wheel.now() - s.heldSince
	}
	s.mu.Unlock()
}

// drainedLocked wakes whoever waits for the queue to shrink.
func (s *Session) drainedLocked() {
	s.movedLocked()
	if s.below != nil && s.overHalfLocked() <= 0 {
		close(s.below)
		s.below = nil
	}
}

// SetAlarm has the receiver's Alarm called after d, or not at all if d is zero.
// There is one alarm, and its resolution is a tick of the wheel, at most 250 ms.
func (s *Session) SetAlarm(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.alarm = 0
	if d > 0 && s.state != stateClosed {
		s.alarm = s.srv.wheel.now() + int64(d)
		s.srv.wheel.schedule(s, s.dueLocked())
	}
}

// received handles one packet of the peer; false ends its processing. inline is
// true on the WebSocket's reader.
func (s *Session) received(p engineio.Packet, inline bool) bool {
	st := s.srv.stats.at(s)
	if s.awaiting.Load() && p.Type != engineio.Pong {
		s.refreshDeadline()
	}
	switch p.Type {
	case engineio.Message:
		st.messagesIn.Add(1)
		st.bytesIn.Add(uint64(len(p.Data)))
		s.recv.Message(p.Data, p.Binary, inline)
	case engineio.Pong:
		if s.proto == 3 {
			s.fail(ReasonTransportError, errHeartbeatDirection) // EIO-3-09
			return false
		}
		s.pong()
	case engineio.Ping:
		if s.proto != 3 {
			s.fail(ReasonTransportError, errHeartbeatDirection) // EIO-B-07
			return false
		}
		s.clientPing()
	case engineio.Close:
		s.closedByPeer()
		return false
	default: // open, upgrade and noop are ignored (EIO-M-05, -06)
	}
	return true
}

var errHeartbeatDirection = errors.New("invalid heartbeat direction")

// closedByPeer handles a close packet (EIO-P-16, EIO-W-11).
func (s *Session) closedByPeer() {
	s.mu.Lock()
	if s.polling != nil {
		s.polling.goodbye = noopPacket // the pending poll is released by a noop
	}
	s.mu.Unlock()
	s.Close(Close{Reason: ReasonTransportClose, Discard: true})
}
