package client

import (
	"bytes"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// receiver takes the messages of one connection.
type receiver struct {
	client  *Client
	conn    *engine.Conn
	decoder socketio.Decoder
	text    bool // decoder is that of socketio.Text, which keeps nothing of an event without attachments
	packet  socketio.Packet
	last    *Socket // that a packet was for
	raw     RawEvent
}

func (c *Client) newReceiver(conn *engine.Conn) *receiver {
	return &receiver{
		client: c, conn: conn,
		decoder: c.opts.Parser.NewDecoder(c.opts.Limits), text: c.opts.Parser == socketio.Text,
	}
}

// Message implements engine.Receiver.
func (r *receiver) Message(data []byte, binary, borrowed bool) error {
	asked := false
	if borrowed && r.inPlace(data, binary) {
		if _, err := r.decoder.Decode(data, binary, &r.packet); err != nil {
			return err // SIO-J-08
		}
		if r.find() == nil || r.done() {
			return nil
		}
		asked = true
	}
	if borrowed {
		data = bytes.Clone(data)
	}
	complete, err := r.decoder.Decode(data, binary, &r.packet)
	if err != nil || !complete {
		return err
	}
	s := r.find()
	if s == nil || !asked && r.done() {
		return nil // SIO-J-06
	}
	return s.receive(r.conn, &r.packet)
}

// find returns the socket that the packet is for, nil if there is none.
func (r *receiver) find() *Socket {
	if name := r.packet.Namespace; r.last == nil || r.last.namespace != name {
		r.client.mu.Lock()
		r.last = r.client.sockets[name]
		r.client.mu.Unlock()
	}
	return r.last
}

// done tells whether handlers of raw events are done with the packet, or nobody
// is to get it.
func (r *receiver) done() bool {
	hooks := r.last.handlers.load().raw
	p := &r.packet
	if len(hooks) == 0 || p.Type != socketio.Event {
		return false
	}
	if !r.last.queue.admit(p.Args) {
		return true
	}
	r.raw = RawEvent{Name: p.Event, Args: p.Args, Attachments: p.Attachments, WantsAck: p.HasID}
	for _, h := range hooks {
		if (*h)(&r.raw) {
			return true
		}
	}
	return false
}

// inPlace tells whether a borrowed message is worth to be decoded where it is: an
// event for a socket with handlers of raw events.
func (r *receiver) inPlace(data []byte, binary bool) bool {
	return r.text && !binary && len(data) > 0 && data[0] == '0'+byte(socketio.Event) &&
		r.last != nil && len(r.last.handlers.load().raw) > 0
}

// RawEvent is an event as it has arrived. It and its slices are valid only until
// the handler returns, and must not be changed.
type RawEvent struct {
	Name        []byte   // text, unescaped
	Args        []byte   // JSON of the arguments without the brackets around them: `1,{"a":2}`; empty without arguments
	Attachments [][]byte // that the placeholders in Args stand for
	WantsAck    bool     // Reply can answer it in another handler, if this one is not done with it
}

// OnRaw registers a handler that gets every event before all others, with Parser
// Text without a copy: for programs that receive a lot and look at little. It is
// called by the goroutine that reads the connection, in order, never twice at a
// time for one Client. The event is counted nowhere and waits in no queue
// (Options.ReceiveQueue does not apply). If h reports that it is done with the
// event, no other handler gets it, and what it would have answered is not
// answered; otherwise the event goes the usual way.
//
// While h runs the connection is not read: acks, pings and the events of other
// namespaces wait, so it must not block, and must not wait for an ack. It may
// use Emit, Disconnect and the like. What the server restores at a recovery comes
// before the handlers of OnConnect run, and so may any event. Several handlers
// run in the order of registration until one is done. The returned function
// removes the handler; h may still be running then.
func (s *Socket) OnRaw(h func(e *RawEvent) (done bool)) (remove func()) {
	return add(s, h, func(t *table) *[]*func(*RawEvent) bool { return &t.raw })
}
