// Fanwire's session ids end in the name of their node: a balancer can route by
// them, and clients need not keep cookies.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, connect, MODES } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";

for (const balancer of ["haproxy-sid", "nginx-sid"]) {
  describe(`stickiness by session id, ${balancer}`, () => {
    const cluster = useCluster({ balancer });

    for (const mode of Object.keys(MODES)) {
      it(`12 of 12 clients without cookies, on every node, ${mode}`, async (t) => {
        const sockets = await Promise.all(Array.from({ length: 12 }, () => connect(t, cluster.url, { mode, withCredentials: false })));
        const nodes = await Promise.all(sockets.map(async (socket) => {
          const { node } = await call(socket, "whoami");
          assert.ok(socket.io.engine.id.endsWith(`.${node}`), socket.io.engine.id);
          return node;
        }));
        assert.deepEqual([...new Set(nodes)].sort(), ["n1", "n2", "n3"]);
        const echoes = await Promise.all(sockets.map((socket, i) => call(socket, "echo", i)));
        assert.deepEqual(echoes, [...Array(12).keys()]);
      });
    }
  });
}
