// The official server with the namespace /loadtest, which the load-test tool talks
// to: the same events as `fanwire serve --loadtest` has. See README.md.
//
//   echo ...args         acked with the same arguments
//   join room            joins; acked
//   leave room           leaves; acked
//   say room, ...args    "msg" with args to everybody in the room, of all nodes; acked
//   all ...args          "msg" with args to everybody in the namespace; acked

import { createServer } from "node:http";
import { parseArgs } from "node:util";

import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const { values: flags } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "3000" }, // 0: a free one
    adapter: { type: "string", default: "none" }, // or classic, sharded, streams
    redis: { type: "string", default: "redis://127.0.0.1:6379" },
    recovery: { type: "string", default: "0" }, // milliseconds that a client may be away
    "max-payload": { type: "string", default: "1000000" },
  },
});

const ADAPTERS = {
  none: () => undefined,
  classic: async () => createAdapter(...(await clients())),
  sharded: async () => createShardedAdapter(...(await clients()), { subscriptionMode: "dynamic" }),
  streams: async () => createStreamsAdapter((await clients())[0]),
};
if (!ADAPTERS[flags.adapter]) fail(`--adapter must be ${Object.keys(ADAPTERS).join(", ")}, and is ${flags.adapter}`);
for (const name of ["port", "recovery", "max-payload"]) {
  if (!/^\d+$/.test(flags[name])) fail(`--${name} must be a whole number, and is ${flags[name]}`);
}

function fail(message) {
  console.error(message);
  process.exit(2);
}

// clients are one to publish and one to subscribe. They come back by themselves.
async function clients() {
  const publisher = createClient({ url: flags.redis });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) client.on("error", (error) => console.error(`redis: ${error.message}`));
  await Promise.all([publisher.connect(), subscriber.connect()]);
  return [publisher, subscriber];
}

const http = createServer((request, response) => {
  response.writeHead(["/healthz", "/readyz"].includes(request.url) ? 200 : 404).end();
});
const adapter = await ADAPTERS[flags.adapter]();
const io = new Server(http, {
  serveClient: false,
  maxHttpBufferSize: Number(flags["max-payload"]),
  ...(adapter && { adapter }),
  ...(flags.recovery !== "0" && { connectionStateRecovery: { maxDisconnectionDuration: Number(flags.recovery) } }),
});

const loadtest = io.of("/loadtest");
loadtest.on("connection", (socket) => {
  socket.on("echo", (...args) => {
    const reply = takeAck(args);
    reply?.(...args);
  });
  onRoom(socket, "join", (room) => socket.join(room));
  onRoom(socket, "leave", (room) => socket.leave(room));
  onRoom(socket, "say", (room, args) => void loadtest.to(room).emit("msg", ...args));
  socket.on("all", (...args) => {
    const reply = takeAck(args);
    loadtest.emit("msg", ...args);
    reply?.();
  });
});

function takeAck(args) {
  return typeof args.at(-1) === "function" ? args.pop() : undefined;
}

// onRoom handles an event whose first argument is the name of a room. Without one
// nothing happens, and there is no ack.
function onRoom(socket, event, handle) {
  socket.on(event, async (...args) => {
    const reply = takeAck(args);
    const room = args.shift();
    if (typeof room !== "string" || room === "") return;
    await handle(room, args);
    reply?.();
  });
}

for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => io.close(() => process.exit(0)));
http.listen(Number(flags.port), flags.host, () => {
  const { address, port } = http.address();
  console.log(JSON.stringify({ event: "listening", url: `http://${address}:${port}`, pid: process.pid }));
});
