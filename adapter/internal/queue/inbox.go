package queue

import "sync"

// Inbox is a bounded queue between any number of producers and one consumer.
// Those who Put never wait: when it is full the oldest values go (HRD-61).
type Inbox[T any] struct {
	maxLen   int
	maxBytes int

	mu     sync.Mutex
	filled sync.Cond // waits on mu
	drawn  sync.Cond // waits on mu
	ring   Ring[T]
	closed bool
}

// NewInbox makes an inbox for at most maxLen values of together at most
// maxBytes. A single value larger than that is taken when it is alone.
func NewInbox[T any](maxLen, maxBytes int) *Inbox[T] {
	b := &Inbox[T]{maxLen: maxLen, maxBytes: maxBytes}
	b.filled.L, b.drawn.L = &b.mu, &b.mu
	return b
}

// Put appends v and returns how many older values were dropped to make room.
// It drops v itself, uncounted, when the inbox is closed.
func (b *Inbox[T]) Put(v T, size int) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0
	}
	for b.ring.Len() > 0 && (b.ring.Len() >= b.maxLen || b.ring.Bytes()+size > b.maxBytes) {
		b.ring.Pop()
		dropped++
	}
	b.pushLocked(v, size)
	return dropped
}

func (b *Inbox[T]) pushLocked(v T, size int) {
	b.ring.Push(v, size)
	if b.ring.Len() == 1 {
		b.filled.Signal()
	}
}

// PutWait appends v once the inbox is not more than half full with it, so that
// there is room for those who cannot wait. It reports whether the inbox is open.
func (b *Inbox[T]) PutWait(v T, size int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.closed && b.ring.Len() > 0 && (b.ring.Len() >= b.maxLen/2 || b.ring.Bytes()+size > b.maxBytes/2) {
		b.drawn.Wait()
	}
	if !b.closed {
		b.pushLocked(v, size)
	}
	return !b.closed
}

// Get waits for the next value; false means that the inbox was closed.
func (b *Inbox[T]) Get() (v T, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.ring.Len() == 0 && !b.closed {
		b.filled.Wait()
	}
	if b.closed {
		return v, false
	}
	v, _, ok = b.ring.Pop()
	b.drawn.Signal()
	return v, ok
}

// Len is the number of values waiting.
func (b *Inbox[T]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ring.Len()
}

// OverHalf tells whether more than half of the room is used.
func (b *Inbox[T]) OverHalf() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ring.Len() > b.maxLen/2 || b.ring.Bytes() > b.maxBytes/2
}

// Close lets Get return at once; values that still wait are dropped.
func (b *Inbox[T]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.ring = Ring[T]{}
	b.filled.Broadcast()
	b.drawn.Broadcast()
}
