// Package fleet holds the clients of a load test: it connects them at a rate, keeps them
// connected, lets them go, and says how that went. The clients are those of package
// client, with its reconnection; their events are handed on where they are read.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fanwire/fanwire/client"
	"github.com/fanwire/fanwire/loadtest/internal/meter"
	"github.com/fanwire/fanwire/loadtest/internal/plan"
)

// Hooks are told what happens to sessions. They may be called by many goroutines at
// once; those of one session, but for Event, one after the other.
type Hooks struct {
	// Asking: the session is open and about to ask for the namespace, whose messages it
	// may get from now on.
	Asking func(s *Session)
	// Refused: that, or the connect, has not worked.
	Refused func(s *Session)
	// Up: the session is connected.
	Up func(s *Session)
	// Down: it is not any more, for whatever reason.
	Down func(s *Session)
	// Event is called by the goroutine that reads; see client.Socket.OnRaw.
	Event func(s *Session, e *client.RawEvent) (done bool)
	// Latency in microseconds.
	Latency func(s *Session, k meter.Kind, v int64)
}

// Counters tell what has happened so far.
type Counters struct {
	Attempts, Connected, Failed, Disconnected, Reconnected, Recovered atomic.Int64
	Now, Peak                                                         atomic.Int64 // connected
}

// inProgress bounds the first attempts that are under way at a time.
const inProgress = 256

// Fleet is all clients.
type Fleet struct {
	Counters
	plan   *plan.Plan
	hooks  Hooks
	epoch  time.Time
	dials  []dialFunc
	tokens chan struct{} // of first attempts

	mu       sync.Mutex // guards the fields below
	sessions []*Session
	running  int // of sessions, those that are wanted: the first ones
	errors   map[string]int64
	nodes    []string
	byURL    []int64 // connections opened
	closed   bool
}

// New makes a fleet of peak sessions. Nothing is connected yet. Times are counted from
// epoch.
func New(p *plan.Plan, epoch time.Time, hooks Hooks) (*Fleet, error) {
	addrs, err := p.Addresses()
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		plan: p, hooks: hooks, epoch: epoch, dials: dialers(addrs, p.Timeout.D()), tokens: make(chan struct{}, inProgress),
		errors: make(map[string]int64), byURL: make([]int64, len(p.URLs)),
	}
	for i := range p.Peak() {
		s, err := f.newSession(i)
		if err != nil {
			return nil, err
		}
		f.sessions = append(f.sessions, s)
	}
	return f, nil
}

// Sessions returns all, connected or not.
func (f *Fleet) Sessions() []*Session { return f.sessions }

// Micros is the time since the epoch.
func (f *Fleet) Micros() int64 { return time.Since(f.epoch).Microseconds() }

// Reach brings the number of sessions to n, evenly over a time, or as fast as the
// plan's connect rate and the targets allow. It returns when the last one has begun to
// connect or to leave.
func (f *Fleet) Reach(ctx context.Context, n int, over time.Duration) {
	n = min(n, len(f.sessions))
	f.mu.Lock()
	from := f.running
	f.mu.Unlock()
	count := max(n-from, from-n)
	if count == 0 {
		return
	}
	gap := float64(over) / float64(count)
	if r := float64(f.plan.ConnectRate); r > 0 && n > from {
		gap = max(gap, float64(time.Second)/r)
	}
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range count {
		if d := time.Until(begin.Add(time.Duration(float64(i) * gap))); d > 0 {
			timer.Reset(d)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil || !f.step(ctx, n > from) {
			return
		}
	}
}

// step adds a session or takes one away.
func (f *Fleet) step(ctx context.Context, up bool) bool {
	if up {
		select {
		case f.tokens <- struct{}{}:
		case <-ctx.Done():
			return false
		}
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return false
	}
	if !up {
		f.running--
	}
	s := f.sessions[f.running]
	if up {
		f.running++
	}
	f.mu.Unlock()
	if up {
		s.first()
	} else {
		s.Leave()
	}
	return true
}

// Settled returns when the first attempt of each session has ended in one way or the
// other.
func (f *Fleet) Settled(ctx context.Context) {
	taken := 0
	for ; taken < inProgress; taken++ {
		select {
		case f.tokens <- struct{}{}:
			continue
		case <-ctx.Done():
		}
		break
	}
	for range taken {
		<-f.tokens
	}
}

// Wanted is the number of sessions that are to be connected.
func (f *Fleet) Wanted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// Running returns the sessions that are wanted.
func (f *Fleet) Running() []*Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sessions[:f.running:f.running]
}

// Balance counts the connected sessions by node and by transport.
func (f *Fleet) Balance() (byNode, byTransport map[string]int64) {
	byNode, byTransport = make(map[string]int64), make(map[string]int64)
	for _, s := range f.Running() {
		if !s.Up() {
			continue
		}
		if name := f.NodeName(s.Node()); name != "" {
			byNode[name]++
		}
		if t := s.client.Transport(); t != "" {
			byTransport[t]++
		}
	}
	return byNode, byTransport
}

// NodeName is the name of a node by its number, empty for none.
func (f *Fleet) NodeName(n int32) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n < 0 || int(n) >= len(f.nodes) {
		return ""
	}
	return f.nodes[n]
}

// node is the number of the node that serves a session: what follows the last dot of
// the session's id or, with servers that do not say it there, the target if there are
// several. -1 if nothing tells.
func (f *Fleet) node(sid string, target int) int32 {
	name := ""
	if i := strings.LastIndexByte(sid, '.'); i >= 0 {
		name = sid[i+1:]
	} else if len(f.plan.URLs) > 1 {
		name = f.targetName(target)
	}
	if name == "" {
		return -1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, known := range f.nodes {
		if known == name {
			return int32(i)
		}
	}
	if len(f.nodes) == 1000 { // no cluster is that large
		return -1
	}
	f.nodes = append(f.nodes, name)
	return int32(len(f.nodes) - 1)
}

func (f *Fleet) targetName(target int) string {
	_, host, _ := strings.Cut(plan.RedactURL(f.plan.URLs[target]), "://")
	return strings.TrimSuffix(host, "/")
}

// Targets returns how many connections were opened to each URL of the plan.
func (f *Fleet) Targets() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]int64(nil), f.byURL...)
}

// maxErrors bounds the kinds of errors that are told apart.
const maxErrors = 100

// Count counts an error of a kind.
func (f *Fleet) Count(kind string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.errors[kind]; !ok && len(f.errors) >= maxErrors {
		kind = "others"
	}
	f.errors[kind]++
}

// Errors returns the errors so far by their kind, and their number.
func (f *Fleet) Errors() (kinds map[string]int64, sum int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kinds = make(map[string]int64, len(f.errors))
	for k, n := range f.errors {
		kinds[k] = n
		sum += n
	}
	return kinds, sum
}

// TargetError says which target cannot be used, and why.
type TargetError struct {
	URL string
	Err error
}

func (e *TargetError) Error() string { return e.URL + ": " + reason(e.Err) }

func (e *TargetError) Unwrap() error { return e.Err }

// Probe connects once to each target, and asks it for the ack of an event if one is
// given. It returns the error of the first target that cannot be used.
func (f *Fleet) Probe(ctx context.Context, event string) error {
	for i := range f.plan.URLs {
		if err := f.probe(ctx, i, event); err != nil {
			return &TargetError{plan.RedactURL(f.plan.URLs[i]), err}
		}
	}
	return nil
}

func (f *Fleet) probe(ctx context.Context, target int, event string) error {
	ctx, cancel := context.WithTimeout(ctx, f.plan.Timeout.D())
	defer cancel()
	s, err := client.Dial(ctx, f.address(target), f.options(target, f.plan.Transport.Of(0)))
	if err != nil {
		return err
	}
	defer s.Close()
	if event == "" {
		return nil
	}
	if _, err := client.Call[client.None](ctx, s, event); err != nil {
		return fmt.Errorf("does not answer %q in the namespace %s (is the server's side of the test there, as with fanwire serve --loadtest?): %s", event, f.plan.Namespace, reason(err))
	}
	return nil
}

// reason is an error in words that are the same for all clients, and for people.
func reason(err error) string {
	var refused *client.ConnectError
	var transport *client.TransportError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &refused):
		return fmt.Sprintf("the namespace was refused: %s", refused.Message)
	case errors.As(err, &transport) && transport.Status != 0:
		return fmt.Sprintf("the handshake was refused: status %d %s", transport.Status, transport.Detail)
	case errors.As(err, &transport) && transport.Err != nil:
		return cause(transport.Err)
	}
	return strings.TrimPrefix(err.Error(), "client: ")
}

// cause drops addresses, which differ from client to client.
func cause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// Close lets all clients go and waits for them.
func (f *Fleet) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	work := make(chan *Session)
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for s := range work {
				s.leaving.Store(true)
				s.client.Close()
			}
		})
	}
	for _, s := range f.sessions {
		work <- s
	}
	close(work)
	wg.Wait()
}
