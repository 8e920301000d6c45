import { createServer } from "http";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";
function make(opts) {
  const http = createServer();
  const io = new Server(http, { pingInterval: 300, pingTimeout: 200, cookie: true, connectionStateRecovery: { maxDisconnectionDuration: 60000 }, ...opts });
  const setup = (nsp) => {
    nsp.on("connection", (s) => {
      s.emit("hello", s.handshake.auth, s.handshake.query, s.handshake.headers["x-test"] ?? null, s.handshake.headers.cookie ?? null);
      s.on("echo", (...args) => { const ack = typeof args.at(-1) === "function" ? args.pop() : null; s.emit("echoed", ...args); if (ack) ack(...args); });
      s.on("ask", async (q, cb) => { s.emit("question", q, (...a) => cb("client said", ...a)); });
      s.on("bye", () => s.disconnect());
      s.on("byeall", () => s.disconnect(true));
      s.on("kill", () => s.conn.close());
      s.on("cut", () => s.conn.transport.name == "websocket" ? s.conn.transport.socket.terminate() : s.conn.close(true));
      s.on("burst", (n) => { for (let i = 0; i < n; i++) s.emit("n", i); });
      s.on("noack", () => {});
      s.on("join", (r, cb) => { s.join(r); cb(); });
      s.on("bad", () => s.conn.write("2[\"a\""));
    });
  };
  setup(io.of("/"));
  setup(io.of("/chat"));
  io.of("/deny").use((s, next) => { const e = new Error("nope"); e.data = { code: 7 }; next(e); });
  return new Promise(r => http.listen(0, "127.0.0.1", () => r(http.address().port)));
}
const text = await make({});
const mp = await make({ parser: msgpack });
const deflate = await make({ perMessageDeflate: true, transports: ["websocket"] });
console.log(JSON.stringify({ text, msgpack: mp, deflate }));
