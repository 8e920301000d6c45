package node

import (
	"slices"

	"github.com/fanwire/fanwire/adapter"
)

// awaited is who has yet to answer a question: nodes known by name, a number of
// others, such as official ones, and for [CallAll] the clients of all of them and
// of this node. It belongs to the goroutine that asks.
type awaited struct {
	named  map[string]*answerer // by adapter.Peer.Name
	others strangers
	calls  bool  // clients are asked, too
	here   int   // acks of this node's clients
	want   int   // recipients that are known of, everywhere
	nodes  int   // answers of nodes that have come
	acks   int   // answers of clients that have come
	failed error // why the others could not be asked
	blind  bool  // it is not known who they are
}

// answerer is a node that was asked.
type answerer struct {
	node  string // its id
	heard bool   // has given the answer of which there is one each
	acks  int    // of its clients, that are awaited
	gone  bool
}

// missing tells whether an answer of the node or of its clients has not come.
func (a *answerer) missing() bool { return !a.heard || a.acks > 0 }

// strangers are the nodes without a known name: it cannot be told which of them
// has answered, or has gone. One that goes while answers are awaited is taken for
// one that has not answered.
type strangers struct {
	asked, alive, heard int
	acks                int // of their clients, that are awaited
}

func (s *strangers) open() bool { return s.heard < s.alive || s.acks > 0 && s.alive > 0 }

// missing is how many have not answered. Those whose clients have not all
// answered are among them only if all of them have gone.
func (s *strangers) missing() int {
	if s.acks > 0 && s.alive == 0 {
		return s.asked
	}
	return max(s.asked-s.heard, 0)
}

// hereName stands in From of the acks of this node's clients. No adapter gives
// such a name.
const hereName = "\x00"

// await notes who was asked.
func (w *awaited) await(named []adapter.Peer, unnamed int) {
	w.named = make(map[string]*answerer, len(named))
	for _, p := range named {
		w.named[p.Name] = &answerer{node: p.Node}
	}
	w.others = strangers{asked: unnamed, alive: unnamed}
}

// fail gives up all other nodes: they could not be asked.
func (w *awaited) fail(err error) {
	w.failed, w.blind = err, w.named == nil
	w.keep(&alive{})
}

// note takes an answer into account.
func (w *awaited) note(m *adapter.Message) {
	a := w.named[m.From]
	if m.Kind == adapter.ClientAck {
		w.acks++
		switch {
		case m.From == hereName:
			w.here--
		case a != nil:
			a.acks--
		default:
			w.others.acks--
		}
		return
	}
	w.nodes++
	count := 0
	if m.Kind == adapter.ClientCount && w.calls {
		count = max(m.Count, 0)
		w.want += count
	}
	if a != nil {
		a.heard, a.acks = true, a.acks+count
	} else {
		w.others.heard++
		w.others.acks += count
	}
}

// keep gives up those who are not alive any more.
func (w *awaited) keep(l *alive) {
	for name, a := range w.named {
		if _, ok := l.named[name]; !ok {
			a.gone = true
		}
	}
	w.others.alive = min(w.others.alive, l.unnamed)
}

// open tells whether somebody is awaited.
func (w *awaited) open() bool {
	for _, a := range w.named {
		if !a.gone && a.missing() {
			return true
		}
	}
	return w.here > 0 || w.others.open()
}

// err tells why nobody is awaited, if it is not because all have answered.
func (w *awaited) err() error {
	if w.failed != nil {
		return w.failed
	}
	if names, unnamed := w.missing(); len(names)+unnamed > 0 {
		return ErrNodeGone
	}
	return nil
}

// missing returns the ids of the nodes that have not answered, or that have gone
// before their clients had, and how many more there are.
func (w *awaited) missing() (nodes []string, unnamed int) {
	for _, a := range w.named {
		if !a.heard || a.gone && a.missing() {
			nodes = append(nodes, a.node)
		}
	}
	slices.Sort(nodes)
	return nodes, w.others.missing()
}

// partial is the end of a wait, by err, before all have answered.
func (w *awaited) partial(op string, err error) *PartialError {
	e := &PartialError{Op: op, Got: w.nodes, Want: len(w.named) + w.others.asked, Err: err}
	if w.calls {
		e.Got, e.Want = w.acks, w.want
	}
	if w.blind || w.calls && !w.counted() {
		e.Want = -1
	}
	e.Missing, e.Unnamed = w.missing()
	return e
}

// counted tells whether all nodes have told how many recipients they have.
func (w *awaited) counted() bool {
	for _, a := range w.named {
		if !a.heard {
			return false
		}
	}
	return w.failed == nil && w.others.heard >= w.others.asked
}
