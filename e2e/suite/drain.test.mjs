// Nodes that are told to stop let their clients go one after the other, with what
// is queued for them; official clients come back by themselves (HRD-53, HRD-70).

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, connect, Inbox, MODES } from "../lib/client.mjs";
import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { until } from "../lib/wait.mjs";

const DRAIN = 2_000; // ms
const PER_MODE = 8; // clients

describe("rolling restart", { skip: SUBJECT !== "fanwire" && "the official server has no drain" }, () => {
  const cluster = useCluster({ flags: ["-drain", `${DRAIN}ms`] });

  it("official clients reconnect at once, evenly, and hear everything at the end", async (t) => {
    const sockets = [];
    for (const mode of Object.keys(MODES)) {
      for (let i = 0; i < PER_MODE; i++) sockets.push(await connect(t, cluster.url, { mode }));
    }
    const ends = new Map(sockets.map((s) => [s, []]));
    const refused = sockets.map((s) => new Inbox(s, "connect_error"));
    for (const s of sockets) {
      s.on("disconnect", (reason) => ends.get(s).push({ reason, at: Date.now() }));
      s.on("connect", () => ends.get(s).at(-1).back ??= Date.now());
    }
    for (const node of cluster.nodes) {
      const start = Date.now();
      const before = new Map([...ends].map(([s, list]) => [s, list.length]));
      const here = await Promise.all(sockets.map(async (s) => (await call(s, "whoami")).node === node.id));
      assert.deepEqual(await node.stop(), { code: 0, signal: null });
      // The node may have ended before its last clients know.
      await until("everybody to be back", () => sockets.every((s, i) => s.connected && (!here[i] || ends.get(s).length > before.get(s))));
      const left = sockets.filter((s) => ends.get(s).length > before.get(s));
      const times = left.map((s) => ends.get(s)[before.get(s)].at - start);
      const spread = Math.max(...times) - Math.min(...times);
      if (left.length >= 5) assert.ok(spread > DRAIN / 4, `${left.length} clients left within ${spread} ms`);
      t.diagnostic(`${node.id}: ${left.length} clients left within ${spread} ms`);
      await node.restart();
      await cluster.joined();
    }
    for (const [s, list] of ends) {
      for (const { reason, at, back } of list) {
        assert.equal(reason, "transport close");
        assert.ok(back - at < 10_000, `back after ${back - at} ms`);
      }
      assert.ok(list.length <= 4, `a client of ${(await call(s, "whoami")).node} was let go ${list.length} times`);
    }
    const kinds = new Set(refused.flatMap((inbox) => inbox.items.map(([error]) => error.message)));
    for (const kind of kinds) assert.match(kind, /^(xhr poll error|websocket error)$/); // only a balancer that did not know yet
    const inboxes = sockets.map((s) => new Inbox(s, "bye"));
    await call(sockets[0], "emit", { from: "io" }, "bye", "all");
    for (const inbox of inboxes) assert.deepEqual(await inbox.next(), ["all"]);
  });
});
