package queue

import "sync"

// Inbox is a bounded queue between any number of producers, which never wait,
// and one consumer. When it is full the oldest values go (HRD-61).
type Inbox[T any] struct {
	maxLen   int
	maxBytes int

	mu     sync.Mutex
	filled sync.Cond // waits on mu
	ring   Ring[T]
	closed bool
}

// NewInbox makes an inbox for at most maxLen values of together at most
// maxBytes. A single value larger than that is taken when it is alone.
func NewInbox[T any](maxLen, maxBytes int) *Inbox[T] {
	b := &Inbox[T]{maxLen: maxLen, maxBytes: maxBytes}
	b.filled.L = &b.mu
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
	b.ring.Push(v, size)
	if b.ring.Len() == 1 {
		b.filled.Signal()
	}
	return dropped
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
	return v, ok
}

// Len is the number of values waiting.
func (b *Inbox[T]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ring.Len()
}

// Close lets Get return at once; values that still wait are dropped.
func (b *Inbox[T]) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.ring = Ring[T]{}
	b.filled.Broadcast()
}
