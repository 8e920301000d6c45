package api

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/fanwire/fanwire/node"
)

// Server events of the namespace "/" between gateways.
const (
	socketsEvent    = "fanwire:sockets"
	roomsEvent      = "fanwire:rooms"
	presenceEvent   = "fanwire:presence"
	namespacesEvent = "fanwire:namespaces"
	nodeEvent       = "fanwire:node"
)

// question is what gateways ask each other. Each of the events reads its part.
type question struct {
	Namespace string   `json:"namespace,omitempty"`
	Room      *string  `json:"room,omitempty"`
	Socket    string   `json:"socket,omitempty"`
	After     *string  `json:"after,omitempty"`
	Limit     int      `json:"limit,omitempty"`
	Patterns  []string `json:"patterns,omitempty"` // of namespaces
}

// bound keeps what another node asks for within limits.
func (q *question) bound() { q.Limit = min(max(q.Limit, 1), maxLimit) }

// answerOthers registers what answers other gateways.
func (a *API) answerOthers() {
	serve(a, socketsEvent, a.socketsHere)
	serve(a, roomsEvent, a.roomsHere)
	serve(a, presenceEvent, a.presenceHere)
	serve(a, namespacesEvent, a.namespacesHere)
	serve(a, nodeEvent, a.nodeHere)
}

func serve[A any](a *API, event string, answer func(ctx context.Context, q question) A) {
	node.HandleServer(a.srv, event, func(ctx context.Context, _ *node.Namespace, raw json.RawMessage) (json.RawMessage, error) {
		var q question
		if err := json.Unmarshal(raw, &q); err != nil {
			return nil, err
		}
		q.bound()
		return json.Marshal(answer(ctx, q))
	})
}

// gap is who has not answered a question.
type gap struct {
	Missing []string `json:"missing"` // ids of nodes
	// Unnamed is how many more: nodes without an id, such as official ones.
	Unnamed int `json:"unnamed"`
}

func (g *gap) add(other gap) {
	for _, id := range other.Missing {
		if !slices.Contains(g.Missing, id) {
			g.Missing = append(g.Missing, id)
		}
	}
	slices.Sort(g.Missing)
	g.Unnamed = max(g.Unnamed, other.Unnamed)
}

func (g *gap) complete() bool { return len(g.Missing) == 0 && g.Unnamed == 0 }

// note takes the end of answers into account.
func (g *gap) note(err error) {
	var partial *node.PartialError
	if !errors.As(err, &partial) {
		return
	}
	g.add(gap{partial.Missing, partial.Unnamed})
	if partial.Want < 0 && g.complete() {
		g.Unnamed = 1 // nobody knows who they are
	}
}

// strangeWait is how long a node is awaited that is none of the gateways which are
// known to live, when all of those have answered. Official nodes never answer.
const strangeWait = 100 * time.Millisecond

// nodeAnswer is an answer that says which node gave it.
type nodeAnswer interface{ from() string }

// ask asks the other gateways and calls take for each answer, until it returns
// false. It does not ask this node.
func ask[A nodeAnswer](ctx context.Context, a *API, event string, q question, take func(A) bool) (g gap) {
	g.Missing = []string{}
	ctx, cancel := context.WithTimeout(ctx, a.wait)
	defer cancel()
	nodes := a.srv.Nodes()
	waiting := make(map[string]struct{}, len(nodes))
	for _, n := range nodes {
		waiting[n.ID] = struct{}{}
	}
	var timer *time.Timer
	heard := func(id string) {
		delete(waiting, id)
		if len(nodes) > 0 && len(waiting) == 0 && timer == nil {
			timer = time.AfterFunc(strangeWait, cancel)
		}
	}
	heard(a.srv.NodeID())
	silent := 0 // nodes that have no such event
	for raw, err := range node.CallServers[json.RawMessage](ctx, a.srv.Of("/"), event, q) {
		var answer A
		if err != nil {
			g.note(err)
			break
		}
		if json.Unmarshal(raw, &answer) != nil || answer.from() == "" {
			silent++
			continue
		}
		if !take(answer) {
			break
		}
		heard(answer.from())
	}
	if timer != nil {
		timer.Stop()
	}
	g.Unnamed += silent
	return g
}
