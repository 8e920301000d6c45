// A cluster of official servers becomes one of gateways, and official again, server by
// server, behind one HAProxy, while clients stay and an official emitter, clients and
// servers send all the while (docs/migration.md). A client misses nothing between the
// moment it is in its room and the moment its connection ends.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { Emitter } from "@socket.io/redis-emitter";

import { MODES, open } from "../lib/client.mjs";
import { E2E, freePort, OUT, Process, REPO, withFreePort } from "../lib/process.mjs";
import { Redis } from "../lib/redis.mjs";
import { until } from "../lib/wait.mjs";

const ROOM = "team";
const PER_MODE = 2; // clients
const PATIENT = 60_000; // ms, for what takes a second on a quiet machine
const KEY = "docs-example-key-change-me-please-0123";

// Old is an official server, New a gateway, both on an address that stays, and that no
// other program gets by chance while it is not used.
class Old {
  constructor(name, host, port) {
    Object.assign(this, { name, address: `${host}:${port}`, url: `http://${host}:${port}` });
  }

  async start(redis) {
    this.process = new Process(this.name, process.execPath, [
      join(E2E, "peers", "chat.mjs"), "--listen", this.address, "--redis", redis.url,
    ]);
    await this.process.json("listening", PATIENT);
  }

  // ask has this server ask everybody in the room.
  ask(clients) {
    const here = clients.find((c) => c.at === this.name);
    return here && here.socket.emitWithAck("ask", ROOM);
  }

  async stop() {
    assert.deepEqual(await this.process.stop("SIGTERM", PATIENT), { code: 0, signal: null });
  }
}

class New extends Old {
  async start(redis) {
    this.process = new Process(this.name, join(OUT, "fanwire"), [
      "serve", "--json", "--config", join(REPO, "docs", "examples", "migration.yaml"), `--redis.addresses=127.0.0.1:${redis.port}`,
      `--node.id=${this.name}`, `--listen.address=${this.address}`, "--admin.address=127.0.0.1:0",
      "--drain.delay=1s", "--drain.spread=1s",
    ]);
    this.admin = (await this.process.line("admin", (line) => line.includes('"role":"admin"') && JSON.parse(line), PATIENT)).url;
    await until(`${this.name} to be ready`, async () => (await fetch(`${this.url}/readyz`)).ok, PATIENT);
  }

  async api(path, body) {
    const response = await fetch(`${this.admin}${path}`, {
      method: body ? "POST" : "GET",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: body && JSON.stringify(body),
    });
    assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
    return response.json();
  }

  async ask() {
    const { answers } = await this.api("/v1/emit", { to: [ROOM], event: "name?", ack: true, timeout: 5_000 });
    return answers;
  }
}

// Client is an official client that comes back whenever it has to, and joins its room
// anew then. Each stay is what it got from the moment it was in until its connection
// ended.
class Client {
  constructor(t, url, name, mode) {
    Object.assign(this, { name, stays: [], said: 0 });
    this.socket = open(t, url, { mode, retries: 20, ackTimeout: 3_000 });
    this.socket.on("connect", () => this.#enter());
    this.socket.on("disconnect", () => (this.in = false));
    this.socket.on("name?", (reply) => reply(name));
    this.socket.on("tick", (n) => this.stays.at(-1)?.ticks.push(n));
    this.socket.on("say", (_, { from, n }) => {
      const of = this.stays.at(-1)?.said;
      if (of) (of[from] ??= []).push(n);
    });
  }

  #enter() {
    const { id } = this.socket;
    this.stays.push({ ticks: [], said: {} });
    this.socket.timeout(10_000).emit("join", ROOM, (error) => {
      if (this.socket.id === id && !error) this.in = true;
    });
  }

  // say sends a number to the room; the client repeats it until it is acknowledged.
  say() {
    this.socket.emit("say", ROOM, { from: this.name, n: ++this.said }, () => {});
  }
}

describe("from official servers to gateways and back", () => {
  const hooks = [];
  const t = { after: (f) => hooks.push(f) };
  let redis;
  let balancer;
  let url;
  let olds;
  let news;
  let clients;
  let publisher;
  let timer;
  let sent = 0;

  before(async () => {
    redis = await Redis.start();
    const server = async (Kind, name, n) => new Kind(name, `127.3.0.${n}`, await freePort());
    olds = await Promise.all([1, 2, 3].map((i) => server(Old, `old${i}`, i)));
    news = await Promise.all([1, 2, 3].map((i) => server(New, `new${i}`, 3 + i)));
    await Promise.all(olds.map((o) => o.start(redis)));
    await withFreePort(async (port) => {
      url = `http://127.0.0.1:${port}`;
      const config = join(OUT, `migration-${process.pid}.cfg`);
      writeFileSync(config, haproxy(port, [...olds, ...news]));
      balancer = new Process("haproxy-migration", "haproxy", ["-db", "-f", config]);
      await until("an answer through the balancer", async () => {
        if (balancer.ended) throw new Error(`haproxy ended; see ${balancer.log}`);
        return (await fetch(`${url}/readyz`).catch(() => undefined))?.ok;
      }, PATIENT);
    });
    clients = Object.keys(MODES).flatMap((mode) => Array.from({ length: PER_MODE }, (_, i) => new Client(t, url, `${mode}${i}`, mode)));
    publisher = redis.client();
    const emitter = new Emitter(publisher);
    await settled();
    timer = setInterval(() => {
      emitter.to(ROOM).emit("tick", ++sent);
      if (sent % 10 === 0) clients[(sent / 10) % clients.length].say();
    }, 20);
  }, { timeout: 3 * PATIENT });

  after(async () => {
    clearInterval(timer);
    for (const f of hooks) f();
    publisher?.disconnect();
    for (const one of [...olds, ...news]) if (one.process && !one.process.ended) await one.process.kill();
    await balancer?.stop("SIGTERM");
    await redis?.stop();
  }, { timeout: 3 * PATIENT });

  // settled waits until all clients are in, and have what was sent after that.
  async function settled() {
    await until("all clients to be in their room", () => clients.every((c) => c.in), PATIENT);
  }

  // all checks that each of the servers, asked to, hears everybody.
  async function all(...servers) {
    await settled();
    const from = sent;
    if (timer) await until("ticks at all clients", () => clients.every((c) => c.in && c.stays.at(-1).ticks.at(-1) > from), PATIENT);
    const names = clients.map((c) => c.name).sort();
    for (const server of servers) {
      await until(`answers of everybody to ${server.name}`, async () => {
        const answers = await server.ask(clients);
        return !answers || JSON.stringify([...answers].sort()) === JSON.stringify(names);
      }, PATIENT);
    }
  }

  // where asks the gateways who is where.
  async function onGateways() {
    const { sockets } = await news.find((n) => n.process && !n.process.ended).api("/v1/namespaces/%2F/sockets?limit=100");
    return sockets;
  }

  it("serves from official servers", () => all(...olds));

  it("takes gateways in", async () => {
    for (const one of news) {
      await one.start(redis);
      await all(...olds, one);
    }
  });

  it("lets official servers go, one by one", async () => {
    for (const one of olds) {
      await one.stop();
      await all(...news);
    }
    await until("all clients to be on gateways", async () => (await onGateways()).length === clients.length, PATIENT);
  });

  it("goes back", async () => {
    await Promise.all(olds.map((one) => one.start(redis)));
    for (const one of news) {
      await one.stop();
      await all(...olds);
    }
  });

  it("has lost and doubled nothing meanwhile", async () => {
    clearInterval(timer);
    await until("the last tick at all clients", () => clients.every((c) => c.stays.at(-1).ticks.at(-1) === sent), PATIENT);
    for (const { name, stays } of clients) {
      assert.ok(stays.length >= 3, `${name} has moved to a gateway and back: ${stays.length} stays`);
      for (const { ticks, said } of stays) {
        for (let i = 1; i < ticks.length; i++) assert.equal(ticks[i], ticks[i - 1] + 1, `${name}: a gap or a double`);
        // What was repeated because its ack was lost with the connection may come twice.
        for (const [from, list] of Object.entries(said)) {
          for (let i = 1; i < list.length; i++) {
            const step = list[i] - list[i - 1];
            assert.ok(step === 0 || step === 1, `${name} got ${list[i]} of ${from} after ${list[i - 1]}`);
          }
        }
      }
    }
  });
});

// haproxy is the recipe with a line for each of the servers; those that do not answer
// are down until they do.
function haproxy(port, servers) {
  const recipe = readFileSync(join(REPO, "docs", "balancers", "haproxy-cookie.cfg"), "utf8");
  const lines = servers.map(({ name, url }) => `    server ${name} ${new URL(url).host}`);
  return `${recipe.replace("bind :8080", `bind 127.0.0.1:${port}`).replace(/^ +server node.*\n/gm, "").trimEnd()}\n${lines.join("\n")}\n`;
}
