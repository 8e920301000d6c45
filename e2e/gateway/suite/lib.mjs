// Three gateways on one Redis, and a backend.

import { randomBytes } from "node:crypto";
import { after, before } from "node:test";
import { join } from "node:path";

import { E2E, OUT, Process } from "../../lib/process.mjs";
import { Redis } from "../../lib/redis.mjs";
import { until } from "../../lib/wait.mjs";

const HERE = join(E2E, "gateway");

const BACKENDS = {
  node: [process.execPath, join(HERE, "backends", "backend.mjs")],
  python: ["python3", join(HERE, "backends", "backend.py")],
};

// freshSecrets are made anew for each run.
function freshSecrets() {
  const text = () => randomBytes(32).toString("base64url");
  return { webhook: `whsec_${randomBytes(32).toString("base64")}`, jwt: text(), key: text(), reader: text(), cluster: text() };
}

// Gateway is one node: `fanwire serve` as a user runs it.
export class Gateway {
  constructor(id, args, env) {
    this.id = id;
    this.args = args;
    this.env = env;
  }

  async start() {
    this.process = new Process(`gateway-${this.id}`, join(OUT, "fanwire"), [
      "serve", "--json", `--node.id=${this.id}`, "--listen.address=127.0.0.1:0", "--admin.address=127.0.0.1:0", ...this.args,
    ], { env: { ...process.env, ...this.env } });
    this.url = await this.#endpoint("clients");
    this.admin = await this.#endpoint("admin");
    await until(`${this.id} to be ready`, async () => (await fetch(`${this.admin}/readyz`)).ok);
    return this;
  }

  #endpoint(role) {
    return this.process.line(`the address for ${role}`, (line) => {
      try {
        const value = JSON.parse(line);
        return value.event === "listening" && value.role === role && value.url;
      } catch {
        return undefined;
      }
    });
  }

  // metric is the sum of a metric's samples whose labels contain text.
  async metric(name, text = "") {
    const page = await (await fetch(`${this.admin}/metrics`)).text();
    let sum = 0;
    for (const line of page.split("\n")) {
      const [, labels, value] = line.match(`^${name}(\\{.*\\})? ([^ ]+)$`) ?? [];
      if (value !== undefined && (labels ?? "").includes(text)) sum += Number(value);
    }
    return sum;
  }
}

// World is all of it.
export class World {
  constructor(language) {
    this.language = language;
    this.secrets = freshSecrets();
  }

  async start() {
    const { secrets } = this;
    this.redis = await Redis.start();
    // The backend is there first: its address is in the configuration. It learns
    // those of the gateways by its environment, so they are fixed before, where no
    // other program gets one of them by chance.
    const host = "127.3.1.1";
    const ports = await this.#freePorts(host, 6);
    const env = { WEBHOOK_SECRET: secrets.webhook, JWT_SECRET: secrets.jwt, API_KEY: secrets.key, REDIS_URL: this.redis.url };
    env.API_URLS = [1, 3, 5].map((i) => `http://${host}:${ports[i]}`).join(",");
    env.PYTHONPATH = join(HERE, "out", "python");
    const [command, ...args] = BACKENDS[this.language];
    this.backend = new Process(`backend-${this.language}`, command, args, { env: { ...process.env, ...env } });
    this.backendURL = (await this.backend.json("listening")).url;
    this.gateways = [1, 2, 3].map((n, i) => new Gateway(`g${n}`, [
      `--config=${join(HERE, "gateway.yaml")}`, `--redis.addresses=${this.redis.url}`,
      `--listen.address=${host}:${ports[2 * i]}`, `--admin.address=${host}:${ports[2 * i + 1]}`,
      `--auth.jwt.jwks_url=${this.backendURL}/jwks.json`,
    ], this.#env()));
    await Promise.all(this.gateways.map((g) => g.start()));
    this.backend.child.kill("SIGUSR2");
    await until("the cluster", async () => (await this.api("GET", "/v1/nodes")).body.nodes?.length === 3);
  }

  #env() {
    const { secrets } = this;
    const hook = (url, more = {}) => ({ url, secret: secrets.webhook, allow_http: true, allow_private: true, timeout: "3s", retries: 0, ...more });
    return {
      FANWIRE_NODE_CLUSTER_SECRET: secrets.cluster,
      FANWIRE_AUTH_JWT_SECRET: secrets.jwt,
      FANWIRE_WEBHOOKS: JSON.stringify({
        backend: hook(`${this.backendURL}/hook`),
        dead: hook("http://127.0.0.1:9/", { circuit_failures: 3, circuit_pause: "60s" }),
      }),
      FANWIRE_API_KEYS: JSON.stringify([
        { name: "backend", key: secrets.key },
        { name: "reader", key: secrets.reader, scopes: ["read"], namespaces: ["/members"] },
      ]),
    };
  }

  // freePorts asks the system.
  async #freePorts(host, count) {
    const { createServer } = await import("node:net");
    const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve) => {
      const server = createServer().listen(0, host, () => resolve(server));
    })));
    const ports = servers.map((server) => server.address().port);
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    return ports;
  }

  // api lets the backend call the API.
  async api(method, path, body, { headers, node } = {}) {
    return this.ask("/api", { method, path, body, headers, node });
  }

  async ask(path, body) {
    const response = await fetch(this.backendURL + path, {
      method: body === undefined ? "GET" : "POST",
      headers: { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    return response.json();
  }

  async token(claims) {
    return (await this.ask("/token", claims)).token;
  }

  async stop() {
    await Promise.all(this.gateways.map((g) => g.process.stop("SIGTERM")));
    await this.backend.stop("SIGTERM");
    await this.redis.stop();
  }
}

export function useWorld(language) {
  const world = new World(language);
  before(() => world.start(), { timeout: 60_000 });
  after(() => world.stop(), { timeout: 60_000 });
  return world;
}

