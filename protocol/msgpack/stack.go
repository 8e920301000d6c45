package msgpack

// stack holds what is known about open containers. It allocates for deep nesting
// only; a plain slice would escape to the heap each time.
type stack[T any] struct {
	few  [12]T
	more []T
	n    int
}

func (s *stack[T]) push(v T) {
	if s.n < len(s.few) {
		s.few[s.n] = v
	} else {
		s.more = append(s.more, v)
	}
	s.n++
}

func (s *stack[T]) top() *T {
	if s.n <= len(s.few) {
		return &s.few[s.n-1]
	}
	return &s.more[len(s.more)-1]
}

func (s *stack[T]) pop() {
	if s.n > len(s.few) {
		s.more = s.more[:len(s.more)-1]
	}
	s.n--
}
