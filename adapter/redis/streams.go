package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// NewStreamsAdapter makes the factory of the streams adapter: the wire of npm
// @socket.io/redis-streams-adapter 0.3, with its records of sessions. client is as
// for [NewAdapter].
//
// Events and commands are entries of a Redis stream, which every node reads from
// where it was, also after a pause; questions and answers go through channels. A node
// reads its streams over one connection for all of its namespaces, on a Redis
// Cluster over one for each stream.
//
// With recovery on, the stream is the journal: an event for clients comes back from
// it before this node delivers it, so that all nodes have one order. While Redis is
// away or slow nobody waits for that.
func NewStreamsAdapter(client goredis.UniversalClient, config StreamsConfig) adapter.Factory {
	cfg, err := config.withDefaults()
	err = errors.Join(err, usable(client))
	wire := wireStreams
	if cfg.Sharded {
		wire = wireStreamsSharded
	}
	ls := newLinks(client, cfg.Config, wire)
	ls.sessions = officialSessions(cfg.SessionPrefix)
	readers := &streamReaders{client: client, cfg: cfg, byNode: map[string]*streamReader{}}
	return func(h adapter.Host) (adapter.Adapter, error) {
		if err != nil {
			return nil, err
		}
		return newStreams(ls, readers, cfg, h), nil
	}
}

// streams is the adapter of one namespace of one node: a member, which publishes
// and hears the channels, and its place in the stream.
type streams struct {
	*member
	kept    *streamJournal
	wire    *streamsWire
	readers *streamReaders

	stream  atomic.Pointer[stream] // set by Start
	leaving sync.Once
}

func newStreams(ls *links, readers *streamReaders, cfg StreamsConfig, h adapter.Host) *streams {
	uid := newUID()
	w := newStreamsWire(cfg, h, uid)
	a := &streams{wire: w, readers: readers}
	a.kept = newStreamJournal(a, h.RecoveryWindow() > 0)
	w.journal = a.kept
	a.member = newMember(ls, streamsHost{h, a.kept}, uid, w)
	return a
}

// Start implements [adapter.Adapter].
func (a *streams) Start(ctx context.Context) error {
	s, begun := a.readers.join(a)
	if !a.stream.CompareAndSwap(nil, s) {
		s.feed.leave(a)
		a.readers.release(a)
		return adapter.ErrClosed
	}
	if err := a.member.Start(ctx); err != nil {
		return err
	}
	select {
	case <-begun:
	case <-ctx.Done():
		return fmt.Errorf("redis: start %s: reading the stream: %w", a.host.Namespace(), ctx.Err())
	}
	return a.kept.start(ctx)
}

// Publish implements [adapter.Adapter].
func (a *streams) Publish(ctx context.Context, m *adapter.Message) (adapter.Placed, error) {
	if !a.kept.keeps || !keeps(m) {
		return a.member.Publish(ctx, m)
	}
	return a.kept.place(m)
}

// offerPlaced takes an entry of the stream. It waits while too many are not
// handled yet: the stream holds the rest.
func (a *streams) offerPlaced(e *placedEntry) {
	a.c.received.Add(1)
	a.c.receivedBytes.Add(uint64(e.size()))
	if e.size() > a.cfg.MaxReceive {
		a.bad(a.wire.key, e.data, adapter.ErrTooLarge)
		return
	}
	a.in.PutWait(delivery{channel: a.wire.key, payload: e.data, placed: e}, e.size())
}

// Ready implements [adapter.Prober].
func (a *streams) Ready() error {
	if err := a.member.Ready(); err != nil {
		return err
	}
	if s := a.stream.Load(); s == nil || !s.feed.connected.Load() {
		return errors.New("redis: the stream is not being read")
	}
	return nil
}

// Stats implements [adapter.Measurer]. Entries that Redis forgot before they were
// read count as missed: by the numbers of their publishers or, without those, in one
// of the namespaces of the stream.
func (a *streams) Stats() adapter.Stats {
	st := a.member.Stats()
	a.kept.addStats(&st)
	if s := a.stream.Load(); s != nil {
		st.Missed += s.unnamedOf(a)
	}
	return st
}

// Close implements [adapter.Adapter].
func (a *streams) Close(ctx context.Context) (err error) {
	a.leaving.Do(func() {
		s := a.stream.Load()
		if s != nil {
			s.feed.leave(a)
		}
		err = a.member.Close(ctx) // lets the reader go, if it waits for us
		if s != nil {
			a.readers.release(a)
		}
	})
	return err
}

// streamsHost is the host as a member of a stream sees it: the stream is told how far
// the node has got, and is all the journal there is.
type streamsHost struct {
	adapter.Host
	journal *streamJournal
}

// RecoveryWindow implements [adapter.Host].
func (streamsHost) RecoveryWindow() time.Duration { return 0 }

// EventsLost implements [adapter.LossObserver].
func (h streamsHost) EventsLost() {
	if o, ok := h.Host.(adapter.LossObserver); ok {
		o.EventsLost()
	}
}

// Pace implements [adapter.Pacer].
func (h streamsHost) Pace(bytes int) {
	if p, ok := h.Host.(adapter.Pacer); ok {
		p.Pace(bytes)
	}
}

// Receive implements [adapter.Host].
func (h streamsHost) Receive(m *adapter.Message) {
	defer h.journal.received()
	h.Host.Receive(m)
}
