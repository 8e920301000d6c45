package engine

import (
	"sync"
	"time"
)

// Handlers run on the reader of their WebSocket, so that a message costs no
// hand-off between goroutines. Should a handler take long, the role of the
// reader moves on: a new goroutine reads, and the old one finishes what it was
// called with and ends.
//
// wsConn.phase decides. Its upper half is the number of the reader; the lower
// half numbers the runs of user code and is odd during one. The handler that
// ends swaps the odd phase for the even one; the hand-off swaps it for the even
// one of the next reader. Who swaps first wins.
//
// While a former reader is still in Message, its successor runs nothing inline:
// a session has at most one of them, whatever its handlers do.

// handOffAfter is the time between two looks at the inline handlers; one that is
// seen twice in the same run loses the role.
const handOffAfter = 10 * time.Millisecond

const nextReader = 1 << 32

// BeginInline announces user code within Message. If it returns false, the code
// must not run in this call. It may be called only where Message was told
// inline.
func (s *Session) BeginInline() bool {
	c := s.ws
	if c.detached.Load() > 0 {
		return false
	}
	c.runs += 2
	c.phase.Store(c.phase.Load()&^(nextReader-1) | uint64(c.runs) | 1)
	if !c.watched.Load() {
		s.srv.watch.add(c)
	}
	return true
}

// EndInline ends what BeginInline has begun. It returns false if the session has
// gone on reading meanwhile: the caller is then a goroutine of its own and may
// go on to run queued user code before it returns from Message.
func (s *Session) EndInline() bool {
	c := s.ws
	phase := c.phase.Load()
	return phase&1 == 1 && c.phase.CompareAndSwap(phase, phase&^1)
}

// Detach tells that user code which runs inline is about to block, for example
// for an answer of the same client: the session reads on without it. It may be
// called from anywhere at any time.
func (s *Session) Detach() {
	s.mu.Lock()
	c := s.ws
	s.mu.Unlock()
	if c != nil {
		if phase := c.phase.Load(); phase&1 == 1 {
			c.handOff(phase)
		}
	}
}

// inInline tells whether user code runs on the reader now.
func (c *wsConn) inInline() bool { return c.phase.Load()&1 == 1 }

// isReader tells whether the reader of that number still has the role.
func (c *wsConn) isReader(number uint32) bool { return uint32(c.phase.Load()>>32) == number }

// handOff moves the role of the reader to a new goroutine, unless the run of
// that phase has ended.
func (c *wsConn) handOff(phase uint64) {
	c.detached.Add(1) // before the swap: the old reader takes it back once it sees that it lost
	if !c.phase.CompareAndSwap(phase, phase&^1+nextReader) {
		c.detached.Add(-1)
		return
	}
	c.startReader(uint32(phase>>32)+1, false)
	c.s.flush() // what the old reader would have written before its next wait
}

// inlineWatch looks after the sessions that have run user code inline lately. It
// sleeps while there are none.
type inlineWatch struct {
	mu     sync.Mutex
	wake   sync.Cond
	list   []watched
	closed bool
}

type watched struct {
	c     *wsConn
	phase uint64 // as seen last
}

func newInlineWatch(wg *sync.WaitGroup) *inlineWatch {
	w := &inlineWatch{}
	w.wake.L = &w.mu
	wg.Go(w.run) // ends with close; Shutdown waits
	return w
}

func (w *inlineWatch) add(c *wsConn) {
	w.mu.Lock()
	if !c.watched.Swap(true) {
		w.list = append(w.list, watched{c: c})
	}
	first := len(w.list) == 1
	w.mu.Unlock()
	if first {
		w.wake.Signal()
	}
}

func (w *inlineWatch) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake.Signal()
}

func (w *inlineWatch) run() {
	var slow []watched
	for {
		w.mu.Lock()
		for len(w.list) == 0 && !w.closed {
			w.wake.Wait()
		}
		if w.closed {
			w.mu.Unlock()
			return
		}
		slow = w.lookLocked(slow[:0])
		w.mu.Unlock()
		for _, x := range slow {
			x.c.handOff(x.phase)
		}
		clear(slow)
		time.Sleep(handOffAfter)
	}
}

// lookLocked returns the connections whose run is the one seen before, and
// forgets those that have not run anything since.
func (w *inlineWatch) lookLocked(slow []watched) []watched {
	keep := w.list[:0]
	for _, x := range w.list {
		phase := x.c.phase.Load()
		switch {
		case phase != x.phase:
			keep = append(keep, watched{x.c, phase})
		case phase&1 == 1:
			slow = append(slow, x)
			keep = append(keep, x)
		default:
			x.c.watched.Store(false)
			if phase = x.c.phase.Load(); phase != x.phase { // it has begun meanwhile and did not see it
				x.c.watched.Store(true)
				keep = append(keep, watched{x.c, phase})
			}
		}
	}
	clear(w.list[len(keep):])
	w.list = keep
	return slow
}
