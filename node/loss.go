package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// errEventsLost is the cause of the end of sessions whose clients lack events.
var errEventsLost = errors.New("node: events for this client are lost")

// lossPerSecond is how many clients are told of a loss in a second: all of them
// connect again (HRD-73).
const lossPerSecond = 500

// eventsLost ends the sessions of all clients of the namespace that count on missing
// nothing. Their records go first, so that they are told when they come back:
// their sockets are new ones (see [Namespace.OnSessionExpired]).
func (ns *Namespace) eventsLost() {
	var list []*Socket
	for _, s := range ns.index.everybody() {
		if s.rec == nil || s.rec.pid == "" {
			continue
		}
		s.client.mu.Lock()
		fresh := s.end == nil && !s.rec.evicted && !s.rec.lost
		s.rec.lost = s.rec.lost || fresh
		s.client.mu.Unlock()
		if !fresh {
			continue
		}
		list = append(list, s)
		if session := s.finalRecord(); session != nil {
			ns.records.discard(session)
		}
	}
	if len(list) == 0 {
		return
	}
	ns.srv.log.Warn("events are lost: the clients of this node are told", "namespace", ns.name, "clients", len(list))
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	ns.srv.tasks.Go(func() { closeLost(ns.srv.starting, list) })
}

func closeLost(ctx context.Context, list []*Socket) {
	t := time.NewTicker(time.Second / lossPerSecond)
	defer t.Stop()
	for _, s := range list {
		s.CloseSession(errEventsLost)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}
