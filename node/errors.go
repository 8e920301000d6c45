package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fanwire/fanwire/node/internal/engine"
)

// Errors that calls on sockets, namespaces and broadcasts return, wrapped or
// not; test with [errors.Is].
var (
	// ErrDisconnected says that the socket has left its namespace, or never got
	// in. Nothing was sent.
	ErrDisconnected = errors.New("node: socket is not connected")
	// ErrNodeGone says that a node that was asked died, or left the cluster, before
	// it had answered. All others have.
	ErrNodeGone = errors.New("node: a node has gone")
	// ErrTimeout says that an answer did not come in time: before the context's
	// deadline or, without one, the configured time (HRD-46). Such an error is
	// a [context.DeadlineExceeded] too.
	ErrTimeout error = timeoutError{}
	// ErrReservedEvent says that an event name has a meaning of its own in the
	// protocol (SIO-D-07).
	ErrReservedEvent = errors.New("node: reserved event name")
	// ErrTooLarge says that an event is over the size that nodes tell each other
	// (HRD-68).
	ErrTooLarge = errors.New("node: event too large")
	// ErrAttachments says that an event has more binary parts than clients take
	// (SIO-B-05).
	ErrAttachments = errors.New("node: too many binary attachments")
	// ErrTooManyRooms says that a socket is in as many rooms as it may be
	// (HRD-45).
	ErrTooManyRooms = errors.New("node: socket is in too many rooms")
	// ErrTooManyCalls says that as many answers are awaited as may be (HRD-46).
	ErrTooManyCalls = errors.New("node: too many calls are unanswered")
	// ErrRoomName says that the name of a room is too long, is not UTF-8 or
	// contains NUL (HRD-43).
	ErrRoomName = errors.New("node: not a valid room name")
	// ErrServerClosed says that the server is shutting down or has shut down.
	ErrServerClosed = errors.New("node: server closed")
	// ErrDraining says that the server lets its clients go: see [Server.Drain]. It is
	// the cause of the end of the sockets that it closes.
	ErrDraining = engine.ErrDraining
)

type timeoutError struct{}

func (timeoutError) Error() string        { return "node: operation has timed out" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// ConnectError refuses a client in a middleware of [Namespace.Use]: both members
// reach the client in its connect_error event (SIO-C-05).
type ConnectError struct {
	Message string
	Data    any // encoded as JSON; nil is left out
}

func (e *ConnectError) Error() string { return e.Message }

// AckError is an error of a handler that is also its acknowledgement: the client
// gets Values as the arguments of its ack.
type AckError struct {
	Values []any // as for [Socket.Emit]
	Err    error // may be nil
}

func (e *AckError) Error() string {
	if e.Err == nil {
		return "node: answered with an error"
	}
	return e.Err.Error()
}

func (e *AckError) Unwrap() error { return e.Err }

// HandlerError is what [Namespace.OnError] gets: an error that a handler
// returned, or what kept it from being called.
type HandlerError struct {
	Where string // "connect", "event", "server event", "hook"
	Event string // name of the event, if it was one
	Err   error
}

func (e *HandlerError) Error() string {
	if e.Event == "" {
		return fmt.Sprintf("node: %s handler: %v", e.Where, e.Err)
	}
	return fmt.Sprintf("node: handler of %s %.200q: %v", e.Where, e.Event, e.Err)
}

func (e *HandlerError) Unwrap() error { return e.Err }

// PartialError ends the results of a request to several clients or nodes that
// not all of them answered. What came was yielded before it.
type PartialError struct {
	Op   string // what was asked: "call", "fetch sockets", "server event"
	Got  int    // answers that came
	Want int    // answers that were expected, -1 when that is not known
	// Missing are the ids of the nodes that did not answer, or that went before all
	// of their clients had. A node whose clients alone did not answer in time is not
	// among them.
	Missing []string
	// Unnamed is how many more nodes did not answer whose ids are not known, such as
	// official ones.
	Unnamed int
	Err     error // why it ended: ErrTimeout, ErrNodeGone, the context's error, the adapter's
}

func (e *PartialError) Error() string {
	want := "?"
	if e.Want >= 0 {
		want = fmt.Sprint(e.Want)
	}
	text := fmt.Sprintf("node: %s: %d of %s answered", e.Op, e.Got, want)
	missing := slices.Clone(e.Missing)
	if e.Unnamed > 0 {
		missing = append(missing, fmt.Sprint(e.Unnamed, " without a known id"))
	}
	if len(missing) > 0 {
		text += " (not " + strings.Join(missing, ", ") + ")"
	}
	return fmt.Sprintf("%s: %v", text, e.Err)
}

func (e *PartialError) Unwrap() error { return e.Err }
