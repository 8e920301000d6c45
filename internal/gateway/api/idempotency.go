package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/internal/gateway/command"
)

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	idempotencyPrefix = "fanwire:idempotency:"
	maxIdempotencyKey = 255 // bytes
	redisTimeout      = 2 * time.Second
	// crashMargin is how much longer than its request a mark stays that says that it
	// is under way. A node that dies leaves the mark; then the key is free again.
	crashMargin = 15 * time.Second
)

// idempotency remembers answers in Redis, for all nodes. An entry is
//
//	busy FINGERPRINT TOKEN            while the request runs
//	done FINGERPRINT STATUS TYPE\nBODY
//
// A fingerprint is the hash of method, path and body. The name of an entry is the
// hash of the API key's name and the header.
type idempotency struct{ rdb goredis.UniversalClient }

// Only who has made the mark may replace it: it may have expired and be another's.
var (
	finishScript = goredis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3]) end`)
	cancelScript = goredis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then redis.call("DEL", KEYS[1]) end`)
)

// kept is an answer that is given again.
type kept struct {
	status int
	kind   string // content type, "" for none
	body   []byte
}

func (k *kept) encode(fingerprint string) []byte {
	b := fmt.Appendf(nil, "done %s %d %s\n", fingerprint, k.status, k.kind)
	return append(b, k.body...)
}

// decodeEntry reads an entry; the answer is nil while the request runs.
func decodeEntry(entry string) (fingerprint string, answer *kept, ok bool) {
	head, body, _ := strings.Cut(entry, "\n")
	fields := strings.SplitN(head, " ", 4)
	switch {
	case len(fields) >= 2 && fields[0] == "busy":
		return fields[1], nil, true
	case len(fields) == 4 && fields[0] == "done":
		status, err := strconv.Atoi(fields[2])
		return fields[1], &kept{status, fields[3], []byte(body)}, err == nil && status >= 200 && status < 600
	}
	return "", nil, false
}

// begin marks a request as under way and returns the mark, or the answer that the
// same request has got before.
func (i idempotency) begin(ctx context.Context, name, fingerprint string, ttl time.Duration) (mark string, answer *kept, err error) {
	if i.rdb == nil {
		return "", nil, errors.New("no Redis")
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	mark = "busy " + fingerprint + " " + rand.Text()
	for range 2 { // an entry may expire between the two commands
		err := i.rdb.SetArgs(ctx, name, mark, goredis.SetArgs{Mode: "NX", TTL: ttl}).Err()
		if err == nil {
			return mark, nil, nil
		}
		if !errors.Is(err, goredis.Nil) {
			return "", nil, err
		}
		entry, err := i.rdb.Get(ctx, name).Result()
		if entry == mark { // the client has tried again after an answer that was lost
			return mark, nil, nil
		}
		if err == nil {
			answer, err := judge(entry, fingerprint)
			return "", answer, err
		}
		if !errors.Is(err, goredis.Nil) {
			return "", nil, err
		}
	}
	return "", nil, errors.New("entries vanish")
}

// judge tells what an entry means to a request.
func judge(entry, fingerprint string) (*kept, error) {
	before, answer, ok := decodeEntry(entry)
	switch {
	case !ok:
		return nil, errors.New("an entry cannot be read")
	case before != fingerprint:
		return nil, refuse(http.StatusUnprocessableEntity, "idempotency_mismatch", "The Idempotency-Key was used for another request.")
	case answer == nil:
		return nil, refuse(http.StatusConflict, "idempotency_busy", "A request with this Idempotency-Key is under way.").after(time.Second)
	}
	return answer, nil
}

// finish keeps an answer in the place of the mark.
func (i idempotency) finish(ctx context.Context, name, mark string, entry []byte, window time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	return ignoreNil(finishScript.Run(ctx, i.rdb, []string{name}, mark, entry, window.Milliseconds()).Err())
}

// cancel takes the mark away: the request may be tried again.
func (i idempotency) cancel(ctx context.Context, name, mark string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	return ignoreNil(cancelScript.Run(ctx, i.rdb, []string{name}, mark).Err())
}

func ignoreNil(err error) error {
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	return err
}

// once runs a request with an Idempotency-Key, unless it has run before.
func (c *call) once(ids []string) error {
	if len(ids) != 1 || !validIdempotencyKey(ids[0]) {
		return invalid([]command.Problem{{Path: idempotencyHeader, Message: "must be 1 to 255 printable characters of ASCII"}})
	}
	sum := sha256.Sum256([]byte(c.key.name + "\x00" + ids[0]))
	name := idempotencyPrefix + c.api.opts.Key + ":" + hex.EncodeToString(sum[:])
	fingerprint := c.fingerprint()
	mark, answer, err := c.api.replays.begin(c.ctx, name, fingerprint, c.route.timeout+crashMargin)
	if p := (*problem)(nil); err != nil && !errors.As(err, &p) {
		p = refuse(http.StatusServiceUnavailable, "idempotency_unavailable", "Redis is out of reach: nothing was done. Without Idempotency-Key it would have been.").after(time.Second)
		p.cause = err
		return p
	}
	if err != nil {
		return err
	}
	if answer != nil {
		c.api.counters.replayed.Add(1)
		c.w.Header().Set(replayedHeader, "true")
		return c.give(answer)
	}
	answer = c.capture()
	if answer.status >= 500 {
		err = c.api.replays.cancel(c.ctx, name, mark)
	} else {
		err = c.api.replays.finish(c.ctx, name, mark, answer.encode(fingerprint), c.state.window)
	}
	if err != nil {
		c.api.log.Warn("api: an answer is not remembered", "operation", c.route.name, "error", err)
	}
	return c.give(answer)
}

// fingerprint tells whether two requests are the same.
func (c *call) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", c.r.Method, c.r.URL.EscapedPath())
	_, _ = h.Write(c.body)
	return hex.EncodeToString(h.Sum(nil))
}

func validIdempotencyKey(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= maxIdempotencyKey
}

// buffer takes an answer that is kept before it is sent.
type buffer struct {
	header http.Header
	body   bytes.Buffer
}

func (b *buffer) Header() http.Header         { return b.header }
func (b *buffer) WriteHeader(int)             {}
func (b *buffer) Write(p []byte) (int, error) { return b.body.Write(p) }

// capture runs the request and returns its answer, which is not sent.
func (c *call) capture() *kept {
	b := &buffer{header: http.Header{}}
	out := c.w
	c.w = recorder{ResponseWriter: b}
	if err := c.route.run(c); err != nil {
		c.fail(err)
	}
	answer := &kept{c.w.status, b.header.Get("Content-Type"), b.body.Bytes()}
	if after := b.header.Get("Retry-After"); after != "" {
		out.Header().Set("Retry-After", after)
	}
	c.w = out
	return answer
}

// give sends an answer.
func (c *call) give(k *kept) error {
	if k.kind != "" {
		c.w.Header().Set("Content-Type", k.kind)
	}
	c.w.WriteHeader(k.status)
	_, _ = c.w.Write(k.body)
	return nil
}
