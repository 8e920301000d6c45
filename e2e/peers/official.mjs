// The official server with the events that the suite speaks. It joins the mixed
// cluster, and it proves the suite right: E2E_SERVER=official e2e/run.
//
// Every event is answered by an acknowledgement. A target says whom a broadcast
// operator reaches: {from: "io" or "socket", to: [], except: [], local, volatile, timeout}.
//
//   echo ...args                         -> ...args; without acknowledgement the event comes back
//   whoami                               -> {node, id, nsp, transport, protocol, auth, query, rooms}
//   join rooms | leave room | data value -> nothing
//   emit target event ...args            -> nothing, when it is sent
//   emitAck target event ...args         -> {error, answers}
//   ask timeout event ...args            -> {error, answers}: an event to this client, its acknowledgement's arguments
//   sockets target                       -> [{id, rooms, data, auth, query}]
//   fetch target                         -> {error, answers}: the same, as far as they came
//   remote target action ...args         -> what action (emit, ask, join, leave, disconnect) gives on the one socket found
//   socketsJoin target rooms | socketsLeave target rooms | disconnectSockets target close
//   serverEmit event ...args | serverEmitAck event ...args -> {error, answers}
//   bye close                            -> nothing; the server disconnects this client
//   roomLog rooms                        -> [[create | join | leave | delete, room]], this node's, in order
//
// Other nodes' "note" is told to this node's clients as "noted" {node, args};
// their "question" is answered {node, args}. The "watch" room hears of every
// end: "gone" {node, id, reason}.

import { createServer } from "node:http";
import { parseArgs } from "node:util";

import { instrument } from "@socket.io/admin-ui";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import Redis from "ioredis";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";

const { values: flags } = parseArgs({
  options: {
    listen: { type: "string", default: "127.0.0.1:0" },
    redis: { type: "string" },
    "redis-cluster": { type: "string" }, // some addresses, by comma, instead of redis
    adapter: { type: "string", default: "classic" }, // or sharded, streams
    "subscription-mode": { type: "string" }, // of the sharded adapter
    "node-id": { type: "string", default: "n1" },
    parser: { type: "string", default: "text" },
    "allow-eio3": { type: "boolean", default: false },
    "specific-response": { type: "boolean", default: false }, // answers on the asker's own channel (CLU-R-31)
    "ping-interval": { type: "string", default: "25000" },
    "ping-timeout": { type: "string", default: "20000" },
    "max-payload": { type: "string", default: "1000000" },
    "admin-hash": { type: "string" }, // bcrypt hash of the password of "admin": with the admin UI's namespace
    "admin-mode": { type: "string", default: "development" },
    "admin-read-only": { type: "boolean", default: false },
    "admin-dir": { type: "string" }, // ignored
    "client-dir": { type: "string" }, // ignored
    recovery: { type: "string", default: "0" }, // milliseconds that a client may be away
  },
});
const NODE = flags["node-id"];

const http = createServer((request, response) => {
  response.writeHead(request.url === "/readyz" ? 200 : 404).end();
});

const io = new Server(http, {
  allowEIO3: flags["allow-eio3"],
  pingInterval: Number(flags["ping-interval"]),
  pingTimeout: Number(flags["ping-timeout"]),
  maxHttpBufferSize: Number(flags["max-payload"]),
  cleanupEmptyChildNamespaces: true,
  ...(flags.recovery !== "0" && { connectionStateRecovery: { maxDisconnectionDuration: Number(flags.recovery) } }),
  ...(flags.parser === "msgpack" && { parser: msgpack }),
});

// ADAPTERS make the adapter from the two clients.
const ADAPTERS = {
  classic: (publisher, subscriber) => createAdapter(publisher, subscriber, {
    publishOnSpecificResponseChannel: flags["specific-response"],
  }),
  sharded: (publisher, subscriber) => createShardedAdapter(publisher, subscriber, {
    subscriptionMode: flags["subscription-mode"] ?? "dynamic",
  }),
  streams: (publisher) => createStreamsAdapter(publisher),
};

function redisClient() {
  if (flags["redis-cluster"]) return new Redis.Cluster(flags["redis-cluster"].split(","), { shardedSubscribers: true });
  return new Redis(flags.redis);
}

if (flags.redis || flags["redis-cluster"]) {
  const publisher = redisClient();
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) client.on("error", () => {}); // comes back by itself
  io.adapter(ADAPTERS[flags.adapter](publisher, subscriber));
}

if (flags["admin-hash"]) {
  instrument(io, {
    auth: { type: "basic", username: "admin", password: flags["admin-hash"] },
    mode: flags["admin-mode"], readonly: flags["admin-read-only"], serverId: NODE,
  });
}

function operator(socket, target) {
  let op = target.from === "socket" ? socket.broadcast : socket.nsp.except([]);
  if (target.to) op = op.to(target.to);
  if (target.except) op = op.except(target.except);
  if (target.local) op = op.local;
  if (target.volatile) op = op.volatile;
  if (target.timeout) op = op.timeout(target.timeout);
  return op;
}

// outcome runs f and gives {error, answers}, like every acknowledged operation.
async function outcome(f) {
  try {
    return { error: null, answers: await f() };
  } catch (error) {
    return { error: error.message, answers: error.responses ?? [] };
  }
}

// allArguments asks one client and gives every argument of its acknowledgement.
function allArguments(emitter, timeout, event, args) {
  return new Promise((resolve, reject) => {
    emitter.timeout(timeout).emit(event, ...args, (error, ...answers) => (error ? reject(error) : resolve(answers)));
  });
}

function plain({ id, rooms, data, handshake }) {
  return { id, rooms: [...rooms].sort(), data, auth: handshake.auth, query: handshake.query };
}

const actions = {
  emit: (remote, event, ...args) => void remote.emit(event, ...args),
  ask: (remote, timeout, event, ...args) => outcome(() => allArguments(remote, timeout, event, args)),
  join: (remote, rooms) => void remote.join(rooms),
  leave: (remote, room) => void remote.leave(room),
  disconnect: (remote, close) => void remote.disconnect(close),
};

const commands = {
  whoami: (socket) => ({
    node: NODE,
    id: socket.id,
    nsp: socket.nsp.name,
    transport: socket.conn.transport.name,
    protocol: socket.conn.protocol,
    auth: socket.handshake.auth,
    query: socket.handshake.query,
    rooms: [...socket.rooms].sort(),
  }),
  join: async (socket, rooms) => void (await socket.join(rooms)),
  leave: async (socket, room) => void (await socket.leave(room)),
  data: (socket, value) => void (socket.data = value),
  emit: (socket, target, event, ...args) => void operator(socket, target).emit(event, ...args),
  emitAck: (socket, target, event, ...args) => outcome(() => operator(socket, target).emitWithAck(event, ...args)),
  ask: (socket, timeout, event, ...args) => outcome(() => allArguments(socket, timeout, event, args)),
  sockets: async (socket, target) => (await operator(socket, target).fetchSockets()).map(plain),
  fetch: (socket, target) => outcome(async () => (await operator(socket, target).fetchSockets()).map(plain)),
  remote: async (socket, target, action, ...args) => {
    const found = await operator(socket, target).fetchSockets();
    if (found.length !== 1) throw new Error(`${found.length} sockets found`);
    return actions[action](found[0], ...args);
  },
  socketsJoin: (socket, target, rooms) => void operator(socket, target).socketsJoin(rooms),
  socketsLeave: (socket, target, rooms) => void operator(socket, target).socketsLeave(rooms),
  disconnectSockets: (socket, target, close) => void operator(socket, target).disconnectSockets(close),
  serverEmit: (socket, event, ...args) => void socket.nsp.serverSideEmit(event, ...args),
  serverEmitAck: (socket, event, ...args) => outcome(() => socket.nsp.serverSideEmitWithAck(event, ...args)),
  bye: (socket, close) => void setImmediate(() => socket.disconnect(close)),
  roomLog: (socket, rooms) => (roomLogs.get(socket.nsp.name) ?? []).filter(([, room]) => rooms.includes(room)),
};

function connection(socket) {
  socket.emit("hello", { node: NODE, id: socket.id });
  socket.on("echo", (...args) => {
    const reply = args.at(-1);
    if (typeof reply === "function") reply(...args.slice(0, -1));
    else socket.emit("echo", ...args);
  });
  for (const [name, command] of Object.entries(commands)) {
    socket.on(name, async (...args) => {
      const reply = args.pop();
      const result = await command(socket, ...args);
      if (result === undefined) reply();
      else reply(result);
    });
  }
  socket.on("disconnect", (reason) => {
    socket.nsp.to("watch").emit("gone", { node: NODE, id: socket.id, reason });
  });
}

const roomLogs = new Map();

function logRooms(nsp) {
  const log = [];
  roomLogs.set(nsp.name, log);
  for (const kind of ["create", "join", "leave", "delete"]) {
    nsp.adapter.on(`${kind}-room`, (room) => log.push([kind, room]));
  }
}

function serverEvents(nsp) {
  nsp.on("note", (...args) => nsp.local.emit("noted", { node: NODE, args }));
  nsp.on("question", (...args) => {
    const reply = args.pop();
    reply({ node: NODE, args });
  });
}

function guard(socket, next) {
  const { token } = socket.handshake.auth;
  if (token === "secret") return next();
  const error = new Error("unauthorized");
  error.data = { code: "E_TOKEN", given: token ?? null };
  next(error);
}

io.on("new_namespace", (nsp) => {
  logRooms(nsp);
  serverEvents(nsp);
});
logRooms(io.of("/"));
serverEvents(io.of("/"));
io.of("/guarded").use(guard);
for (const name of ["/", "/chat", "/guarded", /^\/tenant\/[^/]+$/]) io.of(name).on("connection", connection);

process.on("SIGTERM", () => io.close().then(() => process.exit(0)));

const { host, port } = address(flags.listen);
http.listen(port, host, () => {
  const url = `http://${host}:${http.address().port}`;
  console.log(JSON.stringify({ event: "listening", node: NODE, url }));
});

function address(text) {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}
