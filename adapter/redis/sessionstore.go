package redis

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/fanwire/fanwire/adapter"
	"github.com/fanwire/fanwire/protocol/msgpack"
)

// sessionTries is how often a record that changes meanwhile is looked at again.
const sessionTries = 5

// sessionStore holds the records of sessions as official nodes do: base64 of a
// MessagePack map {sid, pid, rooms, data} (CLU-X-12), with our own members after
// those.
type sessionStore struct {
	client goredis.UniversalClient
	prefix string
}

// save writes a record. Unless it is fresh, one of another owner or epoch stays.
func (s *sessionStore) save(ctx context.Context, r *adapter.Session, ttl time.Duration, fresh bool) error {
	value, err := encodeSession(r)
	if err != nil {
		return fmt.Errorf("redis: save session: %w", err)
	}
	key := s.prefix + r.PID
	if fresh {
		err = s.client.Set(ctx, key, value, ttl).Err()
	} else {
		err = s.change(ctx, r, func(tx goredis.Pipeliner, _ bool) { tx.Set(ctx, key, value, ttl) })
	}
	if err != nil {
		return fmt.Errorf("redis: save session: %w", err)
	}
	return nil
}

// drop removes a record of the same owner and epoch.
func (s *sessionStore) drop(ctx context.Context, r *adapter.Session) error {
	err := s.change(ctx, r, func(tx goredis.Pipeliner, exists bool) {
		if exists {
			tx.Del(ctx, s.prefix+r.PID)
		}
	})
	if err != nil {
		return fmt.Errorf("redis: drop session: %w", err)
	}
	return nil
}

// change does something with the record of r if there is none of another owner or
// epoch.
func (s *sessionStore) change(ctx context.Context, r *adapter.Session, what func(tx goredis.Pipeliner, exists bool)) (err error) {
	key := s.prefix + r.PID
	for range sessionTries {
		err = s.client.Watch(ctx, func(tx *goredis.Tx) error {
			value, err := tx.Get(ctx, key).Result()
			exists := err == nil
			if err != nil && !errors.Is(err, goredis.Nil) {
				return err
			}
			if old, err := decodeSession(value); exists && (err != nil || old.Owner != r.Owner || old.Epoch != r.Epoch) {
				return nil
			}
			_, err = tx.TxPipelined(ctx, func(p goredis.Pipeliner) error {
				what(p, exists)
				return nil
			})
			return err
		}, key)
		if !errors.Is(err, goredis.TxFailedErr) {
			break
		}
	}
	return err
}

// touch makes records last.
func (s *sessionStore) touch(ctx context.Context, pids []string, ttl time.Duration) error {
	p := s.client.Pipeline()
	for _, pid := range pids {
		p.PExpire(ctx, s.prefix+pid, ttl)
	}
	if _, err := p.Exec(ctx); err != nil {
		return fmt.Errorf("redis: touch sessions: %w", err)
	}
	return nil
}

// take removes a record and returns it.
func (s *sessionStore) take(ctx context.Context, pid string) (*adapter.Session, error) {
	value, err := s.client.GetDel(ctx, s.prefix+pid).Result()
	if errors.Is(err, goredis.Nil) {
		return nil, adapter.ErrNoSession
	}
	var r *adapter.Session
	if err == nil {
		r, err = decodeSession(value)
	}
	if err != nil {
		return nil, fmt.Errorf("redis: take session: %w", err)
	}
	return r, nil
}

func encodeSession(r *adapter.Session) (string, error) {
	b := msgpack.AppendMap(make([]byte, 0, 256+len(r.Data)), 7)
	b = appendMember(b, "sid", r.ID)
	b = appendMember(b, "pid", r.PID)
	b = msgpack.AppendStrings(msgpack.AppendString(b, "rooms"), r.Rooms)
	data := r.Data
	if len(data) == 0 {
		data = []byte("{}") // as officially
	}
	b, exact, err := msgpack.AppendFromJSON(msgpack.AppendString(b, "data"), data, nil)
	if err != nil {
		return "", err
	}
	b = appendMember(b, "offset", r.Offset)
	b = appendMember(b, "owner", r.Owner)
	b = appendMember(b, "epoch", r.Epoch)
	if !exact || len(r.Data) == 0 {
		b[0]++
		b = msgpack.AppendString(msgpack.AppendString(b, extRaw), r.Data)
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

func decodeSession(value string) (*adapter.Session, error) {
	b, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, errWire
	}
	f, ok, err := packValues{}.object(b)
	if !ok || err != nil {
		return nil, errWire
	}
	s := &adapter.Session{}
	if s.ID, ok = f.text("sid"); !ok {
		return nil, errWire
	}
	if s.PID, ok = f.text("pid"); !ok {
		return nil, errWire
	}
	if s.Rooms, err = f.texts("rooms"); err != nil {
		return nil, err
	}
	if s.Data, err = f.sessionData(); err != nil {
		return nil, err
	}
	s.Offset, _ = f.text("offset")
	s.Owner, _ = f.text("owner")
	s.Epoch, _ = f.text("epoch")
	return s, nil
}

// sessionData is the data of a socket, as exact as it is there.
func (f frame) sessionData() ([]byte, error) {
	if raw := f.get(extRaw); len(raw) > 0 {
		r := msgpack.NewReader(raw)
		data := r.Bytes()
		if r.Err() != nil || len(data) > 0 && !validJSON(data) {
			return nil, errWire
		}
		return data, nil // nothing, if official nodes were to see an empty object
	}
	data, err := f.payload("data")
	return data.Data, err
}

// SaveSession implements [adapter.Journal].
func (a *streams) SaveSession(ctx context.Context, s *adapter.Session, ttl time.Duration, fresh bool) error {
	return a.kept.sessions.save(ctx, s, ttl, fresh)
}

// TouchSessions implements [adapter.Journal].
func (a *streams) TouchSessions(ctx context.Context, pids []string, ttl time.Duration) error {
	return a.kept.sessions.touch(ctx, pids, ttl)
}

// TakeSession implements [adapter.Journal].
func (a *streams) TakeSession(ctx context.Context, pid string) (*adapter.Session, error) {
	return a.kept.sessions.take(ctx, pid)
}

// DropSession implements [adapter.Journal].
func (a *streams) DropSession(ctx context.Context, s *adapter.Session) error {
	return a.kept.sessions.drop(ctx, s)
}
