package adapter

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Errors of a [Journal].
var (
	// ErrNoSession says that there is no record of a session: it never was one,
	// has expired, or was taken before.
	ErrNoSession = errors.New("adapter: no such session")
	// ErrLost says that not everything after an offset is kept any more, or that
	// the offset means nothing here: the client has to begin anew.
	ErrLost = errors.New("adapter: events are lost")
)

// Mark names a kept event, the same for every node. The zero Mark is none.
type Mark struct {
	From string // who published it, or empty where Seq alone says it
	Seq  uint64
}

// Placed says where a [Journal] has put a message.
type Placed struct {
	// Offset is what clients are given along with the event: they come back with
	// the last one they have got. It stands for everything that this node has
	// delivered up to and with this event (SIO-Z-14: its form is free).
	Offset string
	Mark   Mark
	// Returns says that the node must not deliver the message now: it comes, or
	// has come by the time that Publish returns, through [Host.Receive], in the
	// order that the broker has given it.
	Returns bool
}

// Journal is implemented by adapters that keep events and sessions, so that a
// client whose connection was lost continues on any node with what it has missed
// (socketio.md section 14, HRD-71, HRD-72). It is in use if
// [Host.RecoveryWindow] is not 0.
//
// An event is kept if it is a [Broadcast] without RequestID and not volatile.
// [Adapter.Publish] keeps what it publishes; [Journal.Append] what concerns
// this node alone.
//
// An offset stands for a state of a node: what it has delivered. So the node must
// deliver in the order in which offsets are given out. Unless [Journal.Orders],
// it holds one lock around each of Publish, Append, Advance and Here together with
// the delivery that belongs to it; none of them waits.
type Journal interface {
	// Orders says that the broker decides on the order: kept events of this node
	// return through Receive ([Placed.Returns]), and Publish and Append wait for
	// that, a fraction of a second at most, so that what one caller sends stays in
	// order. They must not be called under a lock that Receive needs.
	Orders() bool
	// Append keeps m, which concerns sockets of this node only, without publishing
	// it: m.Local or m.Direct is set.
	Append(ctx context.Context, m *Message) (Placed, error)
	// Advance notes that m, a Broadcast without RequestID that came through Receive,
	// is delivered now, and returns its offset. m need not have a Mark.
	Advance(m *Message) (offset string)
	// Here is the offset of a socket that gets everything from now on.
	Here() string
	// Merge returns the offset of a client that has what a stands for and what b
	// stands for; [ErrLost] if one of them means nothing here. It does not wait.
	Merge(a, b string) (string, error)
	// Replay returns what was kept after offset and wants accepts, by everything but
	// its Packet. From of a Local message is the node id of who appended it. What this
	// node has published before the call is among it. It waits for the broker. The
	// error is [ErrLost] if there may be a hole; it is never a hole without an error.
	Replay(ctx context.Context, offset string, wants func(m *Message) bool) (Replay, error)

	// SaveSession writes a session's record, which lasts for ttl. A record of the
	// same pid that has another owner or epoch is left alone, unless fresh says that
	// the caller has just made or taken the session. It waits for the broker.
	SaveSession(ctx context.Context, s *Session, ttl time.Duration, fresh bool) error
	// TouchSessions makes the records of sessions last for ttl from now.
	TouchSessions(ctx context.Context, pids []string, ttl time.Duration) error
	// TakeSession returns the record and removes it, in one step: of two callers one
	// gets it, the other [ErrNoSession].
	TakeSession(ctx context.Context, pid string) (*Session, error)
	// DropSession removes a record if its owner and epoch are those of s.
	DropSession(ctx context.Context, s *Session) error
}

// LossObserver is implemented by a [Host] that tells its clients when it has lost
// events for them.
type LossObserver interface {
	// EventsLost says that kept events, of which some may have been for sockets that
	// are connected now, have not come and are not in the journal any more. A
	// [Journal] calls it, from any goroutine; it does not block. Without the call what
	// did not come comes still, or was not kept.
	EventsLost()
}

// Replay is what a client has missed, and the seam between that and what arrives
// live. Its methods but Events are called under the node's lock (see [Journal]).
type Replay interface {
	// Events yields the events, oldest first, with their offsets: a client that has
	// got one of them and all before it may come back with its offset.
	Events() iter.Seq2[*Message, string]
	// Saw tells whether the event with mark, which arrives live, was among the
	// events read, so that the client must not get it again.
	Saw(mark Mark) bool
	// Offset returns the offset that this client gets with an event that has the
	// given one for the node's other clients: it stands for the replayed events too.
	Offset(offset string) string
	// Over tells that what arrives live has passed everything that was read: Saw
	// is false and Offset returns its argument from now on.
	Over() bool
}

// Session is the record of a session, from which another node restores it.
type Session struct {
	PID  string // private: who has it may take the session over (SIO-Z-01)
	ID   string // public id of the socket
	Data []byte // a JSON value; empty for none
	// Rooms of the socket, its own among them unless it has left it.
	Rooms []string
	// Offset stands for a state of its node up to which the client surely has what it
	// was sent: when it was accepted, and later ones while it lives. For clients that
	// come back without an offset, or whose last event is so long ago that their
	// offset is not kept any more (SIO-Z-12). Empty in records of official nodes.
	Offset string
	// Owner is the id of the node that has the socket, and Epoch one life of it
	// there. Empty in records of official nodes.
	Owner, Epoch string
}
