// Nodes that die, nodes that are stopped, a Redis that restarts: everybody else
// goes on, and those who were cut off come back by themselves.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, connect, Inbox, MODES, onEach } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { event, until } from "../lib/wait.mjs";

describe("after a node was killed", () => {
  const cluster = useCluster();

  it("its clients are back on the others, which noticed nothing", async (t) => {
    const modes = Object.keys(MODES);
    const groups = await Promise.all(modes.map((mode) => onEach(t, cluster, { mode })));
    const sockets = groups.flat();
    const ends = sockets.map((s) => new Inbox(s, "disconnect"));
    const victims = groups.map((group) => group[1]);
    const back = victims.map((s) => event(s, "connect", 30_000));
    await cluster.nodes[1].kill();
    await Promise.all(back);
    sockets.forEach((s, i) => {
      if (!victims.includes(s)) assert.deepEqual(ends[i].items, []);
      else assert.match(ends[i].items[0][0], /^transport (close|error)$/);
    });
    for (const s of victims) assert.notEqual((await call(s, "whoami")).node, "n2");
    await reachesAll(sockets[0], sockets);
    await reachesAll(victims[0], sockets);
  });

  it("acknowledgements are no longer awaited from it", async (t) => {
    await cluster.joined(2);
    const [one, three] = await Promise.all([0, 2].map((i) => connect(t, cluster.nodes[i].url)));
    for (const s of [one, three]) s.on("poll", (reply) => reply("here"));
    await Promise.all([one, three].map((s) => call(s, "join", ["poll"])));
    assert.deepEqual(await call(one, "emitAck", { to: ["poll"], timeout: 5_000 }, "poll"), { error: null, answers: ["here", "here"] });
    const found = await call(three, "sockets", { to: ["poll"] });
    assert.equal(found.length, 2);
  });

  it("it takes part again when it is back", async (t) => {
    await cluster.nodes[1].restart();
    await cluster.joined();
    const sockets = await Promise.all(cluster.nodes.map(({ url }) => connect(t, url)));
    await reachesAll(sockets[1], sockets);
    await reachesAll(sockets[0], sockets);
    await until("the balancer to use it again", async () => {
      const socket = await connect(t, cluster.url);
      const { node } = await call(socket, "whoami");
      return node === "n2";
    });
  });
});

describe("after a node was told to stop", () => {
  const cluster = useCluster();

  it("it ended well and its clients moved", async (t) => {
    const groups = await Promise.all(Object.keys(MODES).map((mode) => onEach(t, cluster, { mode })));
    const movers = groups.map((group) => group[0]);
    const back = movers.map((s) => event(s, "connect", 30_000));
    assert.deepEqual(await cluster.nodes[0].stop(), { code: 0, signal: null });
    await Promise.all(back);
    for (const s of movers) assert.notEqual((await call(s, "whoami")).node, "n1");
    await reachesAll(groups[0][1], groups.flat());
  });
});

describe("after Redis was restarted", () => {
  const cluster = useCluster();

  it("clients of one node could talk meanwhile, and all can again", async (t) => {
    const sockets = await onEach(t, cluster, {});
    const neighbour = await connect(t, cluster.nodes[0].url);
    const ends = sockets.map((s) => new Inbox(s, "disconnect"));
    await Promise.all(sockets.map((s) => call(s, "join", ["kept"])));
    const got = new Inbox(neighbour, "news");
    await cluster.redis.process.kill();
    sockets[0].emit("emit", {}, "news", "meanwhile", () => {});
    assert.deepEqual(await got.next(), ["meanwhile"]);
    await cluster.redis.restart();
    await cluster.joined();
    for (const from of sockets) await reachesAll(from, sockets, ["kept"]);
    assert.deepEqual(ends.flatMap((inbox) => inbox.items), []);
  });
});

// reachesAll broadcasts until every socket has heard it. Repeating is allowed: what
// is sent while a connection to Redis is made anew may be lost.
async function reachesAll(from, sockets, to) {
  const name = `all-${Math.random()}`;
  const missing = new Set(sockets);
  for (const s of sockets) s.on(name, () => missing.delete(s));
  await until("a broadcast to reach everybody", async () => {
    if (missing.size) await call(from, "emit", { to }, name);
    return missing.size === 0;
  });
}
