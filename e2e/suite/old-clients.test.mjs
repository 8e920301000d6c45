// Clients of version 2, which speak protocol 3 (EIO-3), next to current ones.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, callAll, connect, connectOld, Inbox, MODES } from "../lib/client.mjs";
import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { bytes, TEXTS } from "../lib/values.mjs";
import { event, within } from "../lib/wait.mjs";

const values = () => [{ buf: bytes(4), list: [bytes(1), "é😀"] }, ...TEXTS, bytes(3_000)];

describe("clients of version 2", () => {
  const cluster = useCluster({ flags: ["--allow-eio3", "--ping-interval", "1000", "--ping-timeout", "3000"] });

  for (const mode of Object.keys(MODES)) {
    const node = (i) => cluster.nodes[i].url;

    it(`connect and are answered, ${mode}`, async (t) => {
      const socket = await connectOld(t, node(0), { mode, query: { who: "me" } });
      const me = await call(socket, "whoami");
      assert.equal(me.protocol, 3);
      assert.equal(me.transport, mode === "polling" ? "polling" : "websocket");
      assert.equal(me.query.who, "me");
      assert.equal(me.id, socket.id); // EIO-3-14
      assert.deepEqual(await callAll(socket, "echo", ...values()), values());
      assert.deepEqual(await callAll(socket, "echo"), []);
    });

    it(`acknowledge, ${mode}`, async (t) => {
      const socket = await connectOld(t, node(0), { mode });
      socket.on("question", (value, reply) => reply(value, bytes(9)));
      const { error, answers } = await call(socket, "ask", 5_000, "question", values()[0]);
      assert.equal(error, null);
      assert.deepEqual(answers, [values()[0], bytes(9)]);
    });

    it(`hear and are heard by current clients on other nodes, ${mode}`, async (t) => {
      const old = await connectOld(t, node(0), { mode });
      const current = await connect(t, node(1), { mode });
      const toOld = new Inbox(old, "news");
      const toCurrent = new Inbox(current, "news");
      await call(old, "join", ["r"]);
      await call(current, "join", ["r"]);
      await call(current, "emit", { to: ["r"] }, "news", ...values());
      await call(old, "emit", { to: ["r"] }, "news", "back");
      assert.deepEqual(await toOld.take(2).then(sorted), sorted([values(), ["back"]]));
      assert.deepEqual(await toCurrent.take(2).then(sorted), sorted([values(), ["back"]]));
    });

    it(`use namespaces with a query for credentials, ${mode}`, async (t) => {
      const chat = await connectOld(t, node(0), { mode, nsp: "/chat" });
      assert.equal((await call(chat, "whoami")).nsp, "/chat");
      assert.match(chat.id, /^\/chat#/);
      const guarded = chat.io.socket("/guarded", { query: { token: "wrong" } });
      const error = await within("the refusal", new Promise((resolve) => guarded.once("error", resolve)));
      assert.deepEqual(error, { code: "E_TOKEN", given: "wrong" });
      const welcome = await connectOld(t, node(0), { mode, nsp: "/guarded", query: { token: "secret" } });
      assert.equal((await call(welcome, "whoami")).auth.token, "secret");
      const unknown = chat.io.socket("/unknown");
      assert.deepEqual(await within("the refusal", new Promise((resolve) => unknown.once("error", resolve))), { message: "Invalid namespace" });
    });

    it(`stay for several heartbeats, ${mode}`, async (t) => {
      const socket = await connectOld(t, node(0), { mode });
      const ends = new Inbox(socket, "disconnect");
      const pongs = new Inbox(socket, "pong");
      await pongs.take(5); // more than an interval and a timeout
      assert.deepEqual(ends.items, []);
      assert.equal(await call(socket, "echo", "alive"), "alive");
    });

    it(`are disconnected, ${mode}`, async (t) => {
      const socket = await connectOld(t, node(0), { mode });
      socket.emit("bye", false, () => {});
      assert.deepEqual((await event(socket, "disconnect"))[0], "io server disconnect");
    });
  }

  it("come through the balancer with websocket only", async (t) => {
    const socket = await connectOld(t, cluster.url, { mode: "websocket" });
    assert.equal(await call(socket, "echo", 1), 1);
  });
});

describe("clients of version 2 that are not allowed", () => {
  const cluster = useCluster({ kinds: [SUBJECT], redis: false, balancer: false });

  it("are refused with code 5 (EIO-E)", async () => {
    const response = await fetch(`${cluster.nodes[0].url}/socket.io/?EIO=3&transport=polling`);
    assert.equal(response.status, 400);
    assert.deepEqual(await response.json(), { code: 5, message: "Unsupported protocol version" });
  });
});

function sorted(list) {
  return [...list].sort((a, b) => JSON.stringify(a).length - JSON.stringify(b).length);
}
