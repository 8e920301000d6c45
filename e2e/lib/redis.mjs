// A real redis-server without persistence, and a look into its subscriptions.

import { rmSync } from "node:fs";
import { join } from "node:path";

import IORedis from "ioredis";

import { OUT, Process, withFreePort } from "./process.mjs";
import { until } from "./wait.mjs";

// PRESENT tells for each adapter whether count nodes hear each namespace.
const PRESENT = { classic, sharded, streams };

// classic counts the nodes that listen to requests (CLU-R-41).
async function classic(servers, count, namespaces) {
  const sums = await counts(servers, "NUMSUB", namespaces.map((nsp) => `socket.io-request#${nsp}#`));
  return sums.every((n) => n === count);
}

// sharded counts those on the common channel (CLU-H-09). Before there are rooms,
// the others are those of single nodes.
async function sharded(servers, count, namespaces) {
  const sums = await counts(servers, "SHARDNUMSUB", namespaces.map((nsp) => `socket.io#${nsp}#`));
  if (sums.some((n) => n !== count)) return false;
  const names = await Promise.all(servers.map((s) => s.call("PUBSUB", "SHARDCHANNELS", "socket.io#*")));
  return names.flat().length >= (count + 1) * namespaces.length;
}

// streams counts those on the common channel (CLU-X-04), and the readers.
async function streams(servers, count, namespaces) {
  const sums = await counts(servers, "NUMSUB", namespaces.map((nsp) => `socket.io#${nsp}#`));
  if (sums.some((n) => n !== count)) return false;
  const clients = await servers[0].client("LIST");
  return clients.split("\n").filter((line) => line.includes("cmd=xread")).length === count;
}

// RECORDS are the keys of sessions that clients may continue, and how values are read.
const RECORDS = {
  classic: ["fanwire:session:", "utf8"],
  sharded: ["fanwire:session:", "utf8"],
  streams: ["sio:session:", "base64"],
};

async function counts(servers, command, channels) {
  const answers = await Promise.all(servers.map((s) => s.call("PUBSUB", command, ...channels))); // name, count, name, count ...
  return channels.map((_, i) => answers.reduce((sum, answer) => sum + answer[2 * i + 1], 0));
}

export class Redis {
  static async start() {
    const redis = new Redis();
    await withFreePort((port) => redis.#launch(port));
    return redis;
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  // flags lead a node here.
  get flags() {
    return ["--redis", this.url];
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

  // members waits until count nodes hear each namespace.
  async members(count, namespaces, adapter) {
    const client = this.client();
    try {
      await until(`${count} nodes in ${namespaces}`, () => PRESENT[adapter]([client], count, namespaces));
    } finally {
      client.disconnect();
    }
  }

  // kept waits until the records of clients' sessions are here, and tell of all of the
  // words. Nodes under test write them soon after a change, and nobody waits for that.
  async kept(adapter, sockets, ...words) {
    const client = this.client();
    const [prefix, encoding] = RECORDS[adapter];
    const kept = async ({ _pid }) => {
      const record = Buffer.from((await client.get(prefix + _pid)) ?? "", encoding);
      return words.every((word) => record.includes(word));
    };
    try {
      await until("the sessions to be kept", async () => (await Promise.all(sockets.map(kept))).every(Boolean));
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

// MASTERS is the size of a Redis Cluster.
const MASTERS = 3;
const SLOTS = 16384;

// RedisCluster is one of three masters.
export class RedisCluster {
  static async start() {
    const cluster = new RedisCluster();
    cluster.servers = [];
    for (let i = 0; i < MASTERS; i++) await withFreePort((port) => withFreePort((bus) => cluster.#launch(port, bus)));
    cluster.clients = cluster.servers.map(({ port }) => new IORedis(port, "127.0.0.1"));
    await cluster.#join();
    return cluster;
  }

  get url() {
    return `redis://127.0.0.1:${this.servers[0].port}`;
  }

  get flags() {
    return ["--redis-cluster", this.servers.map(({ port }) => `127.0.0.1:${port}`).join()];
  }

  async #launch(port, bus) {
    const server = new Process("redis", "redis-server", [
      "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", OUT,
      "--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-config-file", `nodes-${process.pid}-${port}.conf`,
    ]);
    await server.line("readiness", (line) => line.includes("Ready to accept connections"));
    this.servers.push({ port, bus, server });
  }

  // #join shares out the slots and waits until every server agrees.
  async #join() {
    const [first] = this.servers;
    for (const [i, client] of this.clients.entries()) {
      const [from, to] = [i, i + 1].map((n) => Math.floor((n * SLOTS) / MASTERS));
      await client.call("CLUSTER", "ADDSLOTSRANGE", from, to - 1);
      if (i > 0) await client.call("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus);
    }
    await until("a Redis Cluster", async () => {
      const known = await Promise.all(this.clients.map(async (client) => [
        await client.call("CLUSTER", "INFO"), await client.call("CLUSTER", "SLOTS"),
      ]));
      return known.every(([info, slots]) => info.includes("cluster_state:ok") && slots.length === MASTERS);
    });
  }

  async members(count, namespaces, adapter) {
    await until(`${count} nodes in ${namespaces}`, () => PRESENT[adapter](this.clients, count, namespaces));
  }

  async stop() {
    for (const client of this.clients) client.disconnect();
    await Promise.all(this.servers.map(({ server }) => server.stop("SIGTERM")));
    for (const { port } of this.servers) rmSync(join(OUT, `nodes-${process.pid}-${port}.conf`), { force: true });
  }
}
