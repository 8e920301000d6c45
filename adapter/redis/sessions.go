package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
)

// sessionForm is how records are kept: the key is prefix and the private id.
type sessionForm struct {
	prefix string
	write  func(*adapter.Session) ([]byte, error)
	read   func([]byte) (*adapter.Session, error)
}

// ownSessions are the records on the wires where official nodes have none.
var ownSessions = sessionForm{
	prefix: "fanwire:session:",
	write:  func(s *adapter.Session) ([]byte, error) { return appendSession(nil, s), nil },
	read:   readSession,
}

// Times of the records.
const (
	// suspectFor is how long after an outage a node does not take it for granted
	// that its sessions are still its own, and aliveEvery how often it notes that it
	// is awake: whoever was paused for longer knows nothing of what has happened
	// meanwhile.
	suspectFor = 30 * time.Second
	aliveEvery = 3 * time.Second
	// watchAttempts is how often a record is tried that changes all the time.
	watchAttempts = 5
)

// sessions keeps the records of sessions.
//
// Redis has no command that writes a value only over a certain other one, and
// scripts are not allowed (HRD-65). So a node writes with SET and GET in one
// command and looks at what was there: nearly always its own earlier record. If it
// was somebody else's it puts that back. After an outage or a pause, when that is not
// so unlikely, it looks first, with WATCH.
type sessions struct {
	client goredis.UniversalClient
	form   sessionForm
	batch  batcher
	start  time.Time
	alive  atomic.Int64 // nanoseconds since start
	trust  atomic.Int64 // from when on, likewise
}

func newSessions(client goredis.UniversalClient, form sessionForm) *sessions {
	return &sessions{client: client, form: form, batch: batcher{client: client}, start: time.Now()}
}

// wait waits until everything that was asked for is done.
func (s *sessions) wait() { s.batch.wait() }

// awake notes that the process runs.
func (s *sessions) awake() {
	now := int64(time.Since(s.start))
	if time.Duration(now-s.alive.Swap(now)) > aliveEvery {
		s.suspect()
	}
}

// suspect notes that this node may have lost its sessions to others.
func (s *sessions) suspect() { s.trust.Store(int64(time.Since(s.start) + suspectFor)) }

func (s *sessions) isSuspect() bool {
	now := int64(time.Since(s.start))
	return now < s.trust.Load() || time.Duration(now-s.alive.Load()) > aliveEvery
}

// save writes a record.
func (s *sessions) save(ctx context.Context, r *adapter.Session, ttl time.Duration, fresh bool) error {
	value, err := s.form.write(r)
	if err != nil {
		return fmt.Errorf("redis: save a session: %w", err)
	}
	key := s.form.prefix + r.PID
	switch {
	case fresh:
		cmd := goredis.NewStatusCmd(ctx, "set", key, value, "px", max(ttl.Milliseconds(), 1))
		err = s.do(ctx, cmd)
	case s.isSuspect():
		err = s.change(ctx, key, func(old string) (next []byte, write bool) { return value, s.isOf(old, r) }, ttl)
	default:
		err = s.replace(ctx, key, value, r, ttl)
	}
	if err != nil {
		return fmt.Errorf("redis: save a session: %w", err)
	}
	return nil
}

// isOf tells whether a record is absent, worthless, or of the same life as r.
func (s *sessions) isOf(old string, r *adapter.Session) bool {
	if old == "" {
		return true
	}
	o, err := s.form.read(bytesOf(old))
	return err != nil || sameLife(o, r)
}

// replace writes over what is there, and puts it back if it is another's.
func (s *sessions) replace(ctx context.Context, key string, value []byte, r *adapter.Session, ttl time.Duration) error {
	cmd := goredis.NewStringCmd(ctx, "set", key, value, "px", max(ttl.Milliseconds(), 1), "get")
	err := s.do(ctx, cmd)
	if errors.Is(err, goredis.Nil) || err == nil && s.isOf(cmd.Val(), r) {
		return nil
	}
	if err != nil {
		return err
	}
	s.suspect()
	old := []byte(cmd.Val())
	return s.change(ctx, key, func(now string) (next []byte, write bool) { return old, now == string(value) }, ttl)
}

// change replaces the value of a key as decide says, which gets what is there, empty
// for nothing. A next of no length removes it.
func (s *sessions) change(ctx context.Context, key string, decide func(old string) (next []byte, write bool), ttl time.Duration) error {
	try := func(tx *goredis.Tx) error {
		old, err := tx.Get(ctx, key).Result()
		if err != nil && !errors.Is(err, goredis.Nil) {
			return err
		}
		next, write := decide(old)
		if !write {
			return nil
		}
		_, err = tx.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			if len(next) == 0 {
				p.Del(ctx, key)
			} else {
				p.Set(ctx, key, next, ttl)
			}
			return nil
		})
		return err
	}
	var err error
	for range watchAttempts {
		if err = s.client.Watch(ctx, try, key); !errors.Is(err, goredis.TxFailedErr) {
			break
		}
	}
	return err
}

// touch lets records last for ttl.
func (s *sessions) touch(ctx context.Context, pids []string, ttl time.Duration) error {
	var failed error
	for len(pids) > 0 {
		n := min(len(pids), batchCommands)
		pipe := s.client.Pipeline()
		for _, pid := range pids[:n] {
			pipe.PExpire(ctx, s.form.prefix+pid, ttl)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			failed = fmt.Errorf("redis: touch sessions: %w", err)
		}
		pids = pids[n:]
	}
	return failed
}

// take returns a record and removes it.
func (s *sessions) take(ctx context.Context, pid string) (*adapter.Session, error) {
	cmd := goredis.NewStringCmd(ctx, "getdel", s.form.prefix+pid)
	err := s.do(ctx, cmd)
	switch {
	case errors.Is(err, goredis.Nil):
		return nil, adapter.ErrNoSession
	case err != nil:
		return nil, fmt.Errorf("redis: take a session: %w", err)
	}
	r, err := s.form.read([]byte(cmd.Val()))
	if err != nil || r.PID != pid {
		return nil, fmt.Errorf("redis: take a session: bad record: %w", adapter.ErrNoSession)
	}
	return r, nil
}

// drop removes a record of the same life.
func (s *sessions) drop(ctx context.Context, r *adapter.Session) error {
	key := s.form.prefix + r.PID
	err := s.dropKey(ctx, key, r)
	if err != nil {
		return fmt.Errorf("redis: drop a session: %w", err)
	}
	return nil
}

func (s *sessions) dropKey(ctx context.Context, key string, r *adapter.Session) error {
	if s.isSuspect() {
		return s.change(ctx, key, func(old string) (next []byte, write bool) { return nil, old != "" && s.isOf(old, r) }, 0)
	}
	cmd := goredis.NewStringCmd(ctx, "get", key)
	if err := s.do(ctx, cmd); err != nil {
		if errors.Is(err, goredis.Nil) {
			return nil
		}
		return err
	}
	if !s.isOf(cmd.Val(), r) {
		return nil
	}
	return s.do(ctx, goredis.NewIntCmd(ctx, "del", key))
}

// do sends a command and returns its error.
func (s *sessions) do(ctx context.Context, cmd goredis.Cmder) error {
	if err := s.batch.do(ctx, cmd); err != nil {
		return err
	}
	return cmd.Err()
}
