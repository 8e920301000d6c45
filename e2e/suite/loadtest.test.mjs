// The namespace of load tests: the gateway's and the official server's are the same
// to an official client, alone and with two nodes on one Redis.

import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { call, callAll, connect, Inbox } from "../lib/client.mjs";
import { OUT, Process, REPO } from "../lib/process.mjs";
import { Redis } from "../lib/redis.mjs";
import { bytes, JSON_VALUES, nested } from "../lib/values.mjs";
import { until } from "../lib/wait.mjs";

const SERVERS = {
  gateway: async (redis) => {
    const flags = redis ? [`--redis.addresses=127.0.0.1:${redis.port}`] : [];
    const node = new Process("serve", join(OUT, "fanwire"), [
      "serve", "--json", "--loadtest", "--listen.address=127.0.0.1:0", "--admin.address=off", "--drain.delay=0s", "--drain.spread=0s", ...flags,
    ]);
    const { url } = await node.line("clients", (text) => text.includes('"role":"clients"') && JSON.parse(text), 30_000);
    return { node, url };
  },
  official: async (redis) => {
    const flags = redis ? ["--adapter=classic", `--redis=${redis.url}`] : [];
    const node = new Process("peer", process.execPath, [join(REPO, "loadtest", "peers", "server.mjs"), "--port=0", ...flags]);
    const { url } = await node.json("listening", 30_000);
    return { node, url };
  },
};

for (const [name, start] of Object.entries(SERVERS)) {
  describe(`the namespace /loadtest of the ${name} server`, () => {
    let redis;
    const nodes = [];
    before(async () => {
      redis = await Redis.start();
      for (let i = 0; i < 2; i++) nodes.push(await start(redis));
      for (const { url } of nodes) await until("readiness", async () => (await fetch(`${url}/readyz`)).status === 200);
      await redis.members(2, ["/loadtest"], "classic");
    }, { timeout: 60_000 });
    after(async () => {
      for (const { node } of nodes) if (!node.ended) await node.kill();
      if (redis) await redis.stop();
    });

    const pair = (t) => Promise.all(nodes.map(({ url }, i) => connect(t, url, { nsp: "/loadtest", mode: i ? "polling" : "websocket" })));

    it("echoes", async (t) => {
      const [socket] = await pair(t);
      for (const args of [[], [null], JSON_VALUES, [bytes(70_000), nested(), "after"]]) {
        assert.deepEqual(await callAll(socket, "echo", ...args), args);
      }
    });

    it("says to rooms, the publisher included, until they are left", async (t) => {
      const sockets = await pair(t);
      const got = sockets.map((socket) => new Inbox(socket, "msg"));
      for (const socket of sockets) assert.deepEqual(await callAll(socket, "join", 'a "room"'), []);
      assert.deepEqual(await callAll(sockets[0], "say", 'a "room"', { n: 1 }, bytes(9)), []);
      for (const inbox of got) assert.deepEqual(await inbox.next(), [{ n: 1 }, bytes(9)]);
      assert.deepEqual(await callAll(sockets[1], "leave", 'a "room"'), []);
      await call(sockets[0], "say", 'a "room"', "to one");
      await call(sockets[0], "say", "another", "to none");
      assert.deepEqual(await callAll(sockets[0], "all", nested(), "last"), []);
      assert.deepEqual(await got[0].take(2), [["to one"], [nested(), "last"]]);
      assert.deepEqual(await got[1].next(), [nested(), "last"]);
    });

    it("does nothing, and gives no ack, without a room", async (t) => {
      const [socket] = await pair(t);
      const acked = [];
      for (const event of ["join", "leave", "say"]) {
        for (const room of [[], [7], [null], [{}], [""]]) socket.emit(event, ...room, () => acked.push([event, room]));
      }
      await call(socket, "echo", "a fence");
      assert.deepEqual(acked, []);
    });
  });
}

it("there is no namespace /loadtest by default", async (t) => {
  const node = new Process("serve", join(OUT, "fanwire"), [
    "serve", "--json", "--listen.address=127.0.0.1:0", "--admin.address=off", "--drain.spread=0s",
  ]);
  t.after(() => node.ended || node.kill());
  const { url } = await node.line("clients", (text) => text.includes('"role":"clients"') && JSON.parse(text), 30_000);
  await assert.rejects(connect(t, url, { nsp: "/loadtest", reconnection: false }), /Invalid namespace/);
});
