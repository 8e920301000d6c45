package redis

import (
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// SubscriptionMode says which rooms have a channel of their own on the sharded
// wire. All nodes and emitters of a cluster must have the same (CLU-H-05).
type SubscriptionMode string

// The official modes (CLU-H-02). The zero SubscriptionMode is ModeDynamic.
const (
	// ModeDynamic gives one to each room that is no socket's id: a message for it
	// goes to nodes with a member only. Whatever is 20 characters long counts as an
	// id.
	ModeDynamic SubscriptionMode = "dynamic"
	// ModeDynamicPrivate gives one to socket ids as well, at the price of a
	// subscription for each connection.
	ModeDynamicPrivate SubscriptionMode = "dynamic-private"
	// ModeStatic gives none: every message goes to every node.
	ModeStatic SubscriptionMode = "static"
)

// NewShardedAdapter makes the factory of the sharded adapter: the wire of
// createShardedAdapter of npm @socket.io/redis-adapter 8. It needs Redis 7. client
// is as for [NewAdapter].
//
// On a Redis Cluster each channel lives on one master, so the load of many rooms
// is spread; a node has a subscriber connection to each master with a channel of
// its own. Order between nodes then holds for each channel (CLU-H-11).
func NewShardedAdapter(client goredis.UniversalClient, config Config) adapter.Factory {
	return newFactory(client, config, wireSharded, func(cfg Config, h adapter.Host, uid string) protocol {
		return newSharded(cfg, h, uid)
	})
}

// sharded is the protocol of the sharded adapter (CLU-H).
type sharded struct {
	// Static after construction.
	host   adapter.Host
	wire   clusterWire
	mode   SubscriptionMode
	common string // P#N#

	joins recentJoins
}

func newSharded(cfg Config, h adapter.Host, uid string) *sharded {
	concern := func(t adapter.Target) bool { return concerns(h, t) }
	return &sharded{
		host:   h,
		wire:   clusterWire{uid: uid, namespace: h.Namespace(), concerns: concern},
		mode:   cfg.SubscriptionMode,
		common: cfg.Key + "#" + h.Namespace() + "#",
	}
}

func (s *sharded) base() []baseChannel {
	return []baseChannel{{s.common, false, routeAll}, {s.ofUID(s.wire.uid), false, routeAnswer}} // CLU-H-01
}

func (s *sharded) countChannel() string { return s.common } // CLU-H-09

func (s *sharded) roomChannel(room string) string {
	if !s.hasChannel(room) {
		return ""
	}
	return s.ofRoom(room)
}

// hasChannel tells whether publishers send what is for one room to a channel of
// its own (CLU-H-03). They decide by the name alone, so subscribers do likewise
// (CLU-H-04).
func (s *sharded) hasChannel(room string) bool {
	switch s.mode {
	case ModeDynamicPrivate:
		return true
	case ModeStatic:
		return false
	}
	return utf16Len(room) != idLen
}

func (s *sharded) ofRoom(room string) string { return s.common + room + "#" }

// ofUID is the channel of a node: answers go there (CLU-H-06).
func (s *sharded) ofUID(uid string) string { return s.common + uid + "#" }

func (s *sharded) encode(m *adapter.Message) (item, error) {
	payload, err := s.wire.encode(m)
	if m.Kind == adapter.Join {
		s.joins.add(m.Names, time.Now())
	}
	return item{verb: verbSPublish, channel: s.channel(m), payload: payload, lane: laneMessages}, err
}

// channel is where m goes (CLU-H-03).
func (s *sharded) channel(m *adapter.Message) string {
	if m.Kind != adapter.Broadcast || m.RequestID != "" || len(m.Target.Rooms) != 1 {
		return s.common
	}
	room := m.Target.Rooms[0]
	if !s.hasChannel(room) || s.joins.has(room, time.Now) { // CLU-H-10
		return s.common
	}
	return s.ofRoom(room)
}

// encodeAnswer: who has no name gets its answer where all hear it (CLU-H-08).
func (s *sharded) encodeAnswer(to string, m *adapter.Message) (item, error) {
	payload, err := s.wire.encode(m)
	channel := s.common
	if to != "" {
		channel = s.ofUID(to)
	}
	return item{verb: verbSPublish, channel: channel, payload: payload, lane: laneAnswers}, err
}

func (s *sharded) stamp(it *item, x extras) { it.payload = stampPayload(it.payload, x) }

func (s *sharded) sequence(d delivery) (id uint64, kept bool) { return sequenceID(d.channel), true }

// ignores passes what is for a room that the last member has just left: it has a
// number that counts.
func (s *sharded) ignores(d delivery) bool {
	return (d.kind == routeAll || d.kind == routeRoom) && s.wire.own(d.payload)
}

func (s *sharded) decode(d delivery) (incoming, error) { return s.wire.decode(bytesOf(d.payload)) }

// utf16Len is the length of a string in JavaScript.
func utf16Len(s string) (n int) {
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}
