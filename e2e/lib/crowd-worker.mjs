// The process behind lib/crowd.mjs: clients of one mode, told what to do by lines of
// JSON. Arguments: URL, transports by comma, number.

import { createInterface } from "node:readline";

import { io } from "socket.io-client";

import { until } from "./wait.mjs";

const [url, transports, count] = process.argv.slice(2);
const upgrades = transports.includes(",");
const clients = [];
const errors = {};

function note(what, client) {
  errors[what] = (errors[what] ?? 0) + 1;
  client.errors.push(what);
}

class Client {
  constructor() {
    this.ticks = [];
    this.errors = [];
    this.socket = io(url, {
      transports: transports.split(","),
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 500,
      timeout: 60_000,
    });
    const { socket } = this;
    socket.on("connect", () => this.watch(socket.io.engine));
    socket.on("hello", ({ node }) => (this.node = node));
    socket.on("connect_error", (error) => note(`connect_error: ${error.message}`, this));
    socket.on("disconnect", (reason, details) => note(`disconnect: ${reason} (${details?.context?.status ?? details?.description ?? ""})`, this));
    socket.on("tick", (n) => this.ticks.push(n));
  }

  watch(engine) {
    if (this.engine === engine) return;
    this.engine = engine;
    engine.on("upgradeError", (error) => note(`upgradeError: ${error.message}`, this));
  }

  get settled() {
    const { engine } = this.socket.io;
    return this.socket.connected && this.node && (!upgrades || (engine.transport.name === "websocket" && !engine.upgrading));
  }

  async echo(n) {
    let good = 0;
    for (let i = 0; i < n; i++) {
      const answer = await this.socket.emitWithAck("echo", i);
      if (answer === i) good++;
    }
    return good;
  }
}

const commands = {
  // Some hundred at a time, or the accept queues overflow.
  async open() {
    while (clients.length < Number(count)) {
      for (let i = 0; i < 50 && clients.length < Number(count); i++) clients.push(new Client());
      await until("the clients to settle", () => clients.every((c) => c.settled), 60_000);
    }
  },
  async echo(n) {
    const good = await Promise.all(clients.map((c) => c.echo(n)));
    return good.reduce((a, b) => a + b, 0);
  },
  async ticks(n) {
    await until(`${n} ticks`, () => clients.every((c) => c.ticks.length >= n), 60_000);
    return clients.filter((c) => c.ticks.length !== n || c.ticks.some((tick, i) => tick !== i)).length;
  },
  async settled() {
    await until("everybody to be connected", () => clients.every((c) => c.settled), 30_000);
  },
  report() {
    return { errors, clients: clients.map(({ node, errors }) => ({ node, errors })) };
  },
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { command, id, arg } = JSON.parse(line);
  Promise.resolve()
    .then(() => commands[command](arg))
    .then((result) => ({ id, result }), (error) => ({ id, error: error.message }))
    .then((answer) => console.log(JSON.stringify(answer)));
});
lines.on("close", () => {
  for (const { socket } of clients) socket.disconnect();
  // A poll of a client that has left may still hang; nobody waits for it.
  setTimeout(() => process.exit(0), 3_000).unref();
});
