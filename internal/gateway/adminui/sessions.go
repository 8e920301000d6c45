package adminui

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/fanwire/fanwire/node"
)

const (
	sessionLife = 24 * time.Hour // as officially in Redis
	maxSessions = 1000           // the oldest go
	maxAsks     = 4              // at a time
)

// askTime bounds the question to the other nodes whether they know a session. Tests
// give them more.
var askTime = time.Second

// Names of events between nodes, in the admin namespace.
const (
	eventSession = "fanwire:admin:session" // a session was given: its digest, and until when it is good
	eventKnown   = "fanwire:admin:known"   // who knows the session with this digest? until when, 0 if not
)

// digest stands for a session's id where others can see it.
type digest [sha256.Size]byte

func digestOf(id string) digest { return sha256.Sum256([]byte(id)) }

// sessions are those that were given for a password. All nodes learn of each, by its
// digest; one that has started later asks.
type sessions struct {
	ui     *UI
	asking chan struct{} // holds those who ask

	mu    sync.Mutex
	until map[digest]time.Time // guarded by mu
	order []digest             // as they were added; guarded by mu
}

func (st *sessions) init(ui *UI) {
	st.ui = ui
	st.asking = make(chan struct{}, maxAsks)
	st.until = map[digest]time.Time{}
	node.OnServer(ui.admin, eventSession, func(_ context.Context, _ *node.Namespace, t node.Tuple2[string, int64]) error {
		if d, ok := parseDigest(t.A); ok {
			st.put(d, time.UnixMilli(t.B))
		}
		return nil
	})
	node.HandleServer(ui.admin, eventKnown, func(_ context.Context, _ *node.Namespace, text string) (int64, error) {
		if d, ok := parseDigest(text); ok {
			return st.expiry(d, time.Now()), nil
		}
		return 0, nil
	})
}

// add makes a session and tells the other nodes.
func (st *sessions) add(ctx context.Context, now time.Time) (id string) {
	id = rand.Text()
	d, until := digestOf(id), now.Add(sessionLife)
	st.put(d, until)
	if err := st.ui.admin.ServerEmit(ctx, eventSession, hex.EncodeToString(d[:]), until.UnixMilli()); err != nil {
		st.ui.log.Debug("admin UI: telling other nodes of a session", "error", err)
	}
	return id
}

func (st *sessions) put(d digest, until time.Time) {
	if longest := time.Now().Add(sessionLife); until.After(longest) {
		until = longest
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if _, ok := st.until[d]; !ok {
		st.order = append(st.order, d)
	}
	st.until[d] = until
	for len(st.order) > maxSessions {
		delete(st.until, st.order[0])
		st.order = slices.Delete(st.order, 0, 1)
	}
}

// known tells whether this node knows a session that is good.
func (st *sessions) known(id string, now time.Time) bool {
	return st.expiry(digestOf(id), now) != 0
}

// expiry is when a session ends, in Unix milliseconds; 0 if it is not known or has
// ended.
func (st *sessions) expiry(d digest, now time.Time) int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	until, ok := st.until[d]
	if !ok || !now.Before(until) {
		return 0
	}
	return until.UnixMilli()
}

// ask asks the other nodes for a session, which this one may have missed.
func (st *sessions) ask(ctx context.Context, id string) bool {
	select {
	case st.asking <- struct{}{}:
		defer func() { <-st.asking }()
	default:
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	d := digestOf(id)
	for until, err := range node.CallServers[int64](ctx, st.ui.admin, eventKnown, hex.EncodeToString(d[:])) {
		if err == nil && until > time.Now().UnixMilli() {
			st.put(d, time.UnixMilli(until))
			return true
		}
	}
	return false
}

func parseDigest(text string) (d digest, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(d) {
		return d, false
	}
	return digest(b), true
}
