// Package engine is Engine.IO: sessions, their transports, and the way of bytes
// between a socket and a session. It knows nothing of Socket.IO. A [Server] is
// given requests; a [Handler] gets each new [Session] and returns a [Receiver],
// which is told what the peer sends and when the session ends.
//
// # The way in
//
// server.go finds out what a request wants. A handshake makes a session, over
// polling (polling.go) or over a WebSocket (websocket.go); a request with a sid is
// a poll, a POST, or an upgrade (upgrade.go). The reader of a WebSocket waits with
// an empty hand (wsconn.go): a buffer is taken from the pool once there are bytes,
// gorilla takes frames from it one by one (frames.go), and Receiver.Message may
// run user code in the reader itself (inline.go).
//
// # The way out
//
// [Session.Send] appends finished frames to the session's outbox (outbox.go), or
// packets while the session is on polling, and puts the session on its flusher's
// list unless it is there (flusher.go). A [Packet] builds each of its forms once,
// for all sessions. A flusher swaps the outbox out and writes it with one call that
// does not block; what the kernel does not take goes to a goroutine of that
// session, and its bytes count against the bound. [Session.SendText] during user
// code on the reader is written by the reader itself before it waits again, so an
// answer costs no wake-up. Under TLS, where a write may block, every write is such
// a goroutine's. Polling sessions are written by the GET that waits.
//
// The bound (HRD-50): a packet is taken while the outbox and what a stalled write
// still holds are below Config.MaxQueue. While a flusher's write is under way, which
// takes microseconds, the outbox may grow to twice that. Over it, one more write is
// tried, then the session ends.
//
// # Goroutines
//
// Server.workers, which end with Shutdown: one flusher for each processor, the wheel
// (heartbeat.go), which walks the sessions whose time has come, the watch over
// inline handlers, and, if there is a bound on all queues, its guard. Server.conns:
// requests, one reader for each WebSocket, former readers that still run user code,
// upgrades under way with their noops, stalled writes; each ends with its
// connection or session, within seconds of its end. Server.closers: one delivery
// of Closed for each session that was ended by somebody else than its reader.
// Shutdown waits for all three. Drain (drain.go) starts none.
//
// # Locks
//
// Session.mu comes first and may be followed by wheel.mu or the lock of a Group.
// flusher.mu, Server.mu and inlineWatch.mu are taken alone. No
// I/O, no user code and no wait happens under any of them; setting a deadline on a
// connection is not I/O.
package engine
