// Three gateways, node1 to node3, as users run them: `fanwire serve` on one Redis.

import { randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { OUT, Process } from "./process.mjs";
import { Redis } from "./redis.mjs";
import { until } from "./wait.mjs";

// What clients say goes to everybody.
const NAMESPACES = [{ name: "/", join: ["all"], routes: [{ events: ["say"], relay: { to: ["all"], self: true } }] }];

// Gateway is one node. It keeps an address that no other program gets by chance, so
// that it can come back there.
class Gateway {
  constructor(id, host, args) {
    this.id = id;
    this.host = host;
    this.args = args;
    this.port = 0;
  }

  async start() {
    this.process = new Process(this.id, join(OUT, "fanwire"), [
      "serve", "--json", `--node.id=${this.id}`, `--listen.address=${this.host}:${this.port}`,
      `--node.peer_address=${this.host}:0`, "--admin.address=127.0.0.1:0", ...this.args,
    ]);
    this.url = await this.#endpoint("clients");
    this.port = new URL(this.url).port;
    this.admin = await this.#endpoint("admin");
    await until(`${this.id} to be ready`, async () => (await fetch(`${this.admin}/readyz`)).ok);
  }

  #endpoint(role) {
    return this.process.line(`the address for ${role}`, (line) => line.includes(`"role":"${role}"`) && JSON.parse(line).url);
  }

  kill() {
    return this.process.kill();
  }

  stop() {
    return this.process.stop("SIGTERM", 60_000);
  }
}

export class Gateways {
  // number is one that no other cluster of this process has.
  constructor(number, settings) {
    this.number = number;
    this.settings = settings;
    this.key = randomBytes(32).toString("base64url");
  }

  async start() {
    this.redis = await Redis.start();
    const dir = mkdtempSync(join(OUT, "gateways-"));
    const config = join(dir, "gateway.json"); // which is YAML as well
    writeFileSync(config, JSON.stringify({
      ...this.settings,
      redis: { addresses: [`127.0.0.1:${this.redis.port}`] },
      listen: { trusted_proxies: ["127.0.0.1/32"] },
      namespaces: NAMESPACES,
      api: { keys: [{ name: "test", key: this.key, scopes: ["read"] }] },
    }), { mode: 0o600 });
    this.nodes = [1, 2, 3].map((n) => new Gateway(`node${n}`, `127.1.${this.number}.${n}`, [`--config=${config}`]));
    await Promise.all(this.nodes.map((node) => node.start()));
    await until("three nodes", async () => (await this.#api("nodes")).nodes?.length === 3);
  }

  async #api(path) {
    const response = await fetch(`${this.nodes[0].admin}/v1/${path}`, { headers: { authorization: `Bearer ${this.key}` } });
    return response.json();
  }

  // sockets are those of the namespace / on all nodes, as the API shows them.
  async sockets() {
    return (await this.#api("namespaces/%2F/sockets?limit=1000")).sockets;
  }

  // kill ends all of it without a farewell.
  async kill() {
    const running = (this.nodes ?? []).filter((node) => node.process && !node.process.ended);
    await Promise.all(running.map((node) => node.kill()));
    await this.redis?.stop();
  }
}
