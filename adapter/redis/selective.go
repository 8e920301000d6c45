package redis

// selective is a member that subscribes the rooms of its node.
type selective struct{ *member }

// RoomAdded implements [adapter.RoomObserver].
func (a selective) RoomAdded(room string) <-chan struct{} {
	l, channel := a.started(), a.protocol.roomChannel(room)
	if l == nil || channel == "" {
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
	l, channel := a.started(), a.protocol.roomChannel(room)
	if l != nil && channel != "" {
		l.subs.remove(channel, false, a.member)
	}
}
