package redis

import goredis "github.com/redis/go-redis/v9"

const (
	// paceFactor is how many times the configured number one read may ask for.
	paceFactor = 16
	// paceBytes is what the entries of a read of more than the configured number
	// should take at most.
	paceBytes = 1 << 20
)

// pace is how many entries of a stream to ask for. Each read is a round trip, and on
// a busy machine these, not the entries, are what a node waits for: one that is
// behind asks for more at a time. The zero value asks for the configured number.
type pace struct {
	factor int // 0 and 1: the configured number
	size   int // bytes of an entry, about, in the last full read
}

// count is the number for the next read.
func (p *pace) count(configured int) int {
	n := configured * max(p.factor, 1)
	return max(configured, min(n, paceBytes/max(p.size, 1)))
}

// took notes what a read of count brought. It tells whether there is more.
func (p *pace) took(count int, entries []goredis.XMessage) (more bool) {
	if len(entries) < count {
		if len(entries) < count/2 {
			p.factor = 0
		}
		return false
	}
	p.factor = min(2*max(p.factor, 1), paceFactor)
	sum := 0
	for _, x := range entries {
		for k, v := range x.Values {
			text, _ := v.(string)
			sum += len(k) + len(text)
		}
	}
	p.size = sum / len(entries)
	return true
}
