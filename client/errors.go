package client

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/fanwire/fanwire/client/internal/engine"
	"github.com/fanwire/fanwire/internal/args"
)

// Errors.
var (
	// ErrClosed says that the Client was closed.
	ErrClosed = errors.New("client: closed")
	// ErrDisconnected says that the socket was disconnected before an ack came.
	ErrDisconnected = errors.New("client: socket has been disconnected")
	// ErrTimeout says that no ack came in Options.AckTimeout, after the last of
	// Options.Retries. When a context ends first its error is returned.
	ErrTimeout = errors.New("client: operation has timed out")
	// ErrQueueFull says that events wait for a connection and that they fill
	// Options.SendQueue.
	ErrQueueFull = errors.New("client: send queue is full")
	// ErrNoAck says that Reply was called for an event that asked for no ack,
	// has been answered, or came over a connection that is gone.
	ErrNoAck = errors.New("client: no ack is awaited")
	// ErrPlaceholder says that a value looks like the placeholder of a binary
	// attachment in an event that has attachments.
	ErrPlaceholder = args.ErrPlaceholder

	errReserved = errors.New("reserved event name")
)

// ConnectError is a server's refusal to let the socket join its namespace. It is
// final: the socket does not try again by itself (SIO-J-07).
type ConnectError struct {
	Message string
	Data    json.RawMessage // nil without data
}

func (e *ConnectError) Error() string { return "client: connection refused: " + e.Message }

// TransportError says why a connection could not be made, or was lost.
type TransportError struct {
	Message string // in the words of the official client: "xhr poll error", "websocket error", ...
	Status  int    // HTTP status of a refusal, else 0
	Code    int    // Engine.IO code of a refusal, else -1
	Detail  string // what the server said to it
	Err     error  // the cause, if there is one
}

func (e *TransportError) Error() string { return "client: " + (*engine.Error)(e).Error() }

func (e *TransportError) Unwrap() error { return e.Err }

// AckError, returned by a function given to Handle, is sent as the ack.
type AckError struct{ Value any }

func (e *AckError) Error() string { return fmt.Sprintf("client: ack %v", e.Value) }

// HandlerError says what went wrong with an event.
type HandlerError struct {
	Event string
	Err   error
}

func (e *HandlerError) Error() string { return fmt.Sprintf("client: event %q: %v", e.Event, e.Err) }

func (e *HandlerError) Unwrap() error { return e.Err }

// public turns an error of package engine into one of ours.
func public(err error) error {
	if e, ok := errors.AsType[*engine.Error](err); ok {
		return (*TransportError)(e)
	}
	return err
}
