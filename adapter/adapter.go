// Package adapter is the seam between the nodes of a cluster: what they tell
// each other ([Message]), what a broker does for one namespace ([Adapter]) and
// what it may ask of the node ([Host]).
//
// An adapter moves messages; the node knows what they mean. Room membership,
// local delivery and the bookkeeping of requests live in package node, once,
// for every adapter. A new broker is a new implementation of [Adapter];
// adaptertest.Run tells whether it keeps the contract.
package adapter

import (
	"context"
	"errors"
	"time"
)

// Errors that Publish and Respond return. The message has not left the node.
var (
	// ErrClosed says that the adapter was closed, or never started.
	ErrClosed = errors.New("adapter: closed")
	// ErrTooLarge says that the encoded message is over the adapter's limit
	// (HRD-68).
	ErrTooLarge = errors.New("adapter: message too large")
	// ErrBacklog says that the message, or an older one, was dropped because the
	// broker has been out of reach for longer than the buffer lasts (HRD-63).
	ErrBacklog = errors.New("adapter: backlog full")
)

// Host is what a namespace shows its adapter. All methods are safe for
// concurrent use and do not block.
type Host interface {
	// NodeID is the id of the node, the same in each of its namespaces.
	NodeID() string
	// IDTag ends the public id of every socket that this node names, so that one
	// pattern can stand for all of their rooms. It has four characters of
	// [A-Za-z0-9_-].
	IDTag() string
	// Namespace is the name with its leading slash.
	Namespace() string
	// HasRoom tells whether a local socket is in room. The room named by a
	// socket's id counts. An adapter may drop a message for other rooms before
	// decoding it.
	HasRoom(room string) bool
	// RecoveryWindow is how long events must be kept, so that clients that were away
	// still get what they missed; 0 if connection state recovery is off. An adapter
	// that is a [Journal] keeps events only if it is not. It is longer than a client
	// may be away.
	RecoveryWindow() time.Duration
	// Receive takes a message from another node, or one of this node that returns
	// ([Placed.Returns]). The adapter calls it from one goroutine, in the order of
	// arrival, and does not touch m afterwards.
	Receive(m *Message)
}

// Pacer is implemented by a [Host] whose clients may take less at once than an adapter
// has for them, as when it catches up.
type Pacer interface {
	// Pace is called by the goroutine that calls Receive, after messages of so many
	// bytes. Now and then it waits, 50 ms at most, for clients that are taking what they
	// got. An adapter that has no room for what comes meanwhile does not call it.
	Pace(bytes int)
}

// Adapter is what a broker does for one namespace of one node. Start is called
// once and before any other method; Close once and last. The rest is safe for
// concurrent use.
type Adapter interface {
	// Start begins to receive; Receive may be called from here on. It returns
	// when the adapter hears the other nodes, or with an error when ctx ended
	// before that. An adapter whose broker is away keeps trying after that: the
	// node works on alone meanwhile.
	Start(ctx context.Context) error
	// Publish hands m to every other node that has the namespace, and may return
	// before they have it: it does not wait for the broker. The sender does not
	// receive its own message, but for [Placed.Returns]. m must not change
	// afterwards. The result is zero unless the adapter is a [Journal] that keeps m.
	// With an error it still holds for the node's own sockets.
	Publish(ctx context.Context, m *Message) (Placed, error)
	// Respond hands the answer m to the node that a received request named in
	// From. It does not wait for the broker.
	Respond(ctx context.Context, to string, m *Message) error
	// ServerCount asks how many nodes have this namespace, this one included. It
	// waits for the broker.
	ServerCount(ctx context.Context) (int, error)
	// Close ends reception, hands out what Publish has taken as far as ctx
	// allows, and waits for every goroutine the adapter started.
	Close(ctx context.Context) error
}

// Factory makes the adapter of a namespace. It does no I/O.
type Factory func(Host) (Adapter, error)

// RoomObserver is implemented by adapters that subscribe to what their node
// holds instead of hearing everything.
//
// The room named by a socket's id counts, also where the adapter hears what is for
// the ids of its node anyway. The node calls both methods while it changes the room, so that the calls for
// one room come in the right order. They must not block and must not call the
// host.
type RoomObserver interface {
	// RoomAdded tells of the first local member. The channel is closed when
	// other nodes' messages for the room arrive here; it is nil when they do
	// already or when the broker is away. A closed channel costs the caller
	// nothing, and many rooms may share one.
	RoomAdded(room string) (confirmed <-chan struct{})
	// RoomRemoved tells that the last local member has left.
	RoomRemoved(room string)
}

// Prober is implemented by adapters that can be out of touch with their broker.
type Prober interface {
	// Ready is nil when the adapter is connected and every subscription it needs
	// is confirmed; otherwise it says what is missing. It does not block.
	Ready() error
}

// Measurer is implemented by adapters that count what they do.
type Measurer interface {
	// Stats returns counters that only grow, since Start.
	Stats() Stats
}

// Stats are an adapter's counters.
type Stats struct {
	Published        uint64 // messages handed to the broker
	PublishedBytes   uint64
	PublishErrors    uint64 // publishes that the broker refused or lost
	PublishDropped   uint64 // messages given up before they reached the broker
	Received         uint64 // messages that arrived, own ones and ignored ones included
	ReceivedBytes    uint64
	Ignored          uint64 // own messages and those for rooms without local members
	BadMessages      uint64 // undecodable or forbidden, dropped (HRD-60)
	ReceiveDropped   uint64 // dropped because the node did not keep up (HRD-61)
	Missed           uint64 // messages of other nodes that never arrived, ReceiveDropped included (HRD-62); a journal may have had them
	Duplicates       uint64 // messages that arrived twice, dropped (HRD-62)
	Kept             uint64 // events that the journal has taken
	KeptBytes        uint64
	KeepDropped      uint64 // events that the journal lost before the broker had them
	Replayed         uint64 // events read for clients that came back
	Resubscriptions  uint64 // times the subscriptions were made anew after a loss
	Subscriptions    uint64 // channels and patterns subscribed now
	PendingRoomCalls uint64 // rooms whose subscription is not confirmed now
}
