// Package redis holds the official Socket.IO wires over Redis. The classic one,
// [NewAdapter], and the sharded one, [NewShardedAdapter], are compatible in both
// directions with npm @socket.io/redis-adapter and the emitters that publish for
// it: nodes of Fanwire and of Node.js form one cluster.
//
// [member] is one namespace of one node, on any wire. What differs between the
// wires is behind [protocol]: channels and codecs, pure functions of messages.
//
// # Goroutines
//
// A node has one link to Redis for all of its namespaces: [feed.run] owns the
// subscriber connection, with a reader that lives as long as that connection;
// [link.publish] owns the way out. With sharded channels on a Redis Cluster there
// is a feed for each master that has a channel of the node's, and [shards.run],
// which owns the feeds and moves channels between them. Each namespace has one worker that decodes
// and calls [adapter.Host.Receive]. The last namespace that is closed ends the
// link and waits for both; each Close waits for its worker.
//
// # Life of a message
//
// Out: Publish encodes in the caller's goroutine and appends to the outbox; the
// publishing goroutine pipelines whatever waits. In: the reader finds the
// namespaces by channel, drops what concerns nobody here, and puts the rest
// into the namespace's inbox; the worker decodes. No queue waits for the
// other side: each is bounded and drops its oldest (HRD-61, HRD-63).
//
// # Streams
//
// [NewStreamsAdapter] is compatible with npm @socket.io/redis-streams-adapter. Its
// events are entries of streams, added through the outbox like everything else.
// [streamFeed.run] reads them over a connection of its own: one for a node, on a
// Redis Cluster one for each stream. It hands entries to the inboxes and waits while
// one is half full: the stream holds the rest. [streamJournal] is the journal on that
// wire (docs/decisions/0005-streams.md); a Publish that waits for its event to come
// back holds no lock. streamFeed.mu is before streamJournal.mu.
//
// # Emitter
//
// [NewEmitter] is for programs that are no node. It has no goroutine and no queue:
// every call waits until Redis has its message.
//
// # When Redis goes away
//
// Publish never waits: messages go to the outbox, 8 MiB and 10 s of them. The
// reader notices a lost connection at once, a silent one by a probe; run makes a
// new one and subscribes everything anew before Ready is nil again. Meanwhile the
// publishing goroutine asks Redis with PING, never with a message, and holds the
// outbox back until as many nodes are subscribed as before. A message that was
// written but not answered may have been published. It is sent again if all nodes
// of the namespace are ours then, which drop a second copy; else it is counted as
// a publish error, so that the counter is what was lost at most.
//
// # Numbers
//
// Every message of a member but answers has a number in its channel (sequence.go).
// Receivers count what never comes as Missed, their own drops included, and drop
// what comes twice. Bulletins (registry.go), once a second on the channel
// fanwire#nodes#<Key>, claim the last numbers of channels that went quiet, and tell
// the nodes of each other. What a killed node had not handed to Redis, and what was
// said on a room's channel before the first message that arrived there, is not
// known. With a journal, what is missed here may still be read there.
//
// On a Redis Cluster with sharded channels the same holds for each master's
// connection. When a slot goes to another master, by order or because a master
// was lost, its channels are subscribed there, and Ready is not nil meanwhile. The
// backlog is held back as a whole while a master that it has messages for is away.
//
// # Recovery
//
// While recovery is on, a member of the classic or the sharded wire has a [journal]:
// every kept event goes into a stream, and then to its channel. Its goroutine,
// [journal.run], appends ticks; it ends before the member's worker does. What
// was missed the worker reads itself ([repairing]). docs/decisions/0003-journal.md
// says why a replay is complete.
//
// # Locks
//
// positions.mu, streamCache.mu and journal.mu are innermost; member.mu comes
// before positions.mu, since numbers are given out in the order of the outbox.
//
// Publish encodes without a lock, and holds member.mu while it numbers a message
// and pushes it, so that numbers and queue agree: member.mu before outbox.mu.
// subscriptions.mu, one for a link, is innermost: nothing is called under it, and RoomAdded takes no
// other but member.mu, only to look at it. So a node may call RoomAdded while it
// holds the lock of a room.
package redis
