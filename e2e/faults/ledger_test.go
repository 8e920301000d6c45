//go:build faults

package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ledger knows what was sent to whom. An event is one number of a stream: what one
// publisher sends to one room.
type ledger struct {
	phase    atomic.Int32 // of the run, for latencies
	mark     atomic.Int64 // events sent after that tell that a path works again; 0 while there is none
	progress atomic.Int64 // events received

	mu      sync.Mutex // guards the fields below
	streams map[streamID]*stream
	rooms   [][]*receiver
}

type streamID struct {
	publisher string
	room      int
}

type stream struct{ sent []sending }

// sending is one event as its publisher knows it.
type sending struct {
	node string // that published it
	at   int64  // ns
	sure bool   // a node has taken it: it must arrive

	by      *guest // that must still have the connection it had, if not sure
	session int64
}

// owed tells whether an event must arrive: a node has acknowledged it, or its
// publisher's connection lives on. A node without Redis answers with an error, but
// its own clients have the event, and the others' lack is counted.
func (e *sending) owed() bool { return e.sure || e.by != nil && e.session == e.by.session.Load() }

// Phases of a run.
const (
	before = iota
	during
	after
	phases
)

func newLedger(rooms int) *ledger {
	return &ledger{streams: map[streamID]*stream{}, rooms: make([][]*receiver, rooms)}
}

// send notes an event that is about to be sent and returns its text.
func (l *ledger) send(id streamID, node string, by *guest) (n int, text string) {
	now := time.Now().UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stream(id)
	n = len(s.sent)
	e := sending{node: node, at: now, by: by}
	if by != nil {
		e.session = by.session.Load()
	}
	s.sent = append(s.sent, e)
	return n, fmt.Sprintf("%s %d %d %d %s", id.publisher, id.room, n, now, node)
}

// stream is called with mu held.
func (l *ledger) stream(id streamID) *stream {
	s := l.streams[id]
	if s == nil {
		s = &stream{}
		l.streams[id] = s
	}
	return s
}

// confirm notes that a node has taken event n.
func (l *ledger) confirm(id streamID, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams[id].sent[n].sure = true
}

// published notes what a node itself has sent: numbers 0 to count-1.
func (l *ledger) published(id streamID, node string, count int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stream(id)
	for len(s.sent) < count {
		s.sent = append(s.sent, sending{node: node, sure: true})
	}
}

// publishedAll notes what a node has sent to each room.
func (l *ledger) publishedAll(n *server, sent []int) {
	for room, count := range sent {
		l.published(streamID{n.publisher(), room}, n.id, count)
	}
}

// publishedBy notes what a node has sent that cannot be asked any more: what others
// than its own clients have seen, and what comes before that.
func (l *ledger) publishedBy(publisher, node string) {
	last := map[streamID]int{}
	l.each(func(r *receiver) {
		for id, g := range r.got {
			if id.publisher == publisher && !slices.Contains(r.visited, node) {
				last[id] = max(last[id], g.last)
			}
		}
	})
	for id, n := range last {
		l.published(id, node, n+1)
	}
}

// join makes a receiver a member of a room.
func (l *ledger) join(r *receiver, room int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rooms[room] = append(l.rooms[room], r)
}

// receiver is what one client got.
type receiver struct {
	name   string
	ledger *ledger

	mu       sync.Mutex // guards the fields below
	node     string     // where it is connected
	visited  []string   // all nodes where it was
	excluded bool       // nothing is expected of it
	got      map[streamID]*receipt
	latency  [phases][2][]time.Duration // remote, local
	back     map[string]int64           // by the node that published: first arrival of what was sent after the mark
}

type receipt struct {
	count              []uint8 // by number
	last               int
	doubled, disorderd int
}

func newReceiver(l *ledger, name string) *receiver {
	return &receiver{name: name, ledger: l, got: map[streamID]*receipt{}, back: map[string]int64{}}
}

// event is a parsed text of send.
type event struct {
	stream streamID
	n      int
	at     int64
	node   string
}

func parseEvent(text string) (event, error) {
	f := strings.SplitN(text, " ", 6) // the sixth only fills up
	if len(f) < 5 {
		return event{}, fmt.Errorf("not an event: %q", text)
	}
	room, err1 := strconv.Atoi(f[1])
	n, err2 := strconv.Atoi(f[2])
	at, err3 := strconv.ParseInt(f[3], 10, 64)
	return event{streamID{f[0], room}, n, at, f[4]}, cmp.Or(err1, err2, err3)
}

// receive notes an event that has arrived.
func (r *receiver) receive(e event) {
	now := time.Now().UnixNano()
	phase, mark := r.ledger.phase.Load(), r.ledger.mark.Load()
	r.ledger.progress.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.got[e.stream]
	if g == nil {
		g = &receipt{last: -1}
		r.got[e.stream] = g
	}
	for len(g.count) <= e.n {
		g.count = append(g.count, 0)
	}
	g.count[e.n]++
	switch {
	case g.count[e.n] > 1:
		g.doubled++
	case e.n < g.last:
		g.disorderd++
	}
	g.last = max(g.last, e.n)
	class := 0
	if e.node == r.node {
		class = 1
	}
	if d := time.Duration(now - e.at); d.Abs() < 30*time.Minute { // else its clock is wrong (F12)
		r.latency[phase][class] = append(r.latency[phase][class], d)
	}
	if mark > 0 && e.at > mark && class == 0 && r.back[e.node] == 0 {
		r.back[e.node] = now
	}
}

func (r *receiver) has(id streamID, n int) bool {
	g := r.got[id]
	return g != nil && n < len(g.count) && g.count[n] > 0
}

func (r *receiver) place() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.node
}

// tally is what a run has cost. Deliveries are counted, one for each event and
// client, but for messages, one for each event and node that got it for nobody.
type tally struct {
	expected, lost, localLost, doubled, disordered int
	messages                                       int
	byNode                                         map[string]int // messages
	inFlight                                       int            // deliveries that a killed node took along
	inOutage                                       int            // deliveries lost of what was sent in the given time
}

// question says how to judge.
type question struct {
	killed     string // node that was killed
	killedAt   int64
	from, to   int64 // an outage: what of it was lost is counted apart
	notOfNodes bool  // receivers have moved: messages by node mean nothing
}

// inFlightTime is how long before its end a killed node may have taken an event
// that it had not handed to Redis.
func inFlightTime() time.Duration { return allowed(250 * time.Millisecond) }

func (l *ledger) tally(q question) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := tally{byNode: map[string]int{}}
	for id, s := range l.streams {
		var members []*receiver
		for _, r := range l.rooms[id.room] {
			r.mu.Lock()
			if !r.excluded {
				members = append(members, r)
			}
		}
		t.stream(id, s, members, q)
		for _, r := range l.rooms[id.room] {
			r.mu.Unlock()
		}
	}
	return t
}

// stream adds one stream; the members are locked.
func (t *tally) stream(id streamID, s *stream, members []*receiver, q question) {
	for _, r := range members {
		if g := r.got[id]; g != nil {
			t.doubled += g.doubled
			t.disordered += g.disorderd
		}
	}
	for n, e := range s.sent {
		if !e.owed() {
			continue
		}
		missing, remote := map[string]int{}, false
		there := map[string]int{}
		for _, r := range members {
			there[r.node]++
			if !r.has(id, n) {
				missing[r.node]++
			} else if !slices.Contains(r.visited, e.node) {
				remote = true // it came through Redis
			}
		}
		if e.node == q.killed && !remote && e.at > q.killedAt-int64(inFlightTime()) {
			t.inFlight += len(members)
			continue
		}
		t.expected += len(members)
		for node, m := range missing {
			t.lost += m
			if node == e.node {
				t.localLost += m
			}
			if m == there[node] && node != e.node {
				t.messages++
				t.byNode[node]++
			}
			if e.at > q.from && e.at < q.to {
				t.inOutage += m
			}
		}
	}
}

// lacked is an event that did not arrive.
type lacked struct {
	streamID
	n    int
	node string // that published it
}

// lack is what each receiver lacks.
func (l *ledger) lack() map[*receiver][]lacked {
	l.mu.Lock()
	defer l.mu.Unlock()
	lack := map[*receiver][]lacked{}
	for id, s := range l.streams {
		for _, r := range l.rooms[id.room] {
			r.mu.Lock()
			for n, e := range s.sent {
				if e.owed() && !r.has(id, n) {
					lack[r] = append(lack[r], lacked{id, n, e.node})
				}
			}
			r.mu.Unlock()
		}
	}
	return lack
}

// complete tells whether everything has arrived.
func (l *ledger) complete() bool { return l.tally(question{}).lost == 0 }

// latency is the 99th percentile of a phase, and the maximum.
func (l *ledger) latency(phase int, local bool) (p99, top time.Duration) {
	class := 0
	if local {
		class = 1
	}
	var all []time.Duration
	l.each(func(r *receiver) { all = append(all, r.latency[phase][class]...) })
	if len(all) == 0 {
		return 0, 0
	}
	slices.Sort(all)
	return all[len(all)*99/100], all[len(all)-1]
}

// each calls f for every receiver that counts, locked.
func (l *ledger) each(f func(r *receiver)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, room := range l.rooms {
		for _, r := range room {
			r.mu.Lock()
			if !r.excluded {
				f(r)
			}
			r.mu.Unlock()
		}
	}
}

// paths returns when each path from node to node worked again after the mark.
func (l *ledger) paths() map[[2]string]time.Time {
	first := map[[2]string]time.Time{}
	l.each(func(r *receiver) {
		for from, at := range r.back {
			key := [2]string{from, r.node}
			if t, ok := first[key]; !ok || t.UnixNano() > at {
				first[key] = time.Unix(0, at)
			}
		}
	})
	return first
}
