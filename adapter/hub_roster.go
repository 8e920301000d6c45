package adapter

import "context"

// Peers implements [Roster]: the hub knows everybody.
func (m *hubMember) Peers(ctx context.Context) (named []Peer, unnamed int, err error) {
	if !m.open() {
		return nil, 0, ErrClosed
	}
	m.hub.mu.Lock()
	defer m.hub.mu.Unlock()
	for id, other := range m.hub.members[m.host.Namespace()] {
		if other != m {
			named = append(named, Peer{Name: id, Node: other.host.NodeID()})
		}
	}
	return named, 0, ctx.Err()
}
