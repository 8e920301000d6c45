// Namespaces, authentication, and what a refused client gets.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, connect, connected, fence, Inbox, MODES, open, refused } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { event } from "../lib/wait.mjs";

describe("namespaces", () => {
  const cluster = useCluster();

  for (const mode of Object.keys(MODES)) {
    it(`share one session, ${mode}`, async (t) => {
      const root = await connect(t, cluster.url, { mode });
      const chat = root.io.socket("/chat");
      const tenant = root.io.socket("/tenant/acme");
      await Promise.all([connected(chat), connected(tenant)]);
      const all = await Promise.all([root, chat, tenant].map((s) => call(s, "whoami")));
      assert.deepEqual(all.map((me) => me.nsp), ["/", "/chat", "/tenant/acme"]);
      assert.equal(new Set(all.map((me) => me.node)).size, 1);
      assert.equal(new Set(all.map((me) => me.id)).size, 3);
    });

    it(`refuse with message and data, ${mode} (SIO-C-05)`, async (t) => {
      const socket = open(t, cluster.url, { mode, nsp: "/guarded", auth: { token: "wrong" } });
      const error = await refused(socket);
      assert.equal(error.message, "unauthorized");
      assert.deepEqual(error.data, { code: "E_TOKEN", given: "wrong" });
      assert.equal(socket.active, false); // SIO-X-16
    });

    it(`let a refused client try again on the same session, ${mode}`, async (t) => {
      const root = await connect(t, cluster.url, { mode });
      const guarded = root.io.socket("/guarded", { auth: {} });
      assert.deepEqual((await refused(guarded)).data, { code: "E_TOKEN", given: null });
      guarded.auth = { token: "secret" };
      guarded.connect();
      await connected(guarded);
      assert.deepEqual((await call(guarded, "whoami")).auth, { token: "secret" });
      assert.equal(await call(root, "echo", "undisturbed"), "undisturbed");
    });
  }

  it("take the payload of an auth function", async (t) => {
    const socket = open(t, cluster.url, { nsp: "/guarded", auth: (give) => give({ token: "secret", n: 1 }) });
    await connected(socket);
    assert.deepEqual((await call(socket, "whoami")).auth, { token: "secret", n: 1 });
  });

  it("that nobody made are refused", async (t) => {
    const error = await refused(open(t, cluster.url, { nsp: "/unknown" }));
    assert.equal(error.message, "Invalid namespace");
    const dynamic = await refused(open(t, cluster.url, { nsp: "/tenant/two/parts" }));
    assert.equal(dynamic.message, "Invalid namespace");
  });

  it("keep their events apart", async (t) => {
    const root = await connect(t, cluster.url);
    const chat = await connect(t, cluster.url, { nsp: "/chat" });
    const inRoot = new Inbox(root, "said");
    const inChat = new Inbox(chat, "said");
    await call(root, "join", "r");
    await call(chat, "join", "r");
    await call(root, "emit", { to: ["r"] }, "said", "root");
    await call(chat, "emit", { to: ["r"] }, "said", "chat");
    await fence(root, [root]);
    await fence(chat, [chat]);
    assert.deepEqual([inRoot.items, inChat.items], [[["root"]], [["chat"]]]);
  });

  it("made on demand work across nodes, and again after they were empty (SIO-N-06)", async (t) => {
    for (let round = 0; round < 2; round++) {
      const here = await connect(t, cluster.nodes[0].url, { nsp: "/tenant/t1" });
      const there = await connect(t, cluster.nodes[1].url, { nsp: "/tenant/t1" });
      const other = await connect(t, cluster.nodes[1].url, { nsp: "/tenant/t2" });
      const got = new Inbox(there, "said");
      const strayed = new Inbox(other, "said");
      await call(here, "emit", {}, "said", round);
      assert.deepEqual(await got.next(), [round]);
      await fence(other, [other]);
      assert.deepEqual(strayed.items, []);
      for (const socket of [here, there, other]) socket.disconnect();
    }
  });

  it("are left one by one (SIO-X-19)", async (t) => {
    const root = await connect(t, cluster.url);
    const chat = root.io.socket("/chat");
    await connected(chat);
    const first = chat.id;
    chat.emit("bye", false, () => {});
    assert.deepEqual((await event(chat, "disconnect"))[0], "io server disconnect");
    assert.equal(await call(root, "echo", 1), 1);
    chat.connect();
    await connected(chat);
    assert.notEqual(chat.id, first);
  });

  it("all end when the server closes the session (SIO-X-18)", async (t) => {
    const root = await connect(t, cluster.url);
    const chat = root.io.socket("/chat");
    await connected(chat);
    const ends = Promise.all([root, chat].map((s) => event(s, "disconnect")));
    root.emit("bye", true, () => {});
    assert.deepEqual((await ends).map(([reason]) => reason), ["io server disconnect", "io server disconnect"]);
  });
});
