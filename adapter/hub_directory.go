package adapter

import (
	"cmp"
	"context"
	"crypto/rand"
	"slices"
)

// The members of a [Hub] implement [Directory]. Nodes live from the Start of their
// first namespace to the Close of their last, without a lease.

func (m *hubMember) Announce(address string) {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	if m.hub.addresses == nil {
		m.hub.addresses = map[string]string{}
	}
	m.hub.addresses[m.host.NodeID()] = address
}

func (m *hubMember) Address(node string) string {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	if !m.hub.livesLocked(node) {
		return ""
	}
	return m.hub.addresses[node]
}

func (m *hubMember) Nodes() []NodeInfo {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	var list []NodeInfo
	for _, members := range m.hub.members {
		for _, other := range members {
			id := other.host.NodeID()
			if !slices.ContainsFunc(list, func(n NodeInfo) bool { return n.ID == id }) {
				list = append(list, NodeInfo{ID: id, Address: m.hub.addresses[id]})
			}
		}
	}
	slices.SortFunc(list, func(a, b NodeInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (m *hubMember) Secret(context.Context, []byte) ([]byte, error) {
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	if m.hub.secret == nil {
		m.hub.secret = make([]byte, 32)
		_, _ = rand.Read(m.hub.secret) // never fails
	}
	return m.hub.secret, nil
}

// livesLocked tells whether a namespace of the node is open.
func (h *Hub) livesLocked(node string) bool {
	for _, members := range h.members {
		for _, m := range members {
			if m.host.NodeID() == node {
				return true
			}
		}
	}
	return false
}
