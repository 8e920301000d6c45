// One client at a time through the balancer, in every way it may talk: events
// both ways, acknowledgements both ways, binary both ways.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, callAll, connect, Inbox, MODES, onEach, open, reasonOf } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { bytes, JSON_VALUES, nested } from "../lib/values.mjs";
import { event } from "../lib/wait.mjs";

for (const mode of Object.keys(MODES)) {
  describe(`transport ${mode}`, () => {
    const cluster = useCluster();
    const client = (t, options) => connect(t, cluster.url, { mode, ...options });

    it("settles on its transport", async (t) => {
      const socket = await client(t, { query: { who: "me" }, auth: { token: "t" } });
      const me = await call(socket, "whoami");
      assert.equal(me.transport, mode === "polling" ? "polling" : "websocket");
      assert.equal(socket.io.engine.transport.name, me.transport);
      assert.equal(me.protocol, 4);
      assert.equal(me.id, socket.id);
      assert.deepEqual(me.rooms, [socket.id]);
      assert.deepEqual(me.auth, { token: "t" });
      assert.equal(me.query.who, "me");
    });

    it("has public ids of 20 characters that are not the session's (SIO-C-03)", async (t) => {
      const socket = await client(t);
      assert.match(socket.id, /^[\w-]{20}$/);
      assert.notEqual(socket.id, socket.io.engine.id);
    });

    it("reaches every node", async (t) => {
      const sockets = await onEach(t, cluster, { mode });
      assert.equal(new Set(sockets.map((s) => s.id)).size, 3);
    });

    it("is answered with what it sent", async (t) => {
      const socket = await client(t);
      for (const value of JSON_VALUES) assert.deepEqual(await call(socket, "echo", value), value);
      assert.deepEqual(await callAll(socket, "echo"), []);
      assert.deepEqual(await callAll(socket, "echo", ...JSON_VALUES), JSON_VALUES);
    });

    it("gets events with several arguments", async (t) => {
      const socket = await client(t);
      const echoes = new Inbox(socket, "echo");
      socket.emit("echo", 1, "two", { three: [3] });
      assert.deepEqual(await echoes.next(), [1, "two", { three: [3] }]);
      socket.emit("echo");
      assert.deepEqual(await echoes.next(), []);
    });

    it("acknowledges what the server asks", async (t) => {
      const socket = await client(t);
      socket.on("question", (a, b, reply) => reply(a + b, { sum: true }, null));
      assert.deepEqual(await call(socket, "ask", 5_000, "question", 1, 2), { error: null, answers: [3, { sum: true }, null] });
      socket.on("nothing", (reply) => reply());
      assert.deepEqual(await call(socket, "ask", 5_000, "nothing"), { error: null, answers: [] });
    });

    it("makes the server's timeout when it does not acknowledge (SIO-V-05)", async (t) => {
      const socket = await client(t);
      const { error, answers } = await call(socket, "ask", 50, "unheard");
      assert.match(error, /timed out|deadline|timeout/i);
      assert.deepEqual(answers, []);
      assert.equal(await call(socket, "echo", "still here"), "still here");
    });

    it("sends and gets binary, nested and several at once", async (t) => {
      const socket = await client(t);
      const sent = [bytes(5), nested(), "text", bytes(70_000, 9)];
      assert.deepEqual(await callAll(socket, "echo", ...sent), sent);
      const echoes = new Inbox(socket, "echo");
      socket.emit("echo", ...sent);
      assert.deepEqual(await echoes.next(), sent);
      socket.on("question", (value, reply) => reply(value, bytes(4, 4)));
      assert.deepEqual(await call(socket, "ask", 5_000, "question", nested()), { error: null, answers: [nested(), bytes(4, 4)] });
    });

    it("keeps the order of a burst, small, large and binary mixed", async (t) => {
      const socket = await client(t);
      const echoes = new Inbox(socket, "echo");
      const sent = Array.from({ length: 300 }, (_, i) => [i, i % 7 ? "x".repeat((i * 37) % 3_000) : bytes(i, i)]);
      for (const args of sent) socket.emit("echo", ...args);
      assert.deepEqual(await echoes.take(sent.length), sent);
    });

    it("takes an event of nearly maxPayload", async (t) => {
      const socket = await client(t);
      const large = "y".repeat(900_000);
      assert.equal(await call(socket, "echo", large), large);
    });

    it("is told why the server ended it (SIO-X-02, SIO-X-03)", async (t) => {
      for (const close of [false, true]) {
        const socket = await client(t);
        socket.emit("bye", close, () => {});
        assert.deepEqual((await event(socket, "disconnect"))[0], "io server disconnect");
      }
    });

    it("ends when it wants to (SIO-X-01, SIO-X-04)", async (t) => {
      const watcher = await client(t);
      await call(watcher, "join", "watch");
      const gone = new Inbox(watcher, "gone");
      const polite = await client(t);
      const polited = polite.id;
      polite.disconnect();
      assert.equal(await reasonOf(gone, polited), "client namespace disconnect");
      const abrupt = await client(t, { reconnection: false });
      const abrupted = abrupt.id;
      abrupt.io.engine.close();
      assert.equal(await reasonOf(gone, abrupted), "transport close");
    });

    it("sends what it buffered before it was connected", async (t) => {
      const socket = open(t, cluster.url, { mode, autoConnect: false });
      const early = new Promise((resolve) => socket.emit("echo", "buffered", resolve)); // SIO-J-01
      socket.connect();
      assert.equal(await early, "buffered");
    });
  });
}
