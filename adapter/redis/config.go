package redis

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Config holds the options of the adapters. The zero value works. 0 means the
// default of a field, a negative number is an error.
type Config struct {
	// Key is the prefix of all channels, "socket.io" by default. All nodes and
	// emitters of a cluster must have the same.
	Key string
	// NoIDPattern is for the classic adapter. It turns off the one pattern subscription per node and namespace
	// that hears what official nodes and emitters send to a socket's id. Patterns
	// cost Redis time for every publish (about 0.26 µs each), so very large
	// clusters without official publishers do better without. Messages to ids
	// then go to a channel of the owning node that only Fanwire knows; all nodes
	// must have the same setting.
	NoIDPattern bool
	// SubscriptionMode is that of the sharded adapter; ModeDynamic by default. All
	// nodes must have the same.
	SubscriptionMode SubscriptionMode

	// MaxMessage is the size in bytes of the largest event or request that is
	// published; 1 MiB by default (HRD-68).
	MaxMessage int
	// MaxReceive is the size in bytes of the largest event or request that is
	// accepted; 4 MiB by default (HRD-60). Official nodes have no limit.
	MaxReceive int
	// MaxAnswer is the size in bytes of the largest answer to a request, both
	// ways; 64 MiB by default (HRD-60).
	MaxAnswer int

	// Backlog is how many bytes of messages wait for Redis at most, and
	// BacklogAge how long; 8 MiB and 10 s by default. The oldest are dropped
	// (HRD-63). Answers wait apart, up to MaxAnswer bytes.
	Backlog    int
	BacklogAge time.Duration
	// PublishTimeout bounds each read from and write to Redis while publishing;
	// 3 s by default (HRD-63). It does not apply to client types other than
	// *Client and *ClusterClient: those use their own timeouts.
	PublishTimeout time.Duration

	// MaxInbox is how many messages wait for one namespace of the node at most,
	// and MaxInboxBytes their size; 100,000 and 64 MiB by default. The oldest are
	// dropped (HRD-61).
	MaxInbox, MaxInboxBytes int

	// JournalEntries is how many events of a namespace are kept at most, and
	// JournalBytes about how many bytes they take; 200,000 and 64 MiB by default.
	// Events are kept while recovery is on, for the window and a minute longer
	// (HRD-67).
	JournalEntries, JournalBytes int

	// ProbeInterval is how long nothing may arrive before the node sends itself a
	// message, and ProbeTimeout how long that may take before the subscriber
	// connection is made anew; 10 s and 5 s by default (HRD-64).
	ProbeInterval, ProbeTimeout time.Duration

	// Logger gets losses and returns of the connection (warn, info), refused
	// commands (error) and bad messages (warn, one a second and namespace). Nil
	// discards.
	Logger *slog.Logger
}

// withDefaults checks c and fills it in.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	for _, n := range []struct {
		name     string
		field    *int
		standard int
	}{
		{"MaxMessage", &c.MaxMessage, 1 << 20},
		{"MaxReceive", &c.MaxReceive, 4 << 20},
		{"MaxAnswer", &c.MaxAnswer, 64 << 20},
		{"Backlog", &c.Backlog, 8 << 20},
		{"JournalEntries", &c.JournalEntries, 200_000},
		{"JournalBytes", &c.JournalBytes, 64 << 20},
		{"MaxInbox", &c.MaxInbox, 100_000},
		{"MaxInboxBytes", &c.MaxInboxBytes, 64 << 20},
	} {
		errs = append(errs, setDefault(n.name, n.field, n.standard))
	}
	for _, d := range []struct {
		name     string
		field    *time.Duration
		standard time.Duration
	}{
		{"BacklogAge", &c.BacklogAge, 10 * time.Second},
		{"PublishTimeout", &c.PublishTimeout, 3 * time.Second},
		{"ProbeInterval", &c.ProbeInterval, 10 * time.Second},
		{"ProbeTimeout", &c.ProbeTimeout, 5 * time.Second},
	} {
		errs = append(errs, setDefault(d.name, d.field, d.standard))
	}
	c.Key = cmp.Or(c.Key, "socket.io")
	switch c.SubscriptionMode = cmp.Or(c.SubscriptionMode, ModeDynamic); c.SubscriptionMode {
	case ModeDynamic, ModeDynamicPrivate, ModeStatic:
	default:
		errs = append(errs, fmt.Errorf("redis: Config.SubscriptionMode: unknown mode %q", c.SubscriptionMode))
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c, errors.Join(errs...)
}

func setDefault[T int | time.Duration](name string, field *T, standard T) error {
	if *field < 0 {
		return fmt.Errorf("redis: Config.%s is negative: %v", name, *field)
	}
	*field = cmp.Or(*field, standard)
	return nil
}
