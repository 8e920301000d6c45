// The script of retry_official_test.go, by the official client. NODE_MODULES names
// the folder that holds socket.io-client, the argument is the server. Prints one
// line of JSON: what became of each event.
import { createRequire } from "node:module";

const require = createRequire(process.env.NODE_MODULES + "/x.js");
const { io } = require("socket.io-client");

const outcomes = {};
const socket = io(process.argv[2], {
  transports: ["websocket"],
  autoConnect: false,
  retries: 2,
  ackTimeout: Number(process.argv[3]),
  reconnectionDelay: 10,
  reconnectionDelayMax: 20,
});
const told = (name) => (err, ...values) => (outcomes[name] = err ? err.message : values);

socket.emit("a", 1);
socket.volatile.emit("volatile");
socket.emit("b", { x: [1, "é"] }, told("b"));
socket.emit("c", Buffer.from([1, 2, 3]), told("c"));
socket.emit("d", null, told("d"));
socket.emit("e", told("e"));
socket.emit("f", "given up", told("f"));
socket.emitWithAck("g", 1.5).then((v) => told("g")(null, v), told("g"));
socket.on("end", () =>
  setImmediate(() => {
    console.log(JSON.stringify(outcomes)); // a promise comes later than a callback
    socket.disconnect();
  }),
);
socket.connect();
