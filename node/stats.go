package node

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/fanwire/fanwire/adapter"
)

// Stats are the counters and gauges of a server. Counters only grow.
type Stats struct {
	Sessions   int64 // open now, those without a namespace included
	Polling    int64 // of them, on polling
	WebSocket  int64 // of them, on WebSocket
	Pending    int64 // of them, in no namespace yet
	Sockets    int64 // connected now, in all namespaces
	Namespaces int64

	Handshakes        uint64 // sessions opened
	HandshakesRefused uint64 // requests refused
	Upgrades          uint64
	SlowConsumers     uint64 // clients closed because they did not keep up
	QueuedBytes       int64  // output that waits now

	MessagesIn, MessagesOut uint64 // Engine.IO messages
	BytesIn, BytesOut       uint64

	Connected       uint64 // sockets accepted
	Disconnected    uint64
	ConnectsRefused uint64 // CONNECTs answered with an error
	EventsIn        uint64 // events of clients
	EventsUnhandled uint64 // of them, without a handler
	EventsOut       uint64 // events and acks to single sockets
	Delivered       uint64 // events of broadcasts, once for each recipient
	VolatileDropped uint64
	UnknownAcks     uint64 // acks that nobody waits for
	BadPackets      uint64 // packets that could not be decoded
	HandlerErrors   uint64
	RequestsDropped uint64 // answers and requests of other nodes beyond the bounds

	// With [Recovery].
	Recovered     uint64 // sessions that were continued
	Replayed      uint64 // events sent to their clients that they had missed
	RecordsFailed uint64 // times that a session's record could not be written
	// RecordsPending are the sessions whose record is to be written, or removed: if the
	// node died now their clients would find an older one, or none.
	RecordsPending int64
	// NotRecovered are the sessions that a client wanted to continue and could not,
	// by cause: no session, events lost, overrun, declined, error.
	NotRecovered map[string]uint64

	// Panics by where: of handlers (connect, event, disconnect, hook, server
	// event), receive, task; engine is the rest of what serves a session.
	Panics map[string]uint64

	Forwarding int64  // requests handed on to other nodes now, WebSockets among them
	Forwarded  uint64 // requests that the owner of their session has answered
	// ForwardErrors by cause: owner unknown (not alive, or without an address),
	// owner unreachable, timeout, cut (the connection to the owner), busy
	// ([Limits.Forwarded]), no secret.
	ForwardErrors map[string]uint64
	Relayed       uint64 // requests that other nodes have handed on to this one
	BadHops       uint64 // requests with a hop that no node has made for this one

	Adapter adapter.Stats // of all namespaces together
}

// counters are the node's own part of [Stats].
type counters struct {
	connected, disconnected, refused atomic.Uint64
	unhandled, badPackets            atomic.Uint64
	delivered, volatileDropped       atomic.Uint64
	unknownAcks, handlerErrors       atomic.Uint64
	requestsDropped                  atomic.Uint64
	recovered, replayed              atomic.Uint64
	recordsFailed                    atomic.Uint64

	shards [8]hotCounters
	turn   atomic.Uint32

	mu     sync.Mutex
	panics map[string]uint64
	failed map[string]uint64 // recoveries, by cause
	gone   adapter.Stats     // of namespaces that were freed
}

// hotCounters are counted for each message. There are several, so that processors
// do not share a cache line.
type hotCounters struct {
	eventsIn, sent atomic.Uint64
	_              [48]byte
}

// next is the home of a new client.
func (c *counters) next() uint8 { return uint8(c.turn.Add(1)) }

func (c *client) hot() *hotCounters {
	shards := &c.srv.counters.shards
	return &shards[int(c.home)%len(shards)]
}

func (srv *Server) countPanic(where string) {
	c := &srv.counters
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.panics == nil {
		c.panics = map[string]uint64{}
	}
	c.panics[where]++
}

// notRecovered counts a session that could not be continued.
func (c *counters) notRecovered(cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed == nil {
		c.failed = map[string]uint64{}
	}
	c.failed[cause]++
}

// Stats returns the counters as they are now. It costs microseconds and some
// locks for each namespace.
func (srv *Server) Stats() Stats {
	c, e := &srv.counters, srv.engine.Stats()
	st := Stats{
		Sessions:  e.Sessions,
		Polling:   e.Polling,
		WebSocket: e.WebSocket,
		Pending:   e.Pending,
		Sockets:   srv.sockets.Load(),

		Handshakes:        e.Handshakes,
		HandshakesRefused: e.Refused,
		Upgrades:          e.Upgrades,
		SlowConsumers:     e.SlowConsumers,
		QueuedBytes:       e.QueuedBytes,
		MessagesIn:        e.MessagesIn,
		MessagesOut:       e.MessagesOut,
		BytesIn:           e.BytesIn,
		BytesOut:          e.BytesOut,

		Connected:       c.connected.Load(),
		Disconnected:    c.disconnected.Load(),
		ConnectsRefused: c.refused.Load(),
		EventsUnhandled: c.unhandled.Load(),
		Delivered:       c.delivered.Load(),
		VolatileDropped: c.volatileDropped.Load(),
		UnknownAcks:     c.unknownAcks.Load(),
		BadPackets:      c.badPackets.Load(),
		HandlerErrors:   c.handlerErrors.Load(),
		RequestsDropped: c.requestsDropped.Load(),
		Panics:          map[string]uint64{},
		Recovered:       c.recovered.Load(),
		Replayed:        c.replayed.Load(),
		RecordsFailed:   c.recordsFailed.Load(),
		NotRecovered:    map[string]uint64{},
	}
	for i := range c.shards {
		st.EventsIn += c.shards[i].eventsIn.Load()
		st.EventsOut += c.shards[i].sent.Load()
	}
	c.mu.Lock()
	maps.Copy(st.Panics, c.panics)
	maps.Copy(st.NotRecovered, c.failed)
	if e.Panics > 0 {
		st.Panics["engine"] = e.Panics
	}
	c.mu.Unlock()
	srv.forward.stats(&st)
	srv.adapterStats(&st)
	return st
}

// adapterStats adds up what the adapters have counted, and what waits for them.
func (srv *Server) adapterStats(st *Stats) {
	srv.counters.mu.Lock()
	st.Adapter = srv.counters.gone
	srv.counters.mu.Unlock()
	namespaces := srv.all()
	st.Namespaces = int64(len(namespaces))
	for _, ns := range namespaces {
		st.RecordsPending += int64(ns.records.pending())
		if m, ok := ns.measurer(); ok {
			addStats(&st.Adapter, m.Stats(), true)
		}
	}
}

// measurer is the adapter, or the journal of a node without one, if it counts.
func (ns *Namespace) measurer() (m adapter.Measurer, ok bool) {
	if ns.adapter != nil {
		m, ok = ns.adapter.(adapter.Measurer)
	} else {
		m, ok = ns.journal.(adapter.Measurer)
	}
	return m, ok
}

// addStats adds the counters of b to a, and the gauges if b still lives.
func addStats(a *adapter.Stats, b adapter.Stats, live bool) {
	a.Published += b.Published
	a.PublishedBytes += b.PublishedBytes
	a.PublishErrors += b.PublishErrors
	a.PublishDropped += b.PublishDropped
	a.Received += b.Received
	a.ReceivedBytes += b.ReceivedBytes
	a.Ignored += b.Ignored
	a.BadMessages += b.BadMessages
	a.ReceiveDropped += b.ReceiveDropped
	a.Missed += b.Missed
	a.Duplicates += b.Duplicates
	a.Resubscriptions += b.Resubscriptions
	a.Kept += b.Kept
	a.KeptBytes += b.KeptBytes
	a.KeepDropped += b.KeepDropped
	a.Replayed += b.Replayed
	if live {
		a.Subscriptions += b.Subscriptions
		a.PendingRoomCalls += b.PendingRoomCalls
	}
}
