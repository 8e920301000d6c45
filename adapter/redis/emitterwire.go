package redis

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/internal/args"
	"github.com/fanwire/fanwire/protocol/msgpack"
	"github.com/fanwire/fanwire/protocol/socketio"
)

// emitterUID is what official emitters call themselves (CLU-E-01): nobody's uid,
// so all nodes obey, and no node counts them or waits for them.
const emitterUID = "emitter"

// emits tells whether the messages are those of an emitter.
func (w wire) emits() bool { return w.uid == emitterUID }

// appendEmitterOpts appends {rooms, flags, except}, the order of official emitters
// (CLU-E-02).
func appendEmitterOpts(dst []byte, t adapter.Target) []byte {
	dst = msgpack.AppendMap(dst, 3)
	dst = msgpack.AppendStrings(msgpack.AppendString(dst, "rooms"), t.Rooms)
	dst = appendFlags(dst, t, 0)
	return msgpack.AppendStrings(msgpack.AppendString(dst, "except"), t.Except)
}

// emits tells whether the messages are those of an emitter.
func (c clusterWire) emits() bool { return c.uid == emitterUID }

// appendEmitterTarget writes opts in the order of official emitters (CLU-E-06).
func appendEmitterTarget(e encoder, m *adapter.Message) {
	e.key("opts")
	at := e.open(3)
	e.key("rooms")
	e.texts(m.Target.Rooms)
	e.key("flags")
	writeFlags(e, m)
	e.key("except")
	e.texts(m.Target.Except)
	e.end(at)
}

// emitterHost is the host of a protocol whose only use is to encode.
type emitterHost string

func (emitterHost) NodeID() string                { return "" }
func (emitterHost) IDTag() string                 { return "" }
func (h emitterHost) Namespace() string           { return string(h) }
func (emitterHost) HasRoom(string) bool           { return false }
func (emitterHost) RecoveryWindow() time.Duration { return 0 }
func (emitterHost) Receive(*adapter.Message)      {}

// maxSpeakers is how many namespaces an emitter remembers.
const maxSpeakers = 1000

// speaker is what an emitter needs for one namespace.
type speaker struct {
	protocol                 // knows the rooms that sockets were told to join a moment ago
	journal  *emitterJournal // nil if no event is kept
}

// speaker returns that of a namespace.
func (c *emitterCore) speaker(namespace string) *speaker {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.speakers[namespace]
	if s == nil {
		if len(c.speakers) == maxSpeakers {
			clear(c.speakers)
		}
		s = &speaker{c.protocol(namespace), c.journal(namespace)}
		c.speakers[namespace] = s
	}
	return s
}

func (c *emitterCore) protocol(namespace string) protocol {
	nodes, h := c.cfg.nodes(), emitterHost(namespace)
	switch c.cfg.Wire {
	case WireSharded:
		return newSharded(nodes.Config, h, emitterUID)
	case WireStreams:
		return newStreamsWire(nodes, h, emitterUID)
	}
	return newClassic(nodes.Config, h, emitterUID)
}

// journal is that of a namespace, nil where none can be or need be: streams are
// journals themselves, and on a Redis Cluster no script can publish on a sharded
// channel of another master.
func (c *emitterCore) journal(namespace string) *emitterJournal {
	_, cluster := c.way.client.(*goredis.ClusterClient)
	if c.cfg.NoJournal || c.cfg.Wire == WireStreams || cluster && c.cfg.Wire == WireSharded {
		return nil
	}
	stream, members := journalNames(c.cfg.Key, namespace)
	return &emitterJournal{
		key:     stream,
		state:   emitterState(c.cfg.Key, namespace),
		members: members,
		wire:    wire{uid: emitterUID, namespace: namespace},
		entries: 200_000,
		bytes:   64 << 20,
	}
}

// slot decides on the master that takes an item on a Redis Cluster. What goes by
// PUBLISH, which any would take, goes where the journal is, so that it is in order
// with what is kept.
func (s *speaker) slot(it *item) string {
	switch {
	case it.verb != verbPublish:
		return it.channel
	case s.journal != nil:
		return s.journal.key
	}
	return ""
}

// pack makes m ready to be sent.
func (c *emitterCore) pack(ctx context.Context, namespace string, m *adapter.Message) (*parcel, error) {
	s := c.speaker(namespace)
	it, err := s.encode(m)
	switch {
	case err != nil:
		return nil, err
	case len(it.payload) > c.cfg.MaxMessage:
		return nil, fmt.Errorf("%w: %d bytes", adapter.ErrTooLarge, len(it.payload))
	}
	p := &parcel{item: it, slot: s.slot(&it)}
	if s.journal == nil || !keeps(m) {
		return p, nil
	}
	if there, err := s.journal.exists(ctx, c.way); !there || err != nil {
		return p, err
	}
	return p, s.journal.keep(p, m)
}

// encodeClientEvent encodes an event for clients.
func encodeClientEvent(event string, values []any, maxAttachments int) (adapter.Payload, error) {
	if socketio.Reserved(event) {
		return adapter.Payload{}, fmt.Errorf("%w: %q", ErrReservedEvent, event)
	}
	p, err := encodeEvent(event, values)
	if err == nil && len(p.Attachments) > maxAttachments {
		err = fmt.Errorf("%w: %d", ErrAttachments, len(p.Attachments))
	}
	return p, err
}

// encodeEvent makes the JSON array of an event, its binary parts apart.
func encodeEvent(event string, values []any) (adapter.Payload, error) {
	for i, v := range values {
		if reflect.ValueOf(v).Kind() == reflect.Func {
			return adapter.Payload{}, fmt.Errorf("%w: argument %d", ErrAck, i)
		}
	}
	data := appendString(append(make([]byte, 0, 256), '['), event)
	name := len(data)
	data, attachments, err := args.Append(append(data, ','), nil, values...)
	if err != nil {
		return adapter.Payload{}, fmt.Errorf("redis: emit: %w", err)
	}
	if len(data) == name+1 { // no arguments
		data = data[:name]
	}
	data = append(data, ']')
	if !socketio.Valid(data, maxDepth) {
		return adapter.Payload{}, errors.New("redis: emit: arguments are nested too deeply")
	}
	return adapter.Payload{Data: data, Attachments: attachments}, nil
}

// reservedServerEvent applies SIO-K-14.
func reservedServerEvent(event string) bool {
	return event == "connect" || event == "connection" || event == "new_namespace"
}
