package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"
)

// Handler takes new sessions.
type Handler interface {
	// Open is called once for each new session, before anything is read from it
	// (HRD-39), and returns who is told of what happens. r is valid during the
	// call only. The session may be sent to at once.
	Open(s *Session, r *http.Request) Receiver
}

// Server is an Engine.IO server. It serves every request that it is given; who
// mounts it decides on the path. It is safe for concurrent use.
type Server struct {
	cfg      Config
	handler  Handler
	rate     *rate.Limiter // of handshakes
	limits   atomic.Pointer[Limits]
	maxTotal int64 // HRD-52; 0 for no bound
	flushers flushers
	watch    *inlineWatch
	wheel    *wheel
	stats    *counters
	stop     chan struct{}

	workers sync.WaitGroup // flushers, wheel, watch, guard of the queues
	conns   Group          // requests and goroutines of connections: they end with their sessions
	closers Group          // deliveries of Closed

	end   sync.Once
	ended chan struct{} // closed when Shutdown is through

	pending   atomic.Int64
	crowded   atomic.Int64 // sessions with more than half of their queue in use
	polling   atomic.Int64
	websocket atomic.Int64

	handshakes, refused, upgrades, slow, panics atomic.Uint64

	mu       sync.Mutex
	sessions map[string]*Session
	draining bool          // no session is taken any more
	gone     chan struct{} // made by Drain, closed when there is no session
}

// NewServer checks the configuration, reports every problem of it at once, and
// starts what all sessions share. Shutdown ends it.
func NewServer(cfg Config, h Handler) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, handler: h, stats: newCounters(), stop: make(chan struct{}), ended: make(chan struct{}), sessions: map[string]*Session{}}
	limits := cfg.limits()
	s.limits.Store(limits)
	s.rate = rate.NewLimiter(limits.handshakes())
	s.maxTotal = totalBound(cfg.MaxQueueTotal)
	s.flushers = newFlushers(&s.workers)
	s.watch = newInlineWatch(&s.workers)
	s.wheel = newWheel(cfg.PingInterval, cfg.PingTimeout, &s.workers)
	if s.maxTotal > 0 {
		s.workers.Go(s.guardQueues) // ends with stop; Shutdown waits
	}
	return s, nil
}

// totalBound is the bound on all queues: a quarter of the memory limit unless
// configured.
func totalBound(configured int64) int64 {
	switch limit := debug.SetMemoryLimit(-1); {
	case configured > 0:
		return configured
	case configured < 0 || limit == math.MaxInt64:
		return 0
	default:
		return limit / 4
	}
}

// ServeHTTP serves one request. A GET may be held for as long as PingInterval; a
// WebSocket is served by goroutines of its own after the return.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.conns.Add(1)
	defer s.conns.Done()
	if agent := r.UserAgent(); isOldExplorer(agent) {
		w.Header().Set("X-XSS-Protection", "0") // EIO-X-02
	}
	forbidden := s.cfg.CORS.check(w.Header(), r)
	if r.Method == http.MethodOptions && s.cfg.CORS.enabled() && forbidden == nil {
		s.cfg.CORS.preflight(w, r)
		return
	}
	q, err := parseQuery(r.URL.RawQuery)
	switch {
	case err != nil || q.jsonp: // JSONP is not offered (HRD-17)
		s.refuse(w, r, &refusal{code: codeBadRequest})
	case !slices.Contains(s.cfg.Transports, q.transport):
		s.refuse(w, r, &refusal{code: codeUnknownTransport})
	case forbidden != nil:
		s.refuse(w, r, forbidden)
	case q.sid != "":
		s.serveSession(w, r, &q)
	default:
		s.serveHandshake(w, r, &q)
	}
}

// IsUpgrade tells whether a request asks for a WebSocket.
func IsUpgrade(r *http.Request) bool { return websocket.IsWebSocketUpgrade(r) }

// serveSession serves a request that carries a sid.
func (s *Server) serveSession(w http.ResponseWriter, r *http.Request, q *query) {
	upgrade := IsUpgrade(r)
	sess := s.session(q.sid)
	switch {
	case sess == nil:
		if s.cfg.Unknown == nil || !s.cfg.Unknown(w, r, q.sid) {
			s.refuse(w, r, &refusal{code: codeUnknownSession})
		}
	case upgrade != (q.transport == TransportWebSocket): // EIO-E-10, -12
		s.refuse(w, r, &refusal{code: codeBadRequest, cause: "TRANSPORT_MISMATCH"})
	case q.protocol() != sess.proto:
		s.refuse(w, r, &refusal{code: codeBadRequest, cause: "PROTOCOL_MISMATCH"})
	case upgrade:
		sess.serveUpgrade(w, r)
	case r.Method == http.MethodGet:
		sess.servePoll(w, r)
	case r.Method == http.MethodPost:
		sess.servePost(w, r)
	case r.Method == http.MethodDelete && isRelayed(r):
		sess.releaseRelayed()
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusInternalServerError) // EIO-E-08
	}
}

// serveHandshake opens a session.
func (s *Server) serveHandshake(w http.ResponseWriter, r *http.Request, q *query) {
	upgrade := IsUpgrade(r)
	switch {
	case r.Method != http.MethodGet:
		s.refuse(w, r, &refusal{code: codeBadMethod})
		return
	case upgrade != (q.transport == TransportWebSocket):
		s.refuse(w, r, &refusal{code: codeBadRequest, cause: "TRANSPORT_HANDSHAKE_ERROR"})
		return
	}
	if !s.admit() {
		s.Overloaded(w, r)
		return
	}
	taken := false // the count, by a session
	defer func() {
		if !taken {
			s.pending.Add(-1)
		}
	}()
	if s.cfg.AllowRequest != nil {
		if err := s.cfg.AllowRequest(r); err != nil {
			s.refuse(w, r, &refusal{code: codeForbidden, cause: "FORBIDDEN", text: err.Error()})
			return
		}
	}
	if q.protocol() == 3 && !s.cfg.AllowEIO3 {
		s.refuse(w, r, &refusal{code: codeUnsupportedVersion})
		return
	}
	var c *wsConn
	if upgrade {
		var err error
		if c, err = s.accept(w, r, true); err != nil {
			return
		}
	}
	sess := s.newSession(r, q)
	taken = true // before the client can hear of it
	if upgrade {
		s.openWebSocket(sess, c, r)
		return
	}
	s.openPolling(sess, w, r)
}

// admit decides whether one more handshake is served at all, before anything is
// spent on it (HRD-14). It counts as pending from here, as its session does later.
func (s *Server) admit() bool {
	most := s.limits.Load().MaxSessions
	s.mu.Lock()
	full := s.draining || most > 0 && len(s.sessions) >= most
	s.mu.Unlock()
	if full || !s.rate.Allow() {
		return false
	}
	if s.pending.Add(1) > int64(s.cfg.MaxPending) {
		s.pending.Add(-1)
		return false
	}
	return true
}

// session finds an open session.
func (s *Server) session(sid string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[sid]
}

// newSession makes a session that is not known to anybody yet.
func (s *Server) newSession(r *http.Request, q *query) *Session {
	sess := &Session{srv: s, id: s.cfg.NewID(), remote: r.RemoteAddr, proto: q.protocol(), secure: r.TLS != nil}
	if q.base64 {
		sess.form |= formBase64
	}
	if sess.proto == 3 {
		sess.form |= formV3
	}
	sess.home = s.stats.next()
	sess.pending = true // the handshake's count goes over to the session
	return sess
}

// open has the handler take the session and makes it known. If it returns false
// the session has ended.
func (s *Server) open(sess *Session, r *http.Request) (ok bool) {
	opening := make(chan struct{})
	sess.opening = opening
	defer func() {
		if !ok {
			sess.Close(Close{Reason: ReasonServerShutdown, Discard: true})
		}
		sess.mu.Lock()
		sess.opening = nil
		sess.mu.Unlock()
		close(opening)
	}()
	defer s.guard(sess, "open")
	sess.recv = s.handler.Open(sess, r)
	return s.register(sess)
}

// register makes the session known; false if the server is closing or the id is
// taken.
func (s *Server) register(sess *Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.sessions[sess.id]; taken || s.draining {
		return false
	}
	s.sessions[sess.id] = sess
	if sess.polling != nil {
		s.polling.Add(1)
	} else {
		s.websocket.Add(1)
	}
	s.handshakes.Add(1)
	return true
}

// forget is called when the session has ended.
func (s *Server) forget(sess *Session, polling bool) {
	s.mu.Lock()
	known := s.sessions[sess.id] == sess
	if known {
		delete(s.sessions, sess.id)
		if s.gone != nil {
			s.goneLocked()
		}
	}
	s.mu.Unlock()
	switch {
	case !known:
	case polling:
		s.polling.Add(-1)
	default:
		s.websocket.Add(-1)
	}
}

func (s *Server) upgraded() {
	s.polling.Add(-1)
	s.websocket.Add(1)
	s.upgrades.Add(1)
}

// openPolling answers a handshake by polling.
func (s *Server) openPolling(sess *Session, w http.ResponseWriter, r *http.Request) {
	sess.polling = &pollState{}
	if !s.open(sess, r) {
		s.Overloaded(w, r)
		return
	}
	sess.startHeartbeat()
	if s.cfg.Cookie != nil {
		c := *s.cfg.Cookie
		c.Value = sess.id
		http.SetCookie(w, &c)
	}
	if err := sess.writePackets(w, r, []*Packet{s.openPacket(sess)}, true); err != nil {
		sess.fail(ReasonTransportError, err)
	}
}

// openWebSocket answers a handshake by WebSocket.
func (s *Server) openWebSocket(sess *Session, c *wsConn, r *http.Request) {
	sess.ws = c
	if s.cfg.PerMessageDeflate && offersDeflate(r) {
		sess.form |= formDeflate
	}
	c.attach(sess)
	sess.out.addFrames(s.openPacket(sess).frames(0))
	if s.open(sess, r) {
		sess.startHeartbeat()
	}
	c.serveReader() // it writes what there is before it waits
}

// Count returns the number of open sessions.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// snapshot returns the open sessions.
func (s *Server) snapshot() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Session, 0, len(s.sessions))
	for _, sess := range s.sessions {
		all = append(all, sess)
	}
	return all
}

// Shutdown refuses new sessions, discards the open ones with the reason "server
// shutting down" (EIO-C-11), and waits until everything that the server started
// has ended, user code included. If ctx ends before that, it returns the error
// of ctx, and what still runs ends by itself.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	for _, sess := range s.snapshot() {
		sess.Close(Close{Reason: ReasonServerShutdown, Code: closeGoingAway, Discard: true})
	}
	s.end.Do(func() { go s.waitEnd() }) // ends with what it waits for; ended tells
	select {
	case <-s.ended:
		return nil
	default:
	}
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("engine: shutdown: %w", context.Cause(ctx))
	}
}

// waitEnd ends what all sessions share when there are none left.
func (s *Server) waitEnd() {
	_ = s.conns.Wait(context.Background()) // it does not end
	_ = s.closers.Wait(context.Background())
	close(s.stop)
	s.wheel.close()
	s.watch.close()
	s.flushers.close()
	s.workers.Wait()
	close(s.ended)
}

// guard turns a panic in a session's goroutine into the end of that session
// (HRD-01). It is deferred.
func (s *Server) guard(sess *Session, where string) {
	if v := recover(); v != nil {
		s.panicked(sess, where, v)
	}
}

func (s *Server) panicked(sess *Session, where string, v any) {
	s.panics.Add(1)
	s.cfg.Logger.Error("panic", "where", where, "sid", sess.shortID(), "panic", v, "stack", string(debug.Stack()))
	sess.Close(Close{Reason: ReasonForcedClose, Code: closeInternal, Cause: errInternal, Discard: true})
}

var errInternal = errors.New("internal error")

// shortID is the part of the sid that may be logged (HRD-12).
func (s *Session) shortID() string { return s.id[:min(len(s.id), 6)] }

// guardQueues closes the sessions with the longest queues while all of them
// together are over the bound (HRD-52).
func (s *Server) guardQueues() {
	t := time.NewTicker(250 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
			s.shed()
		}
	}
}

func (s *Server) shed() {
	type queued struct {
		s *Session
		n int
	}
	var all []queued
	total := int64(0)
	for _, sess := range s.snapshot() {
		if n := sess.Queued(); n > 0 {
			all = append(all, queued{sess, n})
			total += int64(n)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].n > all[j].n })
	for _, q := range all {
		if total <= s.maxTotal {
			return
		}
		q.s.closeSlow()
		total -= int64(q.n)
	}
}
