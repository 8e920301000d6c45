package ledger

import "slices"

// slot is the state of one stream at one receiver. It is guarded by the receiver's
// shard.
type slot struct {
	next uint32 // all below it have been met: received, or noted in more
	seen uint32 // one above the highest that was received
	more *more  // nil while everything comes in order
}

// more is what a slot needs when not everything does.
type more struct {
	missing gaps   // expected, and lost unless they still come
	excused gaps   // expected, but not lost if they do not come
	absent  []span // sent while the receiver was no member
	early   gaps   // of these, the ones that it got all the same
}

// span is the messages before a join that began at a time, in µs of the run.
type span struct {
	from, to uint32
	at       int64
}

func (s *slot) get() *more {
	if s.more == nil {
		s.more = new(more)
	}
	return s.more
}

// receive accounts for a message that is not the next one of a firm member. It reports
// whether it is the first copy of one that is due.
// sent is when it was sent, and grace how long it may have been under way.
func (s *slot) receive(seq uint32, m *seat, t *Tally, sent, grace int64) bool {
	switch {
	case seq >= s.next && !m.nominal:
		t.Unexpected++ // sent after we had left
		return false
	case seq >= s.next:
		s.pass(seq, m.firm)
		s.next = seq + 1
	case s.more == nil:
		t.Duplicated++
		return false
	case s.more.missing.take(seq) || s.more.excused.take(seq):
	case s.more.absence(seq) != nil:
		switch at := s.more.absence(seq).at; {
		case sent < at-grace || !m.nominal:
			t.Unexpected++
			return false
		case s.more.early.has(seq):
			t.Duplicated++
			return false
		}
		s.more.early.add(seq, seq+1) // it was under way when the server let us in
		t.early++
	default:
		t.Duplicated++
		return false
	}
	if seq < s.seen {
		t.OutOfOrder++
	} else {
		s.seen = seq + 1
	}
	return true
}

// pass notes that what is below to has not come.
func (s *slot) pass(to uint32, firm bool) {
	if s.next >= to {
		return
	}
	if firm {
		s.get().missing.add(s.next, to)
	} else {
		s.get().excused.add(s.next, to)
	}
	s.next = to
}

// passAbsent notes that what is below to was not for the receiver, which begins to join
// at a time.
func (s *slot) passAbsent(to uint32, at int64) {
	if s.next < to {
		s.get().absent = append(s.get().absent, span{s.next, to, at})
		s.next = to
	}
}

// absence returns the span that seq is in, or nil.
func (m *more) absence(seq uint32) *span {
	i, _ := slices.BinarySearchFunc(m.absent, seq, func(s span, seq uint32) int {
		if s.to <= seq {
			return -1
		}
		return 1
	})
	if i < len(m.absent) && m.absent[i].from <= seq {
		return &m.absent[i]
	}
	return nil
}

// excuse makes one message one that need not come, if it has not.
func (s *slot) excuse(seq uint32, m *seat) {
	switch {
	case !m.nominal && seq >= s.next: // not for us
	case seq >= s.next:
		s.pass(seq, m.firm)
		s.get().excused.add(seq, seq+1)
		s.next = seq + 1
	case s.more != nil && s.more.missing.take(seq):
		s.more.excused.add(seq, seq+1)
	}
}

// overdue counts what has not come of the messages below end, and is not excused.
func (s *slot) overdue(end uint32, m *seat) (n int64) {
	if s.more != nil {
		n = s.more.missing.below(end)
	}
	if s.next < end && m.nominal && m.firm {
		n += int64(end - s.next)
	}
	return n
}

// open counts what has not come, if end messages were sent.
func (s *slot) open(end uint32, m *seat) (lost, excused int64) {
	if s.more != nil {
		lost, excused = s.more.missing.count(), s.more.excused.count()
	}
	if tail := int64(end) - int64(s.next); tail > 0 && m.nominal {
		if m.firm {
			lost += tail
		} else {
			excused += tail
		}
	}
	return lost, excused
}
