package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// request is a question to other nodes, or to clients, whose answers are taken
// as they come.
type request struct {
	id     string
	signal chan struct{} // has room for one

	mu      sync.Mutex // guards the fields below
	answers []*adapter.Message
	bytes   int
	from    map[string]struct{} // nodes that have given the answer of which there is one each
}

// maxAnswers and maxAnswerBytes bound the answers that wait for who asked.
const (
	maxAnswers     = 100_000
	maxAnswerBytes = 64 << 20
)

func newRequest() *request { return &request{id: randomID(9), signal: make(chan struct{}, 1)} }

// put queues an answer; false if it is one too many.
func (r *request) put(m *adapter.Message) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Kind != adapter.ClientAck && m.From != "" {
		if _, ok := r.from[m.From]; ok {
			return false
		}
		if r.from == nil {
			r.from = map[string]struct{}{}
		}
		r.from[m.From] = struct{}{}
	}
	if len(r.answers) >= maxAnswers || r.bytes >= maxAnswerBytes {
		return false
	}
	r.answers = append(r.answers, m)
	r.bytes += m.Packet.Size()
	select {
	case r.signal <- struct{}{}:
	default:
	}
	return true
}

// take waits for answers and returns those that have come, or the error that
// ends the wait.
func (r *request) take(ctx context.Context) ([]*adapter.Message, error) {
	for {
		r.mu.Lock()
		answers := r.answers
		r.answers, r.bytes = nil, 0
		r.mu.Unlock()
		if len(answers) > 0 {
			return answers, nil
		}
		select {
		case <-r.signal:
		case <-ctx.Done():
			return nil, endOf(ctx)
		}
	}
}

// requests are the open questions of a namespace.
type requests struct {
	mu   sync.Mutex
	byID map[string]*request
}

func (q *requests) add(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.byID == nil {
		q.byID = map[string]*request{}
	}
	q.byID[r.id] = r
}

func (q *requests) remove(r *request) {
	q.mu.Lock()
	delete(q.byID, r.id)
	q.mu.Unlock()
}

// put gives an answer to who asked. One that comes late is nobody's.
func (q *requests) put(m *adapter.Message) bool {
	q.mu.Lock()
	r := q.byID[m.RequestID]
	q.mu.Unlock()
	return r == nil || r.put(m)
}

// ask sends a question to the other nodes and returns how many they are. r takes
// the answers until it is removed from the requests.
func (ns *Namespace) ask(ctx context.Context, r *request, m *adapter.Message) (others int, err error) {
	if ns.adapter == nil {
		return 0, nil
	}
	ns.started(ctx)
	n, err := ns.adapter.ServerCount(ctx) // at call time (SIO-K-02)
	if err != nil {
		return -1, fmt.Errorf("node: count servers: %w", err)
	}
	if n <= 1 {
		return 0, nil
	}
	m.RequestID = r.id
	if deadline, ok := ctx.Deadline(); ok {
		m.Timeout = time.Until(deadline)
	}
	ns.requests.add(r)
	if _, err := ns.adapter.Publish(ctx, m); err != nil {
		return n - 1, fmt.Errorf("node: publish: %w", err)
	}
	return n - 1, nil
}

// collector waits for the acks of a broadcast's recipients on this node.
type collector struct {
	mu      sync.Mutex
	waiting map[*Socket]struct{} // have not answered
	sink    func(adapter.Payload)
	timer   *time.Timer // ends it; nil if the caller does
}

// collectors are the broadcasts of a namespace that wait for acks, by ack id.
type collectors struct {
	mu   sync.Mutex
	byID map[uint64]*collector
}

// maxCollectors bounds the broadcasts with ack of other nodes that wait for
// answers of this node's clients.
const maxCollectors = 10_000

func (q *collectors) add(id uint64, c *collector) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.byID == nil {
		q.byID = map[uint64]*collector{}
	}
	q.byID[id] = c
}

func (q *collectors) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.byID)
}

func (q *collectors) remove(id uint64) {
	q.mu.Lock()
	delete(q.byID, id)
	q.mu.Unlock()
}

// newCollector makes a collector for the recipients that are connected now, and
// returns it with their number.
func newCollector(r *recipients, sink func(adapter.Payload)) (*collector, int) {
	c := &collector{waiting: make(map[*Socket]struct{}, len(r.list)), sink: sink}
	for _, s := range r.list {
		if s != r.skip && s.ready() {
			c.waiting[s] = struct{}{}
		}
	}
	return c, len(c.waiting)
}

// collect tells the node that asked how many recipients are here, and passes on
// their answers (CLU-R-28 to -30).
func (ns *Namespace) collect(id uint64, r *recipients, m *adapter.Message) {
	c, n := newCollector(r, func(p adapter.Payload) {
		ns.respond(m.From, &adapter.Message{Kind: adapter.ClientAck, RequestID: m.RequestID, Packet: p})
	})
	if n > 0 && ns.pending.len() < maxCollectors {
		timeout := ns.srv.cfg.AckTimeout
		if m.Timeout > 0 {
			timeout = min(m.Timeout, time.Hour)
		}
		c.timer = time.AfterFunc(timeout, func() { ns.pending.remove(id) })
		ns.pending.add(id, c)
	}
	ns.respond(m.From, &adapter.Message{Kind: adapter.ClientCount, RequestID: m.RequestID, Count: n})
}

// answered takes an ack of a client to a broadcast; false if none waits for it.
// Each recipient answers once (SIO-A-05).
func (ns *Namespace) answered(id uint64, s *Socket, a Args) bool {
	ns.pending.mu.Lock()
	c := ns.pending.byID[id]
	ns.pending.mu.Unlock()
	if c == nil {
		return false
	}
	c.mu.Lock()
	_, ok := c.waiting[s]
	delete(c.waiting, s)
	last := len(c.waiting) == 0
	c.mu.Unlock()
	if !ok {
		return false
	}
	if last && c.timer != nil {
		c.timer.Stop()
		ns.pending.remove(id)
	}
	c.sink(adapter.Payload{Data: firstArg(a), Attachments: a.Attachments()}) // SIO-A-04
	return true
}
