// The demo program: embedded or real Redis, nodes, a small balancer, the chat page.

import { join } from "node:path";

import { E2E, OUT, Process } from "./process.mjs";

const BINARY = join(OUT, "fanwire");
const CLIENT_DIR = join(E2E, "node_modules", "socket.io", "client-dist");

export class Demo {
  // start runs the demo and waits until it says that it is ready.
  static async start(...flags) {
    const demo = new Demo();
    demo.process = new Process("demo", BINARY, [
      "demo", "--json", "--listen", "127.0.0.1:0", "--nodes", "3", "--client-dir", CLIENT_DIR, ...flags,
    ]);
    await demo.process.json("ready", 30_000);
    demo.#read();
    return demo;
  }

  #read() {
    const events = this.process.lines.map((line) => JSON.parse(line));
    const listening = events.filter(({ event }) => event === "listening");
    this.url = listening.find(({ role }) => role === "balancer").url;
    this.nodes = listening.filter(({ role }) => role === "node").map(({ node, url }) => ({ id: node, url }));
  }

  stop() {
    return this.process.stop("SIGTERM");
  }
}
