package node

import (
	"context"
	"maps"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// While a namespace waits for other nodes it looks again and again who of them is
// alive: every watchEvery, and once more after watchAgain when somebody seems to
// be gone. So an answer that is on its way, or a subscription that is made anew,
// is not taken for a death, and one that died is known within a quarter of a
// second.
const (
	watchEvery = 200 * time.Millisecond
	watchAgain = 50 * time.Millisecond
	watchLimit = 2 * time.Second // for one look
)

// alive are the other nodes that live.
type alive struct {
	named   map[string]struct{} // by adapter.Peer.Name
	unnamed int
}

// peers returns the other nodes that will answer a question asked now: those that
// the adapter knows by name, and how many more.
func (ns *Namespace) peers(ctx context.Context) (named []adapter.Peer, unnamed int, err error) {
	if r, ok := ns.adapter.(adapter.Roster); ok {
		return r.Peers(ctx)
	}
	n, err := ns.adapter.ServerCount(ctx)
	return nil, max(n-1, 0), err
}

// watch tells the open requests who is alive, until ctx ends: there is one for the
// namespace, however many requests there are.
func (ns *Namespace) watch(ctx context.Context) {
	var last *alive
	pause, waiting := watchEvery, []*request(nil)
	for sleep(ctx, pause) {
		if pause == watchEvery {
			waiting = ns.requests.list() // later ones may know nodes that this look does not
		}
		now, err := ns.look(ctx)
		switch {
		case err != nil:
			last = nil
		case pause == watchEvery && (last == nil || last.lacks(now)):
			last, pause = now, watchAgain
			continue
		default:
			both := now
			if pause == watchAgain {
				both = last.and(now)
			}
			for _, r := range waiting {
				r.look(both)
			}
			last = now
		}
		pause = watchEvery
	}
}

func (ns *Namespace) look(ctx context.Context) (*alive, error) {
	ctx, cancel := context.WithTimeout(ctx, watchLimit)
	defer cancel()
	named, unnamed, err := ns.peers(ctx)
	a := &alive{named: make(map[string]struct{}, len(named)), unnamed: unnamed}
	for _, p := range named {
		a.named[p.Name] = struct{}{}
	}
	return a, err
}

// lacks tells whether somebody who lived in a does not in now.
func (a *alive) lacks(now *alive) bool {
	for name := range a.named {
		if _, ok := now.named[name]; !ok {
			return true
		}
	}
	return now.unnamed < a.unnamed
}

// and is who lives in a or in b.
func (a *alive) and(b *alive) *alive {
	both := &alive{named: maps.Clone(a.named), unnamed: max(a.unnamed, b.unnamed)}
	maps.Copy(both.named, b.named)
	return both
}

// sleep waits for d; false if ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
