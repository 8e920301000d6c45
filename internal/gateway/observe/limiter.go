package observe

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	linesPerSecond = 10   // of one message (HRD-85)
	maxMessages    = 1000 // told apart in a second; the others count together
)

// message is a level and a text.
type message struct {
	level slog.Level
	text  string
}

// lines are those of one message in the second that runs.
type lines struct{ written, left int }

// limiter lets some lines of each message pass in a second, and tells at the end of
// the second how many it has left out.
type limiter struct {
	out slog.Handler // of what it tells

	mu     sync.Mutex // guards the fields below
	counts map[message]*lines
	timer  *time.Timer // ends the second; nil while none runs
	closed bool
}

func newLimiter(out slog.Handler) *limiter {
	return &limiter{out: out, counts: map[message]*lines{}}
}

// allow counts a line and tells whether it may be written.
func (l *limiter) allow(level slog.Level, text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return true
	}
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Second, l.tell)
	}
	key := message{level, text}
	n := l.counts[key]
	if n == nil && len(l.counts) >= maxMessages {
		key.text = ""
		n = l.counts[key]
	}
	if n == nil {
		n = new(lines)
		l.counts[key] = n
	}
	if n.written == linesPerSecond {
		n.left++
		return false
	}
	n.written++
	return true
}

// tell ends the second.
func (l *limiter) tell() {
	l.mu.Lock()
	counts := l.counts
	l.counts, l.timer = map[message]*lines{}, nil
	l.mu.Unlock()
	for m, n := range counts {
		if n.left == 0 {
			continue
		}
		r := slog.NewRecord(time.Now(), m.level, "log lines left out", 0)
		r.AddAttrs(slog.String("message", m.text), slog.Int("lines", n.left))
		_ = l.out.Handle(context.Background(), r)
	}
}

// close tells what is left and lets everything pass from now on.
func (l *limiter) close() {
	l.mu.Lock()
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.mu.Unlock()
	l.tell()
}
