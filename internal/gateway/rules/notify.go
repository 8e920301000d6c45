package rules

import (
	"sync"

	"github.com/fanwire/fanwire/internal/gateway/webhook"
	"github.com/fanwire/fanwire/node"
)

// Bounds on notifications of one webhook.
const (
	notifyLanes = 8
	notifyMax   = 1000 // that wait in a lane
)

// notifier tells webhooks that clients have come and gone. It never holds up a
// namespace: what is too much is dropped and counted. What concerns one client goes
// through one lane, so that it comes in order; a lane has a goroutine while
// something is in it.
type notifier struct {
	r *Rules

	mu    sync.Mutex // guards the lanes
	lanes map[laneKey]*lane
	count int
}

type laneKey struct {
	hook string
	n    byte
}

type lane struct{ queue []notification }

// notification is a request, and the socket that the actions of its answer are for.
type notification struct {
	space *space
	s     *node.Socket // nil if it has gone
	req   webhook.Request
}

func (q *notifier) init(r *Rules) {
	q.r = r
	q.lanes = map[laneKey]*lane{}
}

func (q *notifier) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count
}

// add takes a notification. It does not block.
func (q *notifier) add(sp *space, s *node.Socket, req webhook.Request) {
	key := laneKey{sp.hookName, laneOf(req.Socket)}
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[key]
	switch {
	case q.r.ctx.Err() != nil || l != nil && len(l.queue) >= notifyMax:
		q.r.count.notifyDropped.Add(1)
		return
	case l == nil:
		l = new(lane)
		q.lanes[key] = l
		q.r.tasks.Go(func() { q.run(key, l) }) // ends when nothing waits, or with the rules
	}
	l.queue = append(l.queue, notification{sp, s, req})
	q.count++
}

// laneOf spreads sockets over lanes.
func laneOf(id string) byte {
	var sum byte
	for i := range len(id) {
		sum = sum*31 + id[i]
	}
	return sum % notifyLanes
}

// run sends what is in a lane until nothing is.
func (q *notifier) run(key laneKey, l *lane) {
	for {
		q.mu.Lock()
		if len(l.queue) == 0 {
			delete(q.lanes, key)
			q.mu.Unlock()
			return
		}
		n := l.queue[0]
		l.queue[0] = notification{}
		l.queue = l.queue[1:]
		q.count--
		q.mu.Unlock()
		q.send(n)
	}
}

func (q *notifier) send(n notification) {
	r := q.r
	defer r.recovered(n.s)
	if r.ctx.Err() != nil {
		r.count.notifyDropped.Add(1)
		return
	}
	resp, err := n.space.hook.Call(r.ctx, n.req)
	if err != nil {
		r.count.notifyFailed.Add(1)
		r.log.Debug("a notification was not taken", "webhook", n.space.hookName, "type", string(n.req.Type), "error", err)
		return
	}
	r.count.notified.Add(1)
	r.act(r.ctx, resp.Actions, n.s)
}
