// The server of docs/migration.md before it is migrated: the official one, with a few
// events and the Redis adapter. docs/examples/migration.yaml makes a gateway of it.
//
//   join room -> {rooms}          the client is in the room
//   say room message -> {ok}      the others in the room get the same
//   ask room -> [answer, ...]     everybody in the room answers to "name?", on all servers

import { createServer } from "node:http";
import { parseArgs } from "node:util";

import { createAdapter } from "@socket.io/redis-adapter";
import Redis from "ioredis";
import { Server } from "socket.io";

const { values: flags } = parseArgs({ options: { listen: { type: "string" }, redis: { type: "string" } } });

// A health check that the balancer can ask: "socket.io" alone has none.
const http = createServer((request, response) => response.writeHead(request.url === "/readyz" ? 200 : 404).end());

const publisher = new Redis(flags.redis);
const io = new Server(http, { adapter: createAdapter(publisher, publisher.duplicate()) });

io.on("connection", (socket) => {
  socket.on("join", async (room, reply) => {
    await socket.join(room);
    reply({ rooms: [...socket.rooms] });
  });
  socket.on("say", (room, message, reply) => {
    socket.to(room).emit("say", room, message);
    reply({ ok: true });
  });
  socket.on("ask", async (room, reply) => reply(await io.in(room).timeout(5_000).emitWithAck("name?")));
});

process.on("SIGTERM", () => {
  io.close().then(() => process.exit(0));
  setTimeout(() => http.closeAllConnections(), 1_000); // of requests that do not end by themselves
});

const [host, port] = flags.listen.split(":");
http.listen(Number(port), host, () => console.log(JSON.stringify({ event: "listening" })));
