package engine

import (
	"sync/atomic"
)

// Stats are the counters and gauges of a server.
type Stats struct {
	// Gauges.
	Sessions, Polling, WebSocket, Pending int64
	QueuedBytes                           int64
	// Counters.
	Handshakes, Refused, Upgrades uint64
	MessagesIn, MessagesOut       uint64
	BytesIn, BytesOut             uint64 // BytesIn: messages; BytesOut: bodies and frames
	Dropped                       uint64 // messages not taken: volatile, closed or slow sessions
	SlowConsumers                 uint64 // sessions closed for it
	Panics                        uint64
}

// counters spreads the hot counters, so that processors do not share their
// lines.
type counters struct {
	shards [8]counterShard
	turn   atomic.Uint32
}

type counterShard struct {
	messagesIn, messagesOut, bytesIn, bytesOut, dropped atomic.Uint64
	_                                                   [24]byte // to a cache line
}

func newCounters() *counters { return &counters{} }

// next is the home of a new session.
func (c *counters) next() uint8 { return uint8(c.turn.Add(1)) }

// at returns the counters that session s uses.
func (c *counters) at(s *Session) *counterShard { return &c.shards[int(s.home)%len(c.shards)] }

// Stats returns the counters. It looks at every session for the queued bytes.
func (s *Server) Stats() Stats {
	st := Stats{
		Polling:       s.polling.Load(),
		WebSocket:     s.websocket.Load(),
		Pending:       s.pending.Load(),
		Handshakes:    s.handshakes.Load(),
		Refused:       s.refused.Load(),
		Upgrades:      s.upgrades.Load(),
		SlowConsumers: s.slow.Load(),
		Panics:        s.panics.Load(),
	}
	for i := range s.stats.shards {
		c := &s.stats.shards[i]
		st.MessagesIn += c.messagesIn.Load()
		st.MessagesOut += c.messagesOut.Load()
		st.BytesIn += c.bytesIn.Load()
		st.BytesOut += c.bytesOut.Load()
		st.Dropped += c.dropped.Load()
	}
	for _, sess := range s.snapshot() {
		st.Sessions++
		st.QueuedBytes += int64(sess.Queued())
	}
	return st
}
