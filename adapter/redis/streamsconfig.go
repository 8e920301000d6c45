package redis

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// StreamsConfig holds the options of the streams adapter. The zero value works and
// is that of official nodes. 0 means the default of a field, a negative number is an
// error. All nodes of a cluster must have the same StreamName, StreamCount, Key,
// Sharded and SessionPrefix.
//
// The official option onlyPlaintext saves official nodes the search for binary data;
// ours know without a search, and read both forms. heartbeatInterval and
// heartbeatTimeout have no effect officially and do not exist here.
type StreamsConfig struct {
	// Config holds what all adapters have. Key is the prefix of the channels, the
	// official channelPrefix. The journal's options have no effect: events are kept
	// in the streams.
	//
	// The classic adapter must not have the same Key on the same Redis: official
	// classic nodes end when they hear what is published here (CLU-A-03).
	Config
	// Sharded says that the channels are sharded ones, the official useShardedPubSub:
	// Redis 7 or later.
	Sharded bool

	// StreamName is the key of the stream, "socket.io" by default.
	StreamName string
	// StreamCount is over how many streams the namespaces are spread, 1 by default.
	// With more than one their keys are StreamName, "-" and a number.
	StreamCount int
	// MaxLen is about how many entries a stream has at most; 10,000 by default. A
	// node that is further behind than that, because it was paused or because the
	// others send faster than it reads, misses the difference: Stats.Missed. At
	// 20,000 messages a second the default is half a second. With recovery MaxLen
	// must also be more than what is sent, on all namespaces of the stream, in the
	// time that a client may be away: Redis forgets the rest.
	MaxLen int
	// ReadCount is how many entries of a stream are read at once; 100 by default. A
	// node that is behind reads up to 16 times as many, as long as they are likely
	// to take less than 1 MiB.
	ReadCount int
	// BlockTime is how long one read waits for entries; 5 s by default.
	BlockTime time.Duration
	// OrderWait is how long, with recovery, an event of this node may take to come
	// back from the stream before the node delivers it without a place in the order;
	// 200 ms by default. A node that is behind in the stream, but reads on, waits up
	// to 25 times as long, and so does the caller of Publish. What is delivered
	// without a place may come to a client a second time if that is cut off right then.
	OrderWait time.Duration
	// SessionPrefix is how the keys of sessions begin, "sio:session:" by default.
	SessionPrefix string
}

// withDefaults checks c and fills it in.
func (c StreamsConfig) withDefaults() (StreamsConfig, error) {
	base, err := c.Config.withDefaults()
	c.Config = base
	c.StreamName = cmp.Or(c.StreamName, "socket.io")
	c.SessionPrefix = cmp.Or(c.SessionPrefix, "sio:session:")
	err = errors.Join(err,
		setDefault("StreamCount", &c.StreamCount, 1),
		setDefault("MaxLen", &c.MaxLen, 10_000),
		setDefault("ReadCount", &c.ReadCount, 100),
		setDefault("BlockTime", &c.BlockTime, 5*time.Second),
		setDefault("OrderWait", &c.OrderWait, 200*time.Millisecond),
	)
	if c.BlockTime > 0 && c.BlockTime < time.Millisecond {
		err = errors.Join(err, fmt.Errorf("redis: Config.BlockTime is less than a millisecond: %v", c.BlockTime))
	}
	return c, err
}

// stream is the key of the stream of a namespace (CLU-X-07).
func (c StreamsConfig) stream(namespace string) string {
	if c.StreamCount == 1 {
		return c.StreamName
	}
	return fmt.Sprintf("%s-%d", c.StreamName, hashNamespace(namespace)%int32(c.StreamCount))
}

// hashNamespace is the official hash of a namespace. It may be negative, and so is
// the remainder then: official nodes add to a stream like "socket.io--3", which none
// of them reads (CLU-X-08). Ours read the stream that they add to, so they hear
// each other and the official ones also in such a namespace.
func hashNamespace(name string) (hash int32) {
	for _, unit := range utf16Units(name) {
		hash = hash*31 + int32(unit)
	}
	return hash
}
