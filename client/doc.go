// Package client is a Socket.IO client: protocol 5 over Engine.IO 4, by HTTP
// long-polling, WebSocket, or polling that is upgraded to WebSocket. It talks to
// package node and to the official servers 3.x and 4.x.
//
//	s, err := client.Dial(ctx, "http://localhost:3000/chat", client.Options{}, func(s *client.Socket) {
//		client.On(s, "said", func(ctx context.Context, m Message) { fmt.Println(m.Text) })
//	})
//	if err != nil {
//		return err
//	}
//	defer s.Close()
//	err = s.Emit(ctx, "say", Message{"general", "hello"})
//	sum, err := client.Call[int](ctx, s, "add", 1, 2)
//
// A [Client] is one connection, with reconnection; a [Socket] is one namespace
// on it. The path of the URL is the namespace, as in the official client;
// [Options.Path] is the server's path.
//
// # Arguments
//
// Events and acks carry any number of arguments. Values are encoded as by
// encoding/json, except that <, > and & stay as they are and that a []byte, also
// inside of structs, maps and slices, travels as a binary attachment. A handler
// for type T gets the first argument as a T, the zero value if there is none.
// [Args] stands for all arguments, undecoded; [None] for none; [Tuple2] and
// [Tuple3] for several. In an any, an attachment is a [Binary].
//
// # Order and concurrency
//
// What happens to one Socket (events, connects and disconnects) reaches its
// handlers one at a time, in order. Handlers of different sockets run in
// parallel. A handler may take its time, and may use Emit and Call: heartbeats
// and acks do not wait for it. Events wait in a queue of [Options.ReceiveQueue]
// bytes; when that is full the connection is not read. All methods are safe for
// concurrent use, and none of them calls a handler.
//
// Events from one goroutine reach the server in order. Emit hands an event to
// the connection and returns; while the socket is not connected events are kept
// and sent after the next connect, except volatile ones. With [Options.Retries]
// they are sent one at a time, until each is acknowledged.
//
// # Goroutines
//
// A Client has one goroutine while one of its sockets wants to be connected: it
// reads, and waits between attempts. A Socket has one while handlers have work.
// Dialling, writing, the answer to a connect, the probe of an upgrade, and a
// function that makes the auth payload have one each while they last, requests of
// polling those of net/http. [Client.Close] ends and awaits all of them.
//
// Locks, outermost first: Client, then either a socket's queue of deliveries or
// the connection. None is held while handlers run or during I/O.
package client
