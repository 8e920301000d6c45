// Nodes under test and an official Node.js server on the streams wire: what passes
// between them, and sessions that a client continues on the other kind of node.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, connect, connected, Inbox } from "../lib/client.mjs";
import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { mixedSuite } from "../lib/mixed.mjs";
import { bytes } from "../lib/values.mjs";
import { until } from "../lib/wait.mjs";

const ASKERS = { 0: "a node under test", 2: "the official server" };
const options = { kinds: [SUBJECT, SUBJECT, "official"], adapter: "streams", balancer: false };

for (const nsp of ["/", "/chat"]) {
  for (const [index, asker] of Object.entries(ASKERS)) {
    describe(`mixed cluster on streams, ${asker} asks, namespace ${nsp}`, () => {
      mixedSuite(useCluster(options), Number(index), nsp);
    });
  }
}

// Where a client is cut off, and where it comes back.
const WAYS = {
  "from a node under test to another": [0, 1],
  "from a node under test to the official server": [0, 2],
  "from the official server to a node under test": [2, 0],
};

describe("recovery on streams", () => {
  const cluster = useCluster({ ...options, flags: ["--recovery", "60000"] });

  for (const [way, [from, to]] of Object.entries(WAYS)) {
    it(`continues a session ${way}, and back`, async (t) => {
      const other = await connect(t, cluster.nodes[1].url);
      const client = await connect(t, cluster.nodes[from].url);
      const { id } = client;
      const room = `room-${from}${to}`;
      const got = new Inbox(client, "news");
      await call(client, "join", [room]);
      await call(client, "data", { name: "bob" });
      await call(other, "emit", { to: [room] }, "news", 0);
      assert.equal(await got.first(), 0);
      for (const [round, target] of [to, from, to].entries()) {
        await cut(client);
        await until("nobody to know the client", async () => (await call(other, "sockets", { to: [id] })).length === 0);
        await cluster.redis.kept("streams", [client], room, "bob");
        await call(other, "emit", { to: [room] }, "news", "room", round, bytes(3));
        await call(other, "emit", { to: ["another"] }, "news", "not for us");
        await call(other, "emit", {}, "news", "all", round);
        await call(other, "emit", { except: [room] }, "news", "not for us");
        await call(other, "emit", { to: [id] }, "news", "id", round);
        await back(client, cluster.nodes[target].url);
        assert.equal(client.recovered, true, `round ${round}`);
        assert.equal(client.id, id);
        const events = (await got.take(3)).map(([kind, n]) => [kind, n]);
        assert.deepEqual(events, [["room", round], ["all", round], ["id", round]]);
        const me = await call(client, "whoami");
        assert.equal(me.node, cluster.nodes[target].id);
        assert.deepEqual(me.rooms, [id, room].sort());
        const [found] = await call(other, "sockets", { to: [id] });
        assert.deepEqual(found.data, { name: "bob" });
        await call(other, "emit", { to: [room] }, "news", "live", round);
        assert.deepEqual(await got.next().then(([kind, n]) => [kind, n]), ["live", round]);
      }
      assert.equal(got.items.length, 0);
    });
  }
});

// cut ends the connection and keeps the client from coming back.
async function cut(client) {
  client.io.reconnection(false);
  const gone = new Promise((resolve) => client.once("disconnect", resolve));
  client.io.engine.close();
  await gone;
}

// back connects again, to another node.
async function back(client, url) {
  client.io.uri = url;
  client.connect();
  await connected(client);
  await until("the connection", () => client.connected);
}
