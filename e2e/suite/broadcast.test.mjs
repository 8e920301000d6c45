// Broadcasts from every node to every node, in every transport, through the
// balancer.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { alone, call, fence, Inbox, MODES, onEach } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { nested } from "../lib/values.mjs";

describe("broadcast", () => {
  const cluster = useCluster();

  for (const mode of Object.keys(MODES)) {
    for (let from = 0; from < 3; from++) {
      it(`from n${from + 1} reaches every node, ${mode}`, async (t) => {
        const sockets = await onEach(t, cluster, { mode });
        const inboxes = sockets.map((s) => new Inbox(s, "news"));
        await call(sockets[from], "emit", {}, "news", from, nested());
        for (const inbox of inboxes) assert.deepEqual(await inbox.next(), [from, nested()]);
        await call(sockets[from], "emit", { from: "socket" }, "news", "others");
        await fence(sockets[from], sockets);
        const others = inboxes.map((inbox) => inbox.items.length);
        assert.deepEqual(others, [1, 1, 1].with(from, 0));
      });
    }

    it(`keeps the order of each emitter, ${mode}`, async (t) => {
      const sockets = await onEach(t, cluster, { mode });
      const inboxes = sockets.map((s) => new Inbox(s, "news"));
      const count = 200;
      await Promise.all(sockets.map(async (socket, who) => {
        const sent = [];
        for (let i = 0; i < count; i++) sent.push(call(socket, "emit", {}, "news", who, i));
        await Promise.all(sent);
      }));
      for (const inbox of inboxes) {
        const got = await inbox.take(3 * count);
        for (let who = 0; who < 3; who++) {
          assert.deepEqual(got.filter(([w]) => w === who).map(([, i]) => i), [...Array(count).keys()]);
        }
      }
    });

    it(`collects acknowledgements from every node, ${mode} (SIO-A-03)`, async (t) => {
      const sockets = await onEach(t, cluster, { mode });
      for (const [i, s] of sockets.entries()) s.on("poll", (x, reply) => reply(`${x}${i}`, "ignored"));
      await alone(sockets);
      for (const socket of sockets) {
        const { error, answers } = await call(socket, "emitAck", { timeout: 5_000 }, "poll", "v");
        assert.equal(error, null);
        assert.deepEqual(answers.sort(), ["v0", "v1", "v2"]);
      }
    });
  }

  it("stays here when it is local", async (t) => {
    const sockets = await onEach(t, cluster, {});
    const inboxes = sockets.map((s) => new Inbox(s, "news"));
    await call(sockets[1], "emit", { local: true }, "news");
    await fence(sockets[1], sockets);
    assert.deepEqual(inboxes.map((inbox) => inbox.items.length), [0, 1, 0]);
  });

  it("that is volatile reaches idle clients", async (t) => {
    const sockets = await onEach(t, cluster, {});
    const inboxes = sockets.map((s) => new Inbox(s, "news"));
    await call(sockets[0], "echo", "settled");
    await call(sockets[1], "emit", { volatile: true }, "news", "soft");
    for (const inbox of [inboxes[0], inboxes[2]]) assert.deepEqual(await inbox.next(), ["soft"]);
  });

  it("gives what came when some do not acknowledge (SIO-A-05)", async (t) => {
    const sockets = await onEach(t, cluster, {});
    sockets[0].on("poll", (reply) => reply("zero"));
    sockets[2].on("poll", (reply) => reply("two"));
    const { error, answers } = await call(sockets[1], "emitAck", { timeout: 3_000 }, "poll");
    assert.notEqual(error, null);
    assert.deepEqual(answers.sort(), ["two", "zero"]);
  });

  it("to nobody is acknowledged at once (SIO-A-07)", async (t) => {
    const [socket] = await onEach(t, cluster, {});
    const { error, answers } = await call(socket, "emitAck", { to: ["empty"], timeout: 10_000 }, "poll");
    assert.deepEqual([error, answers], [null, []]);
  });

  it("takes nothing, null and binary for an acknowledgement (SIO-A-04)", async (t) => {
    const sockets = await onEach(t, cluster, {});
    sockets[0].on("poll", (reply) => reply());
    sockets[1].on("poll", (reply) => reply(null));
    sockets[2].on("poll", (reply) => reply(nested()));
    await alone(sockets);
    const { error, answers } = await call(sockets[1], "emitAck", { timeout: 5_000 }, "poll");
    assert.equal(error, null);
    assert.equal(answers.length, 3);
    assert.deepEqual(answers.filter((a) => a !== null), [nested()]);
  });
});
