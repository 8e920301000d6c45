package redis

import (
	"context"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// ioTimeout bounds each read from and write to Redis of an emitter (HRD-63).
const ioTimeout = 3 * time.Second

// parcel is a message on its way to Redis.
type parcel struct {
	item
	done bool // Redis has it

	slot    string          // names the master of a Redis Cluster; empty if any will do
	journal *emitterJournal // nil if the event is not kept
	entry   []byte          // of the journal; empty if the payload is that
}

// command is what Redis is told.
func (p *parcel) command(ctx context.Context) publishCmd {
	if p.journal != nil {
		return p.journal.command(ctx, p)
	}
	return newPublish(ctx, p.item)
}

// confirmed takes the answer of Redis.
func (p *parcel) confirmed(c publishCmd) {
	if p.journal != nil {
		p.journal.confirmed(c)
	}
}

// wayOut hands messages to Redis and waits for its answers. Concurrent calls use
// connections of their own.
type wayOut struct {
	client  goredis.UniversalClient
	timeout time.Duration // of calls without a deadline
	own     string        // its master takes what any master could, see link.serverOf

	mu    sync.Mutex // guards bound
	bound map[*goredis.Client]*goredis.Client
}

func newWayOut(client goredis.UniversalClient, timeout time.Duration) *wayOut {
	return &wayOut{client: client, timeout: timeout, own: "fanwire#" + newUID(), bound: map[*goredis.Client]*goredis.Client{}}
}

// withTimeout gives ctx a deadline if it has none.
func (w *wayOut) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, w.timeout)
}

// send returns when Redis has all parcels, in their order. After an error it has
// those before the one that is named; what comes later it may have in part.
func (w *wayOut) send(ctx context.Context, parcels []*parcel) error {
	ctx, cancel := w.withTimeout(ctx)
	defer cancel()
	for i := 0; i < len(parcels); {
		n := batchOf(parcels[i:])
		if failed, err := w.sendBatch(ctx, parcels[i:i+n]); err != nil {
			return sendError(i+failed, len(parcels), err)
		}
		i += n
	}
	return nil
}

func sendError(failed, total int, err error) error {
	if total == 1 {
		return fmt.Errorf("redis: emit: %w", err)
	}
	return fmt.Errorf("redis: emit: message %d of %d: %w", failed+1, total, err)
}

// batchOf is how many parcels go into one pipeline.
func batchOf(parcels []*parcel) int {
	bytes := 0
	for i, p := range parcels {
		if bytes += len(p.payload); i == batchItems || i > 0 && bytes > batchBytes {
			return i
		}
	}
	return len(parcels)
}

// sendBatch sends parcels, and again what certainly was not published. If that
// does not succeed it returns the first that failed.
func (w *wayOut) sendBatch(ctx context.Context, parcels []*parcel) (failed int, _ error) {
	err := w.retry(ctx, func() (bool, error) { return w.attempt(ctx, parcels) })
	if err == nil {
		return 0, nil
	}
	for parcels[failed].done {
		failed++
	}
	return failed, err
}

// retry calls try until it succeeds or cannot be repeated, or ctx ends.
func (w *wayOut) retry(ctx context.Context, try func() (retriable bool, err error)) error {
	var why error
	for pause := publishPauseMin; ; pause = min(2*pause, publishPauseMax) {
		retriable, err := try()
		switch {
		case err == nil || !retriable:
			return err
		case why == nil || ctx.Err() == nil:
			why = err
		}
		if !sleep(ctx, pause) {
			return fmt.Errorf("%w: %w", timeOver(ctx), why)
		}
		if cluster, ok := w.client.(*goredis.ClusterClient); ok {
			cluster.ReloadState(ctx) // go-redis does so by itself for commands that it has routed
		}
	}
}

// sleep waits; it reports false at once if ctx ends before the time is over.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// timeOver is why sleep did not.
func timeOver(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return context.DeadlineExceeded
}

// attempt sends what is not done yet, in one pipeline for each server. It can be
// repeated if all that is left was certainly not published, and nothing after it.
func (w *wayOut) attempt(ctx context.Context, parcels []*parcel) (retriable bool, _ error) {
	servers, parts, err := w.parts(ctx, parcels)
	if err != nil {
		return true, err
	}
	retriable = true
	for _, server := range servers {
		again, failure := w.pipeline(ctx, server, parts[server])
		if failure != nil && err == nil {
			err = failure
		}
		retriable = retriable && again
	}
	return retriable, err
}

// pipeline sends parcels to one server.
func (w *wayOut) pipeline(ctx context.Context, server goredis.UniversalClient, parcels []*parcel) (retriable bool, err error) {
	pipe := server.Pipeline()
	cmds := make([]publishCmd, len(parcels))
	for i, p := range parcels {
		cmds[i] = p.command(ctx)
		_ = pipe.Process(ctx, cmds[i]) // queues it
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	retriable = true
	for i, c := range cmds {
		p := parcels[i]
		switch p.done = c.sent(); {
		case p.done:
			p.confirmed(c)
			retriable = retriable && err == nil // else out of order
		case err == nil:
			err = failure(c)
			fallthrough
		default:
			retriable = retriable && isAgain(c)
		}
	}
	if retriable && isNoScript(err) {
		_ = keepScript.Load(ctx, server).Err() // the next attempt tells
	}
	return retriable, err
}

// isAgain tells whether a command certainly had no effect but may have one soon.
func isAgain(c publishCmd) bool { return c.retriable() || isNoScript(c.Err()) }

// failure is why a command was not confirmed.
func failure(c publishCmd) error {
	if c.payload.written && !isRefusal(c.Err()) {
		return fmt.Errorf("%w: %w", ErrUnconfirmed, c.Err())
	}
	return c.Err()
}

// parts groups what is not done by server, keeping its order.
func (w *wayOut) parts(ctx context.Context, parcels []*parcel) (servers []goredis.UniversalClient, parts map[goredis.UniversalClient][]*parcel, _ error) {
	parts = map[goredis.UniversalClient][]*parcel{}
	for _, p := range parcels {
		if p.done {
			continue
		}
		server, err := w.serverOf(ctx, p.slot)
		if err != nil {
			return nil, nil, err
		}
		if parts[server] == nil {
			servers = append(servers, server)
		}
		parts[server] = append(parts[server], p)
	}
	return servers, parts, nil
}

// serverOf is the client to send with. On a Redis Cluster it is the master of a
// key; where there is none the same one for all that is published, so that it stays
// in order (CLU-O-01).
func (w *wayOut) serverOf(ctx context.Context, key string) (goredis.UniversalClient, error) {
	switch c := w.client.(type) {
	case *goredis.Client:
		return w.bind(c), nil
	case *goredis.ClusterClient:
		if key == "" {
			key = w.own
		}
		master, err := c.MasterForKey(ctx, key)
		if err != nil {
			return nil, err
		}
		return w.bind(master), nil
	}
	return w.client, nil
}

// bind returns a client with the connections of c whose reads and writes end with
// the deadline of a context, which go-redis does not see to by itself.
func (w *wayOut) bind(c *goredis.Client) *goredis.Client {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bound := w.bound[c]; bound != nil {
		return bound
	}
	if len(w.bound) == maxTimed {
		clear(w.bound)
	}
	bound := c.WithTimeout(ioTimeout) // with options of its own
	bound.Options().ContextTimeoutEnabled = true
	bound.Options().MaxRetries = 0 // retry does that
	w.bound[c] = bound
	return bound
}
