package node

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// ledger notes what is asked of a journal's records.
type ledger struct {
	adapter.Journal
	adapter.Adapter

	mu      sync.Mutex
	saved   []adapter.Session
	touched [][]string
}

func (l *ledger) SaveSession(ctx context.Context, s *adapter.Session, ttl time.Duration, fresh bool) error {
	l.mu.Lock()
	l.saved = append(l.saved, *s)
	l.mu.Unlock()
	return l.Journal.SaveSession(ctx, s, ttl, fresh)
}

func (l *ledger) TouchSessions(ctx context.Context, pids []string, ttl time.Duration) error {
	l.mu.Lock()
	l.touched = append(l.touched, pids)
	l.mu.Unlock()
	return l.Journal.TouchSessions(ctx, pids, ttl)
}

// next waits until what is to be written is written, and returns what was.
func (l *ledger) next(t *testing.T, ns *Namespace) (saved []adapter.Session, touched [][]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ns.records.wait(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	saved, touched = l.saved, l.touched
	l.saved, l.touched = nil, nil
	return saved, touched
}

// HRD-71: the record follows the session while it lives.
func TestSessionRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(ledger)
		srv := newPlainServer(t, recovering(Config{Adapter: func(h adapter.Host) (adapter.Adapter, error) {
			a, err := new(adapter.Hub).Factory(h)
			l.Adapter, l.Journal = a, a.(adapter.Journal)
			return l, err
		}}))
		ns := srv.Of("/")
		f := fakeClients(srv, 1)[0]
		s := f.c.sockets[0]
		saved, _ := l.next(t, ns)
		if last := saved[len(saved)-1]; last.PID != s.rec.pid || last.ID != s.ID() || last.Owner != srv.NodeID() || !slices.Equal(last.Rooms, s.Rooms()) {
			t.Errorf("%+v", last)
		}
		// Changes that come together are one.
		for _, room := range []string{"a", "b", "c"} {
			_ = s.Join(t.Context(), room)
		}
		s.Leave("b")
		s.SetData(7)
		saved, _ = l.next(t, ns)
		if len(saved) > 2 {
			t.Errorf("%d times written", len(saved))
		}
		if last := saved[len(saved)-1]; string(last.Data) != "7" || !slices.Equal(last.Rooms, []string{s.ID(), "r", "a", "c"}) {
			t.Errorf("%+v", last)
		}
		// Nothing new: the record is only made to last. An event: it says how far the
		// client is, which has answered a ping since.
		start := saved[0].Offset
		ns.records.refreshAll()
		if saved, touched := l.next(t, ns); len(saved) > 0 || len(touched) != 1 || !slices.Equal(touched[0], []string{s.rec.pid}) {
			t.Error(saved, touched)
		}
		_ = ns.Emit(t.Context(), "e")
		ns.records.refreshAll()
		if saved, _ = l.next(t, ns); len(saved) != 1 || saved[0].Offset == start {
			t.Errorf("%+v", saved)
		}
		f.end("ping timeout")
		eventually(t, "the end", func() bool { return ns.Len() == 0 })
		if saved, _ = l.next(t, ns); len(saved) != 1 || len(saved[0].Rooms) != 4 {
			t.Errorf("%+v", saved)
		}
		if ns.records.again() {
			t.Error("refreshes nobody's records")
		}
	})
}
