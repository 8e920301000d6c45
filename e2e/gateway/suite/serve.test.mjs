// `fanwire serve` as a program: without a configuration, with TLS, reloaded, behind a
// balancer that is not sticky, and replaced node by node.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";

import { Balancer } from "../../lib/balancer.mjs";
import { connect, Inbox } from "../../lib/client.mjs";
import { Redis } from "../../lib/redis.mjs";
import { event, until } from "../../lib/wait.mjs";
import { Gateway } from "./lib.mjs";

const dir = mkdtempSync(join(tmpdir(), "fanwire-serve-"));
after(() => rmSync(dir, { recursive: true }));

const QUICK = ["--drain.delay=0s", "--drain.spread=200ms"];

// start runs a gateway until the test ends.
async function start(t, id, args = [], env = {}) {
  const gateway = await new Gateway(id, [...QUICK, ...args], env).start();
  t.after(async () => {
    if (!gateway.process.ended) assert.deepEqual(await gateway.process.stop("SIGTERM"), { code: 0, signal: null });
  });
  return gateway;
}

const RELAY = `namespaces:
  - name: /
    join: [all]
    routes:
      - events: [say]
        relay: { to: [all], self: true }
`;

describe("fanwire serve", () => {
  it("runs without a configuration, and says on which Redis", async (t) => {
    const gateway = await start(t, "alone");
    const socket = await connect(t, gateway.url, { mode: "upgrade" });
    assert.equal(socket.connected, true);
    assert.match(await gateway.process.line("the Redis", (line) => line.includes('"redis"') && line), /redis:\/\/127/);
  });

  it("serves TLS, with HTTP/2 for those who ask for it", async (t) => {
    const [cert, key] = [join(dir, "cert.pem"), join(dir, "key.pem")];
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
      "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], { stdio: "ignore" });
    const file = join(dir, "tls.yaml");
    writeFileSync(file, RELAY);
    const gateway = await start(t, "tls", [`--config=${file}`, `--listen.tls.cert_file=${cert}`, `--listen.tls.key_file=${key}`]);
    assert.match(gateway.url, /^https:/);
    for (const mode of ["polling", "websocket", "upgrade"]) {
      const socket = await connect(t, gateway.url, { mode, rejectUnauthorized: false });
      const said = event(socket, "say");
      socket.emit("say", mode, Buffer.from(mode));
      assert.deepEqual(await said, [mode, Buffer.from(mode)]);
    }
    const version = execFileSync("curl", ["-sk", "--http2", "-o", join(dir, "open"), "-w", "%{http_version}", `${gateway.url}/socket.io/?EIO=4&transport=polling`]);
    assert.equal(version.toString(), "2");
  });

  it("takes a new configuration without disconnecting anybody, and no wrong one", async (t) => {
    const file = join(dir, "reload.yaml");
    writeFileSync(file, RELAY);
    const gateway = await start(t, "reload", [`--config=${file}`]);
    const socket = await connect(t, gateway.url);
    const whispers = new Inbox(socket, "whisper");
    const says = async (text) => {
      const said = event(socket, "say");
      socket.emit("say", text);
      assert.deepEqual(await said, [text]);
    };
    await says("before");

    writeFileSync(file, RELAY.replace("say", "[")); // no YAML
    gateway.process.child.kill("SIGHUP");
    await says("still");

    writeFileSync(file, RELAY + "      - events: [whisper]\n        relay: { to: [all], self: true }\n");
    gateway.process.child.kill("SIGHUP");
    await until("the new route", () => {
      socket.emit("whisper", "psst");
      return whispers.items.length > 0;
    });
    await says("after");
    assert.equal(socket.connected, true);
  });

  it("needs no sticky balancer, and loses nobody when each node is replaced", async (t) => {
    const redis = await Redis.start();
    const file = join(dir, "cluster.yaml");
    writeFileSync(file, `${RELAY}socketio: { recovery: 2m }\ndrain: { not_ready_status: 404 }\n`);
    const args = [`--config=${file}`, `--redis.addresses=${redis.url}`];
    const nodes = await Promise.all(["n1", "n2", "n3"].map((id) => start(t, id, args)));
    const balancer = await Balancer.start(nodes, "haproxy-roundrobin");
    t.after(() => Promise.all([balancer.stop(), redis.stop()])); // after the nodes
    const sockets = await Promise.all(["polling", "websocket", "upgrade", "polling", "websocket", "upgrade"].map((mode) => connect(t, balancer.url, { mode })));
    const inboxes = sockets.map((socket) => new Inbox(socket, "say"));
    const story = sockets.map((socket) => { // for the failure
      const told = [];
      socket.on("disconnect", (reason) => told.push(`- ${reason}`));
      socket.on("connect_error", (error) => told.push(`! ${error.message}`));
      socket.on("connect", () => told.push(`+ recovered ${socket.recovered}`));
      return told;
    });
    const ids = sockets.map((socket) => socket.id);
    let sent = 0;
    const taken = new Set(); // by a node, which has said so: they must arrive
    const say = async (count) => {
      for (const end = sent + count; sent < end; sent++) {
        const n = sent;
        sockets[n % sockets.length].emit("say", n, () => taken.add(n));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await say(60);
    for (const node of nodes) {
      const ended = node.process.stop("SIGTERM");
      await say(40);
      assert.deepEqual(await ended, { code: 0, signal: null });
      node.args.push(`--listen.address=${new URL(node.url).host}`);
      await node.start();
      await say(20);
    }
    const lacks = (inbox) => [...taken].filter((n) => !inbox.items.some(([got]) => got === n));
    await until("the acks of those that were not cut", () => taken.size > sent / 2);
    await until("all events at all clients", () => inboxes.every((inbox) => lacks(inbox).length === 0), 30_000)
      .catch((error) => assert.fail(`${error.message}: ${JSON.stringify({ lacks: inboxes.map(lacks), story })}`));
    for (const inbox of inboxes) assert.equal(new Set(inbox.items.map(([n]) => n)).size, inbox.items.length, "some came twice");
    assert.deepEqual(sockets.map((socket) => socket.id), ids, "not all recovered");
  });
});
