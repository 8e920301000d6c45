package api

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fanwire/fanwire/internal/gateway/template"
)

// namespaceView is a namespace that exists on some node.
type namespaceView struct {
	Name    string `json:"name"`
	Sockets int    `json:"sockets"`
	Nodes   int    `json:"nodes"` // that have it
}

// namespacesAnswer is a part of the namespaces of one node.
type namespacesAnswer struct {
	Node       string          `json:"node"`
	Namespaces []namespaceView `json:"namespaces"` // in the order of their names
}

func (n namespacesAnswer) from() string { return n.Node }

// namespacesHere answers with namespaces of this node.
func (a *API) namespacesHere(_ context.Context, q question) namespacesAnswer {
	p := newPage[namespaceView](q.After, q.Limit)
	for _, ns := range a.srv.Namespaces() {
		if slices.ContainsFunc(q.Patterns, func(pattern string) bool { return template.Match(pattern, ns.Name()) }) {
			p.put(ns.Name(), namespaceView{ns.Name(), ns.Len(), 1})
		}
	}
	answer := namespacesAnswer{a.srv.NodeID(), []namespaceView{}}
	for _, name := range p.shrink() {
		answer.Namespaces = append(answer.Namespaces, p.m[name])
	}
	return answer
}

// listNamespaces lists namespaces in the order of their names.
func (a *API) listNamespaces(c *call) error {
	w, _, err := c.window()
	if err != nil {
		return err
	}
	q := question{After: w.after, Limit: w.limit, Patterns: c.key.patterns}
	p := newPage[namespaceView](q.After, q.Limit)
	take := func(n namespacesAnswer) bool {
		for _, v := range n.Namespaces {
			sum := p.m[v.Name]
			p.put(v.Name, namespaceView{v.Name, sum.Sockets + v.Sockets, sum.Nodes + 1})
		}
		return true
	}
	take(a.namespacesHere(c.ctx, q))
	g := ask(c.ctx, a, namespacesEvent, q, take)
	names, next := p.names()
	return c.list("namespaces", len(names), func(i int) any { return p.m[names[i]] }, listEnd{next, g})
}

// nodeView is a node of the cluster. Of one that has not answered only id and address
// are known.
type nodeView struct {
	ID       string `json:"id"`
	Address  string `json:"address,omitempty"` // that other nodes reach it by
	Answered bool   `json:"answered"`
	nodeAnswerView
}

// nodeAnswerView is what a node tells of itself.
type nodeAnswerView struct {
	Version    string  `json:"version,omitempty"`
	Uptime     float64 `json:"uptime,omitempty"` // seconds
	Ready      bool    `json:"ready"`
	Reason     string  `json:"reason,omitempty"` // why it is not ready
	Sessions   int64   `json:"sessions"`
	Sockets    int64   `json:"sockets"`
	Namespaces int64   `json:"namespaces"`
}

type nodeTold struct {
	Node string `json:"node"`
	nodeAnswerView
}

func (n nodeTold) from() string { return n.Node }

// readyWait is how long a node may take to say whether it is ready.
const readyWait = 250 * time.Millisecond

// nodeHere answers with this node.
func (a *API) nodeHere(ctx context.Context, _ question) nodeTold {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	stats := a.srv.Stats()
	told := nodeTold{a.srv.NodeID(), nodeAnswerView{
		Version:    a.opts.Version,
		Uptime:     time.Since(a.started).Round(time.Millisecond).Seconds(),
		Ready:      true,
		Sessions:   stats.Sessions,
		Sockets:    stats.Sockets,
		Namespaces: stats.Namespaces,
	}}
	if err := a.opts.Ready(ctx); err != nil {
		told.Ready, told.Reason = false, cut(err.Error())
	}
	return told
}

// listNodes lists the nodes that live, in the order of their ids. Official ones are
// counted as unnamed.
func (a *API) listNodes(c *call) error {
	if err := c.noQuery(); err != nil {
		return err
	}
	nodes := map[string]nodeView{}
	for _, n := range a.srv.Nodes() {
		nodes[n.ID] = nodeView{ID: n.ID, Address: n.Address}
	}
	take := func(told nodeTold) bool {
		n := nodes[told.Node]
		n.ID, n.Answered, n.nodeAnswerView = told.Node, true, told.nodeAnswerView
		nodes[told.Node] = n
		return true
	}
	take(a.nodeHere(c.ctx, question{}))
	g := ask(c.ctx, a, nodeEvent, question{}, take)
	ids := slices.Sorted(maps.Keys(nodes))
	for _, id := range ids {
		if !nodes[id].Answered {
			g.add(gap{Missing: []string{id}})
		}
	}
	return c.list("nodes", len(ids), func(i int) any { return nodes[ids[i]] }, g)
}
