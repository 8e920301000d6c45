package node

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/internal/args"
)

// Bounds of what other nodes can make this one hold (HRD-04).
const (
	maxServerEvents = 10_000 // waiting for their handlers
	maxFetches      = 1000   // waiting to be answered
)

// receive takes a message of another node. It runs in the adapter's receive
// goroutine: user code and what takes time get another one.
func (ns *Namespace) receive(m *adapter.Message) {
	defer ns.recovered("receive")
	if carriesEvent(m) && len(m.Packet.Data) < 2 {
		return // the adapter has validated the rest
	}
	taken := true
	switch m.Kind {
	case adapter.Broadcast, adapter.Join, adapter.Leave, adapter.Disconnect:
		ns.carryOut(m)
	case adapter.FetchSockets, adapter.FetchIDs, adapter.FetchRooms:
		taken = ns.fetches.do(&ns.srv.tasks, maxFetches, func() { ns.answerFetch(m) })
	case adapter.ServerEvent:
		taken = ns.events.do(&ns.srv.tasks, maxServerEvents, func() { ns.serverEvent(m) })
	default: // answers
		taken = ns.requests.put(m)
	}
	if !taken {
		ns.srv.counters.requestsDropped.Add(1)
	}
}

// paceWait is the longest that the adapter's goroutine waits for clients at once.
const paceWait = 50 * time.Millisecond

// pace lets clients take what they got before they get more than their queues hold:
// one look for each quarter of a queue.
func (ns *Namespace) pace(bytes int) {
	ns.unpaced += bytes
	if ns.unpaced >= ns.srv.limits.Load().Output/4 {
		ns.unpaced = 0
		ns.srv.engine.Settle(paceWait)
	}
}

func carriesEvent(m *adapter.Message) bool {
	return m.Kind == adapter.Broadcast || m.Kind == adapter.ServerEvent
}

// carryOut does what a message says to the sockets of this node.
func (ns *Namespace) carryOut(m *adapter.Message) {
	_, span := ns.followed(m)
	n := 0
	switch {
	case m.Kind == adapter.Broadcast && ns.journal != nil && m.RequestID == "":
		n = ns.receiveKept(m)
	case m.Kind == adapter.Broadcast:
		n = ns.receiveBroadcast(m)
	case m.Kind == adapter.Disconnect && m.RequestID != "" && ns.journal != nil:
		n = ns.evictAsked(m)
	default:
		n = ns.obey(m, ns.recipients(m.Target.Rooms, m.Target.Except, ""))
		if m.Kind == adapter.Disconnect && m.RequestID != "" {
			ns.respond(m.From, &adapter.Message{Kind: adapter.ClientCount, RequestID: m.RequestID, Count: n})
		}
	}
	if span != nil {
		span.End(n, nil)
	}
}

// recovered is to be deferred around what runs for other nodes (HRD-01, HRD-60).
func (ns *Namespace) recovered(where string) {
	if v := recover(); v != nil {
		ns.srv.countPanic(where)
		ns.srv.log.Error("panic", "where", where, "namespace", ns.name, "panic", v, "stack", string(debug.Stack()))
	}
}

// receiveBroadcast delivers an event of another node, and sees to its acks.
func (ns *Namespace) receiveBroadcast(m *adapter.Message) (sent int) {
	r := ns.recipients(m.Target.Rooms, m.Target.Except, "")
	if m.RequestID == "" && len(r.list) == 0 {
		r.release()
		return 0
	}
	o := sendOptions{asks: m.RequestID != "", noCompress: m.Target.NoCompress}
	if o.asks {
		o.ack = ns.nextAck()
		ns.collect(o.ack, &r, m)
	}
	p, _, err := ns.encode(m.Packet.Data, m.Packet.Attachments, o)
	if err != nil {
		r.release()
		ns.srv.log.Debug("broadcast of another node", "namespace", ns.name, "error", err)
		return 0
	}
	if o.asks {
		return ns.deliverAsking(r, p, &m.Packet, m.Target.Volatile)
	}
	return ns.deliver(r, p, &m.Packet, m.Target.Volatile)
}

// obey does to the sockets of this node what a message says, and returns how many
// they were.
func (ns *Namespace) obey(m *adapter.Message, r recipients) (n int) {
	defer r.release()
	for _, s := range r.list {
		if s == r.skip || !s.ready() {
			continue
		}
		switch m.Kind {
		case adapter.Join:
			_, _ = s.join(m.Names) // over a limit: stays out
		case adapter.Leave:
			s.Leave(m.Names...)
		case adapter.Disconnect:
			s.Disconnect(m.Close)
		}
		n++
	}
	return n
}

// answerFetch answers a question about the sockets of this node.
func (ns *Namespace) answerFetch(m *adapter.Message) {
	defer ns.recovered("receive")
	answer := &adapter.Message{RequestID: m.RequestID}
	switch m.Kind {
	case adapter.FetchSockets:
		answer.Kind = adapter.FetchReply
		answer.Sockets = []adapter.SocketInfo{}
		ns.eachReady(&m.Target, func(s *Socket) { answer.Sockets = append(answer.Sockets, s.info()) })
	case adapter.FetchIDs:
		answer.Kind = adapter.FetchIDsReply
		answer.Names = []string{}
		ns.eachReady(&m.Target, func(s *Socket) { answer.Names = append(answer.Names, s.id) })
	case adapter.FetchRooms:
		answer.Kind = adapter.FetchRoomsReply
		answer.Names = ns.index.names()
		ns.eachReady(&adapter.Target{}, func(s *Socket) { answer.Names = append(answer.Names, s.id) })
	}
	ns.respond(m.From, answer)
}

func (ns *Namespace) eachReady(t *adapter.Target, f func(s *Socket)) {
	r := ns.recipients(t.Rooms, t.Except, "")
	defer r.release()
	for _, s := range r.list {
		if s.ready() {
			f(s)
		}
	}
}

func (ns *Namespace) respond(to string, m *adapter.Message) {
	if err := ns.adapter.Respond(ns.srv.ctx, to, m); err != nil {
		ns.srv.log.Debug("answering another node", "namespace", ns.name, "error", err)
	}
}

// serverEvent runs the handler of an event of another node. Who asks for an
// answer gets one in any case (CLU-G-03).
func (ns *Namespace) serverEvent(m *adapter.Message) {
	defer ns.recovered("receive")
	var raw []byte
	var atts [][]byte
	if h := ns.handlers().server[eventName(m.Packet.Data)]; h != nil {
		ctx, span := ns.followed(m)
		var err error
		raw, atts, err = ns.callServerHandler(ctx, h, m)
		if span != nil {
			span.End(-1, err)
		}
	}
	if m.RequestID == "" {
		return
	}
	answer := args.Make(raw, atts)
	ns.respond(m.From, &adapter.Message{
		Kind:      adapter.ServerReply,
		RequestID: m.RequestID,
		Packet:    adapter.Payload{Data: firstArg(answer), Attachments: atts},
	})
}

// callServerHandler returns the answer, or the error, which it has reported.
func (ns *Namespace) callServerHandler(ctx context.Context, h serverHandler, m *adapter.Message) (raw []byte, atts [][]byte, err error) {
	defer ns.recovered("server event")
	err = errSpanPanic
	raw, atts, err = h(ctx, ns, args.Make(eventArgs(m.Packet.Data), m.Packet.Attachments))
	if err == nil {
		return raw, atts, nil
	}
	ns.srv.counters.handlerErrors.Add(1)
	e := &HandlerError{Where: "server event", Event: eventName(m.Packet.Data), Err: err}
	hooks := ns.handlers().errs
	for _, f := range hooks {
		f(ctx, nil, e)
	}
	if len(hooks) == 0 {
		ns.srv.log.Debug("handler returned an error", "namespace", ns.name, "error", e)
	}
	return nil, nil, err
}
