package adapter

import (
	"errors"
	"sync"
	"time"
)

// Memory keeps the events and sessions of nodes without a broker in their own
// process, within bounds: the journal of a node that has no adapter, and of those
// that a [Hub] connects. The zero value is ready to use and may not be copied.
type Memory struct {
	// MaxEvents and MaxBytes bound the events kept for one namespace, MaxSessions
	// its records. The oldest events go first; a record too many is refused. 0 means
	// 100,000 events, 64 MiB and 200,000 records (HRD-67). Set them before the first
	// use.
	MaxEvents, MaxBytes, MaxSessions int

	mu         sync.Mutex // guards the fields below, and users and unused of the logs
	namespaces map[string]*memoryLog
	swept      time.Time // when forget has looked
}

// Journal returns the journal of one namespace of a node that has no others. It
// is an [io.Closer]; a namespace that comes back finds what it had.
func (s *Memory) Journal(host Host) Journal {
	j := new(memoryAlone)
	j.attach(s, host)
	return j
}

// maxUnused bounds the namespaces that nobody uses and that are kept for their
// sessions.
const maxUnused = 10_000

// acquire returns the log of a namespace and counts a user.
func (s *Memory) acquire(host Host) *memoryLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget()
	l := s.namespaces[host.Namespace()]
	if l == nil {
		l = &memoryLog{
			maxEvents:   orDefault(s.MaxEvents, 100_000),
			maxBytes:    orDefault(s.MaxBytes, 64<<20),
			maxSessions: orDefault(s.MaxSessions, 200_000),
			start:       time.Now(),
			sessions:    map[string]memorySession{},
		}
		if s.namespaces == nil {
			s.namespaces = map[string]*memoryLog{}
		}
		s.namespaces[host.Namespace()] = l
	}
	l.setWindow(host.RecoveryWindow())
	l.users++
	return l
}

// release ends what acquire began. The log stays as long as somebody may come back
// to it.
func (s *Memory) release(l *memoryLog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.users--
	if l.users == 0 {
		l.unused = time.Now()
	}
	s.forget()
}

// forget removes the logs that nobody will come back to.
func (s *Memory) forget() {
	if time.Since(s.swept) < sweepPeriod && len(s.namespaces) <= maxUnused {
		return
	}
	s.swept = time.Now()
	for name, l := range s.namespaces {
		if l.users == 0 && (time.Since(l.unused) > l.keepFor() || len(s.namespaces) > maxUnused) {
			delete(s.namespaces, name)
		}
	}
}

// memoryLog is what is kept of one namespace.
type memoryLog struct {
	// Static after construction.
	maxEvents, maxBytes, maxSessions int
	start                            time.Time // to which times count (HRD-77)

	users  int       // guarded by Memory.mu
	unused time.Time // guarded by Memory.mu

	mu       sync.Mutex // guards the fields below, and the positions of the journals
	window   time.Duration
	names    uint64        // given to journals
	events   []memoryEvent // the one numbered dropped+1 is events[head]
	head     int
	dropped  uint64 // number of the last event that is gone
	bytes    int
	sessions map[string]memorySession // by pid
	longest  time.Duration            // that a record was to last
	swept    time.Duration            // when the expired records were removed

	kept, keptBytes uint64 // counters
}

// memoryEvent is an event that was kept. Its number says where it is.
type memoryEvent struct {
	m    *Message
	by   uint64 // name of the journal it came through
	size int
	at   time.Duration
}

// memorySession is a record, which lasts until end.
type memorySession struct {
	Session
	end time.Duration
}

func (l *memoryLog) setWindow(d time.Duration) {
	l.mu.Lock()
	l.window = max(l.window, d)
	l.mu.Unlock()
}

// keepFor is how long an unused log may still be of use.
func (l *memoryLog) keepFor() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(l.window, l.longest)
}

// lastLocked is the number of the last event.
func (l *memoryLog) lastLocked() uint64 { return l.dropped + uint64(len(l.events)-l.head) }

// eventOverhead is what an event takes besides its payload and the names of its
// rooms, roughly.
const eventOverhead = 256

// appendLocked keeps m, which then has a Mark, and drops what is too much.
func (l *memoryLog) appendLocked(m *Message, by uint64) uint64 {
	now := time.Since(l.start)
	e := memoryEvent{m: m, by: by, size: m.Packet.Size() + eventOverhead, at: now}
	for _, rooms := range [][]string{m.Target.Rooms, m.Target.Except} {
		for _, room := range rooms {
			e.size += len(room)
		}
	}
	l.events = append(l.events, e)
	l.bytes += e.size
	l.kept++
	l.keptBytes += uint64(m.Packet.Size())
	m.Mark = Mark{Seq: l.lastLocked()}
	for len(l.events)-l.head > l.maxEvents || l.bytes > l.maxBytes || l.events[l.head].at < now-l.window {
		l.bytes -= l.events[l.head].size
		l.events[l.head] = memoryEvent{}
		l.head++
		l.dropped++
		if l.head == len(l.events) {
			break
		}
	}
	if l.head > 1000 && l.head > len(l.events)/2 {
		l.events = append(make([]memoryEvent, 0, 2*(len(l.events)-l.head)), l.events[l.head:]...)
		l.head = 0
	}
	return m.Mark.Seq
}

// after returns the events with numbers above n; not ok if some are gone.
func (l *memoryLog) after(n uint64) (events []memoryEvent, last uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last = l.lastLocked()
	if n < l.dropped || n > last {
		return nil, last, false
	}
	from := l.head + int(n-l.dropped)
	return append([]memoryEvent(nil), l.events[from:]...), last, true
}

var errManySessions = errors.New("adapter: too many session records")

// sweepPeriod is how often what has expired is looked for.
const sweepPeriod = 10 * time.Second

func (l *memoryLog) save(s *Session, ttl time.Duration, fresh bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Since(l.start)
	if now-l.swept > sweepPeriod || len(l.sessions) >= l.maxSessions {
		l.swept = now
		for pid, r := range l.sessions {
			if r.end < now {
				delete(l.sessions, pid)
			}
		}
	}
	old, ok := l.sessions[s.PID]
	switch {
	case ok && !fresh && old.end >= now && (old.Owner != s.Owner || old.Epoch != s.Epoch):
		return nil
	case !ok && len(l.sessions) >= l.maxSessions:
		return errManySessions
	}
	l.sessions[s.PID] = memorySession{*s, now + ttl}
	l.longest = max(l.longest, ttl)
	return nil
}

func (l *memoryLog) touch(pids []string, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := time.Since(l.start) + ttl
	for _, pid := range pids {
		if r, ok := l.sessions[pid]; ok {
			r.end = max(r.end, end)
			l.sessions[pid] = r
		}
	}
}

func (l *memoryLog) take(pid string) (*Session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.sessions[pid]
	delete(l.sessions, pid)
	if !ok || r.end < time.Since(l.start) {
		return nil, ErrNoSession
	}
	return &r.Session, nil
}

func (l *memoryLog) drop(s *Session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.sessions[s.PID]; ok && r.Owner == s.Owner && r.Epoch == s.Epoch {
		delete(l.sessions, s.PID)
	}
}
