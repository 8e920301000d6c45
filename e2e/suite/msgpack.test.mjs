// The msgpack parser on both sides (SIO-G), with an official server in the cluster.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import parser from "socket.io-msgpack-parser";

import { alone, call, callAll, connect, Inbox, MODES, onEach, open, refused } from "../lib/client.mjs";
import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { nested, PORTABLE_VALUES } from "../lib/values.mjs";

describe("msgpack parser", () => {
  const cluster = useCluster({ kinds: [SUBJECT, SUBJECT, "official"], flags: ["--parser", "msgpack"] });

  for (const mode of Object.keys(MODES)) {
    it(`carries values and binary both ways, ${mode}`, async (t) => {
      for (const socket of await onEach(t, cluster, { mode, parser })) {
        assert.deepEqual(await callAll(socket, "echo", ...PORTABLE_VALUES, nested()), [...PORTABLE_VALUES, nested()]);
        assert.deepEqual(await callAll(socket, "echo"), []);
        socket.on("question", (value, reply) => reply(value, "second"));
        assert.deepEqual(await call(socket, "ask", 5_000, "question", nested()), { error: null, answers: [nested(), "second"] });
      }
    });

    it(`broadcasts from every node to every node, ${mode}`, async (t) => {
      const sockets = await onEach(t, cluster, { mode, parser });
      const got = sockets.map((s) => new Inbox(s, "news"));
      for (const from of sockets) {
        await call(from, "emit", {}, "news", from.id, nested());
        for (const inbox of got) assert.deepEqual(await inbox.next(), [from.id, nested()]);
      }
      for (const s of sockets) s.on("poll", (x, reply) => reply(x));
      await alone(sockets);
      for (const from of sockets) {
        assert.deepEqual(await call(from, "emitAck", { timeout: 5_000 }, "poll", nested()), { error: null, answers: [nested(), nested(), nested()] });
      }
    });

    it(`refuses with data, ${mode}`, async (t) => {
      const error = await refused(open(t, cluster.url, { mode, parser, nsp: "/guarded", auth: { token: "x" } }));
      assert.deepEqual([error.message, error.data], ["unauthorized", { code: "E_TOKEN", given: "x" }]);
      assert.equal((await refused(open(t, cluster.url, { mode, parser, nsp: "/unknown" }))).message, "Invalid namespace");
    });
  }

  it("keeps whole numbers of 53 bits exact", async (t) => {
    const socket = await connect(t, cluster.url, { parser });
    const numbers = [127, 128, 255, 256, 65_535, 65_536, 2 ** 32, 2 ** 53 - 1, -1, -32, -33, -129, -32_769, -(2 ** 31) - 1, -(2 ** 53) + 1];
    assert.deepEqual(await callAll(socket, "echo", ...numbers), numbers);
  });
});
