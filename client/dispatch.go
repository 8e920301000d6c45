package client

import (
	"context"
	"errors"
	"sync"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/internal/args"
)

// delivery is something that handlers are to be told of.
type delivery struct {
	kind  deliveryKind
	event []byte
	args  args.Args
	conn  *engine.Conn // that the event came from, if it wants an ack
	ackID uint64
	end   Disconnect // deliveryDisconnect
	err   error      // deliveryConnectError
}

type deliveryKind byte

const (
	deliverEvent deliveryKind = iota
	deliverConnect
	deliverDisconnect
	deliverConnectError
)

// overhead is what an event counts for besides its bytes.
const overhead = 200

func (d *delivery) size() int {
	n := overhead + len(d.event) + len(d.args.JSON())
	for _, a := range d.args.Attachments() {
		n += len(a)
	}
	return n
}

type gate byte

const (
	gateShut gate = iota // events are dropped
	gateHold             // CONNECT is under way: events wait for its answer (SIO-J-02)
	gateOpen
)

// queue holds the deliveries of one socket and runs handlers in order, in a
// goroutine that lives while there are any.
type queue struct {
	run   func(context.Context, *delivery) // a socket's handlers
	ctx   context.Context                  // for the handlers
	limit int
	wg    *sync.WaitGroup

	mu      sync.Mutex
	gate    gate
	held    []delivery
	items   []delivery
	bytes   int        // of events in held and items
	track   bool       // the server may restore our state: offset counts
	offset  args.Args  // of the last event that ended with a string (SIO-Z-13)
	copied  []byte     // what offset points to after admit
	running bool       // a worker exists
	closed  bool       // no worker starts any more
	room    *sync.Cond // bytes or gate changed; made by who waits
}

// heldFactor is how many times the bound of the queue events may take that come
// before the answer to CONNECT: all that a client has missed may (SIO-Z-10), and
// who stops reading then never gets the answer.
const heldFactor = 64

var errHeld = errors.New("client: too many events before the answer to CONNECT")

// event queues an event. It blocks while the queue is full. With an error the
// event is lost, and the connection is of no use any more.
func (q *queue) event(d delivery) error {
	size := d.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.gate == gateOpen && q.limit > 0 && q.bytes >= q.limit {
		if q.room == nil {
			q.room = sync.NewCond(&q.mu)
		}
		q.room.Wait()
	}
	switch q.gate {
	case gateShut:
		return nil
	case gateHold:
		if q.limit > 0 && q.bytes/heldFactor >= q.limit {
			return errHeld
		}
		q.held = append(q.held, d)
		q.bytes += size
		return nil
	}
	q.bytes += size
	q.noteOffsetLocked(&d)
	q.addLocked(d)
	return nil
}

// noteOffsetLocked keeps the arguments of an event if the last of them may be an
// offset. The text is taken when it is needed.
func (q *queue) noteOffsetLocked(d *delivery) {
	if raw := d.args.JSON(); q.track && len(raw) > 0 && raw[len(raw)-1] == '"' {
		q.offset = d.args
	}
}

// admit tells whether an event that does not wait may be handled now, and keeps
// its offset.
func (q *queue) admit(arguments []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.gate == gateShut {
		return false
	}
	if n := len(arguments); q.track && n > 0 && arguments[n-1] == '"' {
		q.copied = append(q.copied[:0], arguments...)
		q.offset = args.Make(q.copied, nil)
	}
	return true
}

// lastOffset is where a restored connection would go on, empty if that is not
// known.
func (q *queue) lastOffset() (offset string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for raw := range q.offset.All() {
		offset = ""
		_ = args.Bind(raw, nil, &offset) // the last one is a string
	}
	return offset
}

// hold begins to keep events.
func (q *queue) hold() { q.set(gateHold, nil) }

// connected lets events through, those that were held first. track tells whether
// the server offers recovery.
func (q *queue) connected(track bool) {
	q.mu.Lock()
	if q.track = track; !track {
		q.offset = args.Args{}
	}
	q.mu.Unlock()
	q.set(gateOpen, []delivery{{kind: deliverConnect}})
}

// disconnected stops events. Those queued before are still delivered.
func (q *queue) disconnected(d Disconnect) {
	q.set(gateShut, []delivery{{kind: deliverDisconnect, end: d}})
}

// connectError tells of a failure. Events are dropped until hold.
func (q *queue) connectError(err error) {
	q.set(gateShut, []delivery{{kind: deliverConnectError, err: err}})
}

// shut stops events.
func (q *queue) shut() { q.set(gateShut, nil) }

func (q *queue) set(g gate, then []delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.held {
		if g == gateOpen {
			q.noteOffsetLocked(&q.held[i])
			q.addLocked(q.held[i])
		} else {
			q.bytes -= q.held[i].size()
		}
	}
	q.gate, q.held = g, nil
	q.addLocked(then...)
	if q.room != nil {
		q.room.Broadcast()
	}
}

func (q *queue) addLocked(ds ...delivery) {
	if q.closed || len(ds) == 0 {
		return
	}
	q.items = append(q.items, ds...)
	if !q.running {
		q.running = true
		q.wg.Add(1)
		go q.work()
	}
}

// close drops events that wait. A worker that runs still tells of connects and
// disconnects, then ends.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	kept := q.items[:0]
	for _, d := range q.items {
		if d.kind != deliverEvent {
			kept = append(kept, d)
		}
	}
	clear(q.items[len(kept):])
	q.items = kept
}

func (q *queue) work() {
	defer q.wg.Done()
	var batch []delivery
	for {
		batch = q.next(batch)
		if batch == nil {
			return
		}
		for i := range batch {
			d := &batch[i]
			if d.kind != deliverEvent {
				q.run(q.ctx, d)
				continue
			}
			if q.ctx.Err() == nil { // else the client is being closed
				q.run(q.ctx, d)
			}
			q.delivered(d.size())
		}
	}
}

// next returns what is queued, and takes back the slice of the last batch.
func (q *queue) next(done []delivery) []delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		q.items, q.running = nil, false
		return nil
	}
	batch := q.items
	clear(done)
	q.items = done[:0]
	return batch
}

func (q *queue) delivered(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= size
	if q.room != nil && q.bytes < q.limit {
		q.room.Broadcast()
	}
}
