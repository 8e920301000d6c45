// Official servers for official_test.go. NODE_MODULES names the folder that
// holds socket.io. Prints one line of JSON with the ports and ends with stdin.
import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_MODULES + "/x.js");
const { Server } = require("socket.io");
const msgpack = require("socket.io-msgpack-parser");

function onConnection(s) {
  const { auth, query, headers } = s.handshake;
  s.emit("hello", auth, query, headers["x-test"] ?? null, s.recovered);
  s.on("echo", (...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : null;
    s.emit("echoed", ...args);
    ack?.(...args);
  });
  s.on("ask", (question, done) => s.emit("question", question, (...answer) => done(...answer)));
  s.on("burst", (n) => {
    for (let i = 0; i < n; i++) s.emit("n", i);
  });
  s.on("silent", () => {});
  s.on("transport", (done) => done(s.conn.transport.name));
  s.on("bye", () => s.disconnect());
  s.on("bye all", () => s.disconnect(true));
  s.on("close session", () => s.conn.close());
  s.on("cut", () => s.conn.transport.socket?.terminate());
  s.on("bad packet", () => s.conn.write('2["a"'));
  s.on("join", (room, done) => {
    s.join(room);
    done();
  });
  s.on("to room", (room, ...args) => s.nsp.to(room).emit("from room", ...args));
}

function start(options) {
  const http = createServer();
  const io = new Server(http, { pingInterval: 300, pingTimeout: 20000, cookie: true, ...options });
  io.on("connection", onConnection);
  io.of("/chat").on("connection", onConnection);
  io.of("/deny").use((_, next) => next(Object.assign(new Error("nope"), { data: { code: 7 } })));
  return new Promise((resolve) => http.listen(0, "127.0.0.1", () => resolve(http.address().port)));
}

const recovery = { connectionStateRecovery: { maxDisconnectionDuration: 60000 } };
const ports = {
  text: await start({}),
  recovery: await start(recovery),
  msgpack: await start({ parser: msgpack }),
  deflate: await start({ perMessageDeflate: true }),
};
console.log(JSON.stringify(ports));
process.stdin.resume().on("end", () => process.exit());
