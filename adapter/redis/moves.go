package redis

// displace notes that Redis has a channel elsewhere: whoever routes channels takes
// it away. Until then Ready is not nil.
func (s *subscriptions) displace(sub *subscription) {
	if !sub.wanted() {
		s.forget(sub)
		return
	}
	if sub.confirmed {
		s.setConfirmed(sub, false)
		s.restore(sub)
	}
	s.displaced = append(s.displaced, sub)
	s.signal()
}

// restore counts sub among those that are missing since they were lost.
func (s *subscriptions) restore(sub *subscription) {
	if !sub.restoring {
		sub.restoring = true
		s.restoring++
	}
}

// moveLocked hands over to another what is wanted of the slots that leave. What
// was subscribed here is not any more, and not there yet. Who waits for a
// confirmation goes on waiting.
func (s *subscriptions) moveLocked(to *subscriptions, leaves func(slot uint16) bool) {
	for name, sub := range s.channels {
		if !sub.wanted() || !leaves(slotOf(name)) {
			continue
		}
		lost := sub.restoring || sub.confirmed || !s.fresh
		s.setConfirmed(sub, false)
		there := to.makeLocked(name, false)
		there.first, there.more = sub.first, sub.more
		there.waiters, there.era = sub.waiters, sub.era
		sub.first, sub.more, sub.waiters = route{}, nil, nil
		if lost {
			to.restore(there)
		}
		s.release(sub)
		s.markDirty(sub)
		to.arrived(there)
	}
	s.joining = nil // its batch may be complete without us
}

// arrived subscribes a channel that came from another server.
func (s *subscriptions) arrived(sub *subscription) {
	if !sub.asked || sub.open > 0 {
		s.markDirty(sub)
		return
	}
	s.setConfirmed(sub, true) // it was here before, and Redis was not told that it went
	s.release(sub)
}

// awayLocked tells whether a connection was lost and there is no other yet.
func (s *subscriptions) awayLocked() bool { return !s.connected && !s.fresh }

// emptyLocked tells whether there is nothing to hear and nothing to end.
func (s *subscriptions) emptyLocked() bool { return len(s.channels)+len(s.patterns) == 0 }

func (s *subscriptions) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.emptyLocked()
}
