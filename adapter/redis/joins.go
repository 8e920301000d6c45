package redis

import (
	"sync"
	"sync/atomic"
	"time"
)

// joinWindow is how long a room counts as just joined by order of this node.
const joinWindow = 2 * time.Second

// maxJoins bounds the rooms that are remembered; beyond that all rooms count.
const maxJoins = 1000

// recentJoins remembers the rooms that this node has told others' sockets to
// join. A node that obeys subscribes the room's channel only then, too late for
// what is published there right after. So for a while such rooms are published
// on the common channel, where everybody hears it, official nodes included: who
// orders a join and emits to the room reaches the members on all nodes.
type recentJoins struct {
	used atomic.Bool

	mu    sync.Mutex // guards the fields below
	until map[string]time.Time
	all   time.Time // until then all rooms count
}

func (j *recentJoins) add(rooms []string, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used.Store(true)
	if j.until == nil {
		j.until = map[string]time.Time{}
	}
	j.prune(now)
	for _, room := range rooms {
		if len(j.until) >= maxJoins {
			j.all = now.Add(joinWindow)
			return
		}
		j.until[room] = now.Add(joinWindow)
	}
}

// has tells whether room was joined a moment ago.
func (j *recentJoins) has(room string, now func() time.Time) bool {
	if !j.used.Load() {
		return false
	}
	t := now()
	j.mu.Lock()
	defer j.mu.Unlock()
	if t.Before(j.all) || t.Before(j.until[room]) {
		return true
	}
	j.prune(t)
	if len(j.until) == 0 {
		j.used.Store(false)
	}
	return false
}

// prune forgets what is over. It looks at a few entries only, so that a call
// costs the same however many there are.
func (j *recentJoins) prune(now time.Time) {
	n := 0
	for room, until := range j.until {
		if !now.Before(until) {
			delete(j.until, room)
		}
		if n++; n == 8 {
			return
		}
	}
}
