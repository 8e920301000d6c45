package redis

import (
	"errors"

	"github.com/fanwire/fanwire/adapter"
)

// errForeign says that a message is well formed but not for this node: its own,
// an answer to another node, of another namespace, or of an unknown type.
var errForeign = errors.New("not for this node")

// protocol is what differs from wire to wire: channels and codecs for one
// namespace of one node. [member] does the rest. All methods are safe for
// concurrent use and do no I/O.
type protocol interface {
	// base lists the channels that are subscribed while the adapter runs.
	base() []baseChannel
	// roomChannel is where broadcasts to a local room arrive, empty if they do on a
	// base channel.
	roomChannel(room string) string
	// countChannel has one subscriber for each node with the namespace.
	countChannel() string

	// encode makes m ready for the outbox, but for the stamp.
	encode(m *adapter.Message) (item, error)
	// encodeAnswer does so with an answer for a node.
	encodeAnswer(to string, m *adapter.Message) (item, error)
	// sequence names the sequence in which messages on a channel are numbered, by
	// sequenceID; kept tells whether this node hears all of it.
	sequence(d delivery) (id uint64, kept bool)
	// stamp adds what only Fanwire reads to an item that it made.
	stamp(it *item, x extras)

	// ignores tells without decoding that a message is of no use here. It is called
	// for each that arrives, by the reader of the connection.
	ignores(d delivery) bool
	// decode reads a message. Where the error is errForeign, extras are valid all
	// the same.
	decode(d delivery) (incoming, error)
}

// baseChannel is subscribed while the adapter runs.
type baseChannel struct {
	name    string
	pattern bool
	kind    routeKind
}

// delivery is a message on its way to the worker.
type delivery struct {
	kind    routeKind
	channel string
	payload string
	era     uint32 // of the subscription, see subscription.era
	mark    *mark  // of routeBulletin
	// placed is an entry of a stream, whose key is channel and whose data is
	// payload.
	placed *placedEntry
}

// incoming is a decoded message.
type incoming struct {
	msg    *adapter.Message
	from   string // the sender's uid, also where there is no message
	extras extras
	// confirm answers the sender by itself, after the node has the message; it has
	// no payload where nothing is to be said.
	confirm item
}

// concerns tells whether a socket of this node can be among the target.
func concerns(h adapter.Host, t adapter.Target) bool {
	for _, room := range t.Rooms {
		if h.HasRoom(room) {
			return true
		}
	}
	return len(t.Rooms) == 0
}
