package redis

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// foreignAnswerSize is from where it pays to look for our uid in an answer before
// taking it apart: answers on the shared channel arrive at all nodes (CLU-C-06).
const foreignAnswerSize = 4 << 10

// heads returns how the broadcasts of this adapter begin: an array of three or
// four, and the uid.
func (w wire) heads() (heads [2]string) {
	for i := range heads {
		heads[i] = string(msgpack.AppendString(msgpack.AppendArray(nil, 3+i), w.uid))
	}
	return heads
}

// offer implements subscriber. It is called by the link's reader and does as
// little as it can: what does not concern this node costs neither the worker's
// time nor its place in the queue (HRD-61).
func (a *classic) offer(kind routeKind, channel, payload string) {
	defer a.guard(channel)
	a.c.received.Add(1)
	a.c.receivedBytes.Add(uint64(len(payload)))
	limit := a.cfg.MaxReceive
	if kind == routeAnswer {
		limit = a.cfg.MaxAnswer
	}
	switch {
	case a.ignores(kind, channel, payload):
		a.c.ignored.Add(1)
	case len(payload) > limit:
		a.bad(channel, payload, adapter.ErrTooLarge)
	default:
		dropped := a.in.Put(delivery{kind, channel, payload}, len(payload))
		a.c.receiveDropped.Add(uint64(dropped))
	}
}

func (a *classic) ignores(kind routeKind, channel, payload string) bool {
	switch kind {
	case routeRoom, routeIDs:
		room, ok := a.names.room(channel)
		return a.own(payload) || ok && !a.host.HasRoom(room)
	case routeAll:
		return a.own(payload)
	case routeAnswer:
		return len(payload) >= foreignAnswerSize && !strings.Contains(payload, a.wire.uid)
	}
	return false
}

// own tells whether a broadcast is our own (CLU-R-17).
func (a *classic) own(payload string) bool {
	return strings.HasPrefix(payload, a.ownHeads[0]) || strings.HasPrefix(payload, a.ownHeads[1])
}

// work hands messages to the node, one after the other, until Close.
func (a *classic) work() {
	defer close(a.done)
	for {
		d, ok := a.in.Get()
		if !ok {
			return
		}
		a.handle(d)
	}
}

// handle decodes one message and hands it over. Whatever it holds, the worker
// goes on (HRD-60).
func (a *classic) handle(d delivery) {
	defer a.guard(d.channel)
	var err error
	switch d.kind {
	case routeAll, routeRoom, routeIDs:
		err = a.onBroadcast(bytesOf(d.payload))
	case routeRequest:
		err = a.onRequest(bytesOf(d.payload))
	case routeAnswer:
		err = a.onAnswer(bytesOf(d.payload))
	}
	switch {
	case errors.Is(err, errForeign):
		a.c.ignored.Add(1)
	case err != nil:
		a.bad(d.channel, d.payload, err)
	}
}

// onBroadcast looks at the options first, and at the payload only if a socket is
// here for it.
func (a *classic) onBroadcast(b []byte) error {
	m, err := readBroadcast(b)
	switch {
	case err != nil:
		return err
	case m.uid == a.wire.uid || !a.concerns(m.target):
		return errForeign
	}
	p, err := readPacket(m.packet, m.ext)
	switch {
	case err != nil:
		return err
	case p.namespace != a.wire.namespace:
		return errForeign
	}
	a.host.Receive(&adapter.Message{
		Kind:   adapter.Broadcast,
		From:   m.uid,
		Target: m.target,
		Packet: p.payload,
	})
	return nil
}

// concerns tells whether a socket of this node can be among the target.
func (a *classic) concerns(t adapter.Target) bool {
	for _, room := range t.Rooms {
		if a.host.HasRoom(room) {
			return true
		}
	}
	return len(t.Rooms) == 0
}

func (a *classic) onRequest(b []byte) error {
	m, single, err := a.wire.readRequest(b)
	if err != nil {
		return err
	}
	if !isAnswered(m) && !a.concerns(m.Target) {
		return errForeign
	}
	a.host.Receive(m)
	if single && m.RequestID != "" {
		return a.confirmSingle(m)
	}
	return nil
}

// isAnswered tells whether the node answers m even if it holds none of the rooms
// (CLU-G-02).
func isAnswered(m *adapter.Message) bool {
	switch m.Kind {
	case adapter.Join, adapter.Leave, adapter.Disconnect:
		return false
	}
	return m.RequestID != ""
}

// confirmSingle tells the sender of the old form of a command that its socket
// was here (CLU-R-34).
func (a *classic) confirmSingle(m *adapter.Message) error {
	payload := append(appendString([]byte(`{"requestId":`), m.RequestID), '}')
	return a.push(item{channel: a.names.response(m.From), payload: payload, lane: laneAnswers})
}

func (a *classic) onAnswer(b []byte) error {
	m, err := a.wire.readAnswer(b)
	if err != nil {
		return err
	}
	a.host.Receive(m)
	return nil
}

// bad counts a message that is dropped (HRD-60).
func (a *classic) bad(channel, payload string, err error) {
	a.c.bad.Add(1)
	a.log.Debug("redis: bad message", "channel", channel, "bytes", len(payload), "err", err)
}

// guard turns a panic into a bad message (HRD-01).
func (a *classic) guard(channel string) {
	if p := recover(); p != nil {
		a.c.bad.Add(1)
		a.log.Error("redis: panic while receiving", "channel", channel, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	}
}
