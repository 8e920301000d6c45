package meter

import "sync"

// Kind is a latency that is not one of deliveries.
type Kind int

// The kinds; package result describes them.
const (
	Connect Kind = iota
	Handshake
	Upgrade
	Reconnect
	Join
	Echo
	EchoSent
	ScheduleLag
	Kinds int = iota
)

// Set has a histogram of each kind.
type Set [Kinds]Histogram

// Add counts all values of other, too.
func (s *Set) Add(other *Set) {
	for i := range s {
		s[i].Add(&other[i])
	}
}

const stripes = 8

// Board collects latencies from many goroutines.
type Board struct {
	stripes [stripes]struct {
		mu         sync.Mutex
		set, spare *Set
		_          [40]byte
	}
	mu  sync.Mutex // guards sum; taken before a stripe's
	sum Set
}

// Record counts a value of microseconds. Callers with different numbers n rarely meet.
func (b *Board) Record(n int, k Kind, v int64) {
	s := &b.stripes[uint(n)%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = new(Set)
	}
	s.set[k].Record(v)
}

// Look adds what came since the last look to recent, which may be nil.
func (b *Board) Look(recent *Set) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.stripes {
		s := &b.stripes[i]
		s.mu.Lock()
		set := s.set
		s.set, s.spare = s.spare, set
		s.mu.Unlock()
		if set == nil {
			continue
		}
		b.sum.Add(set)
		for k := range set {
			if recent != nil {
				recent[k].Add(&set[k])
			}
			set[k].Reset()
		}
	}
}

// AddTo adds all that was recorded to sum.
func (b *Board) AddTo(sum *Set) {
	b.Look(nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	sum.Add(&b.sum)
}

// Quantile of one kind, of all that was looked at.
func (b *Board) Quantiles(k Kind, qs ...float64) (values []int64, highest int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, q := range qs {
		values = append(values, b.sum[k].Quantile(q))
	}
	return values, b.sum[k].Max()
}
