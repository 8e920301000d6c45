package adapter

import "time"

// Kind says what a message asks for or answers.
type Kind uint8

// Kinds. The comment names the fields of [Message] that each uses besides Kind
// and From.
const (
	// Broadcast carries an event for the sockets of Target: Target, Packet; with
	// RequestID each receiving node answers one ClientCount, then one ClientAck
	// per answer of a client.
	Broadcast       Kind = iota + 1
	Join                 // Target sockets join Names: Target, Names
	Leave                // Target sockets leave Names: Target, Names
	Disconnect           // Target sockets are disconnected: Target, Close; with RequestID each node answers one ClientCount
	FetchSockets         // asks for the Target sockets: RequestID, Target
	FetchReply           // RequestID, Sockets
	ServerEvent          // an event for the other nodes: Packet; with RequestID one ServerReply each
	ServerReply          // RequestID, Packet: Data is one JSON value, empty for none
	ClientCount          // RequestID, Count
	ClientAck            // RequestID, Packet: Data is one JSON value (the first ack argument), empty for none
	FetchIDs             // asks for the ids of the sockets in Target.Rooms: RequestID, Target
	FetchIDsReply        // RequestID, Names
	FetchRooms           // asks for all rooms: RequestID
	FetchRoomsReply      // RequestID, Names
)

// Message is what one node tells others about one namespace. A message is
// immutable once it was handed to Publish, Respond or Receive; its slices may be
// shared.
type Message struct {
	Kind Kind
	// Close says that a Disconnect ends the whole session.
	Close bool
	// Local says that a Broadcast of [Journal.Append] or [Replay] concerns the
	// sockets of the node that sent it only.
	Local bool
	// Direct says that a Broadcast of [Journal.Append] or [Replay] is for the socket
	// whose id is Target.Rooms[0], also when it has left the room of that name.
	Direct bool
	// From names the sender in the adapter's own terms, as Respond expects it.
	// Publish and Respond ignore it. Programs that only emit have no name that
	// could be answered: then it is empty.
	From      string
	RequestID string // set where an answer is wanted or given
	Target    Target
	Packet    Payload
	Names     []string // rooms to join or leave, ids, or rooms
	Count     int      // ClientCount
	Sockets   []SocketInfo
	// Timeout is how long the sender waits for answers, 0 where it did not say.
	Timeout time.Duration
	// Trace tells who follows the message on its way what it belongs to: a traceparent
	// of W3C Trace Context, "" for most. Adapters pass it on with what Publish is
	// given, but for what is over [MaxTrace] bytes, and need not do so with answers. It
	// comes from other nodes and is not to be trusted.
	Trace string

	// Mark is where a [Journal] has put a Broadcast that came through Receive or
	// from a [Replay]; zero for messages that are not kept.
	Mark Mark
}

// MaxTrace is the largest [Message.Trace] that is passed on, in bytes.
const MaxTrace = 128

// Target selects sockets: those in any of Rooms (all of the namespace, if there
// are none) that are in none of Except.
type Target struct {
	Rooms  []string
	Except []string
	// Flags that travel with a broadcast (CLU-R-15).
	Volatile   bool
	NoCompress bool
}

// Payload is JSON with its binary parts taken out: Data holds
// {"_placeholder":true,"num":N} where Attachments[N] belongs. With no
// attachments Data is plain JSON in which nothing is replaced (SIO-M-22). Data of
// an event is the whole array, name included. Data has been validated by whoever
// made the payload.
type Payload struct {
	Data        []byte
	Attachments [][]byte
}

// Size is the number of bytes that the payload holds.
func (p Payload) Size() int {
	n := len(p.Data)
	for _, a := range p.Attachments {
		n += len(a)
	}
	return n
}

// SocketInfo describes a socket to other nodes (CLU-R-36).
type SocketInfo struct {
	ID        string
	Handshake []byte // a JSON object
	Rooms     []string
	Data      []byte // a JSON value; empty for none
}
