package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// ErrNotShared says that a revocation holds on this node, and that the others will be
// told when Redis is there again.
var ErrNotShared = errors.New("identity: revoked on this node; the others are told when Redis is there again")

// ErrTooManyRevocations says that as many are kept as may be. One with IssuedBefore
// for a user, or for all, takes the place of many.
var ErrTooManyRevocations = errors.New("identity: too many revocations")

// A RevocationError says what is wrong with a [Revocation].
type RevocationError struct{ Problem string }

func (e *RevocationError) Error() string { return "identity: revocation: " + e.Problem }

// RevocationOptions set up [Revocations].
type RevocationOptions struct {
	// Key tells clusters apart that share a Redis: the prefix of the configuration,
	// "socket.io" if empty.
	Key string
	// Max bounds how many are kept, 100,000 if 0; each takes some 300 bytes.
	Max int
	// Logger hears when Redis is away; [slog.Default] if nil.
	Logger *slog.Logger
	// Now is the wall clock, [time.Now] if nil.
	Now func() time.Time
}

// How revocations are kept the same on all nodes.
const (
	pollEvery   = 10 * time.Second // whether something was missed, and for what has ended
	retryEvery  = time.Second      // while something is to be written
	redisWait   = 3 * time.Second  // for one command
	clockMargin = time.Hour        // for which what has ended is kept, since clocks differ
	loadPage    = 1000
)

// Revocations are what all nodes know of tokens that are not accepted any more. They
// are kept in Redis until they end, and told to all nodes at once over a channel of
// their own, which official nodes do not hear. What a node knows holds without Redis.
// All methods are safe for concurrent use.
type Revocations struct {
	// Static after construction.
	rdb     goredis.UniversalClient // nil: this node alone
	opts    RevocationOptions
	list    string // keys
	number  string
	channel string

	known   revoked
	changed chan struct{} // a signal for the Sentry
	kick    chan struct{} // a signal for keep
	stop    context.CancelFunc
	wg      sync.WaitGroup // keep and hear

	mu      sync.Mutex // guards the fields below
	seen    int64      // the number of changes in Redis that are known
	stale   bool       // Redis is to be read again
	loaded  bool       // it was once
	pending map[string]write
}

// write is what is to be written.
type write struct {
	r        Revocation
	replaced []Revocation
}

// NewRevocations makes the revocations of a cluster. With rdb nil they are those of
// this node. It does no I/O.
func NewRevocations(rdb goredis.UniversalClient, opts RevocationOptions) *Revocations {
	if opts.Key == "" {
		opts.Key = "socket.io"
	}
	if opts.Max <= 0 {
		opts.Max = 100_000
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	key := "fanwire:revoked:{" + opts.Key + "}"
	return &Revocations{
		rdb: rdb, opts: opts,
		list: key, number: key + ":changes", channel: "fanwire#revoked#" + opts.Key,
		changed: make(chan struct{}, 1),
		kick:    make(chan struct{}, 1),
		stop:    func() {},
		pending: make(map[string]write),
		stale:   true,
	}
}

// Start begins to hear of revocations, and waits until those that are in Redis are
// known or ctx ends. An error says that they are not: they will be when Redis is
// there. It is called once.
func (r *Revocations) Start(ctx context.Context) error {
	life, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.wg.Go(func() { r.keep(life) }) // both end with Close, which waits
	if r.rdb == nil {
		return nil
	}
	r.wg.Go(func() { r.hear(life) })
	if err := r.load(ctx); err != nil {
		return fmt.Errorf("identity: loading revocations: %w", err)
	}
	return nil
}

// Close ends what Start began, and waits for it.
func (r *Revocations) Close() {
	r.stop()
	r.wg.Wait()
}

// Ready tells whether what is in Redis was read at least once.
func (r *Revocations) Ready() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loaded || r.rdb == nil
}

// Revoke makes a revocation hold, on this node at once, on the others as soon as
// they hear of it. It waits for Redis until ctx ends, 3 s at most. The error is a
// [*RevocationError], [ErrTooManyRevocations] or [ErrNotShared].
func (r *Revocations) Revoke(ctx context.Context, rev Revocation) error {
	rev, err := rev.check(r.opts.Now())
	if err != nil {
		return &RevocationError{err.Error()}
	}
	added, replaced, err := r.known.add(rev, r.opts.Max)
	switch {
	case err != nil:
		return err
	case !added && r.unwritten():
		return ErrNotShared
	case !added:
		return nil
	}
	signal(r.changed)
	if r.rdb == nil {
		return nil
	}
	w := write{rev, replaced}
	r.later(w)
	if err := r.write(ctx, w); err != nil {
		signal(r.kick)
		return fmt.Errorf("%w: %w", ErrNotShared, err)
	}
	return nil
}

// List returns the revocations that hold, the first to end first.
func (r *Revocations) List() []Revocation { return r.known.list(r.opts.Now()) }

// Revoked tells whether the token of c is not accepted any more. A client without a
// token counts as one that connects now.
func (r *Revocations) Revoked(c Client) bool {
	now := r.opts.Now()
	return r.known.hit(&c, now, func() time.Time { return now })
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
