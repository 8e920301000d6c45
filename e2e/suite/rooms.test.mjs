// Rooms on one node and over the cluster: the table of SIO-R-08, three clients,
// first all on one node, then each on its own.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { call, connect, fence, Inbox } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { event } from "../lib/wait.mjs";

// TABLE: the emitter, its target, who gets it.
const TABLE = [
  ["a", { to: ["r1"] }, "ab"],
  ["a", { to: ["r1", "r2"] }, "abc"],
  ["a", { to: ["r1"], except: ["r2"] }, "a"],
  ["a", { except: ["r1"] }, "c"],
  ["a", {}, "abc"],
  ["a", { to: ["nobody"] }, ""],
  ["a", { to: ["nobody", "r2"] }, "bc"],
  ["a", { from: "socket", to: ["r1"] }, "b"],
  ["a", { from: "socket" }, "bc"],
  ["a", { from: "socket", except: ["r2"] }, ""],
  ["b", { from: "socket", to: ["r1", "r2"] }, "ac"],
  ["b", { from: "socket", to: ["r1", "r2"], except: ["r1"] }, "c"],
  ["c", { to: ["r1"] }, "ab"],
  ["c", { to: ["r1"], except: ["r1"] }, ""],
];

// ODD_ROOMS are names that a channel name or a pattern could trip over (CLU-R-07).
const ODD_ROOMS = ["", "#", "a#b", "*", "ro*", "[ab]", "\\", "röm 😀", "with space", "/chat", "7", "x".repeat(200)];

describe("rooms", () => {
  const cluster = useCluster({ balancer: false });

  for (const spread of [false, true]) {
    it(`reach whom they should, ${spread ? "three nodes" : "one node"}`, async (t) => {
      const people = await abc(t, cluster, spread);
      for (const [from, target, want] of TABLE) {
        await call(people[from].socket, "emit", target, "table", JSON.stringify(target));
        await fence(people[from].socket, Object.values(people).map((p) => p.socket));
        assert.equal(whoGot(people), want, `${from} ${JSON.stringify(target)}`);
      }
    });
  }

  it("named by a socket's id reach that socket (SIO-R-01)", async (t) => {
    const people = await abc(t, cluster, true);
    const { a, b } = people;
    await call(a.socket, "emit", { to: [b.socket.id] }, "table");
    await call(a.socket, "emit", { except: [b.socket.id] }, "table");
    await fence(a.socket, Object.values(people).map((p) => p.socket));
    assert.deepEqual(Object.values(people).map((p) => p.inbox.items.length), [1, 1, 1]);
  });

  it("may have any name", async (t) => {
    const here = await connect(t, cluster.nodes[0].url);
    const there = await connect(t, cluster.nodes[1].url);
    const got = new Inbox(there, "odd");
    await call(there, "join", ODD_ROOMS);
    assert.deepEqual((await call(there, "whoami")).rooms, [...ODD_ROOMS, there.id].sort());
    for (const room of ODD_ROOMS) {
      await call(here, "emit", { to: [room] }, "odd", room);
      assert.deepEqual(await got.next(), [room]);
    }
  });

  it("are heard from other nodes as soon as the join is acknowledged", async (t) => {
    const here = await connect(t, cluster.nodes[0].url);
    const there = await connect(t, cluster.nodes[1].url);
    const got = new Inbox(there, "fresh");
    for (let i = 0; i < 100; i++) {
      await call(there, "join", `fresh-${i}`);
      await call(here, "emit", { to: [`fresh-${i}`] }, "fresh", i);
      assert.deepEqual(await got.next(), [i]);
    }
  });

  it("are left", async (t) => {
    const here = await connect(t, cluster.nodes[0].url);
    const there = await connect(t, cluster.nodes[1].url);
    const got = new Inbox(there, "left");
    await call(there, "join", ["p", "q"]);
    await call(there, "leave", "p");
    await call(here, "emit", { to: ["p"] }, "left", "p");
    await call(here, "emit", { to: ["p", "q"] }, "left", "pq");
    await fence(here, [there]);
    assert.deepEqual(got.items, [["pq"]]);
  });

  it("tell of their lives in order (SIO-R-07)", async (t) => {
    const [one, two, other] = await Promise.all([0, 0, 1].map((n) => connect(t, cluster.nodes[n].url)));
    await call(one, "join", ["log"]);
    await call(two, "join", ["log"]);
    await call(two, "join", ["log"]); // a no-op (SIO-R-02)
    await call(other, "join", ["log"]);
    await call(one, "leave", "log");
    await call(two, "leave", "log");
    const want = [["create", "log"], ["join", "log"], ["join", "log"], ["leave", "log"], ["leave", "log"], ["delete", "log"]];
    assert.deepEqual(await call(one, "roomLog", ["log"]), want);
    assert.deepEqual(await call(other, "roomLog", ["log"]), want.slice(0, 2));
  });

  it("are empty for those who come back", async (t) => {
    const socket = await connect(t, cluster.nodes[0].url);
    await call(socket, "join", ["gone"]);
    const back = event(socket, "connect");
    socket.io.engine.close();
    await back;
    assert.deepEqual((await call(socket, "whoami")).rooms, [socket.id]);
  });
});

// abc makes the three clients of the table: a in r1, b in r1 and r2, c in r2.
async function abc(t, cluster, spread) {
  const rooms = { a: ["r1"], b: ["r1", "r2"], c: ["r2"] };
  const people = {};
  for (const [i, name] of Object.keys(rooms).entries()) {
    const socket = await connect(t, cluster.nodes[spread ? i : 0].url);
    await call(socket, "join", rooms[name]);
    people[name] = { socket, inbox: new Inbox(socket, "table") };
  }
  return people;
}

// whoGot names those who got the event since the last call, once for each time.
function whoGot(people) {
  return Object.entries(people).map(([name, { inbox }]) => name.repeat(inbox.items.splice(0).length)).join("");
}
