package redis

// selective is a member that subscribes the rooms of its node.
type selective struct{ *member }

// RoomAdded implements [adapter.RoomObserver].
func (a selective) RoomAdded(room string) <-chan struct{} {
	channel := a.protocol.roomChannel(room)
	if channel == "" {
		return nil
	}
	l := a.started()
	if l == nil {
		return nil
	}
	confirmed, connected := l.subs.add(channel, false, routeRoom, a.member)
	if !connected {
		return nil
	}
	return confirmed
}

// RoomRemoved implements [adapter.RoomObserver].
func (a selective) RoomRemoved(room string) {
	channel := a.protocol.roomChannel(room)
	if channel == "" {
		return
	}
	if l := a.started(); l != nil {
		l.subs.remove(channel, false, a.member)
	}
}
