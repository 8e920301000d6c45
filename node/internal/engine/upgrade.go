package engine

import (
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// noopInterval is the time between noops that release polls during an upgrade
// (EIO-U-05).
const noopInterval = 100 * time.Millisecond

// serveUpgrade takes a WebSocket request of a session. A session that cannot
// take it goes on undisturbed; the connection is accepted and closed at once
// (EIO-U-12, -13, -14).
func (s *Session) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	if s.srv.cfg.DisableUpgrades {
		s.srv.refuse(w, r, &refusal{code: codeBadRequest, cause: "TRANSPORT_MISMATCH"}) // EIO-U-16
		return
	}
	c, err := s.srv.accept(w, r, false)
	if err != nil {
		return
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(s.srv.cfg.UpgradeTimeout)) // EIO-U-09
	s.mu.Lock()
	ok := s.state != stateClosed && s.polling != nil && s.polling.probe == nil
	if ok {
		s.polling.probe = c
		s.polling.probed = false
	}
	s.mu.Unlock()
	if !ok {
		s.srv.conns.Go(c.refuseUpgrade)
		return
	}
	s.srv.conns.Go(func() { s.probe(c) }) // ends by itself within UpgradeTimeout; Shutdown waits
}

// refuseUpgrade closes a connection that did not become a session's.
func (c *wsConn) refuseUpgrade() {
	_ = c.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	_, _ = c.Conn.Write(appendCloseFrame(nil, 0, ""))
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = cw.CloseWrite()
	}
	_ = c.Conn.SetReadDeadline(time.Now().Add(closeTimeout))
	var b [512]byte
	for {
		if _, err := c.Conn.Read(b[:]); err != nil {
			break
		}
	}
	_ = c.Conn.Close()
}

// probe is the upgrade as the WebSocket sees it: probe, then upgrade packet.
// Until that has come, polling stays the real transport (HRD-38).
func (s *Session) probe(c *wsConn) {
	defer s.srv.guard(s, "upgrade")
	stop := sync.OnceFunc(func() {})
	for {
		text, err := c.readProbe()
		switch {
		case err == nil && text == "2probe":
			_, err = c.Conn.Write(probePong.frames(0)) // again, if it is repeated (EIO-U-04)
			if err == nil && s.probeSeen() {
				stop = s.startNoops(c)
			}
		case err == nil && text == "5" && s.wasProbed():
			stop()
			_ = c.Conn.SetReadDeadline(time.Time{})
			s.switchTo(c)
			return
		case err == nil:
			err = websocket.ErrBadHandshake
		}
		if err != nil {
			stop()
			s.endProbe(c)
			c.refuseUpgrade() // EIO-U-08, -09, -10: the session goes on with polling
			return
		}
	}
}

// readProbe reads a small message with the reader's protections.
func (c *wsConn) readProbe() (string, error) {
	op, r, err := c.gws.NextReader()
	if err != nil {
		return "", err
	}
	var b [16]byte
	n := 0
	for n < len(b) {
		m, err := r.Read(b[n:])
		n += m
		if err != nil {
			break
		}
	}
	if op != websocket.TextMessage || n == len(b) {
		return "", websocket.ErrBadHandshake
	}
	return string(b[:n]), nil
}

// probeSeen notes the probe; true for the first one.
func (s *Session) probeSeen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.polling != nil && !s.polling.probed
	if first {
		s.polling.probed = true
	}
	return first
}

func (s *Session) wasProbed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.polling != nil && s.polling.probed
}

func (s *Session) endProbe(c *wsConn) {
	s.mu.Lock()
	if s.polling != nil && s.polling.probe == c {
		s.polling.probe = nil
	}
	s.mu.Unlock()
}

// startNoops releases pending polls while the upgrade is under way: the client
// sends its upgrade packet only after its poll has ended (EIO-J-02).
func (s *Session) startNoops(c *wsConn) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		t := time.NewTicker(noopInterval)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				s.releasePoll(c)
			}
		}
	})
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

func (s *Session) releasePoll(c *wsConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateClosed && s.polling != nil && s.polling.probe == c && s.polling.get != nil && s.out.empty() {
		s.out.addPacket(noopPacket)
		s.polling.wake()
	}
}

// switchTo makes c the transport of the session and writes to it what polling
// has left (EIO-U-06).
func (s *Session) switchTo(c *wsConn) {
	s.mu.Lock()
	// Clients finish their POST first (EIO-J-02). One that does not would have two
	// transports that hand over messages at a time.
	if s.state == stateClosed || s.polling == nil || s.polling.probe != c || s.polling.post != nil {
		s.mu.Unlock()
		s.endProbe(c)
		c.refuseUpgrade()
		return
	}
	ps := s.polling
	packets := s.out.takePackets()
	c.attach(s)
	s.ws, s.polling = c, nil
	for _, p := range packets {
		if p != noopPacket {
			s.out.addFrames(p.frames(s.form))
		}
	}
	ps.wake() // a poll that is still pending ends
	list := s.wakeLocked()
	closing := s.state == stateClosing
	if closing {
		s.state = stateOpen // to be closed below, on the new transport (EIO-U-15)
	}
	s.mu.Unlock()
	s.srv.upgraded()
	if list {
		s.srv.flushers.push(s)
	}
	if closing {
		s.Close(ps.closing)
	}
	if r, ok := s.recv.(UpgradeReceiver); ok {
		r.Upgraded()
	}
	c.serveReader()
}
