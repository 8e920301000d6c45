package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// request is a question to other nodes, or to clients, whose answers are taken
// as they come.
type request struct {
	id     string
	signal chan struct{} // has room for one
	who    awaited       // owned by who asks

	mu      sync.Mutex // guards the fields below
	answers []*adapter.Message
	bytes   int
	from    map[string]struct{} // nodes that have given the answer of which there is one each
	alive   *alive              // those that live, if that was asked since next has looked
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
	r.wake()
	return true
}

// look tells who is alive.
func (r *request) look(a *alive) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alive = a
	r.wake()
}

func (r *request) wake() {
	select {
	case r.signal <- struct{}{}:
	default:
	}
}

// next waits for answers and returns those that have come. It returns none when
// nobody is awaited any more, with an error if that is so because nodes have gone
// or could not be asked.
func (r *request) next(ctx context.Context) ([]*adapter.Message, error) {
	for {
		r.mu.Lock()
		answers, alive := r.answers, r.alive
		r.answers, r.bytes, r.alive = nil, 0, nil
		r.mu.Unlock()
		for _, m := range answers {
			r.who.note(m)
		}
		if alive != nil { // the answers that a node had given are older
			r.who.keep(alive)
		}
		switch {
		case len(answers) > 0:
			return answers, nil
		case !r.who.open():
			return nil, r.who.err()
		}
		select {
		case <-r.signal:
		case <-ctx.Done():
			return nil, endOf(ctx)
		}
	}
}

// all yields the answers as they come. If some do not, the last pair is a
// [*PartialError].
func (r *request) all(ctx context.Context, op string) iter.Seq2[*adapter.Message, error] {
	return func(yield func(*adapter.Message, error) bool) {
		for {
			answers, err := r.next(ctx)
			if err != nil {
				yield(nil, r.who.partial(op, err))
				return
			}
			if len(answers) == 0 {
				return
			}
			for _, m := range answers {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// requests are the open questions of a namespace.
type requests struct {
	mu   sync.Mutex
	byID map[string]*request
	stop context.CancelFunc // ends the watch over those who are asked, while there are any
}

func (q *requests) add(ns *Namespace, r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.byID == nil {
		q.byID = map[string]*request{}
	}
	q.byID[r.id] = r
	if len(q.byID) == 1 {
		var ctx context.Context
		ctx, q.stop = context.WithCancel(ns.srv.ctx)
		ns.srv.tasks.Go(func() { ns.watch(ctx) })
	}
}

func (q *requests) remove(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, ok := q.byID[r.id]; !ok {
		return
	}
	delete(q.byID, r.id)
	if len(q.byID) == 0 {
		q.stop()
	}
}

func (q *requests) list() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Collect(maps.Values(q.byID))
}

// put gives an answer to who asked. One that comes late is nobody's.
func (q *requests) put(m *adapter.Message) bool {
	q.mu.Lock()
	r := q.byID[m.RequestID]
	q.mu.Unlock()
	return r == nil || r.put(m)
}

// ask sends a question to the other nodes, of which r takes the answers until it
// is removed from the requests. If it cannot be sent r is over, but for the
// clients of this node.
func (ns *Namespace) ask(ctx context.Context, r *request, m *adapter.Message) {
	if ns.adapter == nil {
		return
	}
	ns.started(ctx)
	named, unnamed, err := ns.peers(ctx) // at call time (SIO-K-02)
	if err != nil {
		r.who.fail(fmt.Errorf("node: count servers: %w", err))
		return
	}
	r.who.await(named, unnamed)
	if len(named)+unnamed > 0 {
		ns.publishRequest(ctx, r, m)
	}
}

func (ns *Namespace) publishRequest(ctx context.Context, r *request, m *adapter.Message) {
	m.RequestID = r.id
	if deadline, ok := ctx.Deadline(); ok {
		m.Timeout = time.Until(deadline)
	}
	ns.requests.add(ns, r)
	if _, err := ns.publish(ctx, m); err != nil {
		r.who.fail(fmt.Errorf("node: publish: %w", err))
	}
}

// evict ends the session of a socket that another node has, and waits until that
// is done. It does not wait for a node that is not alive (HRD-71).
func (ns *Namespace) evict(ctx context.Context, node, id string) error {
	if ns.adapter == nil {
		return nil
	}
	named, _, err := ns.peers(ctx)
	if err != nil {
		return fmt.Errorf("node: evict %s: %w", id, err)
	}
	named = slices.DeleteFunc(named, func(p adapter.Peer) bool { return p.Node != node })
	if len(named) == 0 {
		return nil
	}
	r := newRequest()
	r.who.await(named, 0)
	defer ns.requests.remove(r)
	ns.publishRequest(ctx, r, &adapter.Message{Kind: adapter.Disconnect, Target: adapter.Target{Rooms: []string{id}}, Close: true})
	for _, err = range r.all(ctx, "evict") {
	}
	if errors.Is(err, ErrNodeGone) {
		return nil
	}
	return err
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
