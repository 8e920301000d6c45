package engine

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/fanwire/fanwire/protocol/engineio"
)

// pollState is what a session has while it is on polling. The session's mutex
// guards it.
type pollState struct {
	get     *poll
	post    *post        // that is being received or handled
	probe   *wsConn      // an upgrade in progress
	probed  bool         // its probe has come
	goodbye *Packet      // what the last poll gets; the close packet by default
	limits  *inputLimits // of the current POST
	closing Close        // how a closing session ends
	unsure  *poll        // a relayed poll whose answer may not have arrived
	grace   int64        // by the wheel: when to give up on the poll that follows one that was cut; 0 for none
}

// poll is a GET that waits. Whoever has something for it sends to wake.
type poll struct {
	ready   chan struct{} // capacity 1
	over    chan struct{} // of a relayed one: closed when it does not wait any more
	relayed bool          // by another node
	query   string        // of a relayed one, if no other poll has the same
	taken   []*Packet     // of a relayed one; guarded by Session.mu
}

// post is a POST on its way.
type post struct {
	rc      *http.ResponseController
	over    chan struct{} // of a relayed one: closed when it is through
	relayed bool          // by another node
	reading bool          // guarded by Session.mu
}

// stopReadingLocked wakes the reader of p, which sees then that it is not wanted.
func (p *post) stopReadingLocked() {
	if p != nil && p.reading {
		_ = p.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// lingerTimeout bounds how long a closing session waits for the client's last
// poll, unless Close.Linger does (EIO-O-19).
const lingerTimeout = 30 * time.Second

var (
	errPollOverlap = errors.New("overlap from client")
	errPostOverlap = errors.New("data request overlap from client")
	errPollCut     = errors.New("poll connection closed prematurely")
	errPostCut     = errors.New("data request connection closed prematurely")
	errPostSlow    = errors.New("data request too slow")
	errContent     = errors.New("invalid content")
	errManyPackets = errors.New("too many packets in a payload")
)

// wake lets the pending poll look at the outbox.
func (p *pollState) wake() {
	if p.get != nil {
		select {
		case p.get.ready <- struct{}{}:
		default:
		}
	}
}

// endLocked lets go of the requests of a session that has ended.
func (p *pollState) endLocked() {
	if p.goodbye == nil {
		p.goodbye = closing
	}
	p.wake()
	p.post.stopReadingLocked()
	if p.probe != nil {
		p.probe.wakeReader(0) // so does the upgrade in progress (EIO-U-11)
	}
}

// lingerLocked starts the graceful end of a polling session; false if it can end
// at once, since a poll is there to be told and nothing else waits (EIO-C-06).
// One that was closing already ends no later than c wants.
func (s *Session) lingerLocked(c Close) bool {
	orDefault(&c.Linger, lingerTimeout)
	end := s.srv.wheel.now() + int64(c.Linger)
	switch {
	case s.state == stateClosing:
		s.nextPing = min(s.nextPing, end)
	case s.out.empty() && s.polling.get != nil:
		return false
	default:
		s.state = stateClosing
		s.polling.closing = c
		s.awaiting.Store(false)
		s.nextPing = end
	}
	s.srv.wheel.schedule(s, s.nextPing)
	return true
}

// servePoll answers a GET of a session.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	if !s.yield(r, pendingPoll) {
		return
	}
	s.mu.Lock()
	switch {
	case s.state == stateClosed:
		s.mu.Unlock()
		s.srv.refuse(w, r, &refusal{code: codeUnknownSession})
		return
	case s.polling == nil:
		s.mu.Unlock()
		s.srv.refuse(w, r, &refusal{code: codeBadRequest, cause: "TRANSPORT_MISMATCH"}) // EIO-P-18
		return
	case s.polling.get != nil && !s.polling.get.relayed:
		s.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest) // EIO-P-12
		s.fail(ReasonTransportError, errPollOverlap)
		return
	}
	p := newPoll(r)
	s.replaceLocked(p)
	if p.relayed {
		defer close(p.over)
	}
	closing := s.state == stateClosing && s.out.empty()
	s.mu.Unlock()
	if closing {
		s.answerLastPoll(w, r)
		return
	}
	s.waitPoll(w, r, p)
}

// waitPoll holds the GET until there is something to answer.
func (s *Session) waitPoll(w http.ResponseWriter, r *http.Request, p *poll) {
	for {
		packets, ok := s.takePackets(p)
		switch {
		case ok && packets == nil:
			w.WriteHeader(http.StatusBadRequest) // another GET has taken its place
			return
		case ok:
			s.answerPoll(w, r, p, packets)
			return
		}
		select {
		case <-p.ready:
		case <-r.Context().Done():
			s.pollLost(p, errPollCut) // HRD-22
			return
		}
	}
}

// takePackets ends the wait of p if there is something to answer. What p has no
// right to any more is nil.
func (s *Session) takePackets(p *poll) ([]*Packet, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var packets []*Packet
	switch ps := s.polling; {
	case s.state == stateClosed && ps != nil:
		packets = []*Packet{ps.goodbye}
	case ps == nil: // upgraded with a poll pending (EIO-U-06)
		return []*Packet{closing}, true
	case ps.get != p:
		return nil, true
	case s.out.empty():
		return nil, false
	default:
		packets = s.out.takePackets()
		ps.takenLocked(p, packets)
		s.drainedLocked()
	}
	if s.polling.get == p {
		s.polling.get = nil
	}
	return packets, true
}

// answerLastPoll ends a session that was closing (EIO-C-06).
func (s *Session) answerLastPoll(w http.ResponseWriter, r *http.Request) {
	_ = s.writePackets(w, r, []*Packet{noopPacket, closing}, false)
	s.endClosing()
}

// endClosing ends a session that was closing, for the reason it was given.
func (s *Session) endClosing() {
	s.mu.Lock()
	c := Close{Reason: ReasonForcedClose}
	if s.polling != nil {
		c = s.polling.closing
	}
	s.mu.Unlock()
	s.end(c.Reason, c.Cause)
}

// answerPoll answers p with packets.
func (s *Session) answerPoll(w http.ResponseWriter, r *http.Request, p *poll, packets []*Packet) {
	err := s.writePackets(w, r, packets, false)
	switch {
	case err == nil:
	case p.relayed:
		s.pollLost(p, err)
	default:
		s.fail(ReasonTransportError, err)
	}
}

// writePackets writes packets as the response of a GET.
func (s *Session) writePackets(w http.ResponseWriter, r *http.Request, packets []*Packet, handshake bool) error {
	body, contentType, compress := s.encodePayload(packets)
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // HRD-10; not every writer has one
	n, err := s.srv.writeBody(w, r, body, contentType, compress, handshake)
	s.srv.stats.at(s).bytesOut.Add(uint64(n))
	if err == nil { // or a failure would stay with net/http
		err = rc.Flush()
	}
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// encodePayload encodes packets for one body; all of them, whatever their size
// (EIO-P-04).
func (s *Session) encodePayload(packets []*Packet) (body []byte, contentType string, compress bool) {
	size := 0
	for _, p := range packets {
		size += p.size
		compress = compress || !p.noCompress
	}
	if s.proto == 3 {
		return s.encodePayload3(packets, size, compress)
	}
	body = make([]byte, 0, size+size/8)
	for i, p := range packets {
		if i > 0 {
			body = append(body, separator)
		}
		body = p.appendPolling(body)
	}
	return body, contentText, compress
}

const (
	contentText   = "text/plain; charset=UTF-8"
	contentBinary = "application/octet-stream"
)

// encodePayload3 is the payload of protocol 3: binary if something in it is and
// the client takes it (EIO-3-05).
func (s *Session) encodePayload3(packets []*Packet, size int, compress bool) ([]byte, string, bool) {
	var list []engineio.Packet
	for _, p := range packets {
		list = p.appendPackets(list)
	}
	binary := false
	for _, p := range list {
		binary = binary || p.Binary
	}
	binary = binary && s.form&formBase64 == 0
	body := engineio.AppendPayload3(make([]byte, 0, size+8*len(list)), list, binary)
	if binary {
		return body, contentBinary, compress
	}
	return body, contentText, compress
}

// servePost takes a POST of a session.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	binary := r.Header.Get("Content-Type") == contentBinary
	p := s.checkPost(w, r, binary)
	if p == nil {
		return
	}
	defer s.endPost(p)
	body, err := s.readBody(p, r)
	s.mu.Lock()
	p.reading = false
	replaced := s.polling != nil && s.polling.post != p
	ended := s.state == stateClosed
	closing := s.state == stateClosing
	s.mu.Unlock()
	switch {
	case errors.Is(err, errTooBig):
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge) // the session stays (EIO-P-10)
		return
	case ended: // by an overlapping POST, or otherwise: cut this one (EIO-P-13)
		panic(http.ErrAbortHandler)
	case replaced || err != nil && p.relayed && !errors.Is(err, errPostSlow):
		w.WriteHeader(http.StatusBadRequest) // nothing of it was handled; the session stays (HRD-22)
		return
	case errors.Is(err, errPostSlow):
		w.WriteHeader(http.StatusRequestTimeout)
		s.fail(ReasonTransportError, err)
		return
	case err != nil:
		s.fail(ReasonTransportError, errPostCut)
		return
	}
	if !closing { // what comes while closing is thrown away (EIO-C-10)
		s.takePayload(body, binary)
	}
	s.endPost(p) // before the client can send the next one
	h := w.Header()
	h.Set("Content-Type", "text/html")
	h.Set("Content-Length", "2")
	h.Set("Cache-Control", "no-store")
	if s.srv.cfg.Headers != nil {
		s.srv.cfg.Headers(h, r, false)
	}
	_, _ = io.WriteString(w, "ok")
}

// checkPost refuses a POST that must not be read, and registers it otherwise.
func (s *Session) checkPost(w http.ResponseWriter, r *http.Request, binary bool) *post {
	if binary && s.proto == 4 {
		w.WriteHeader(http.StatusBadRequest) // EIO-P-15
		s.fail(ReasonTransportError, errContent)
		return nil
	}
	if r.Header.Get("Content-Encoding") != "" || isMultipart(r) {
		w.WriteHeader(http.StatusUnsupportedMediaType) // HRD-23
		return nil
	}
	if !s.yield(r, pendingPost) {
		return nil
	}
	s.mu.Lock()
	switch {
	case s.state == stateClosed:
		s.mu.Unlock()
		s.srv.refuse(w, r, &refusal{code: codeUnknownSession})
		return nil
	case s.polling == nil:
		s.mu.Unlock()
		s.srv.refuse(w, r, &refusal{code: codeBadRequest, cause: "TRANSPORT_MISMATCH"})
		return nil
	case s.polling.post != nil && !(s.polling.post.relayed && s.polling.post.reading):
		s.mu.Unlock()
		w.WriteHeader(http.StatusBadRequest) // EIO-P-13
		s.fail(ReasonTransportError, errPostOverlap)
		return nil
	}
	s.polling.post.stopReadingLocked() // its relay is gone (HRD-22)
	p := newPost(w, r)
	s.polling.post = p
	s.mu.Unlock()
	return p
}

// endPost lets the next POST come.
func (s *Session) endPost(p *post) {
	s.mu.Lock()
	if s.polling != nil && s.polling.post == p {
		s.polling.post = nil
	}
	p.endLocked()
	s.mu.Unlock()
}

func isMultipart(r *http.Request) bool {
	const multipart = "multipart/"
	ct := r.Header.Get("Content-Type")
	return len(ct) >= len(multipart) && ct[:len(multipart)] == multipart
}

// Times for a POST body (HRD-10).
const (
	bodyTimeout    = 15 * time.Second
	bodyChunk      = 16 << 10
	bodyChunkExtra = time.Second
)

// readBody reads a body of at most MaxPayload bytes. The time it may take grows
// with what has come.
func (s *Session) readBody(p *post, r *http.Request) ([]byte, error) {
	limit := s.srv.cfg.MaxPayload
	deadline := time.Now().Add(bodyTimeout)
	body := make([]byte, 0, min(max(int(r.ContentLength), 0), limit, bodyChunk)+1)
	for {
		if !s.postDeadline(p, deadline) {
			return nil, errPostCut
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := r.Body.Read(body[len(body):min(cap(body), len(body)+bodyChunk)])
		body = body[:len(body)+n]
		deadline = deadline.Add(bodyChunkExtra * time.Duration(n) / bodyChunk)
		switch {
		case len(body) > limit:
			return nil, errTooBig
		case errors.Is(err, io.EOF):
			s.postDeadline(p, time.Time{})
			return body, nil
		case err != nil && (!time.Now().Before(deadline) || errors.Is(err, context.DeadlineExceeded)):
			return nil, errPostSlow
		case err != nil:
			return nil, err
		}
	}
}

// postDeadline sets the deadline of the body, unless the session has ended, or
// another POST has come, and the reader is to wake.
func (s *Session) postDeadline(p *post, t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || s.polling == nil || s.polling.post != p {
		return false
	}
	_ = p.rc.SetReadDeadline(t) // not every writer has one
	return true
}

// slicePackets is after how many packets the output is looked at (HRD-21).
const slicePackets = 256

// takePayload handles the packets of one body. A bad packet ends the session;
// what stands before it was handled (EIO-M-04).
func (s *Session) takePayload(body []byte, binary bool) {
	defer s.srv.guard(s, "post")
	if !binary && !utf8.Valid(body) {
		s.fail(ReasonParseError, errBadUTF8) // HRD-33
		return
	}
	count := 0
	take := func(p engineio.Packet) bool {
		count++
		if count > s.srv.cfg.MaxPacketsPerPayload {
			s.Close(Close{Code: closePolicy, Cause: errManyPackets, Discard: true})
			return false
		}
		if count%slicePackets == 0 {
			s.waitOutput()
		}
		return s.withinPostLimits(len(p.Data)) && s.received(p, false) && s.isOpen()
	}
	if s.proto == 3 {
		if err := engineio.DecodePayload3(body, binary, take); err != nil {
			s.fail(ReasonParseError, err)
		}
		return
	}
	s.waitOutput()
	for raw := range engineio.SplitPayload(body) {
		p, err := engineio.DecodeText(raw)
		if err != nil {
			s.fail(ReasonParseError, err)
			return
		}
		if !take(p) {
			return
		}
	}
}

func (s *Session) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == stateOpen
}

// withinPostLimits applies the input rates; there is one POST at a time.
func (s *Session) withinPostLimits(n int) bool {
	now := s.srv.limits.Load()
	if !now.bounded() {
		return true
	}
	s.mu.Lock()
	ps := s.polling
	if ps == nil {
		s.mu.Unlock()
		return true
	}
	if ps.limits == nil || ps.limits.of != now {
		ps.limits = newInputLimits(now)
	}
	l := ps.limits
	s.mu.Unlock()
	return s.throttle(l, n)
}

// writeBody writes a successful response of polling.
func (s *Server) writeBody(w http.ResponseWriter, r *http.Request, body []byte, contentType string, compress, handshake bool) (int, error) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	if s.cfg.Headers != nil {
		s.cfg.Headers(h, r, handshake)
	}
	if compress && s.cfg.CompressionThreshold >= 0 && len(body) >= s.cfg.CompressionThreshold {
		if encoding := acceptedEncoding(r.Header.Get("Accept-Encoding")); encoding != "" {
			h.Set("Content-Encoding", encoding)
			body = compressBody(encoding, body)
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	return w.Write(body)
}
