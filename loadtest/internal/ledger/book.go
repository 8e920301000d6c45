package ledger

import "sync"

// Book is the account of one stage.
type Book struct {
	ledger  *Ledger
	number  int
	streams []*Stream // guarded by the ledger's lock

	mu        sync.Mutex // guards the fields below; taken before a shard's lock
	closed    bool
	balance   Balance
	latencies Latencies // of the past looks
}

// Balance is the state of a book. When it is closed Expected is Delivered, Lost and
// Excused together; before, the rest is under way.
type Balance struct {
	Tally
	Sent     int64
	Expected int64
	Lost     int64
	Excused  int64
}

// NewBook opens a book.
func (l *Ledger) NewBook() *Book {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &Book{ledger: l, number: len(l.books)}
	l.books = append(l.books, b)
	return b
}

func (b *Book) all() []*Stream {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	return b.streams
}

// Look returns the state of the book, and adds the latencies since the last look to
// recent, which may be nil.
func (b *Book) Look(recent *Latencies) Balance {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.balance
	}
	return b.lookLocked(recent)
}

func (b *Book) lookLocked(recent *Latencies) Balance {
	sum := Balance{}
	for _, s := range b.ledger.shards {
		tally, ls := s.turn(b.number)
		sum.Tally.add(&tally)
		if ls != nil {
			b.latencies.add(ls)
			if recent != nil {
				recent.add(ls)
			}
			ls.reset()
		}
	}
	sum.Expected, sum.early = sum.early, 0
	for _, st := range b.all() {
		st.room.mu.Lock()
		sum.Sent += int64(st.next.Load())
		sum.Expected += st.expected
		st.room.mu.Unlock()
	}
	return sum
}

// turn takes the latencies of the last time out of a page. The caller resets them
// before the next turn.
func (s *Shard) turn(book int) (Tally, *Latencies) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if book >= len(s.pages) || s.pages[book] == nil {
		return Tally{}, nil
	}
	p := s.pages[book]
	if p.spare == nil {
		p.spare = new(Latencies)
	}
	p.latencies, p.spare = p.spare, p.latencies
	return p.tally, p.spare
}

// Passed counts what members were passed by and would have to be called lost if nothing
// came any more.
func (b *Book) Passed() (lost, excused int64) {
	for _, st := range b.all() {
		l, e := st.open()
		lost += l
		excused += e
	}
	return lost, excused
}

// Missing counts what members were passed by: later messages have arrived, these have
// not yet. What is simply under way is not in it.
func (b *Book) Missing() (n int64) {
	for _, st := range b.all() {
		st.forMembers(func(s *slot, _ *seat) {
			if s.more != nil {
				n += s.more.missing.count()
			}
		})
	}
	return n
}

// Overdue counts what members should have by now, at a time in µs of the run, of the
// messages that were under way for the ledger's grace or longer. While it is called about
// once a second it knows them to a second; it is for one goroutine.
func (b *Book) Overdue(now int64) (n int64) {
	for _, st := range b.all() {
		end := st.past(now, now-b.ledger.grace)
		st.forMembers(func(s *slot, at *seat) { n += s.overdue(end, at) })
	}
	return n
}

func (st *Stream) open() (lost, excused int64) {
	end := st.next.Load()
	st.forMembers(func(s *slot, at *seat) {
		l, e := s.open(end, at)
		lost += l
		excused += e
	})
	return lost, excused
}

// Close ends the account: what has not come by now is lost or excused. Nothing may be
// published to it any more. Later calls return the same.
func (b *Book) Close() (Balance, *Latencies) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return b.balance, &b.latencies
	}
	b.closed = true
	var lost, excused int64
	for _, st := range b.all() {
		l, e := st.close()
		lost += l
		excused += e
	}
	b.balance = b.lookLocked(nil)
	b.balance.Lost, b.balance.Excused = lost, excused
	for _, s := range b.ledger.shards {
		s.mu.Lock()
		if b.number < len(s.pages) {
			s.pages[b.number] = nil
		}
		s.mu.Unlock()
	}
	return b.balance, &b.latencies
}

// close counts what is open and takes the stream out of its room. A shard's lock is
// held between the count of a slot and closed, so that nothing is counted twice.
func (st *Stream) close() (lost, excused int64) {
	r := st.room
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, other := range r.streams {
		if other == st {
			r.streams = append(r.streams[:i:i], r.streams[i+1:]...)
			break
		}
	}
	shards := r.ledger.shards
	for _, s := range shards { // all, in their order: a delivery takes only one
		s.mu.Lock()
	}
	defer func() {
		for _, s := range shards {
			s.mu.Unlock()
		}
	}()
	st.closed.Store(true)
	end := st.next.Load()
	for i, m := range r.members {
		l, e := st.slots[i].open(end, m.seatLocked(r))
		lost += l
		excused += e
	}
	st.slots = nil
	return lost, excused
}
