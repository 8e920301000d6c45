package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fanwire/fanwire/adapter"
)

// Recovery sets up connection state recovery: a client whose connection was lost
// gets its id, rooms, data and the events it has missed when it comes back, on any
// node, also if its node was killed (socketio.md section 14). The adapter has to
// be an [adapter.Journal]; a node without one keeps what it needs in memory.
//
// Every event without an ack then carries an offset as its last argument, a string
// that official clients also show to their listeners, and each node keeps the
// events of the last minutes.
type Recovery struct {
	// MaxDisconnection is how long a client may be away, 2 minutes by default.
	MaxDisconnection time.Duration
	// RunMiddlewares has the middlewares of [Namespace.Use] decide on recovered
	// sockets too, which then have their rooms and data already. Officially they are
	// skipped (SIO-Z-09). With [ErrBeginAnew] they decline the recovery alone.
	RunMiddlewares bool
}

// What a record says about how far its client has got is renewed every
// refreshPeriod, and holds what was sent before the last ping that was answered:
// so events are kept for longer than a client may be away.
const (
	refreshPeriod  = 30 * time.Second
	recoveryMargin = 10 * time.Second
)

// certain is the age from which on a live client has surely got what it was sent:
// it has answered a ping since.
func (c *Config) certain() time.Duration {
	interval, timeout := c.PingInterval, c.PingTimeout
	if interval == 0 {
		interval = 25 * time.Second
	}
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	return interval + timeout + recoveryMargin
}

// keepEvents is [adapter.Host.RecoveryWindow].
func (c *Config) keepEvents() time.Duration {
	if c.Recovery == nil {
		return 0
	}
	return c.Recovery.MaxDisconnection + c.certain() + 2*refreshPeriod + recoveryMargin
}

// findJournal sets the namespace up for recovery, if that is on.
func (ns *Namespace) findJournal() error {
	switch j, ok := ns.adapter.(adapter.Journal); {
	case ns.srv.cfg.Recovery == nil:
		return nil
	case ok:
		ns.journal = j
	case ns.adapter == nil:
		ns.journal = ns.srv.memory.Journal(host{ns})
	default:
		return fmt.Errorf("node: adapter of namespace %q keeps no events: recovery needs an adapter.Journal", ns.name)
	}
	ns.orders = ns.journal.Orders()
	ns.records.ns = ns
	return nil
}

// closeMemory ends the journal of a namespace without an adapter.
func (ns *Namespace) closeMemory() {
	if c, ok := ns.journal.(io.Closer); ok {
		_ = c.Close() // has nothing to report
	}
}

// recoverable is what a socket has besides if recovery is on.
type recoverable struct {
	// Static once the socket is accepted.
	pid       string // secret; empty if the client cannot recover (protocol 3)
	epoch     string // of this life of the session
	self      []string
	claim     claim  // what the client came with
	before    string // offset of events before the CONNECT, if it recovers
	recovered bool
	accepted  time.Duration // after srv.epoch

	seam *seam // while replayed and live events meet; guarded by ns.order

	// Guarded by client.mu.
	taken   *adapter.Session // to be given back if the client is not told
	floor   string           // what the client surely has
	written string           // the floor that was written last
	kept    bool             // the record was written before the client was told
	evicted bool             // another life of the session has begun
	lost    bool             // it lacks events that nobody has: it must not be continued
	gone    chan struct{}    // closed when the disconnect handlers have returned; made on demand
}

// claim is the session that a client wants to continue (SIO-Z-15).
type claim struct{ pid, offset string }

// newRecoverable returns what a socket with this id and auth payload needs.
func (c *client) newRecoverable(id string, auth []byte) *recoverable {
	if c.srv.cfg.Recovery == nil {
		return nil
	}
	r := &recoverable{self: []string{id}, epoch: randomID(6)}
	if c.sess.Protocol() != 3 {
		r.pid = randomID(15)
		r.claim = readClaim(auth)
	}
	return r
}

// maxClaim bounds the pid and offset of a client.
const maxClaim = 4096

// readClaim finds pid and offset in an auth payload. Both are strings.
func readClaim(auth []byte) (c claim) {
	if len(auth) == 0 {
		return c
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(auth, &members) != nil || members["pid"] == nil {
		return c
	}
	if json.Unmarshal(members["pid"], &c.pid) != nil || len(c.pid) > maxClaim {
		return claim{}
	}
	if offset := members["offset"]; offset != nil && json.Unmarshal(offset, &c.offset) != nil || len(c.offset) > maxClaim {
		return claim{}
	}
	return c
}

// ExpiredFunc hears of a client that came back too late; see
// [Namespace.OnSessionExpired].
type ExpiredFunc func(ctx context.Context, s *Socket, cause error)

// Why a session was not continued, besides [adapter.ErrNoSession],
// [adapter.ErrLost] and errors of the broker.
var (
	// ErrOverrun says that more live events came while a client recovered than may
	// wait for it ([Limits.Output]).
	ErrOverrun = errors.New("node: too many events during the recovery")
	// ErrBeginAnew is what a middleware returns, wrapped or not, for a socket that
	// recovers ([Recovery.RunMiddlewares]) and should not: its session is dropped, and
	// the client comes in as a new one, on which all middlewares decide again.
	ErrBeginAnew = errors.New("node: the session is not to be continued")
	// errBadRecord says that a record of another node is not one of a socket.
	errBadRecord = errors.New("node: session record is not usable")
)

// Names of the causes in [Stats.NotRecovered].
const (
	causeNoSession = "no session"
	causeLost      = "events lost"
	causeOverrun   = "overrun"
	causeDeclined  = "declined"
	causeError     = "error"
)

func causeName(err error) string {
	switch {
	case errors.Is(err, adapter.ErrNoSession):
		return causeNoSession
	case errors.Is(err, adapter.ErrLost):
		return causeLost
	case errors.Is(err, ErrOverrun):
		return causeOverrun
	case errors.Is(err, ErrBeginAnew):
		return causeDeclined
	}
	return causeError
}
