// An official node of the cluster, on the Redis of the first argument. It prints
// its port and ends with its standard input.
import { createRequire } from "node:module";
import { createServer } from "node:http";

const require = createRequire(process.env.NODE_MODULES + "/");
const { Server } = require("socket.io");
const { createAdapter } = require("@socket.io/redis-adapter");
const { Redis } = require("ioredis");

const pub = new Redis("redis://" + process.argv[2]);
const sub = pub.duplicate();
const http = createServer();
const io = new Server(http, { adapter: createAdapter(pub, sub) });
io.use((socket, next) => {
  socket.data = { nick: "official" };
  socket.join("mixed");
  next();
});
io.on("count", (what, answer) => answer?.("official " + what));
http.listen(0, "127.0.0.1", () => console.log(http.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
