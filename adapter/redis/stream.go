package redis

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// placedEntry is an entry that was read, with its place in the stream.
type placedEntry struct {
	id entryID
	clusterEntry
}

// stream is one stream as a node reads it.
type stream struct {
	// Static after construction.
	key   string
	feed  *streamFeed
	cache *streamCache[*keptEntry] // for clients that come back
	begun chan struct{}            // closed when at is known

	missed  atomic.Uint64 // entries that Redis had forgotten before they were read
	unnamed atomic.Uint64 // of them, those that no publisher's number tells of

	members map[string]*streams // by namespace; guarded by feed.mu

	// Owned by the feed's goroutine; at is guarded by feed.mu besides.
	at       entryID // the last one that was read
	known    bool    // at is
	position uint64  // how many entries were added up to at, if counted
	counted  bool
	lagging  bool // there was more than one read returns
	calm     int  // ticks in a row at which everything that was read was handled
	pace     pace
}

// hand gives entries to their namespaces. Each is left behind before anybody looks
// at it (HRD-60).
func (s *stream) hand(entries []goredis.XMessage) {
	for _, x := range entries {
		id, ok := parseEntryID(x.ID)
		if !ok {
			continue // Redis does not write such
		}
		e := &placedEntry{id: id, clusterEntry: readEntry(x.Values)}
		s.feed.mu.Lock()
		s.at = id
		s.position++
		a := s.members[e.namespace]
		s.feed.mu.Unlock()
		if a != nil {
			a.offerPlaced(e)
		}
	}
}

// catchUp finds out where streams begin, and what was missed of those that the
// reading may have lost sight of: on a new connection, and while it lags behind.
func catchUp(ctx context.Context, client *goredis.Client, list []*stream, first bool) error {
	for _, s := range list {
		var err error
		switch {
		case !s.known:
			err = s.start(ctx, client)
		case first || s.lagging:
			err = s.readChecked(ctx, client)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// start begins at the end of the stream: not at "$", which would be another place
// in each command until something was read (CLU-X-06).
func (s *stream) start(ctx context.Context, client *goredis.Client) error {
	info, err := client.XInfoStream(ctx, s.key).Result()
	var refused goredis.Error
	switch {
	case isNoStream(err):
		info, err = &goredis.XInfoStream{LastGeneratedID: entryID{}.String()}, nil
	case errors.As(err, &refused) && !isElsewhere(err): // a server without this command
		info, err = s.last(ctx, client)
	}
	if err != nil {
		return err
	}
	last, ok := parseEntryID(info.LastGeneratedID)
	if !ok {
		return errWire
	}
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.at, s.known = last, true
	s.position, s.counted = uint64(info.EntriesAdded), info.EntriesAdded > 0 || last == entryID{}
	for _, a := range s.members {
		a.kept.begin(last)
	}
	s.feed.connected.Store(true)
	close(s.begun)
	return nil
}

func isNoStream(err error) bool { return err != nil && strings.Contains(err.Error(), "no such key") }

// last is what start needs without XINFO.
func (s *stream) last(ctx context.Context, client *goredis.Client) (*goredis.XInfoStream, error) {
	list, err := client.XRevRangeN(ctx, s.key, "+", "-", 1).Result()
	info := &goredis.XInfoStream{LastGeneratedID: entryID{}.String()}
	if len(list) > 0 {
		info.LastGeneratedID = list[0].ID
	}
	return info, err
}

// readChecked reads what there is, and asks in the same step how much was added and
// how much has gone.
func (s *stream) readChecked(ctx context.Context, client *goredis.Client) error {
	count := s.pace.count(s.feed.reader.cfg.ReadCount)
	tx := client.TxPipeline()
	info := tx.XInfoStream(ctx, s.key)
	read := goredis.NewXStreamSliceCmd(ctx, "xread", "count", count, "streams", s.key, s.at.String())
	_ = tx.Process(ctx, read) // its error is that of the command
	if _, err := tx.Exec(ctx); err != nil && !isRefusal(err) {
		return err
	}
	var entries []goredis.XMessage
	switch found, err := read.Result(); {
	case err != nil && !errors.Is(err, goredis.Nil):
		return err
	case len(found) > 0:
		entries = found[0].Messages
	}
	s.lagging = s.pace.took(count, entries)
	s.check(info, len(entries))
	s.hand(entries)
	return nil
}

// check compares what was read of the stream with what Redis says of it, where it
// does. unread entries follow at, or more if the reading lags behind.
func (s *stream) check(cmd *goredis.XInfoStreamCmd, unread int) {
	info, err := cmd.Result()
	log := s.feed.reader.log
	if isNoStream(err) {
		if s.at != (entryID{}) {
			log.Warn("redis: the stream has gone", "stream", s.key, "read", s.at.String())
			s.missed.Add(1) // at least
		}
		s.rewind(entryID{}, 0)
		return
	}
	if err != nil {
		s.counted = false
		return
	}
	last, _ := parseEntryID(info.LastGeneratedID)
	added, gone := uint64(info.EntriesAdded), uint64(info.EntriesAdded-info.Length)
	if last.compare(s.at) < 0 {
		log.Warn("redis: the stream has lost entries", "stream", s.key, "read", s.at.String(), "last", info.LastGeneratedID)
		s.missed.Add(1) // at least
		s.rewind(last, added)
		return
	}
	if added == 0 || added < s.position { // before Redis 7, or another stream
		s.counted = false
	}
	if missed := s.count(added, gone, unread); missed > 0 {
		log.Warn("redis: the stream was cut before it was read", "stream", s.key, "entries", missed)
		s.missed.Add(missed)
		for _, a := range s.namespaces() {
			if a.kept.keeps {
				a.member.eventsLost()
			}
		}
	}
}

func (s *stream) namespaces() []*streams {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	return slices.Collect(maps.Values(s.members))
}

// tick looks after what is not urgent.
func (s *stream) tick(now time.Time) {
	s.cache.sweep(now)
	s.feed.mu.Lock()
	empty := s.at == entryID{}
	s.feed.mu.Unlock()
	list := s.namespaces()
	for _, a := range list {
		a.kept.tick(empty)
	}
	s.countUnnamed(list)
}

// countUnnamed finds out how many of the missed entries the numbers of publishers do
// not tell of, since official servers have none. It waits until what was read is
// handled: the entry after a gap tells of it. Own entries that were missed are not
// missed by anybody.
func (s *stream) countUnnamed(list []*streams) {
	s.calm++
	var told uint64
	for _, a := range list {
		if s.lagging || a.in.Len() > 0 {
			s.calm = 0
		}
		told += a.c.missed.Load() + a.c.ownMissed.Load()
	}
	if missed := s.missed.Load(); s.calm >= calmTicks && missed > told {
		s.unnamed.Store(max(s.unnamed.Load(), missed-told))
	}
}

// calmTicks: after one, the last message may still be in somebody's hands.
const calmTicks = 2

// unnamedOf is what a tells of them: they are told once.
func (s *stream) unnamedOf(a *streams) uint64 {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	for name := range s.members {
		if name < a.host.Namespace() {
			return 0
		}
	}
	return s.unnamed.Load()
}

// rewind reads on from an earlier entry than before, since the stream is another
// one or has lost its end.
func (s *stream) rewind(at entryID, position uint64) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	s.at, s.position, s.counted = at, position, true
}

// count sets the position of at right, and returns by how much it was wrong.
func (s *stream) count(added, gone uint64, unread int) (missed uint64) {
	position := max(s.position, gone)
	if !s.lagging {
		position = added - min(added, uint64(unread))
	}
	switch {
	case s.counted && position > s.position:
		missed = position - s.position
	case s.lagging && !s.counted:
		return 0 // later
	}
	s.position, s.counted = position, added > 0
	return missed
}

// fetch reads entries for clients that come back.
func (s *stream) fetch(ctx context.Context, from, to entryID, count int) ([]*keptEntry, error) {
	list, err := s.feed.reader.client.XRangeN(ctx, s.key, from.String(), to.String(), int64(count)).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		return nil, err
	}
	entries := make([]*keptEntry, 0, len(list))
	for _, x := range list {
		if id, ok := parseEntryID(x.ID); ok {
			entries = append(entries, &keptEntry{placedEntry: placedEntry{id: id, clusterEntry: readEntry(x.Values)}})
		}
	}
	return entries, nil
}
