// No stickiness: every request of a session goes to another node, which hands it on
// to the owner (design.md, section 4; HRD-22). E2E_CLIENTS sets the crowd, 1,000
// clients by default.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, connect } from "../lib/client.mjs";
import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { Crowd } from "../lib/crowd.mjs";
import { endpoint, Polling } from "../lib/raw.mjs";
import { until } from "../lib/wait.mjs";

const CLIENTS = Number(process.env.E2E_CLIENTS ?? 1_000);
const ECHOES = 5;
const TICKS = 20;
const UNKNOWN = '{"code":1,"message":"Session ID unknown"}';
const skip = SUBJECT !== "fanwire" && "the official server needs stickiness";

// acquainted waits until every node hands requests on to every other.
async function acquainted(nodes) {
  for (const owner of nodes) {
    const session = await Polling.open(owner.url);
    for (const relay of nodes) {
      session.url = relay.url;
      await until(`${relay.id} to reach ${owner.id}`, async () => (await session.post("6")).body === "ok");
    }
    session.url = owner.url;
    await session.post("1");
  }
}

for (const balancer of ["haproxy-roundrobin", "nginx-roundrobin"]) {
  describe(`no stickiness, ${balancer}`, { skip }, () => {
    const cluster = useCluster({ balancer, flags: ["-advertise", "-quiet"] });

    it(`${CLIENTS} clients, messages both ways, not one error`, { timeout: 300_000 }, async (t) => {
      await acquainted(cluster.nodes);
      const started = Date.now();
      const part = Math.round(CLIENTS * 0.4);
      const crowds = await Promise.all([
        Crowd.start(t, cluster.url, "polling", part),
        Crowd.start(t, cluster.url, "upgrade", part),
        Crowd.start(t, cluster.url, "websocket", CLIENTS - 2 * part),
      ]);
      const connected = Date.now();
      const emitter = await connect(t, cluster.url);
      const ticking = (async () => {
        for (let i = 0; i < TICKS; i++) await call(emitter, "emit", { from: "io" }, "tick", i);
      })();
      const echoes = await Promise.all(crowds.map((crowd) => crowd.echo(ECHOES)));
      await ticking;
      const wrong = await Promise.all(crowds.map((crowd) => crowd.ticks(TICKS)));
      t.diagnostic(`connected in ${connected - started} ms, messages in ${Date.now() - connected} ms`);
      for (const [i, crowd] of crowds.entries()) {
        const { errors, clients } = await crowd.report();
        assert.deepEqual(errors, {}, crowd.mode);
        assert.equal(echoes[i], crowd.size * ECHOES, `${crowd.mode}: acks`);
        assert.equal(wrong[i], 0, `${crowd.mode}: clients with lost, doubled or misplaced events`);
        assert.deepEqual([...new Set(clients.map(({ node }) => node))].sort(), ["n1", "n2", "n3"]);
      }
    });

    it("a node dies: clients of the others go on, its own connect again", { timeout: 120_000 }, async (t) => {
      const crowd = await Crowd.start(t, cluster.url, "polling", 60);
      const [dead] = cluster.nodes;
      await dead.kill();
      const emitter = await connect(t, cluster.nodes[1].url);
      await call(emitter, "emit", { from: "io" }, "tick", 0); // ends all polls; the next ones find out
      await crowd.settled();
      await until("its clients to be elsewhere", async () => (await crowd.report()).clients.every(({ node }) => node !== dead.id));
      const { clients } = await crowd.report();
      const moved = clients.filter(({ errors }) => errors.length > 0);
      t.diagnostic(`${moved.length} of 60 had to connect again`);
      for (const { errors } of moved) {
        assert.equal(errors.length, 1);
        assert.match(errors[0], /^disconnect: transport (error|close)/);
      }
      assert.ok(moved.length < 35, "clients of the other nodes had to connect again");
      assert.equal(await crowd.echo(2), 120);
      await dead.restart();
      await cluster.joined();
    });

    it("a hop from outside is worth nothing", async () => {
      await acquainted(cluster.nodes);
      const [owner, relay] = cluster.nodes;
      const session = await Polling.open(owner.url);
      session.url = relay.url;
      const hop = `1 n2 n1 203.0.113.7:1 ${"A".repeat(22)} ${"A".repeat(43)}`;
      const refused = await session.post("40", { headers: { "Fanwire-Hop": hop } });
      assert.deepEqual([refused.status, refused.body], [400, UNKNOWN]); // not handed on, so no loop either
      session.url = cluster.url;
      assert.equal((await session.post("40")).body, "ok");
      const gone = endpoint(cluster.url, { sid: `${"A".repeat(27)}.n1` });
      assert.equal(await (await fetch(gone)).text(), UNKNOWN);
    });
  });
}
