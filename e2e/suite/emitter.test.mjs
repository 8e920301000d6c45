// The official emitter, which is no node: it only publishes (CLU-E).

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Emitter } from "@socket.io/redis-emitter";

import { call, connect, Inbox } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { nested, PORTABLE_VALUES } from "../lib/values.mjs";
import { event, until } from "../lib/wait.mjs";

describe("emitter", () => {
  const cluster = useCluster({ balancer: false });
  let client;
  let emitter;
  before(() => {
    client = cluster.redis.client();
    emitter = new Emitter(client);
  });
  after(() => client.disconnect());

  // trio opens a client on each node, in room all and a room of its own.
  const trio = (t, nsp = "/") => Promise.all(cluster.nodes.map(async ({ url, id }) => {
    const socket = await connect(t, url, { nsp });
    await call(socket, "join", ["all", id]);
    return socket;
  }));

  // settle waits until all have a last event of the emitter, which keeps its order.
  const settle = async (sockets, from = emitter) => {
    const name = `settled-${Math.random()}`;
    const seen = Promise.all(sockets.map((s) => event(s, name)));
    from.emit(name);
    await seen;
  };

  it("reaches everybody, a room, several rooms, all but a room", async (t) => {
    const sockets = await trio(t);
    const got = sockets.map((s) => new Inbox(s, "news"));
    emitter.emit("news", "everybody");
    emitter.to("all").emit("news", "room");
    emitter.to("n2").emit("news", "n2");
    emitter.to(["n1", "n3"]).emit("news", "n1 n3");
    emitter.except("n1").emit("news", "not n1");
    emitter.to("all").except("n2").emit("news", "not n2");
    emitter.to(sockets[2].id).emit("news", "by id");
    await settle(sockets);
    const want = [
      ["everybody", "room", "n1 n3", "not n2"],
      ["everybody", "room", "n2", "not n1"],
      ["everybody", "room", "n1 n3", "not n1", "not n2", "by id"],
    ];
    assert.deepEqual(got.map((inbox) => inbox.items.map(([x]) => x)), want);
  });

  it("carries every JSON value and binary", async (t) => {
    const sockets = await trio(t);
    const got = sockets.map((s) => new Inbox(s, "news"));
    emitter.to("all").emit("news", ...PORTABLE_VALUES, nested());
    for (const inbox of got) assert.deepEqual(await inbox.next(), [...PORTABLE_VALUES, nested()]);
  });

  it("passes volatile and compress", async (t) => {
    const sockets = await trio(t);
    const got = sockets.map((s) => new Inbox(s, "news"));
    emitter.volatile.compress(false).emit("news", 1);
    for (const inbox of got) assert.deepEqual(await inbox.next(), [1]);
  });

  it("reaches a namespace and only that (CLU-E-04)", async (t) => {
    const chat = await trio(t, "/chat");
    const root = await trio(t);
    const got = [...chat, ...root].map((s) => new Inbox(s, "news"));
    emitter.of("chat").to("all").emit("news", 1);
    emitter.of("/chat").to("all").emit("news", 2);
    await settle(chat, emitter.of("/chat"));
    await settle(root);
    assert.deepEqual(got.map((inbox) => inbox.items.length), [2, 2, 2, 0, 0, 0]);
  });

  it("makes sockets join and leave", async (t) => {
    const sockets = await trio(t);
    const inRoom = (room) => until(`members of ${room}`, async () => {
      const all = await Promise.all(sockets.map((s) => call(s, "whoami")));
      const members = all.filter((me) => me.rooms.includes(room)).map((me) => me.node);
      return members.join(" ") === expected && members;
    });
    let expected = "n1 n3";
    emitter.in("all").except("n2").socketsJoin(["extra", "more"]);
    await inRoom("extra");
    await inRoom("more");
    expected = "n1";
    emitter.in("n3").socketsLeave("extra");
    await inRoom("extra");
    expected = "";
    emitter.socketsLeave(["extra", "more"]);
    await inRoom("extra");
    await inRoom("more");
  });

  for (const close of [false, true]) {
    it(`disconnects sockets, close ${close}`, async (t) => {
      const sockets = await trio(t);
      const end = event(sockets[1], "disconnect");
      emitter.in("n2").disconnectSockets(close);
      assert.equal((await end)[0], "io server disconnect");
      await settle([sockets[0], sockets[2]]);
      assert.deepEqual(sockets.map((s) => s.connected), [true, false, true]);
    });
  }

  it("emits to the servers", async (t) => {
    const sockets = await trio(t);
    const noted = sockets.map((s) => new Inbox(s, "noted"));
    emitter.serverSideEmit("note", 1, { two: 2 });
    for (const [i, inbox] of noted.entries()) assert.deepEqual(await inbox.first(), { node: `n${i + 1}`, args: [1, { two: 2 }] });
  });

  it("is heard in the order in which it sent", async (t) => {
    const sockets = await trio(t);
    const got = sockets.map((s) => new Inbox(s, "count"));
    for (let i = 0; i < 300; i++) (i % 2 ? emitter : emitter.to("all")).emit("count", i);
    for (const inbox of got) {
      const items = await inbox.take(300);
      assert.deepEqual(items.map(([i]) => i), [...Array(300).keys()]);
    }
  });
});
