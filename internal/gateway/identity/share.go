package identity

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

//go:embed revoke.lua
var revokeSource string

var revokeScript = goredis.NewScript(revokeSource)

// later notes what is to be written, until it is.
func (r *Revocations) later(w write) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, old := range w.replaced {
		delete(r.pending, old.member())
	}
	r.pending[w.r.member()] = w
}

func (r *Revocations) unwritten() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pending) > 0
}

// write writes one revocation to Redis and tells the nodes.
func (r *Revocations) write(ctx context.Context, w write) error {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	member := w.r.member()
	args := []any{r.channel, member, w.r.Expires.UnixMilli(), r.opts.Now().Add(-clockMargin).UnixMilli()}
	for _, old := range w.replaced {
		args = append(args, old.member())
	}
	n, err := revokeScript.Run(ctx, r.rdb, []string{r.list, r.number}, args...).Int64()
	if err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.pending, member)
	r.mu.Unlock()
	r.saw(n)
	if r.known.has(w.r) {
		return nil
	}
	// Another has taken its place meanwhile, and may have been written first.
	return r.rdb.ZRem(ctx, r.list, member).Err()
}

// saw notes that change n is known, and has Redis read again if one before is not.
func (r *Revocations) saw(n int64) {
	r.mu.Lock()
	gap := n > r.seen+1
	r.seen = max(r.seen, n)
	r.stale = r.stale || gap
	r.mu.Unlock()
	if gap {
		signal(r.kick)
	}
}

// take takes in what another node has revoked.
func (r *Revocations) take(rev Revocation) {
	added, _, err := r.known.add(rev, 2*r.opts.Max) // nodes do not agree on the count at any moment
	switch {
	case err != nil:
		r.opts.Logger.Error("a revocation of another node is not kept", "error", err)
	case added:
		signal(r.changed)
	}
}

// load reads all revocations. Those that Redis has lost are written again.
func (r *Revocations) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*redisWait)
	defer cancel()
	r.mu.Lock()
	from := r.seen
	r.stale = false // what is missed from here on makes it so again
	r.mu.Unlock()
	n, err := r.loadAll(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil:
		r.stale = true
		return err
	case r.seen == from: // also when Redis has lost its number and counts anew
		r.seen = n
	default: // changes were heard meanwhile: n is older than they are, or knows more
		r.seen = max(r.seen, n)
	}
	r.loaded = true
	return nil
}

// loadAll returns the number of changes that is known by what it has read.
func (r *Revocations) loadAll(ctx context.Context) (int64, error) {
	n, err := r.changes(ctx)
	if err != nil {
		return 0, err
	}
	before := r.List()
	ends := make(map[string]int64)
	from := strconv.FormatInt(r.opts.Now().UnixMilli(), 10)
	for page := int64(0); ; page++ {
		list, err := r.rdb.ZRangeByScoreWithScores(ctx, r.list, &goredis.ZRangeBy{
			Min: from, Max: "+inf", Offset: page * loadPage, Count: loadPage,
		}).Result()
		if err != nil {
			return 0, err
		}
		for _, z := range list {
			r.loadOne(z, ends)
		}
		if len(list) < loadPage {
			break
		}
	}
	for _, rev := range before {
		if ends[rev.member()] < rev.Expires.UnixMilli() {
			r.later(write{r: rev})
		}
	}
	return n, nil
}

func (r *Revocations) loadOne(z goredis.Z, ends map[string]int64) {
	member, ok := z.Member.(string)
	if !ok {
		return
	}
	rev, err := readRevocation(member, z.Score, r.opts.Now())
	if err != nil {
		r.opts.Logger.Debug("a revocation in Redis cannot be read", "error", err)
		return
	}
	ends[rev.member()] = int64(z.Score)
	r.take(rev)
}

// changes returns the number of changes in Redis.
func (r *Revocations) changes(ctx context.Context) (int64, error) {
	n, err := r.rdb.Get(ctx, r.number).Int64()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	return n, err
}

// keep sees to it that this node and Redis know the same, until ctx ends.
func (r *Revocations) keep(ctx context.Context) {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		case <-timer.C:
		}
		r.known.prune(r.opts.Now().Add(-clockMargin))
		wait := pollEvery
		if err := r.tend(ctx); err != nil && ctx.Err() == nil {
			wait = retryEvery
			if !failing {
				r.opts.Logger.Warn("revocations are not shared with Redis; those that are known hold", "error", err)
			}
			failing = true
		} else if failing {
			r.opts.Logger.Info("revocations are shared with Redis again")
			failing = false
		}
		timer.Reset(wait)
	}
}

// tend reads what was missed and writes what waits.
func (r *Revocations) tend(ctx context.Context) error {
	if r.rdb == nil {
		return nil
	}
	poll, cancel := context.WithTimeout(ctx, redisWait)
	n, err := r.changes(poll)
	cancel()
	if err != nil {
		return err
	}
	r.mu.Lock()
	stale := r.stale || n != r.seen
	r.mu.Unlock()
	if stale {
		if err := r.load(ctx); err != nil {
			return err
		}
	}
	r.mu.Lock()
	waiting := slices.Collect(maps.Values(r.pending))
	r.mu.Unlock()
	for _, w := range waiting {
		if !r.known.has(w.r) { // another has taken its place, or it has ended
			r.mu.Lock()
			delete(r.pending, w.r.member())
			r.mu.Unlock()
			continue
		}
		if err := r.write(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

// hear listens to what other nodes revoke, until ctx ends.
func (r *Revocations) hear(ctx context.Context) {
	for ctx.Err() == nil {
		err := r.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		r.opts.Logger.Debug("hearing of revocations: connecting again", "error", err)
		timer := time.NewTimer(rand.N(retryEvery))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// listen subscribes once, until the connection fails or ctx ends.
func (r *Revocations) listen(ctx context.Context) error {
	ps := r.rdb.Subscribe(ctx, r.channel)
	defer ps.Close()
	defer context.AfterFunc(ctx, func() { _ = ps.Close() })() // ends a wait
	for asked := false; ; {
		msg, err := ps.ReceiveTimeout(ctx, pollEvery)
		var late net.Error
		switch {
		case err == nil:
			asked = false
			r.heard(msg)
		case errors.As(err, &late) && late.Timeout() && !asked: // is somebody there?
			asked = true
			if err := ps.Ping(ctx); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (r *Revocations) heard(msg any) {
	switch msg := msg.(type) {
	case *goredis.Subscription: // whatever was said before it is in Redis
		r.mu.Lock()
		r.stale = true
		r.mu.Unlock()
		signal(r.kick)
	case *goredis.Message:
		n, rev, err := r.readMessage(msg.Payload)
		if err != nil {
			r.opts.Logger.Debug("a revocation of another node cannot be read", "error", err)
			return
		}
		r.take(rev)
		r.saw(n)
	}
}

// readMessage reads "NUMBER END REVOCATION".
func (r *Revocations) readMessage(payload string) (n int64, rev Revocation, err error) {
	number, rest, _ := strings.Cut(payload, " ")
	score, member, _ := strings.Cut(rest, " ")
	n, err = strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, rev, errors.New("not a number")
	}
	ends, err := strconv.ParseFloat(score, 64)
	if err != nil {
		return 0, rev, errors.New("not a time")
	}
	if rev, err = readRevocation(member, ends, r.opts.Now()); err != nil {
		return 0, rev, fmt.Errorf("revocation: %w", err)
	}
	return n, rev, nil
}
