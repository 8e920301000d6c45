// A cluster: Redis, nodes, a balancer. The nodes are the subject of the suite or,
// for the mixed cluster, official servers; both speak the events of peers/official.mjs.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { join } from "node:path";

import { Balancer } from "./balancer.mjs";
import { E2E, Process } from "./process.mjs";
import { Redis } from "./redis.mjs";
import { until } from "./wait.mjs";

// What is under test: "fanwire", or "official" to prove the suite itself.
export const SUBJECT = process.env.E2E_SERVER ?? "fanwire";
const BINARY = process.env.E2E_SERVER_BINARY ?? join(E2E, "out", "server");

const PEER = [process.execPath, join(E2E, "peers", "official.mjs")];

const COMMANDS = {
  fanwire: [BINARY],
  official: PEER,
  "official-specific": [...PEER, "--specific-response"],
};

// HOST is an address of this test file alone: nobody else gets the port of a node that
// is away.
const HOST = `127.4.${(process.pid >> 8) & 255}.${process.pid & 255}`;

// NAMESPACES are those that every node has from its start.
export const NAMESPACES = ["/", "/chat", "/guarded"];

// Node is one server of the cluster.
export class Node {
  constructor(id, kind, flags) {
    this.id = id;
    this.kind = kind;
    this.flags = flags;
  }

  async start(listen = `${HOST}:0`) {
    const [command, ...args] = COMMANDS[this.kind];
    this.process = new Process(`${this.id}-${this.kind}`, command, [
      ...args, "--node-id", this.id, "--listen", listen, ...this.flags,
    ]);
    const { url } = await this.process.json("listening");
    this.url = url;
    await until(`${this.id} to be ready`, () => this.#ready());
    return this;
  }

  async #ready() {
    if (this.process.ended) throw new Error(`${this.id} ended; see ${this.process.log}`);
    const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
    return response?.ok;
  }

  // restart brings a node that has ended back on its old address.
  restart() {
    return this.start(new URL(this.url).host);
  }

  kill() {
    return this.process.kill();
  }

  stop() {
    return this.process.stop("SIGTERM");
  }

  // end stops a node that runs. It must end well: a data race that the race
  // detector saw, for example, changes the exit code.
  async end() {
    if (!this.process || this.process.ended) return;
    assert.deepEqual(await this.stop(), { code: 0, signal: null }, `the end of ${this.id}; see ${this.process.log}`);
  }
}

export class Cluster {
  // redis is the class of what the nodes share, or false for none.
  constructor({
    kinds = [SUBJECT, SUBJECT, SUBJECT], flags = [], redis = Redis, adapter = "classic", balancer = "haproxy-cookie",
  } = {}) {
    this.options = { kinds, flags, redis, adapter, balancer };
    this.nodes = [];
  }

  get url() {
    return this.balancer.url;
  }

  async start() {
    const { kinds, flags, redis, adapter, balancer } = this.options;
    if (redis) this.redis = await redis.start();
    const all = redis ? [...this.redis.flags, "--adapter", adapter, ...flags] : flags;
    this.nodes = kinds.map((kind, i) => new Node(`n${i + 1}`, kind, all));
    await Promise.all(this.nodes.map((node) => node.start()));
    await this.joined();
    if (balancer) this.balancer = await Balancer.start(this.nodes, balancer);
  }

  // joined waits until the nodes hear each other.
  async joined(count = this.nodes.length) {
    await this.redis?.members(count, NAMESPACES, this.options.adapter);
  }

  async stop() {
    await this.balancer?.stop();
    await Promise.all(this.nodes.map((node) => node.end()));
    await this.redis?.stop();
  }
}

// useCluster runs a cluster for the tests of the enclosing suite.
export function useCluster(options) {
  const cluster = new Cluster(options);
  before(() => cluster.start(), { timeout: 60_000 });
  after(() => cluster.stop(), { timeout: 60_000 });
  return cluster;
}
