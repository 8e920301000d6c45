package node

import (
	"context"
	"iter"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// stream is a broker that orders everything, as Redis Streams do: what a node keeps
// comes back to it (adapter.Journal, Orders).
type stream struct {
	sessions adapter.Memory

	mu      sync.Mutex
	grown   sync.Cond
	entries []entry
}

type entry struct {
	m  *adapter.Message
	by *streamNode
}

func newStream() *stream {
	st := new(stream)
	st.grown.L = &st.mu
	return st
}

// streamNode is one node of a stream.
type streamNode struct {
	adapter.Adapter // the rest; nobody else is there
	adapter.Journal // the sessions
	stream          *stream
	host            adapter.Host
	done            chan struct{}
	closed          bool // guarded by stream.mu
	read            int  // entries that Receive has taken; guarded by stream.mu
	at              int  // entries that are delivered; guarded by the node's lock
}

func (st *stream) factory(h adapter.Host) (adapter.Adapter, error) {
	rest, err := adapter.Alone(h)
	return &streamNode{Adapter: rest, Journal: st.sessions.Journal(h), stream: st, host: h, done: make(chan struct{})}, err
}

func (n *streamNode) Start(context.Context) error {
	n.stream.mu.Lock()
	n.read = len(n.stream.entries)
	n.at = n.read
	n.stream.mu.Unlock()
	go n.receive() // ends when Close says so, which waits for it
	return nil
}

func (n *streamNode) receive() {
	defer close(n.done)
	st := n.stream
	for {
		st.mu.Lock()
		for n.read == len(st.entries) && !n.closed {
			st.grown.Wait()
		}
		if n.closed {
			st.mu.Unlock()
			return
		}
		e := st.entries[n.read]
		st.mu.Unlock()
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) // on its way
		if e.m.Local || e.m.Direct {
			if e.by != n {
				e.m = &adapter.Message{Kind: adapter.Broadcast, Target: adapter.Target{Rooms: []string{"\x01nobody"}}, Packet: e.m.Packet, Mark: e.m.Mark}
			}
		}
		n.host.Receive(e.m)
		st.mu.Lock()
		n.read++
		st.grown.Broadcast()
		st.mu.Unlock()
	}
}

func (n *streamNode) Close(ctx context.Context) error {
	n.stream.mu.Lock()
	n.closed = true
	n.stream.grown.Broadcast()
	n.stream.mu.Unlock()
	<-n.done
	return n.Adapter.Close(ctx)
}

func (n *streamNode) Orders() bool { return true }

func (n *streamNode) Publish(ctx context.Context, m *adapter.Message) (adapter.Placed, error) {
	if m.Kind != adapter.Broadcast || m.RequestID != "" || m.Target.Volatile {
		return adapter.Placed{}, nil
	}
	return n.Append(ctx, m)
}

// Append waits until m has come back.
func (n *streamNode) Append(_ context.Context, m *adapter.Message) (adapter.Placed, error) {
	st := n.stream
	st.mu.Lock()
	defer st.mu.Unlock()
	c := *m
	c.From = n.host.NodeID()
	c.Mark = adapter.Mark{Seq: uint64(len(st.entries) + 1)}
	st.entries = append(st.entries, entry{&c, n})
	st.grown.Broadcast()
	for n.read < int(c.Mark.Seq) && !n.closed {
		st.grown.Wait()
	}
	return adapter.Placed{Returns: true}, nil
}

func (n *streamNode) Advance(m *adapter.Message) string {
	n.at = max(n.at, int(m.Mark.Seq))
	return n.Here()
}

func (n *streamNode) Here() string { return strconv.Itoa(n.at) }

func (n *streamNode) Merge(a, b string) (string, error) {
	x, errA := strconv.Atoi(a)
	y, errB := strconv.Atoi(b)
	if errA != nil || errB != nil {
		return "", adapter.ErrLost
	}
	return strconv.Itoa(max(x, y)), nil
}

func (n *streamNode) Replay(_ context.Context, offset string, wants func(*adapter.Message) bool) (adapter.Replay, error) {
	from, err := strconv.Atoi(offset)
	if err != nil {
		return nil, adapter.ErrLost
	}
	time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
	n.stream.mu.Lock()
	defer n.stream.mu.Unlock()
	r := &streamReplay{node: n, last: len(n.stream.entries)}
	for _, e := range n.stream.entries[from:] {
		if wants(e.m) {
			r.events = append(r.events, e.m)
		}
	}
	return r, nil
}

type streamReplay struct {
	node   *streamNode
	events []*adapter.Message
	last   int
}

func (r *streamReplay) Events() iter.Seq2[*adapter.Message, string] {
	return func(yield func(*adapter.Message, string) bool) {
		for _, m := range r.events {
			if !yield(m, strconv.FormatUint(m.Mark.Seq, 10)) {
				return
			}
		}
	}
}

func (r *streamReplay) Saw(mark adapter.Mark) bool { return mark.Seq > 0 && int(mark.Seq) <= r.last }
func (r *streamReplay) Over() bool                 { return r.node.at >= r.last }

func (r *streamReplay) Offset(offset string) string {
	merged, _ := r.node.Merge(offset, strconv.Itoa(r.last))
	return merged
}

// TestOrderedRecovery does what the other recovery tests do with a broker that
// decides on the order.
func TestOrderedRecovery(t *testing.T) {
	st := newStream()
	var servers []*testServer
	for range 3 {
		servers = append(servers, newServer(t, recovering(Config{Adapter: st.factory})))
	}
	roamAll(t, servers, 8, 12)
}

// What one goroutine sends by several ways stays in order, and a handler that waits
// for its event to come back does not hold up the reader.
func TestOrderedEmit(t *testing.T) {
	srv := newServer(t, recovering(Config{Adapter: newStream().factory}))
	On(srv, "go", func(ctx context.Context, s *Socket, n int) error {
		_ = s.Emit(ctx, "own", n)
		_ = srv.Emit(ctx, "all", n)
		_ = srv.To(s.ID()).Emit(ctx, "id", n)
		_ = srv.Local().Emit(ctx, "local", n)
		return s.Emit(ctx, "own again", n)
	})
	l := begin(t, srv, "/", nil)
	for n := range 20 {
		l.send(`42["go",` + strconv.Itoa(n) + `]`)
	}
	for n := range 20 {
		for _, name := range []string{"own", "all", "id", "local", "own again"} {
			l.want(`["` + name + `",` + strconv.Itoa(n) + `]`)
		}
	}
}
