package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// ioTimeout bounds each read from and write to Redis of an emitter (HRD-63).
const ioTimeout = 3 * time.Second

// maxBound is how many masters of a cluster are remembered.
const maxBound = 1000

// wayOut hands messages to Redis and waits for its answers. Concurrent calls use
// connections of their own.
type wayOut struct {
	client  goredis.UniversalClient
	timeout time.Duration // of calls without a deadline
	own     string        // its master takes what any master could, see publishClient

	mu    sync.Mutex // guards bound
	bound map[*goredis.Client]*goredis.Client
}

func newWayOut(client goredis.UniversalClient, timeout time.Duration) *wayOut {
	return &wayOut{client: client, timeout: timeout, own: "fanwire#" + newUID(), bound: map[*goredis.Client]*goredis.Client{}}
}

// send returns when Redis has all items, in their order. After an error it has
// those before the one that is named; what comes later it may have in part.
func (w *wayOut) send(ctx context.Context, items []item) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	total, pause := len(items), publishPauseMin
	var why error // Redis did not take the first of items
	for len(items) > 0 {
		sent, retriable, err := w.pipeline(ctx, items[:batchOf(items)])
		items = items[sent:]
		if err != nil && (why == nil || ctx.Err() == nil) {
			why = err
		}
		switch {
		case err == nil:
			pause = publishPauseMin
		case !retriable:
			return sendError(total, len(items), err)
		case !sleep(ctx, pause):
			return sendError(total, len(items), fmt.Errorf("%w: %w", timeOver(ctx), why))
		default:
			pause = min(2*pause, publishPauseMax)
			w.reload(ctx)
		}
	}
	return nil
}

func sendError(total, left int, err error) error {
	if total == 1 {
		return fmt.Errorf("redis: emit: %w", err)
	}
	return fmt.Errorf("redis: emit: message %d of %d: %w", total-left+1, total, err)
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

// batchOf is how many items go into one pipeline.
func batchOf(items []item) int {
	bytes := 0
	for i, it := range items {
		if bytes += len(it.payload); i == batchItems || i > 0 && bytes > batchBytes {
			return i
		}
	}
	return len(items)
}

// pipeline sends items and returns how many Redis has taken before the first that
// failed. It can be retried if that and all after it were certainly not published.
func (w *wayOut) pipeline(ctx context.Context, items []item) (sent int, retriable bool, _ error) {
	client, err := w.route(ctx)
	if err != nil {
		return 0, true, err
	}
	cmds := make([]publishCmd, len(items))
	pipe := client.Pipeline()
	for i, it := range items {
		cmds[i] = newPublish(ctx, it)
		_ = pipe.Process(ctx, cmds[i]) // queues it
	}
	_, _ = pipe.Exec(ctx) // each command has its error
	for sent < len(cmds) && cmds[sent].sent() {
		sent++
	}
	if sent == len(cmds) {
		return sent, false, nil
	}
	first := cmds[sent]
	retriable = true
	for _, c := range cmds[sent:] {
		retriable = retriable && c.retriable()
	}
	if err = first.Err(); first.payload.written && !isRefusal(err) {
		err = fmt.Errorf("%w: %w", ErrUnconfirmed, err)
	}
	return sent, retriable, err
}

// route is the client to send with: on a Redis Cluster the same master for all
// that is published, so that it stays in order (CLU-O-01).
func (w *wayOut) route(ctx context.Context) (goredis.UniversalClient, error) {
	switch c := w.client.(type) {
	case *goredis.Client:
		return w.bind(c), nil
	case *goredis.ClusterClient:
		master, err := c.MasterForKey(ctx, w.own)
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
	if len(w.bound) == maxBound {
		clear(w.bound)
	}
	bound := c.WithTimeout(ioTimeout) // with options of its own
	bound.Options().ContextTimeoutEnabled = true
	w.bound[c] = bound
	return bound
}

// reload lets a cluster client find out who is master now, see link.reload.
func (w *wayOut) reload(ctx context.Context) {
	if cluster, ok := w.client.(*goredis.ClusterClient); ok {
		cluster.ReloadState(ctx)
	}
}

// errBatchOver says that a batch was used after its function returned.
var errBatchOver = errors.New("redis: emit: the batch is over")

// collected is what a batch sends.
type collected struct {
	mu    sync.Mutex // guards the fields below
	items []item
	over  bool
}

func (b *collected) add(it item) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return errBatchOver
	}
	b.items = append(b.items, it)
	return nil
}

// end returns what was collected; more is refused from here on.
func (b *collected) end() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	return b.items
}

// Batch calls fill with an emitter that collects what it and the emitters and
// broadcasts made from it send, and then sends it all, in as few trips to Redis as
// possible. That is many times faster than one call after the other. Their errors
// tell only of what cannot be sent; if fill returns an error nothing is sent.
//
// An error of Batch names the first message that failed. Those before it were
// published, those after it perhaps.
func (e *Emitter) Batch(ctx context.Context, fill func(e *Emitter) error) error {
	if e.batch != nil {
		return fill(e) // it is sent with the rest
	}
	b := &collected{}
	defer b.end()
	if err := fill(&Emitter{core: e.core, namespace: e.namespace, batch: b}); err != nil {
		return err
	}
	return e.core.way.send(ctx, b.end())
}
