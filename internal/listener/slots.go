package listener

import "sync/atomic"

// Slots is a number of connections, shared by the servers of one process.
type Slots struct {
	limit int64
	used  atomic.Int64
}

// NewSlots makes n slots; 0 means [DefaultMaxConns].
func NewSlots(n int) *Slots {
	if n <= 0 {
		n = DefaultMaxConns()
	}
	return &Slots{limit: int64(n)}
}

// Limit is the number of slots.
func (s *Slots) Limit() int { return int(s.limit) }

// Used is the number of slots in use.
func (s *Slots) Used() int { return int(s.used.Load()) }

func (s *Slots) acquire() bool {
	if s.used.Add(1) > s.limit {
		s.used.Add(-1)
		return false
	}
	return true
}

func (s *Slots) release() { s.used.Add(-1) }

// DefaultMaxConns is the limit of open files minus a reserve of a quarter of it,
// at least 64 and at most 512 (HRD-14, HRD-74): Redis, logs and connections that
// are being refused need descriptors too.
func DefaultMaxConns() int { return maxConns(fileLimit()) }

// unlimitedFiles stands for a system that sets no limit or does not tell it.
const unlimitedFiles = 1 << 20

func maxConns(files uint64) int {
	n := int(min(files, unlimitedFiles))
	return max(n-min(max(n/4, 64), 512), 1)
}
