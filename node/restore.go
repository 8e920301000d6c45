package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/node/internal/engine"
)

// Bounds on what a recovery waits for.
const (
	takeTimeout   = 3 * time.Second // the record
	evictTimeout  = time.Second     // the end of the life before (HRD-71)
	replayTimeout = 10 * time.Second
)

// errTakenOver is the cause of the end of a session whose client came back before
// its loss was noticed.
var errTakenOver = errors.New("node: the client continues elsewhere")

// restore makes s continue the session that its client came with, up to and with
// the CONNECT. If that cannot be done, cause says why, and s is to be accepted as a
// new one. With neither the client was refused or has gone.
func (s *Socket) restore(ctx context.Context) (done bool, cause error) {
	replay, err := s.prepare(ctx)
	if err == nil {
		// How fast the client takes what it has missed does not hold up others.
		if err = s.resend(replay); err == nil {
			err = s.reopen(replay)
		}
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errRefused):
		return false, nil
	case errors.Is(err, ErrDisconnected) || !s.beNew():
		s.abandon()
		return false, nil
	}
	return false, err
}

// errRefused says that a middleware has refused the socket, which knows.
var errRefused = errors.New("node: refused")

// prepare takes the session and reads what its client has missed. Some sockets at a
// time do that; the others wait.
func (s *Socket) prepare(ctx context.Context) (adapter.Replay, error) {
	srv := s.client.srv
	select {
	case srv.recoveries <- struct{}{}:
		defer func() { <-srv.recoveries }()
	case <-ctx.Done():
		return nil, ErrDisconnected
	}
	session, err := s.take(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.become(session); err != nil {
		return nil, err
	}
	if srv.cfg.Recovery.RunMiddlewares {
		if err := s.passAgain(ctx); err != nil {
			return nil, err
		}
	}
	r, start, err := s.replay(ctx, session)
	if err != nil {
		return nil, err
	}
	return r, s.keepRecord(ctx, start)
}

// passAgain runs the middlewares for a socket that recovers. They may decline that,
// or refuse the socket.
func (s *Socket) passAgain(ctx context.Context) error {
	returned, err := s.decide(ctx)
	if errors.Is(err, ErrBeginAnew) || s.passed(returned, err) {
		return err
	}
	return errRefused
}

// keepRecord writes the record before the client is told, so that it can come back
// at once. If that fails it is written later.
func (s *Socket) keepRecord(ctx context.Context, start string) error {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	c := s.client
	c.mu.Lock()
	s.rec.floor = start
	c.mu.Unlock()
	session := s.record()
	if session == nil {
		return ErrDisconnected
	}
	if err := s.ns.journal.SaveSession(ctx, session, s.ns.records.liveTTL(), true); err != nil {
		c.srv.log.Debug("writing a session's record", "namespace", s.name, "error", err)
		return nil
	}
	c.mu.Lock()
	s.rec.taken, s.rec.kept = nil, true
	c.mu.Unlock()
	return nil
}

// take takes the record of the session and ends the life before. What that has changed
// since the record was written is in the one that it writes at its end.
func (s *Socket) take(ctx context.Context) (*adapter.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	ns := s.ns
	ns.records.settle(ctx, s.rec.claim.pid)
	session, err := s.takeRecord(ctx)
	if err != nil {
		return nil, err
	}
	ns.endOther(ctx, session)
	switch last, err := s.takeRecord(ctx); {
	case err == nil && last.ID == session.ID && last.Owner == session.Owner && last.Epoch == session.Epoch:
		session = last
	case !errors.Is(err, adapter.ErrNoSession):
		ns.srv.log.Debug("taking the last record of a session", "namespace", ns.name, "error", err)
	}
	return session, nil
}

func (s *Socket) takeRecord(ctx context.Context) (*adapter.Session, error) {
	session, err := s.ns.journal.TakeSession(ctx, s.rec.claim.pid)
	if err != nil {
		return nil, err
	}
	if session.PID != s.rec.claim.pid || session.ID == "" || len(session.Rooms) > s.client.srv.limits.Load().Rooms {
		return nil, errBadRecord
	}
	return session, nil
}

// endOther ends the life of a session whose record was taken, if it still goes on, and
// waits until its last record is written.
func (ns *Namespace) endOther(ctx context.Context, session *adapter.Session) {
	ctx, cancel := context.WithTimeout(ctx, evictTimeout)
	defer cancel()
	if old := ns.index.socket(session.ID); old != nil {
		if old.rec.pid == session.PID {
			old.evict(ctx)
		}
		return
	}
	if session.Owner == "" || session.Owner == ns.srv.cfg.NodeID {
		ns.records.settle(ctx, session.PID)
		return
	}
	if err := ns.evict(ctx, session.Owner, session.ID); err != nil {
		ns.srv.log.Debug("ending a session on another node", "node", session.Owner, "socket", shortID(session.ID), "error", err)
	}
}

// evict ends the session of s, which its client continues elsewhere. The client is
// not told: it has closed this connection, or lost it. It waits until the
// disconnect handlers have returned and the last record is written.
func (s *Socket) evict(ctx context.Context) {
	c := s.client
	c.mu.Lock()
	s.rec.evicted = true
	gone := s.rec.gone
	if gone == nil {
		gone = make(chan struct{})
		s.rec.gone = gone
	}
	c.mu.Unlock()
	c.sess.Close(engine.Close{Reason: engine.ReasonForcedClose, Cause: errTakenOver, Discard: true})
	select {
	case <-gone:
	case <-ctx.Done():
	}
	s.ns.records.settle(ctx, s.rec.pid)
}

// evictAsked ends the sockets that another node takes over, and tells when that is
// done. It returns how many they are.
func (ns *Namespace) evictAsked(m *adapter.Message) int {
	var list []*Socket
	for _, id := range m.Target.Rooms {
		if s := ns.index.socket(id); s != nil {
			list = append(list, s)
		}
	}
	ns.srv.tasks.Go(func() {
		defer ns.recovered("receive")
		ctx, cancel := context.WithTimeout(ns.srv.ctx, evictTimeout)
		defer cancel()
		for _, s := range list {
			s.evict(ctx)
		}
		for _, id := range m.Target.Rooms {
			ns.records.settleEnded(ctx, id)
		}
		ns.respond(m.From, &adapter.Message{Kind: adapter.ClientCount, RequestID: m.RequestID, Count: len(list)})
	})
	return len(list)
}

// become gives s the id, rooms and data of a session.
func (s *Socket) become(session *adapter.Session) error {
	c := s.client
	c.mu.Lock()
	s.id, s.rec.self = session.ID, []string{session.ID}
	s.rec.pid, s.rec.recovered = session.PID, true
	s.rec.before = s.rec.claim.offset
	s.rec.taken = session
	s.leftOwn.Store(!slices.Contains(session.Rooms, session.ID))
	if len(session.Data) > 0 {
		s.data = &restoredData{raw: session.Data}
	}
	c.mu.Unlock()
	rooms := slices.DeleteFunc(slices.Clone(session.Rooms), func(room string) bool { return room == session.ID })
	if _, err := s.join(rooms); err != nil {
		return fmt.Errorf("node: joining the rooms of a session: %w", err)
	}
	return nil
}

// giveUp undoes what restore has done for a socket that was not accepted. The
// session is given back for the client's next connection, unless it was refused or
// has come already.
func (s *Socket) giveUp() {
	c := s.client
	c.mu.Lock()
	taken := s.rec.taken
	if s.rec.evicted {
		taken = nil
	}
	s.rec.taken = nil
	c.mu.Unlock()
	s.drop()
	if taken != nil {
		s.ns.records.giveBack(taken)
	}
	s.goneForGood()
}

// goneForGood lets evict return.
func (s *Socket) goneForGood() {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	if s.rec.gone == nil {
		s.rec.gone = make(chan struct{})
	}
	close(s.rec.gone)
}

// beNew undoes what become has done: s is a new socket. It is false if the session
// of the connection has ended.
func (s *Socket) beNew() bool {
	c := s.client
	s.drop()
	c.mu.Lock()
	if s.end != nil || c.closed {
		c.mu.Unlock()
		return false
	}
	if !s.rec.recovered {
		c.mu.Unlock()
		return true
	}
	var kept *adapter.Session
	if s.rec.kept {
		kept = &adapter.Session{PID: s.rec.pid, Owner: c.srv.cfg.NodeID, Epoch: s.rec.epoch}
	}
	id := c.socketID(s.name)
	s.id, s.rec.self, s.data = id, []string{id}, nil
	s.rec.pid, s.rec.recovered, s.rec.before = randomID(15), false, ""
	s.rec.taken, s.rec.kept, s.rec.evicted, s.rec.lost = nil, false, false, false
	s.leftOwn.Store(false)
	c.mu.Unlock()
	s.leaveAll()
	if kept != nil {
		s.ns.records.discard(kept)
	}
	return true
}

// replay lets live events wait, sees to it that they arrive, and reads what was
// sent before. start is the offset from which on that is complete.
func (s *Socket) replay(ctx context.Context, session *adapter.Session) (r adapter.Replay, start string, err error) {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	waits := append(s.confirmations(), s.hold())
	awaitRooms(ctx, waits)
	if start, err = s.ns.startOffset(s.rec.claim.offset, session.Offset); err != nil {
		return nil, "", err
	}
	r, err = s.ns.journal.Replay(ctx, start, wanted(session))
	return r, start, err
}

// startOffset is where a replay begins: after the last event that the client tells of and
// after what it surely has. Official clients may tell of an event of the session
// before, or of one that was so long ago that it is not kept any more (SIO-Z-12).
func (ns *Namespace) startOffset(told, sure string) (string, error) {
	switch {
	case told == "" && sure == "":
		return "", adapter.ErrLost
	case told == "":
		return sure, nil
	case sure == "":
		return told, nil
	}
	return ns.journal.Merge(told, sure)
}

// confirmations returns the channels of the rooms of s that other nodes' events do
// not reach yet.
func (s *Socket) confirmations() (waits []<-chan struct{}) {
	s.client.mu.Lock()
	defer s.client.mu.Unlock()
	for _, m := range s.rooms {
		if c := m.room.confirmed; c != nil && !isClosed(c) {
			waits = append(waits, c)
		}
	}
	return waits
}

// awaitRooms waits, for a second at most, until events for rooms arrive.
func awaitRooms(ctx context.Context, waits []<-chan struct{}) {
	timer := time.NewTimer(joinWait)
	defer timer.Stop()
	for _, confirmed := range waits {
		if confirmed == nil {
			continue
		}
		select {
		case <-confirmed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// reopen tells the client that it has recovered, and sends what has waited.
func (s *Socket) reopen(r adapter.Replay) error {
	c := s.client
	s.ns.order.Lock()
	defer s.ns.order.Unlock()
	m := s.rec.seam
	if m.overrun {
		return ErrOverrun
	}
	c.mu.Lock()
	if s.end != nil || c.closed || s.rec.evicted {
		c.mu.Unlock()
		return ErrDisconnected
	}
	s.rec.taken = nil
	s.connectedLocked()
	c.mu.Unlock()
	c.srv.counters.recovered.Add(1)
	m.open, m.replay = true, r
	held := m.held
	m.held, m.size = nil, 0
	for _, e := range held {
		s.passLocked(m, e)
	}
	m.passed = true
	return nil
}

// restoredData is the data of a socket that has recovered: JSON, and the value that
// was made of it last.
type restoredData struct {
	raw   []byte
	value any
}

// restored reads restored data as a T.
func restored[T any](s *Socket, d *restoredData) (T, bool) {
	s.client.mu.Lock()
	t, ok := d.value.(T)
	s.client.mu.Unlock()
	if ok {
		return t, true
	}
	if json.Unmarshal(d.raw, &t) != nil {
		var none T
		return none, false
	}
	s.client.mu.Lock()
	d.value = t
	s.client.mu.Unlock()
	return t, true
}
