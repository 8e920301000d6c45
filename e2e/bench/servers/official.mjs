// The official Socket.IO server, as its documentation sets it up, with the
// events that e2e/bench drives. With --redis URL it is a node of a cluster
// over @socket.io/redis-adapter, or what --adapter says; --client chooses the
// Redis library. --recovery turns connection state recovery on.
//
// It prints {"listening":PORT} and answers each line on its standard input
// ("gc", "stats") with one line of JSON. It ends with its input.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import v8 from "node:v8";
import vm from "node:vm";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { Server } from "socket.io";

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    redis: { type: "string" },
    client: { type: "string", default: "redis" },
    adapter: { type: "string", default: "classic" },
    recovery: { type: "boolean", default: false },
  },
});

async function redisPair(url, library) {
  if (library === "ioredis") {
    const { Redis } = await import("ioredis");
    const pub = new Redis(url);
    return [pub, pub.duplicate()];
  }
  const { createClient } = await import("redis");
  const pub = createClient({ url });
  const sub = pub.duplicate();
  await Promise.all([pub.connect(), sub.connect()]);
  return [pub, sub];
}

// Ten times the default: at the rates of a benchmark the default is less than
// half a second, and a node that falls behind by more loses messages.
const streamLength = 100_000;

const http = createServer();
const options = {};
if (flags.redis) {
  const pair = await redisPair(flags.redis, flags.client);
  options.adapter = {
    classic: () => createAdapter(...pair),
    sharded: () => createShardedAdapter(...pair),
    streams: () => createStreamsAdapter(pair[0], { maxLen: streamLength }),
  }[flags.adapter]();
}
if (flags.recovery) {
  options.connectionStateRecovery = {};
}
const io = new Server(http, options);

io.on("connection", (socket) => {
  socket.on("echo", (...args) => {
    const ack = args.pop();
    ack(...args);
  });
  socket.on("join", async (room, ack) => {
    await socket.join(room);
    ack();
  });
  socket.on("say", (room, payload) => {
    io.to(room).emit("msg", payload);
  });
  socket.on("all", (payload) => {
    io.emit("msg", payload);
  });
});

// The collector is reached without --expose-gc on the command line, so that
// the process runs with node's defaults until it is asked for.
function collect() {
  v8.setFlagsFromString("--expose-gc");
  vm.runInNewContext("gc")();
}

const commands = {
  gc() {
    collect();
    collect();
    return { ok: true };
  },
  stats() {
    return { sockets: io.of("/").sockets.size };
  },
};

const input = createInterface({ input: process.stdin });
input.on("line", (line) => {
  const command = commands[line.trim()];
  console.log(JSON.stringify(command ? command() : { error: `unknown command ${line}` }));
});
input.on("close", () => process.exit(0));

http.listen({ port: Number(flags.port), host: "127.0.0.1", backlog: 4096 }, () => {
  console.log(JSON.stringify({ listening: http.address().port }));
});
