// Package node is an embeddable Socket.IO server: one node, alone or one of a
// cluster that shares its events through an adapter. Clients of Socket.IO 3 and 4
// connect to it unchanged, those of Socket.IO 2 by [Config.AllowEIO3].
//
// A [Server] is an [http.Handler]. Clients join a [Namespace], where each is a
// [Socket] with rooms. Handlers are registered on the namespace, once for all
// sockets, by [On] and [Handle]; they are typed, get a context that ends with the
// socket, and return errors. Events go out by Emit on a socket, on a namespace or
// on a [Broadcast], which is a value that selects sockets by room on all nodes.
// [Call] and [CallAll] wait for the acks of clients, [CallServers] for the
// answers of other nodes, [Broadcast.Sockets] lists sockets wherever they are.
// docs/api.md says what takes the place of each member of the official API.
//
// # Arguments
//
// The arguments of an event are JSON with binary parts. Handlers take them as a
// Go value of their choice (see [On]); [Args] is what came, untouched: numbers
// never pass through float64 (HRD-06). What is sent is encoded by the rules of
// [encoding/json], except that <, > and & are not escaped, and that byte slices
// become binary attachments wherever they are in a value (see [Socket.Emit]).
//
// # The life of a message
//
// From a client: the engine (node/internal/engine) reads a WebSocket message, or
// the packets of a POST, and calls client.Message. The client, one for each
// session, puts the packet and its attachments together (client.go) and finds the
// Socket. An ack goes straight to the call that waits for it (ack.go). An event
// runs its handler at once, in the goroutine that reads the WebSocket, if nothing
// else of this socket runs or waits; otherwise it enters the socket's queue, which
// whoever runs it empties (dispatch.go). So the events of a socket are handled in
// order, without a hand-off between goroutines in the usual case. A handler that
// takes longer than some 10 ms, or that waits in a function of this package,
// loses the reader: the session reads on in a new goroutine, and the handler
// finishes in the old one. When the queue is full, reading waits: TCP slows that
// one client, whose pong deadline stands still meanwhile (HRD-48).
//
// To clients: Emit encodes the event once, into pooled memory (scratch.go). For
// one socket the session copies it into its output. For several (broadcast.go)
// the packet is built once; Namespace.broadcast publishes it through the adapter
// and then delivers: the index (rooms.go) gives slices of sockets that never
// change, the packet is handed to each session, no lock is held meanwhile, nobody
// waits. The session queues the bytes, drops what is volatile, or closes a client
// that does not keep up; the engine's flushers write.
//
// From another node: the adapter's receive goroutine calls Namespace.receive
// (receive.go), which delivers broadcasts by the same function. Questions are
// answered, and handlers of [OnServer] run, in goroutines of their own; answers go
// to the request that waits for them (request.go). It knows who has yet to answer
// (awaited.go) and is told by watch.go of those who have gone, so that it ends at
// once when a node dies.
//
// A connection: CONNECT makes a Socket, which middlewares may refuse, in a
// goroutine of its own if there is anything to run (connect.go). Once accepted it
// is in the index, the client is told, and OnConnect runs first in its queue. It
// ends in its queue too: what the client has sent before it left is still
// handled, then the disconnect handlers run; if the server ends it, what waits is
// dropped. Either way nothing is sent to it from the moment its end is known.
//
// A client that recovers ([Recovery]): its CONNECT names a session. Its goroutine
// (restore.go) takes the record from the journal, ends the life before, here or on
// another node, and gives the new Socket id, rooms and data of the old one. From
// then on live events wait in the socket's seam (seam.go), while what the client
// has missed is read and sent as fast as the client takes it. Then the record is
// there for the next time, the CONNECT follows, and what has waited, as far as it
// was not read. If anything of that fails, the client gets a new session and the
// application is told why. With recovery on every event without ack gets its offset
// from the journal and is delivered in one step (offset.go), so that an offset says
// what a client has; records are written while sockets live (sessionrecords.go).
//
// A request for a session of another node, which a balancer that is not sticky has
// sent here, goes on to that node (forward.go): the id of the session ends in the
// node's, the adapter knows the address. A signed header, the hop (hop.go), marks
// it; whatever carries one is not handed on again. Polls and POSTs pass through the
// handler's goroutine (relay.go), a WebSocket as bytes (tunnel.go). For the session a
// relayed poll that breaks is the relay's end, not the client's (HRD-22).
//
// With a [Tracer] spans follow a message along this way: they begin at the handshake
// or the event, the context of handlers carries them to what is emitted under it, and
// a field of the message between nodes to those that deliver it (trace.go).
//
// # Goroutines
//
//   - The reader of a WebSocket and the goroutine of an HTTP request are the
//     engine's. User code runs on the first, between BeginInline and EndInline.
//   - Server.tasks starts all goroutines of this package but one; Shutdown waits for
//     them. A socket's queue has one while it is not empty and no reader runs it;
//     a CONNECT with user code has one; each handler with [Concurrent] has one,
//     [Limits.Concurrent] at most for a socket. A namespace has one while its
//     adapter starts, one while events of other nodes wait, one while their
//     questions do, and one while it waits for answers, which looks who is alive.
//     With recovery a namespace has one while there are records to be written, and 16
//     more for a batch of them; a timer for each namespace with sockets starts it.
//     A WebSocket on its way to another node has two; at the start one asks for the
//     nodes' secret, and one announces the node's address.
//   - Server.Shutdown starts one that waits for the engine.
//   - Two timers call functions that only take a lock: the bound on an adapter's
//     start, and the end of a broadcast with acks that another node sent.
//   - An idle client has no goroutine, timer, context or map in this package.
//
// # Locks
//
// Outermost first; whoever holds one may take those after it, no others:
//
//  1. Namespace.order, with recovery only: an event gets its offset and is delivered.
//  2. client.mu: the sockets of a session, their state, queues, rooms and calls.
//  3. index.mu and roomShard.mu, not both: who is in a namespace, or a room.
//  4. what an adapter locks in RoomAdded and RoomRemoved, or as an
//     [adapter.Journal] in Publish, Append, Advance, Here and a Replay.
//  5. engine.Session's own: only to queue output and to set the alarm.
//
// Server.mu (namespaces and patterns), clientFiles.mu, collectors.mu,
// collector.mu, requests.mu, request.mu, relayBody.mu and counters.mu are taken alone;
// worker.mu and records.mu may be followed by the lock of Server.tasks only, forwarder.mu by what an
// adapter locks in Announce. No user code, I/O, encoding or
// wait happens under any of them, except that a CONNECT or DISCONNECT packet, a
// few bytes of text, is put together under client.mu: nothing may overtake it; that
// the packet of an event is put together under Namespace.order, where it gets its
// offset; and that each client file is read and compressed once, under clientFiles.mu.
package node
