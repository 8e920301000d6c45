package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// Errors of an emitter, besides [adapter.ErrTooLarge] and those of the context.
// But for ErrUnconfirmed, nothing was published.
var (
	// ErrUnconfirmed says that a message was sent and Redis has not answered: the
	// nodes may have it or not. It is not sent again, since they could get it
	// twice.
	ErrUnconfirmed = errors.New("redis: not confirmed")
	// ErrReservedEvent says that an event name has a meaning of its own in the
	// protocol (CLU-E-05).
	ErrReservedEvent = errors.New("redis: reserved event name")
	// ErrAck says that a value is a function: nobody could answer to an emitter
	// (CLU-E-05).
	ErrAck = errors.New("redis: an emitter cannot ask for acknowledgements")
	// ErrAttachments says that an event has more binary parts than clients take
	// (SIO-B-05).
	ErrAttachments = errors.New("redis: too many binary attachments")
	// ErrName says that the name of a room or namespace is too long, is not UTF-8 or
	// contains NUL (HRD-43).
	ErrName = errors.New("redis: not a valid name")
)

// maxName is the length in bytes of the longest name of a room (HRD-43).
const maxName = 4096

// Wire names an adapter by what passes through Redis.
type Wire string

// The wires. The zero Wire is WireClassic.
const (
	WireClassic Wire = "classic" // of nodes with NewAdapter
	WireSharded Wire = "sharded" // of nodes with NewShardedAdapter
	WireStreams Wire = "streams" // of nodes with NewStreamsAdapter
)

// EmitterConfig holds the options of an emitter. The zero value works with nodes
// whose adapter is [NewAdapter], configured by its zero value too. 0 means the
// default of a field, a negative number is an error.
type EmitterConfig struct {
	// Wire is that of the nodes.
	Wire Wire
	// Key, NoIDPattern and SubscriptionMode must be as in the [Config] of the nodes.
	Key              string
	NoIDPattern      bool
	SubscriptionMode SubscriptionMode
	// StreamName, StreamCount and MaxLen must be as in the [StreamsConfig] of the
	// nodes.
	StreamName          string
	StreamCount, MaxLen int

	// NoJournal leaves events out of the journal of the nodes. Without it, an emitter
	// asks Redis now and then whether they have one, that is, whether they have
	// connection state recovery on. Then it keeps there what is not volatile, by a
	// script. Events of the first seconds after recovery was first turned on may be
	// missing.
	NoJournal bool

	// MaxMessage is the size in bytes of the largest message that is published;
	// 1 MiB by default (HRD-68).
	MaxMessage int
	// MaxAttachments is how many binary parts an event may have; 10 by default, as
	// official clients take no more (SIO-B-05).
	MaxAttachments int
	// Timeout bounds calls whose context has no deadline; 5 s by default.
	Timeout time.Duration
}

func (c EmitterConfig) withDefaults() (EmitterConfig, error) {
	nodes, err := c.nodes().withDefaults()
	c.Key, c.SubscriptionMode = nodes.Key, nodes.SubscriptionMode
	c.StreamName, c.StreamCount, c.MaxLen = nodes.StreamName, nodes.StreamCount, nodes.MaxLen
	switch c.Wire = cmp.Or(c.Wire, WireClassic); c.Wire {
	case WireClassic, WireSharded, WireStreams:
	default:
		err = errors.Join(err, fmt.Errorf("redis: EmitterConfig.Wire: unknown wire %q", c.Wire))
	}
	return c, errors.Join(
		err,
		setDefault("MaxMessage", &c.MaxMessage, 1<<20),
		setDefault("MaxAttachments", &c.MaxAttachments, 10),
		setDefault("Timeout", &c.Timeout, 5*time.Second),
	)
}

// nodes is the configuration of the nodes, as far as an emitter has to know it.
func (c EmitterConfig) nodes() StreamsConfig {
	return StreamsConfig{
		Config:      Config{Key: c.Key, NoIDPattern: c.NoIDPattern, SubscriptionMode: c.SubscriptionMode},
		StreamName:  c.StreamName,
		StreamCount: c.StreamCount,
		MaxLen:      c.MaxLen,
	}
}

// Emitter emits to the clients of a cluster from a program that is no node of it:
// a worker, a command, another service. It stands for one namespace; [Emitter.Of]
// gives another.
//
// Every call waits until Redis has the message, and not for the nodes. While
// Redis is away, or busy to start, the call keeps trying until its context ends
// or, if that has no deadline, for [EmitterConfig.Timeout]. An error says that
// the message was not published, but for [ErrUnconfirmed]. What one goroutine
// emits is in order.
//
// An Emitter is safe for concurrent use. It has no goroutine and needs no closing.
type Emitter struct {
	core      *emitterCore
	namespace string
	batch     *collected // nil if calls publish
}

// emitterCore is what the emitters of all namespaces share.
type emitterCore struct {
	cfg EmitterConfig
	way *wayOut

	mu       sync.Mutex // guards speakers
	speakers map[string]*speaker
}

// NewEmitter makes an emitter for the namespace "/". client is as for
// [NewAdapter]; the caller closes it. NewEmitter does no I/O.
func NewEmitter(client goredis.UniversalClient, config EmitterConfig) (*Emitter, error) {
	cfg, err := config.withDefaults()
	if err := errors.Join(err, usable(client)); err != nil {
		return nil, err
	}
	core := &emitterCore{cfg: cfg, way: newWayOut(client, cfg.Timeout), speakers: map[string]*speaker{}}
	return &Emitter{core: core, namespace: "/"}, nil
}

// Of returns an emitter for a namespace. A leading slash may be left out
// (CLU-E-04).
func (e *Emitter) Of(namespace string) *Emitter {
	if !strings.HasPrefix(namespace, "/") {
		namespace = "/" + namespace
	}
	return &Emitter{core: e.core, namespace: namespace, batch: e.batch}
}

// Namespace is the name with its leading slash.
func (e *Emitter) Namespace() string { return e.namespace }

// All selects all sockets.
func (e *Emitter) All() Broadcast { return Broadcast{emitter: e} }

// To selects the sockets in any of rooms; see [Broadcast].
func (e *Emitter) To(rooms ...string) Broadcast { return e.All().To(rooms...) }

// In is To.
func (e *Emitter) In(rooms ...string) Broadcast { return e.All().To(rooms...) }

// Except selects all sockets but those in any of rooms.
func (e *Emitter) Except(rooms ...string) Broadcast { return e.All().Except(rooms...) }

// Volatile selects all sockets; see [Broadcast.Volatile].
func (e *Emitter) Volatile() Broadcast { return e.All().Volatile() }

// Compress selects all sockets; see [Broadcast.Compress].
func (e *Emitter) Compress(on bool) Broadcast { return e.All().Compress(on) }

// Emit sends an event to all sockets; see [Broadcast.Emit].
func (e *Emitter) Emit(ctx context.Context, event string, values ...any) error {
	return e.All().Emit(ctx, event, values...)
}

// Join makes all sockets join rooms; see [Broadcast.Join].
func (e *Emitter) Join(ctx context.Context, rooms ...string) error {
	return e.All().Join(ctx, rooms...)
}

// Leave makes all sockets leave rooms.
func (e *Emitter) Leave(ctx context.Context, rooms ...string) error {
	return e.All().Leave(ctx, rooms...)
}

// Disconnect disconnects all sockets; see [Broadcast.Disconnect].
func (e *Emitter) Disconnect(ctx context.Context, closeSession bool) error {
	return e.All().Disconnect(ctx, closeSession)
}

// ServerEmit sends an event to the nodes, where the handlers for events of other
// nodes take it (node.OnServer, officially io.on). Their answers are not asked
// for.
func (e *Emitter) ServerEmit(ctx context.Context, event string, values ...any) error {
	if reservedServerEvent(event) {
		return fmt.Errorf("%w: %q", ErrReservedEvent, event)
	}
	p, err := encodeEvent(event, values)
	if err != nil {
		return err
	}
	return e.publish(ctx, &adapter.Message{Kind: adapter.ServerEvent, Packet: p})
}

// Broadcast selects sockets of a namespace, on all nodes, and says how they are
// reached. It is a value: each method returns a new one, so that a Broadcast can
// be kept and shared.
//
// Without rooms it means all sockets of the namespace, else those in any of the
// rooms; without those in any of the excepted rooms. Every socket is in the room
// named by its id.
type Broadcast struct {
	emitter *Emitter
	target  adapter.Target
}

// To adds rooms. To and In are the same.
func (b Broadcast) To(rooms ...string) Broadcast {
	b.target.Rooms = union(b.target.Rooms, rooms)
	return b
}

// In adds rooms. To and In are the same.
func (b Broadcast) In(rooms ...string) Broadcast { return b.To(rooms...) }

// Except adds rooms whose members are left out.
func (b Broadcast) Except(rooms ...string) Broadcast {
	b.target.Except = union(b.target.Except, rooms)
	return b
}

// union returns a new list with what list and more have, each once. As officially,
// To("a", "a") is one room.
func union(list, more []string) []string {
	list = slices.Clone(list)
	for _, name := range more {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// Volatile drops events for clients to which they cannot be sent at once
// (SIO-V-08).
func (b Broadcast) Volatile() Broadcast {
	b.target.Volatile = true
	return b
}

// Compress says whether events are compressed where the transport compresses;
// they are by default.
func (b Broadcast) Compress(on bool) Broadcast {
	b.target.NoCompress = !on
	return b
}

// Emit sends an event to the selected sockets. Values are encoded as encoding/json
// does, but a []byte in any place is sent as binary; a json.RawMessage is sent as
// it is, once it has been checked. Emit waits for Redis, see [Emitter].
func (b Broadcast) Emit(ctx context.Context, event string, values ...any) error {
	p, err := encodeClientEvent(event, values, b.emitter.core.cfg.MaxAttachments)
	if err != nil {
		return err
	}
	return b.emitter.publish(ctx, &adapter.Message{Kind: adapter.Broadcast, Target: b.target, Packet: p})
}

// Join makes the selected sockets join rooms. They have joined a little after
// it returns; what this emitter sends to the rooms by then reaches them.
func (b Broadcast) Join(ctx context.Context, rooms ...string) error {
	return b.change(ctx, adapter.Join, rooms)
}

// Leave makes the selected sockets leave rooms.
func (b Broadcast) Leave(ctx context.Context, rooms ...string) error {
	return b.change(ctx, adapter.Leave, rooms)
}

func (b Broadcast) change(ctx context.Context, kind adapter.Kind, rooms []string) error {
	if len(rooms) == 0 {
		return nil
	}
	for _, name := range rooms {
		if !validName(name) {
			return fmt.Errorf("%w: room %.200q", ErrName, name)
		}
	}
	return b.emitter.publish(ctx, &adapter.Message{Kind: kind, Target: b.targetOnly(), Names: union(nil, rooms)})
}

// Disconnect disconnects the selected sockets from the namespace, or, with
// closeSession, ends their sessions.
func (b Broadcast) Disconnect(ctx context.Context, closeSession bool) error {
	return b.emitter.publish(ctx, &adapter.Message{Kind: adapter.Disconnect, Target: b.targetOnly(), Close: closeSession})
}

// targetOnly is the target without the flags of events.
func (b Broadcast) targetOnly() adapter.Target {
	return adapter.Target{Rooms: b.target.Rooms, Except: b.target.Except}
}

func validName(name string) bool {
	return len(name) <= maxName && utf8.ValidString(name) && strings.IndexByte(name, 0) < 0
}

// publish checks and encodes m, and hands it to Redis or to the batch.
func (e *Emitter) publish(ctx context.Context, m *adapter.Message) error {
	if !validName(e.namespace) {
		return fmt.Errorf("%w: namespace %.200q", ErrName, e.namespace)
	}
	for _, name := range slices.Concat(m.Target.Rooms, m.Target.Except) {
		if !utf8.ValidString(name) {
			return fmt.Errorf("%w: room %.200q", ErrName, name)
		}
	}
	p, err := e.core.pack(ctx, e.namespace, m)
	switch {
	case err != nil:
		return fmt.Errorf("redis: emit: %w", err)
	case e.batch != nil:
		return e.batch.add(p)
	}
	return e.core.way.send(ctx, []*parcel{p})
}
