// Package queue holds the bounded first-in-first-out queues that adapters put
// between a broker and a node, in both directions.
package queue

// Ring is an unbounded queue of values with a size in bytes each. It is not
// safe for concurrent use; the zero value is empty.
type Ring[T any] struct {
	slots []slot[T]
	head  int
	n     int
	bytes int
}

type slot[T any] struct {
	v    T
	size int
}

// keep is the capacity that an emptied ring keeps; more is given back.
const keep = 1024

// Len is the number of values.
func (r *Ring[T]) Len() int { return r.n }

// Bytes is the sum of their sizes.
func (r *Ring[T]) Bytes() int { return r.bytes }

// Push appends v.
func (r *Ring[T]) Push(v T, size int) {
	if r.n == len(r.slots) {
		r.grow()
	}
	r.slots[(r.head+r.n)&(len(r.slots)-1)] = slot[T]{v, size}
	r.n++
	r.bytes += size
}

// Peek returns the oldest value without removing it.
func (r *Ring[T]) Peek() (v T, size int, ok bool) {
	if r.n == 0 {
		return v, 0, false
	}
	s := &r.slots[r.head]
	return s.v, s.size, true
}

// Pop removes the oldest value.
func (r *Ring[T]) Pop() (v T, size int, ok bool) {
	v, size, ok = r.Peek()
	if !ok {
		return v, 0, false
	}
	r.slots[r.head] = slot[T]{}
	r.head = (r.head + 1) & (len(r.slots) - 1)
	r.n--
	r.bytes -= size
	if r.n == 0 && len(r.slots) > keep {
		r.slots, r.head = nil, 0
	}
	return v, size, true
}

// grow doubles the capacity, which stays a power of two.
func (r *Ring[T]) grow() {
	slots := make([]slot[T], max(16, 2*len(r.slots)))
	n := copy(slots, r.slots[r.head:])
	copy(slots[n:], r.slots[:r.head])
	r.slots, r.head = slots, 0
}
