package redis

import (
	"context"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// Orders implements [adapter.Journal]: nodes deliver without waiting.
func (a *member) Orders() bool { return false }

// Append implements [adapter.Journal].
func (a *member) Append(_ context.Context, m *adapter.Message) (adapter.Placed, error) {
	if a.journal == nil {
		return adapter.Placed{}, nil
	}
	return a.journal.append(m)
}

// Advance implements [adapter.Journal].
func (a *member) Advance(m *adapter.Message) string {
	switch {
	case a.journal == nil:
		return ""
	case m.Mark.Seq == 0:
		return a.journal.pos.here()
	}
	return a.journal.pos.raiseTo(m.Mark.From, m.Mark.Seq)
}

// Here implements [adapter.Journal].
func (a *member) Here() string {
	if a.journal == nil {
		return ""
	}
	return a.journal.pos.here()
}

// Merge implements [adapter.Journal].
func (a *member) Merge(one, other string) (string, error) {
	x, okX := parseOffset(one)
	y, okY := parseOffset(other)
	if !okX || !okY {
		return "", adapter.ErrLost
	}
	return offset{at: max(x.at, y.at), places: x.places.merge(y.places)}.String(), nil
}

// Replay implements [adapter.Journal].
func (a *member) Replay(ctx context.Context, offset string, wants func(*adapter.Message) bool) (adapter.Replay, error) {
	if a.journal == nil {
		return nil, adapter.ErrLost
	}
	r, err := a.journal.replay(ctx, offset, wants)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// SaveSession implements [adapter.Journal].
func (a *member) SaveSession(ctx context.Context, s *adapter.Session, ttl time.Duration, fresh bool) error {
	l := a.started()
	if l == nil {
		return adapter.ErrClosed
	}
	return l.records.save(ctx, s, ttl, fresh)
}

// TouchSessions implements [adapter.Journal].
func (a *member) TouchSessions(ctx context.Context, pids []string, ttl time.Duration) error {
	l := a.started()
	if l == nil {
		return adapter.ErrClosed
	}
	return l.records.touch(ctx, pids, ttl)
}

// TakeSession implements [adapter.Journal].
func (a *member) TakeSession(ctx context.Context, pid string) (*adapter.Session, error) {
	l := a.started()
	if l == nil {
		return nil, adapter.ErrClosed
	}
	return l.records.take(ctx, pid)
}

// DropSession implements [adapter.Journal].
func (a *member) DropSession(ctx context.Context, s *adapter.Session) error {
	l := a.started()
	if l == nil {
		return adapter.ErrClosed
	}
	return l.records.drop(ctx, s)
}
