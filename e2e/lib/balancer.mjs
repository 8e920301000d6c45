// Balancers in front of the nodes, with the configurations that operators are
// told to use.

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { E2E, OUT, Process, withFreePort } from "./process.mjs";
import { until } from "./wait.mjs";

// RECIPES are the programs and their configurations, from which @name@ is filled in.
const RECIPES = {
  "haproxy-cookie": { file: "haproxy-cookie.cfg", command: (config) => ["haproxy", "-db", "-f", config] },
  "haproxy-sid": { file: "haproxy-sid.cfg", command: (config) => ["haproxy", "-db", "-f", config] },
  "haproxy-roundrobin": { file: "haproxy-roundrobin.cfg", command: (config) => ["haproxy", "-db", "-f", config] },
  "nginx-roundrobin": { file: "nginx-roundrobin.conf", command: (config) => ["nginx", "-c", config] },
  "nginx-sid": { file: "nginx-sid.conf", command: (config) => ["nginx", "-c", config] },
};

export class Balancer {
  static async start(nodes, recipe = "haproxy-cookie") {
    const balancer = new Balancer();
    await withFreePort((port) => balancer.#launch(port, nodes, recipe));
    return balancer;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #launch(port, nodes, recipe) {
    this.port = port;
    const { file, command } = RECIPES[recipe];
    const dir = mkdtempSync(join(OUT, "balancer-"));
    const config = join(dir, file);
    writeFileSync(config, fill(file, { port, dir, ...values(nodes) }));
    const [program, ...args] = command(config);
    this.process = new Process(recipe, program, args);
    await until("an answer through the balancer", () => this.#answers());
  }

  async #answers() {
    if (this.process.ended) throw new Error(`${this.process.name} ended; see ${this.process.log}`);
    const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
    return response?.ok;
  }

  async stop() {
    await this.process.stop("SIGTERM");
  }
}

// values are what the configurations say of the nodes.
function values(nodes) {
  const hosts = nodes.map(({ id, url }) => ({ id, host: new URL(url).host }));
  const lines = (line) => hosts.map(line).join("\n    ");
  const next = (i) => hosts[(i + 1) % hosts.length].host;
  return {
    servers: lines(({ id, host }) => `server ${id} ${host}`),
    useServers: lines(({ id }) => `use-server ${id} if { urlp(sid) -m end .${id} }`),
    map: lines(({ id }) => `~\\.${id}$ ${id};`),
    pool: lines(({ host }) => `server ${host} max_fails=1 fail_timeout=2s;`),
    upstreams: lines(({ id, host }, i) => `upstream ${id} { server ${host} max_fails=0; server ${next(i)} backup; keepalive 32; }`),
  };
}

function fill(file, all) {
  return readFileSync(join(E2E, "balancers", file), "utf8").replace(/@(\w+)@/g, (_, name) => all[name]);
}
