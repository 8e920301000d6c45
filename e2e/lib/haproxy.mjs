// HAProxy in front of the nodes, with the configuration that operators are told to use.

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { E2E, OUT, Process, withFreePort } from "./process.mjs";
import { until } from "./wait.mjs";

const TEMPLATE = readFileSync(join(E2E, "haproxy.cfg.tmpl"), "utf8");

export class HAProxy {
  static async start(nodes) {
    const proxy = new HAProxy();
    await withFreePort((port) => proxy.#launch(port, nodes));
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #launch(port, nodes) {
    this.port = port;
    const config = join(mkdtempSync(join(OUT, "haproxy-")), "haproxy.cfg");
    writeFileSync(config, fill({ port, servers: servers(nodes) }));
    this.process = new Process("haproxy", "haproxy", ["-db", "-f", config]);
    await until("an answer through HAProxy", () => this.#answers());
  }

  async #answers() {
    if (this.process.ended) throw new Error(`haproxy ended; see ${this.process.log}`);
    const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
    return response?.ok;
  }

  async stop() {
    await this.process.stop("SIGTERM");
  }
}

function servers(nodes) {
  return nodes.map((node) => `server ${node.id} ${new URL(node.url).host}`).join("\n    ");
}

function fill(values) {
  return TEMPLATE.replace(/@(\w+)@/g, (_, name) => values[name]);
}
