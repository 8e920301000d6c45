package webhook

import (
	"sync"
	"time"
)

// State of a circuit.
type State uint8

// The states. A circuit is closed while requests pass.
const (
	Closed   State = iota
	HalfOpen       // one request probes whether the backend is back
	Open           // requests fail at once
)

// String returns "closed", "half-open" or "open".
func (s State) String() string { return [...]string{"closed", "half-open", "open"}[s] }

// circuit keeps requests from a backend that fails. Its lock is held for moments.
type circuit struct {
	failures int // in a row that open it, 0: never
	pause    time.Duration

	mu     sync.Mutex // guards the fields below
	state  State
	row    int       // failures
	until  time.Time // open
	round  uint64    // of the state: results of requests that began in another one do not count
	opened uint64    // how often
}

// isOpen tells whether a request would be refused.
func (c *circuit) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == HalfOpen || c.state == Open && time.Now().Before(c.until)
}

// enter lets a request pass, or not. Whoever passes must leave.
func (c *circuit) enter() (round uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == Closed:
	case c.state == Open && !time.Now().Before(c.until):
		c.changeLocked(HalfOpen)
	default:
		return 0, false
	}
	return c.round, true
}

// change is what the result of a request has brought about.
type change uint8

const (
	noChange change = iota
	hasOpened
	hasClosed
)

// leave takes the result of a request.
func (c *circuit) leave(round uint64, r result) change {
	c.mu.Lock()
	defer c.mu.Unlock()
	if round != c.round {
		return noChange
	}
	switch {
	case r == alive:
		c.row = 0
		if c.state == HalfOpen {
			c.changeLocked(Closed)
			return hasClosed
		}
	case r == unknown:
		if c.state == HalfOpen {
			c.changeLocked(Open) // until is over: the next one probes
		}
	default:
		c.row++
		if c.state == HalfOpen || c.failures > 0 && c.row >= c.failures {
			c.until = time.Now().Add(c.pause)
			c.opened++
			c.changeLocked(Open)
			return hasOpened
		}
	}
	return noChange
}

func (c *circuit) changeLocked(s State) {
	c.state = s
	c.round++
}

func (c *circuit) stats() (s State, opened uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.opened
}
