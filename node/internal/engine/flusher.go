package engine

import (
	"runtime"
	"sync"
)

// flushers write the output of WebSocket sessions, one goroutine per processor.
// A session is on the list of its own flusher while it has output that nobody
// has promised to write. A flusher never waits for a peer: what the kernel does
// not take at once goes to a goroutine of that session (design: output is
// bytes, not messages).
type flushers []*flusher

type flusher struct {
	mu     sync.Mutex
	wake   sync.Cond
	list   []*Session
	closed bool
}

func newFlushers(wg *sync.WaitGroup) flushers {
	fs := make(flushers, runtime.GOMAXPROCS(0))
	for i := range fs {
		f := &flusher{}
		f.wake.L = &f.mu
		fs[i] = f
		wg.Go(f.run) // ends with close; Shutdown waits
	}
	return fs
}

// push puts s, which was marked as listed, on its flusher's list.
func (fs flushers) push(s *Session) {
	f := fs[int(s.home)%len(fs)]
	f.mu.Lock()
	f.list = append(f.list, s)
	first := len(f.list) == 1
	f.mu.Unlock()
	if first {
		f.wake.Signal()
	}
}

func (fs flushers) close() {
	for _, f := range fs {
		f.mu.Lock()
		f.closed = true
		f.mu.Unlock()
		f.wake.Signal()
	}
}

// yieldAfter is how many sessions a flusher serves before others may run: who
// has more to send can then queue it, and one write carries it all. On a
// saturated processor that made a fan-out to 1,000 five times cheaper.
const yieldAfter = 16

func (f *flusher) run() {
	var batch []*Session
	for {
		f.mu.Lock()
		for len(f.list) == 0 {
			if f.closed {
				f.mu.Unlock()
				return
			}
			f.wake.Wait()
		}
		batch, f.list = f.list, batch[:0]
		f.mu.Unlock()
		for i, s := range batch {
			s.flush()
			if i%yieldAfter == yieldAfter-1 {
				runtime.Gosched()
			}
		}
		clear(batch)
	}
}

// flush writes what waits in the session's outbox. It does not block.
func (s *Session) flush() {
	s.mu.Lock()
	s.listed = false
	if s.writing || s.polling != nil || s.ws == nil || s.out.empty() && !s.ws.pongWaits {
		// Whoever writes looks at the outbox again afterwards.
		s.mu.Unlock()
		return
	}
	s.writing = true
	ws, b := s.ws, s.takeLocked()
	if ws.raw == nil {
		s.stallLocked(ws, b, 0)
		s.mu.Unlock()
		return
	}
	s.mu.Unlock()

	n, err := ws.writeSome(b)

	s.mu.Lock()
	if err == nil && n < b.size {
		s.stallLocked(ws, b, n)
		s.mu.Unlock()
		return
	}
	list := s.writtenLocked(ws)
	s.mu.Unlock()
	b.release()
	if err != nil {
		ws.writeFailed(err)
		return
	}
	s.srv.stats.at(s).bytesOut.Add(uint64(n))
	if list {
		s.srv.flushers.push(s)
	}
}

// takeLocked takes the session's frames, with the pong that may wait.
func (s *Session) takeLocked() *frameBuffer {
	if s.ws.pongWaits {
		s.ws.pongWaits = false
		s.out.addFrames(s.ws.pongFrame)
	}
	return s.out.takeRaw()
}

// writtenLocked ends a write and tells whether the session must be listed again.
func (s *Session) writtenLocked(ws *wsConn) (list bool) {
	s.writing, s.stalled, s.inflight = false, false, 0
	s.drainedLocked()
	if s.out.empty() && !ws.pongWaits {
		if ws.closeSent {
			ws.lastFrameSent()
		}
		ws.idleLocked()
		return false
	}
	return s.wakeLocked()
}

// stallLocked hands b from byte off on to a goroutine that may wait for the
// peer. It ends when everything is written, when the peer takes nothing for the
// write timeout, or when the connection is closed; Shutdown waits for it.
func (s *Session) stallLocked(ws *wsConn, b *frameBuffer, off int) {
	s.stalled = true
	s.inflight = b.size - off
	s.srv.conns.Go(func() {
		for b != nil {
			err := ws.writeAll(b, off, func(rest int) {
				s.mu.Lock()
				s.inflight = rest
				s.drainedLocked()
				s.mu.Unlock()
			})
			s.srv.stats.at(s).bytesOut.Add(uint64(b.size - off))
			b.release()
			if err != nil {
				s.mu.Lock()
				s.writing, s.stalled, s.inflight = false, false, 0
				s.drainedLocked()
				ws.idleLocked()
				s.mu.Unlock()
				ws.writeFailed(err)
				return
			}
			b, off = s.nextBuffer(ws), 0
		}
	})
}

// nextBuffer takes what has come up while a stalled write went on; nil ends it.
func (s *Session) nextBuffer(ws *wsConn) *frameBuffer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out.empty() && !ws.pongWaits {
		s.writtenLocked(ws)
		return nil
	}
	b := s.takeLocked()
	s.inflight = b.size
	s.drainedLocked()
	return b
}
