package rules

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

// Bounds on what waits for Redis.
const (
	streamEntries = 10_000   // that wait
	streamBytes   = 32 << 20 // of them
	batchEntries  = 256      // on their way together
	batchBytes    = 1 << 20  // of them, but for the first

	streamTimeout = 2 * time.Second        // of a batch
	streamPause   = 500 * time.Millisecond // after one that has failed
)

// timeForm is how times are written, in UTC, as in the requests of webhooks.
const timeForm = "2006-01-02T15:04:05.000Z07:00"

// stream appends the event to its Redis stream. The client's next event need not
// wait; its entries come in the order of its events all the same.
func (r *Rules) stream(ctx context.Context, c *call) error {
	key, err := c.route.key.Expand(c.value)
	if err != nil {
		return missing(err)
	}
	if len(key) > maxKey {
		return refuse(Forbidden, "the key of the stream is too long")
	}
	if r.opts.Redis == nil {
		return errRedisAway
	}
	args, err := command.Args{Args: c.e.Args}.Append(nil)
	if err != nil {
		return refuse(BadRequest, "the arguments cannot be written as JSON")
	}
	m := r.member(c.s)
	if err := m.enter(ctx, r.ctx); err != nil {
		return err
	}
	mine := *c
	e := &entry{key: key, maxLen: c.route.max, values: []string{
		"type", "event", "id", newID(), "time", time.Now().UTC().Format(timeForm),
		"node", r.srv.NodeID(), "namespace", c.s.Namespace().Name(), "socket", c.s.ID(),
		"user", c.client.User, "event", c.e.Name, "args", string(args),
	}}
	e.done = func(id string, err error) {
		m.exit()
		r.appended(ctx, &mine, id, err)
	}
	if !r.streams.add(e) {
		m.exit()
		return errRedisAway
	}
	return nil
}

// maxKey is the longest key of a stream in bytes.
const maxKey = 1024

var errRedisAway = refuse(Unavailable, "the event cannot be stored now")

// appended tells what became of an entry.
func (r *Rules) appended(ctx context.Context, c *call, id string, err error) {
	if err != nil {
		err = errRedisAway
	} else {
		r.count.streamed.Add(1)
		if c.e.WantsAck {
			err = ack(ctx, done{OK: true, ID: id})
		}
	}
	_ = r.finish(ctx, c, err) // what is left is that the client has gone
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return "evt_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// entry is what is appended to a stream.
type entry struct {
	key    string
	maxLen int64
	values []string
	done   func(id string, err error) // called once; must not block
}

func (e *entry) size() int {
	n := len(e.key)
	for _, v := range e.values {
		n += len(v)
	}
	return n
}

// streams appends to streams: one goroutine sends what waits, together and in order.
// It is there while something waits.
type streams struct {
	r *Rules

	mu      sync.Mutex // guards the fields below
	queue   []*entry
	bytes   int
	running bool
	until   time.Time // Redis is away and is not asked before
}

func (q *streams) init(r *Rules) { q.r = r }

func (q *streams) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
}

// add takes an entry, or reports false if Redis is away or too much waits for it.
func (q *streams) add(e *entry) bool {
	size := e.size()
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) >= streamEntries || q.bytes+size > streamBytes && len(q.queue) > 0 ||
		!q.until.IsZero() && time.Now().Before(q.until) || q.r.ctx.Err() != nil {
		return false
	}
	q.queue = append(q.queue, e)
	q.bytes += size
	if !q.running {
		q.running = true
		q.r.tasks.Go(q.run) // ends when nothing waits
	}
	return true
}

// run sends what waits until nothing does.
func (q *streams) run() {
	for {
		batch, away := q.take()
		if len(batch) == 0 {
			return
		}
		if away {
			finishAll(batch, errors.New("redis is away"))
			continue
		}
		if err := q.send(batch); err != nil {
			q.mu.Lock()
			q.until = time.Now().Add(streamPause)
			q.mu.Unlock()
			q.r.log.Warn("appending to streams", "entries", len(batch), "error", err)
		}
	}
}

// take takes a batch. It is empty when nothing waits: then the goroutine has to end.
func (q *streams) take() (batch []*entry, away bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, size := 0, 0
	for n < len(q.queue) && n < batchEntries {
		size += q.queue[n].size()
		if n++; size > batchBytes {
			break
		}
	}
	batch = q.queue[:n:n]
	q.queue, q.bytes = q.queue[n:], q.bytes-size
	if len(q.queue) == 0 {
		q.queue, q.bytes = nil, 0
	}
	q.running = n > 0
	return batch, time.Now().Before(q.until)
}

// send appends a batch. The error is one of the connection: those of single entries
// are told to their clients.
func (q *streams) send(batch []*entry) error {
	ctx, cancel := context.WithTimeout(q.r.ctx, streamTimeout)
	defer cancel()
	pipe := q.r.opts.Redis.Pipeline()
	results := make([]*goredis.StringCmd, len(batch))
	for i, e := range batch {
		results[i] = pipe.XAdd(ctx, &goredis.XAddArgs{Stream: e.key, MaxLen: e.maxLen, Approx: e.maxLen > 0, Values: e.values})
	}
	_, err := pipe.Exec(ctx)
	for i, e := range batch {
		id, errOne := results[i].Result()
		if errOne == nil && id == "" {
			errOne = fmt.Errorf("no answer: %w", err)
		}
		e.done(id, errOne)
	}
	var answered goredis.Error
	if errors.As(err, &answered) {
		q.r.log.Error("Redis refuses to append to a stream", "error", err)
		return nil
	}
	return err
}

func finishAll(batch []*entry, err error) {
	for _, e := range batch {
		e.done("", err)
	}
}
