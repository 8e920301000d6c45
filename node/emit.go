package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/node/internal/engine"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// sendOptions say how a packet to one socket is sent.
type sendOptions struct {
	ack        uint64
	asks       bool // ack is set
	volatile   bool
	noCompress bool
}

// Emit sends an event to the client. It does not block: it queues within
// [Limits.Output], beyond which the client is closed. It returns
// [ErrDisconnected] when the socket has ended; nil means queued, not received.
//
// Values become the event's arguments by the rules of [encoding/json], without
// the escaping of <, > and &. A []byte or [Binary] becomes a binary attachment
// wherever it stands in a value (at most 10 of them), json.RawMessage is passed
// on as it is, [Args] stands for several arguments. Byte slices must not be
// changed afterwards.
func (s *Socket) Emit(ctx context.Context, event string, values ...any) error {
	return s.emit(ctx, event, values, sendOptions{})
}

// Volatile returns an emitter whose events are dropped if they cannot leave at
// once: while older output waits, on polling also while no request does
// (SIO-V-08). A dropped event is no error.
func (s *Socket) Volatile() Emitter { return Emitter{s: s, o: sendOptions{volatile: true}} }

// Compress returns an emitter whose events are compressed, or not, where the
// transport compresses.
func (s *Socket) Compress(on bool) Emitter { return Emitter{s: s, o: sendOptions{noCompress: !on}} }

// Emitter sends events to one socket with options. It is a value: each method
// returns a new one.
type Emitter struct {
	s *Socket
	o sendOptions
}

// Volatile is [Socket.Volatile].
func (e Emitter) Volatile() Emitter {
	e.o.volatile = true
	return e
}

// Compress is [Socket.Compress].
func (e Emitter) Compress(on bool) Emitter {
	e.o.noCompress = !on
	return e
}

// Emit is [Socket.Emit] with the emitter's options.
func (e Emitter) Emit(ctx context.Context, event string, values ...any) error {
	return e.s.emit(ctx, event, values, e.o)
}

func (s *Socket) emit(ctx context.Context, event string, values []any, o sendOptions) error {
	b := getScratch()
	defer b.put()
	if err := b.appendEvent(event, values); err != nil {
		return err
	}
	if h := s.ns.handlers(); len(h.outgoing) > 0 {
		s.outgoing(h, event, b.args())
	}
	if s.rec != nil && !o.asks {
		return s.emitKept(ctx, b, o)
	}
	return s.sendScratch(b, socketio.Event, o)
}

// args returns the arguments of the event in b, as they will be sent.
func (b *scratch) args() Args {
	return makeArgs(eventArgs(bytes.Clone(b.buf)), b.atts)
}

// eventArgs cuts the brackets and the name off an event's JSON array.
func eventArgs(data []byte) []byte {
	inner := trimSpace(data[1 : len(data)-1])
	for name := range socketio.SplitArgs(inner) {
		if rest := trimSpace(inner[len(name):]); len(rest) > 0 {
			return rest[1:] // after the comma
		}
		break
	}
	return nil
}

// trimSpace cuts leading white space of JSON.
func trimSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

// outgoing shows an event to the functions of OnAnyOutgoing.
func (s *Socket) outgoing(h *handlerSet, event string, a Args) {
	defer s.client.recovered("hook")
	ctx := s.Context()
	for _, f := range h.outgoing {
		f(ctx, s, event, a)
	}
}

// sendScratch sends the packet whose JSON and attachments are in b.
func (s *Socket) sendScratch(b *scratch, t socketio.Type, o sendOptions) error {
	if s.state.Load() >= stateLeaving {
		return ErrDisconnected // SIO-X-23
	}
	c := s.client
	if c.srv.text && len(b.atts) == 0 && !o.volatile && !o.noCompress {
		n := len(b.buf)
		b.buf = socketio.AppendHeader(b.buf, t, 0, s.name, o.ack, o.asks)
		b.buf = append(b.buf, b.buf[:n]...)
		if !c.sess.SendText(b.buf[n:]) {
			return ErrDisconnected
		}
		c.hot().sent.Add(1)
		return nil
	}
	p, err := b.packet(c.srv.cfg.Parser, t, s.name, o)
	if err != nil {
		return err
	}
	switch {
	case s.send(p, o.volatile):
		c.hot().sent.Add(1)
	case !o.volatile:
		return ErrDisconnected
	}
	return nil
}

// packet encodes the packet whose JSON and attachments are in b. The result
// shares nothing with b but the attachments.
func (b *scratch) packet(parser socketio.Parser, t socketio.Type, ns string, o sendOptions) (*engine.Packet, error) {
	p := socketio.Packet{Type: t, Namespace: ns, ID: o.ack, HasID: o.asks, Data: b.buf, Attachments: b.atts}
	msg, binary, rest, err := parser.Encode(make([]byte, 0, len(b.buf)+len(ns)+24), &p)
	if err != nil {
		return nil, encodeError(err)
	}
	return engine.NewPacket(msg, binary, rest, !o.noCompress), nil
}

// encodeError gives the errors of a parser their names here.
func encodeError(err error) error {
	if errors.Is(err, socketio.ErrEncodeAttachments) {
		return ErrAttachments
	}
	return fmt.Errorf("node: encode: %w", err)
}
