package redis

import (
	"sync/atomic"

	"github.com/fanwire/fanwire/adapter"
)

// counters are what one namespace counts.
type counters struct {
	published, publishedBytes     atomic.Uint64
	publishErrors, publishDropped atomic.Uint64
	received, receivedBytes       atomic.Uint64
	ignored, bad, receiveDropped  atomic.Uint64
	kept, keptBytes, keepDropped  atomic.Uint64
	replayed                      atomic.Uint64
	missed, duplicates            atomic.Uint64
	ownMissed                     atomic.Uint64 // of what this member has added to a stream itself
}

// finished is how many messages have left the outbox in some way.
func (c *counters) finished() uint64 {
	return c.published.Load() + c.publishErrors.Load() + c.publishDropped.Load()
}

func (c *counters) stats() adapter.Stats {
	return adapter.Stats{
		Published:      c.published.Load(),
		PublishedBytes: c.publishedBytes.Load(),
		PublishErrors:  c.publishErrors.Load(),
		PublishDropped: c.publishDropped.Load(),
		Received:       c.received.Load(),
		ReceivedBytes:  c.receivedBytes.Load(),
		Ignored:        c.ignored.Load(),
		BadMessages:    c.bad.Load(),
		ReceiveDropped: c.receiveDropped.Load(),
		Kept:           c.kept.Load(),
		KeptBytes:      c.keptBytes.Load(),
		KeepDropped:    c.keepDropped.Load(),
		Replayed:       c.replayed.Load(),
		Missed:         c.missed.Load(),
		Duplicates:     c.duplicates.Load(),
	}
}
