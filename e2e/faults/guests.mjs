// Official clients for the fault tests: node guests.mjs URL COUNT ROOMS. They only
// receive. What happens to client i is a line on standard output:
//
//   c i recovered sid   connected; recovered is 0 or 1
//   j i                 in its room
//   e i text            an event
//   d i reason          disconnected

import { io } from "socket.io-client";

const MODES = [["polling"], ["websocket"], ["polling", "websocket"]];
const [url, count, rooms] = process.argv.slice(2);
const say = (text) => process.stdout.write(text + "\n");

for (let i = 0; i < Number(count); i++) {
  const socket = io(url, { forceNew: true, transports: MODES[i % MODES.length], reconnectionDelay: 100, reconnectionDelayMax: 1000 });
  socket.on("connect", () => {
    say(`c ${i} ${socket.recovered ? 1 : 0} ${socket.io.engine.id}`);
    if (!socket.recovered) socket.emit("join", [`r${i % Number(rooms)}`], () => say(`j ${i}`));
  });
  socket.on("ev", (text) => say(`e ${i} ${text}`));
  socket.on("disconnect", (reason) => say(`d ${i} ${reason}`));
}
