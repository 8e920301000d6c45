// A real redis-server without persistence, and a look into its subscriptions.

import IORedis from "ioredis";

import { OUT, Process, withFreePort } from "./process.mjs";
import { until } from "./wait.mjs";

export class Redis {
  static async start() {
    const redis = new Redis();
    await withFreePort((port) => redis.#launch(port));
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  async #launch(port) {
    this.port = port;
    this.process = new Process("redis", "redis-server", [
      "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", OUT,
    ]);
    await this.process.line("readiness", (line) => line.includes("Ready to accept connections"));
  }

  // client returns a client that the caller disconnects.
  client() {
    const client = new IORedis(this.url);
    client.on("error", () => {}); // the server is killed in some tests; the client comes back by itself
    return client;
  }

  // members waits until count nodes listen to the requests of each namespace (CLU-R-41).
  async members(count, namespaces) {
    const client = this.client();
    const channels = namespaces.map((nsp) => `socket.io-request#${nsp}#`);
    try {
      await until(`${count} nodes in ${namespaces}`, async () => {
        const answer = await client.pubsub("NUMSUB", ...channels); // name, count, name, count ...
        return answer.every((item, i) => i % 2 === 0 || item === count);
      });
    } finally {
      client.disconnect();
    }
  }

  // restart kills the server and starts an empty one on the same port.
  async restart() {
    await this.process.kill();
    await this.#launch(this.port);
  }

  async stop() {
    await this.process.stop("SIGTERM");
  }
}
