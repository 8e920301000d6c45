// Tokens with official clients and two nodes of `fanwire serve`: who gets in, what
// happens when a token ends, and how it is taken back (docs/auth.md).

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { io } from "socket.io-client";

import { OUT, Process } from "../lib/process.mjs";
import { Redis } from "../lib/redis.mjs";
import { event, until } from "../lib/wait.mjs";

const BINARY = join(OUT, "fanwire");
const KEY = "a-key-of-the-test-0123456789-0123456789";
const CONFIG = `
auth: {jwt: {grace: 1s}}
namespaces:
  - name: /
    auth: [jwt]
    join: ["user:{user}"]
    routes:
      - events: [say]
        relay: {to: ["user:{args.0}"], members: false}
api: {keys: [{name: test, key: ${KEY}}]}
drain: {delay: 0s, spread: 0s}
`;

describe("tokens", () => {
  let dir, redis, env;
  const nodes = [];
  before(async () => {
    dir = mkdtempSync(join(OUT, "tokens-"));
    writeFileSync(join(dir, "gateway.yaml"), CONFIG);
    redis = await Redis.start();
    env = {
      ...process.env,
      FANWIRE_CONFIG: join(dir, "gateway.yaml"),
      FANWIRE_AUTH_JWT_SECRET: "0123456789abcdef0123456789abcdef",
      FANWIRE_REDIS_ADDRESSES: redis.url,
    };
    for (let i = 0; i < 2; i++) nodes.push(await serve());
    for (const node of nodes) await until("readiness", async () => (await fetch(`${node.url}/readyz`)).status === 200);
  }, { timeout: 60_000 });
  after(async () => {
    for (const node of nodes) await node.process.kill();
    await redis?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  async function serve() {
    const child = new Process("serve", BINARY, [
      "serve", "--json", "--listen.address=127.0.0.1:0", "--admin.address=127.0.0.1:0",
    ], { env });
    const endpoint = async (role) => {
      const line = await child.line(role, (text) => text.includes(`"role":"${role}"`) && JSON.parse(text), 30_000);
      return line.url;
    };
    return { process: child, url: await endpoint("clients"), admin: await endpoint("admin") };
  }

  const token = (...flags) => execFileSync(BINARY, ["token", ...flags], { env, encoding: "utf8" }).trim();

  function open(t, node, auth, options) {
    const socket = io(node.url, { forceNew: true, auth, reconnectionDelay: 50, ...options });
    t.after(() => socket.disconnect());
    return socket;
  }

  async function revoke(node, revocation) {
    const response = await fetch(`${node.admin}/v1/revocations`, {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
      body: JSON.stringify(revocation),
    });
    assert.equal(response.status, 204, await response.text());
  }

  it("let clients in, by the payload or the header", async (t) => {
    const ann = open(t, nodes[0], { token: token("--user=ann") });
    const bob = open(t, nodes[1], undefined, { extraHeaders: { authorization: `Bearer ${token("--user=bob")}` } });
    await Promise.all([event(ann, "connect"), event(bob, "connect")]);
    const said = event(bob, "say");
    ann.emit("say", "bob", Buffer.from([1, 2]));
    assert.deepEqual(await said, ["bob", Buffer.from([1, 2])]);
  });

  it("keep others out, with a code", async (t) => {
    const good = token("--user=ann");
    for (const [auth, code] of [
      [undefined, "token missing"],
      [{ token: good.slice(0, -4) }, "token invalid"],
      [{ token: 7 }, "token invalid"],
    ]) {
      const [error] = await event(open(t, nodes[0], auth), "connect_error");
      assert.deepEqual([error.message, error.data], [code, { code }]);
    }
    const [error] = await event(open(t, nodes[0], undefined, { query: { token: good } }), "connect_error");
    assert.equal(error.message, "token missing", "it is not read from the query");
  });

  for (const transports of [["polling"], ["websocket"]]) {
    it(`that have ended close a client, which comes back with a new one (${transports})`, async (t) => {
      let life = "4s";
      const socket = open(t, nodes[0], (done) => done({ token: token("--user=ann", `--expires=${life}`) }), { transports });
      await event(socket, "connect");
      life = "1h";
      const [reason] = await event(socket, "disconnect");
      assert.notEqual(reason, "io server disconnect"); // after which it would stay away
      await event(socket, "connect");
    });
  }

  it("can be renewed on a living connection", async (t) => {
    const socket = open(t, nodes[0], { token: token("--user=ann", "--expires=4s") });
    await event(socket, "connect");
    const other = await socket.emitWithAck("fanwire:auth", token("--user=bob"));
    assert.equal(other.error, "token invalid");
    assert.deepEqual(await socket.emitWithAck("fanwire:auth", token("--user=ann", "--expires=1h")), { ok: true });
    const free = open(t, nodes[0], { token: token("--user=ann", "--expires=4s") });
    await event(free, "connect");
    await event(free, "disconnect"); // whose token began later and was not renewed
    assert.ok(socket.connected);
  });

  it("can be taken back on any node, at once", async (t) => {
    const socket = open(t, nodes[1], { token: token("--user=eve", "--id=e1") });
    const again = open(t, nodes[1], { token: token("--user=eve", "--id=e2") });
    await Promise.all([event(socket, "connect"), event(again, "connect")]);
    const refused = event(socket, "connect_error");
    const begin = Date.now();
    const closed = event(socket, "disconnect");
    await revoke(nodes[0], { tokenId: "e1" });
    await closed;
    t.diagnostic(`it took ${Date.now() - begin} ms`); // HRD-81 asks for less than a second
    assert.ok(Date.now() - begin < 5_000, "the nodes were not told: once in ten seconds they look for themselves");
    const [error] = await refused;
    assert.equal(error.message, "token revoked");
    assert.ok(again.connected);
    const all = event(again, "connect_error");
    await revoke(nodes[0], { user: "eve", issuedBefore: new Date(Date.now() + 1000).toISOString() });
    assert.equal((await all)[0].message, "token revoked");
  });
});
