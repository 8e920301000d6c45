package redis

import (
	"strconv"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// Fields of an entry of a journal. An event is a broadcast as the classic wire has
// it, with its number in the extras; a tick says how far its publisher is.
const (
	fieldMessage = "m"
	fieldScope   = "f" // scopeLocal, scopeDirect; absent for what is published
	fieldNode    = "n" // the publisher's node, where there is a scope

	fieldTick   = "t" // the publisher
	fieldNumber = "j" // of its last event
	fieldFirst  = "c" // the publisher has found no stream

	scopeLocal  = "l"
	scopeDirect = "d"
)

// journalEntry is an entry as far as every reader needs it. The packet is decoded
// for the first that wants it.
type journalEntry struct {
	id    entryID
	bytes int

	publisher string // empty if the entry makes no sense
	name      uint32 // of the publisher
	n         uint64 // of the event, or of the last one before a tick
	isTick    bool
	isFirst   bool

	head   adapter.Message // of an event, without Packet
	packet []byte
	raw    []byte
	full   atomic.Pointer[adapter.Message]
}

// entryOverhead is what an entry takes in memory besides its text, roughly, here
// and in Redis.
const entryOverhead = 64

func (e *journalEntry) entryID() entryID { return e.id }

func (e *journalEntry) size() int { return e.bytes + 256 }

// event returns the whole message.
func (e *journalEntry) event(namespace string) (*adapter.Message, error) {
	if m := e.full.Load(); m != nil {
		return m, nil
	}
	p, err := readPacket(e.packet, e.raw)
	switch {
	case err != nil:
		return nil, err
	case p.namespace != namespace:
		return nil, errForeign
	}
	m := e.head
	m.Packet = p.payload
	e.full.CompareAndSwap(nil, &m)
	return e.full.Load(), nil
}

// readJournalEntry takes an entry apart; its publisher is empty if that cannot be
// done. Whatever others have written there does no more harm than being no event
// (HRD-60).
func readJournalEntry(x goredis.XMessage) *journalEntry {
	e := &journalEntry{bytes: entryOverhead}
	for key, v := range x.Values {
		s, _ := v.(string)
		e.bytes += len(key) + len(s)
	}
	var ok bool
	if e.id, ok = parseEntryID(x.ID); !ok {
		return e
	}
	text := func(field string) string {
		s, _ := x.Values[field].(string)
		return s
	}
	if publisher := text(fieldTick); publisher != "" {
		e.readTick(publisher, text(fieldNumber), text(fieldFirst) != "")
	} else {
		e.readEvent(text(fieldMessage), text(fieldScope), text(fieldNode))
	}
	return e
}

func (e *journalEntry) readTick(publisher, number string, first bool) {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return
	}
	e.publisher, e.name, e.n = publisher, nameOf(publisher), n
	e.isTick, e.isFirst = true, first
}

func (e *journalEntry) readEvent(message, scope, node string) {
	m, err := readBroadcast(bytesOf(message))
	if err != nil || m.extras.kept == 0 || m.publisher() == "" {
		return
	}
	e.publisher, e.name, e.n = m.publisher(), nameOf(m.publisher()), m.extras.kept
	e.head = adapter.Message{
		Kind:   adapter.Broadcast,
		From:   m.uid,
		Target: m.target,
		Mark:   adapter.Mark{From: e.publisher, Seq: e.n},
		Local:  scope == scopeLocal,
		Direct: scope == scopeDirect,
	}
	if scope != "" {
		e.head.From = node
	}
	e.packet, e.raw = m.packet, m.extras.raw
}

// publisher names who has numbered the event.
func (m *broadcast) publisher() string {
	if m.extras.publisher != "" {
		return m.extras.publisher
	}
	return m.uid
}

// tickArgs are the arguments of XADD for a tick, all but the last; that is the
// number.
func tickArgs(publisher string, first bool, oldest entryID) []any {
	var args []any
	if oldest != (entryID{}) {
		args = append(args, "minid", "~", oldest.String())
	}
	args = append(args, "*", fieldTick, publisher)
	if first {
		args = append(args, fieldFirst, "1")
	}
	return append(args, fieldNumber)
}

// eventArgs are the arguments of XADD for an event, all but the message. node is
// empty for what is published.
func eventArgs(m *adapter.Message, maxEntries int, node string) []any {
	args := []any{"maxlen", "~", maxEntries, "*"}
	switch {
	case m.Local:
		args = append(args, fieldScope, scopeLocal, fieldNode, node)
	case m.Direct:
		args = append(args, fieldScope, scopeDirect, fieldNode, node)
	}
	return append(args, fieldMessage)
}
