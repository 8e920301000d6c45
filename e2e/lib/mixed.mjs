// Everything that passes between nodes, asked by one node of a mixed cluster of
// three.

import assert from "node:assert/strict";
import { it } from "node:test";
import { isDeepStrictEqual } from "node:util";

import { alone, audible, call, callAll, connect, fence, Inbox, reasonOf } from "./client.mjs";
import { bytes, nested, PORTABLE_VALUES } from "./values.mjs";
import { event, until } from "./wait.mjs";

// mixedSuite defines the tests. Options tell what holds less than with the classic
// adapter: slowJoins, if official nodes do not wait for the subscription of a room
// (CLU-H-10), also of a socket's own if it is "private"; looseOrder, if order
// holds for each room only (CLU-H-11).
export function mixedSuite(cluster, asker, nsp, { slowJoins = false, looseOrder = false } = {}) {
  // trio opens one client on each node and gives them, and the asker's own.
  const trio = async (t) => {
    const sockets = await Promise.all(cluster.nodes.map(({ url, id }) => connect(t, url, {
      nsp, auth: { from: id }, query: { at: id },
    })));
    const me = sockets[asker];
    if (slowJoins === "private") await Promise.all(sockets.map((s) => audible(me, [s], s.id)));
    return { sockets, me, others: sockets.filter((_, i) => i !== asker) };
  };

  // heard returns when what me sends to a room arrives at all of the sockets in it.
  const heard = async (me, rooms) => {
    if (!slowJoins) return;
    for (const [room, sockets] of Object.entries(rooms)) await audible(me, sockets, room);
  };

  // arrived is a fence for everybody, and for each room where that is not enough.
  const arrived = async (me, sockets, rooms = {}) => {
    await fence(me, sockets);
    if (!looseOrder) return;
    for (const [room, members] of Object.entries(rooms)) await fence(me, members, { to: [room] });
  };

  it("emits to rooms, except rooms, with binary and every JSON value", async (t) => {
    const { sockets, me } = await trio(t);
    await Promise.all(sockets.map((s, i) => call(s, "join", ["all", `only-${i}`])));
    const rooms = { all: sockets, "only-0": [sockets[0]], "only-1": [sockets[1]], "only-2": [sockets[2]] };
    await heard(me, rooms);
    const got = sockets.map((s) => new Inbox(s, "news"));
    const targets = [{ to: ["all"] }, { to: ["only-1"] }, { to: ["only-0", "only-2"] }, { to: ["all"], except: ["only-1"] }, { from: "socket" }];
    for (const target of targets) await call(me, "emit", target, "news", target, nested(), ...PORTABLE_VALUES);
    await arrived(me, sockets, rooms);
    const want = [["all"], [1], [0, 2], [0, 2]].map((w) => (w[0] === "all" ? [0, 1, 2] : w));
    want.push([0, 1, 2].filter((i) => i !== asker));
    sockets.forEach((_, i) => {
      const mine = targets.filter((_, n) => want[n].includes(i));
      if (looseOrder) got[i].items.sort(([a], [b]) => targets.findIndex((t) => isDeepStrictEqual(t, a)) - targets.findIndex((t) => isDeepStrictEqual(t, b)));
      assert.deepEqual(got[i].items, mine.map((target) => [target, nested(), ...PORTABLE_VALUES]), `n${i + 1}`);
    });
  });

  it("emits locally only", async (t) => {
    const { sockets, me } = await trio(t);
    const got = sockets.map((s) => new Inbox(s, "news"));
    await call(me, "emit", { local: true }, "news");
    await call(me, "socketsJoin", { local: true }, ["localized"]);
    await fence(me, sockets);
    assert.deepEqual(got.map((inbox) => inbox.items.length), [0, 0, 0].with(asker, 1));
    const rooms = await Promise.all(sockets.map(async (s) => (await call(s, "whoami")).rooms.includes("localized")));
    assert.deepEqual(rooms, [false, false, false].with(asker, true));
    await alone(sockets);
    assert.deepEqual((await call(me, "sockets", { local: true })).map((s) => s.id), [me.id]);
  });

  it("emits volatile and in order", async (t) => {
    const { sockets, me, others } = await trio(t);
    const got = others.map((s) => new Inbox(s, "count"));
    for (let i = 0; i < 100; i++) me.emit("emit", { to: i % 2 ? ["odd"] : undefined }, "count", i, () => {});
    await Promise.all(sockets.map((s) => call(s, "join", ["odd"])));
    await heard(me, { odd: sockets });
    for (let i = 100; i < 300; i++) me.emit("emit", i % 2 ? { to: ["odd"] } : {}, "count", i, () => {});
    await arrived(me, sockets, { odd: sockets });
    for (const inbox of got) {
      const late = inbox.items.map(([i]) => i).filter((i) => i >= 200);
      const inOrder = Array.from({ length: 100 }, (_, i) => 200 + i);
      if (looseOrder) { // each room by itself
        for (const list of [late, inOrder]) list.sort((a, b) => (a % 2) - (b % 2));
      }
      assert.deepEqual(late, inOrder);
    }
    await call(me, "emit", { volatile: true }, "count", "soft");
    for (const inbox of got) {
      await until("the volatile one", () => inbox.items.some(([i]) => i === "soft"));
    }
  });

  it("collects acknowledgements of a broadcast", async (t) => {
    const { sockets, me } = await trio(t);
    await Promise.all(sockets.map((s, i) => call(s, "join", i === 1 ? ["some", "not"] : ["some"])));
    sockets.forEach((s, i) => s.on("poll", (x, y, reply) => reply({ i, x, y }, "ignored")));
    const { error, answers } = await call(me, "emitAck", { to: ["some"], timeout: 5_000 }, "poll", 1, bytes(3));
    assert.equal(error, null);
    assert.deepEqual(answers.sort((a, b) => a.i - b.i), [0, 1, 2].map((i) => ({ i, x: 1, y: bytes(3) })));
    const fewer = await call(me, "emitAck", { to: ["some"], except: ["not"], timeout: 5_000 }, "poll", 2, 3);
    assert.equal(fewer.error, null);
    assert.deepEqual(fewer.answers.map((a) => a.i).sort(), [0, 2]);
    const none = await call(me, "emitAck", { to: ["nobody"], timeout: 5_000 }, "poll", 2, 3);
    assert.deepEqual(none, { error: null, answers: [] });
  });

  it("gets binary and empty acknowledgements of a broadcast", async (t) => {
    const { sockets, me } = await trio(t);
    for (const s of sockets) s.on("poll", (reply) => reply(bytes(70_000)));
    await alone(sockets);
    const { answers } = await call(me, "emitAck", { timeout: 5_000 }, "poll");
    assert.deepEqual(answers, [bytes(70_000), bytes(70_000), bytes(70_000)]);
    for (const s of sockets) s.on("quiet", (reply) => reply());
    const empty = await call(me, "emitAck", { timeout: 5_000 }, "quiet");
    assert.deepEqual(empty, { error: null, answers: [null, null, null] });
  });

  it("fetches sockets with rooms, data and handshake (CLU-R-36)", async (t) => {
    const { sockets, me } = await trio(t);
    for (const [i, s] of sockets.entries()) {
      await call(s, "join", ["fetch", ...(i === 2 ? ["not"] : [])]);
      await call(s, "data", { n: i, deep: [{ x: "é" }] });
    }
    const found = await call(me, "sockets", { to: ["fetch"] });
    const byID = new Map(found.map((s) => [s.id, s]));
    assert.equal(byID.size, 3);
    sockets.forEach((s, i) => {
      const { rooms, data, auth, query } = byID.get(s.id);
      assert.deepEqual(rooms, ["fetch", s.id, ...(i === 2 ? ["not"] : [])].sort());
      assert.deepEqual(data, { n: i, deep: [{ x: "é" }] });
      assert.deepEqual(auth, { from: `n${i + 1}` });
      assert.equal(query.at, `n${i + 1}`);
      assert.equal(query.EIO, "4");
    });
    const fewer = await call(me, "sockets", { to: ["fetch"], except: ["not"] });
    assert.deepEqual(fewer.map((s) => s.id).sort(), sockets.slice(0, 2).map((s) => s.id).sort());
    assert.deepEqual(await call(me, "sockets", { to: ["nobody"] }), []);
  });

  it("emits to the other servers", async (t) => {
    const { sockets, me, others } = await trio(t);
    const noted = sockets.map((s) => new Inbox(s, "noted"));
    await call(me, "serverEmit", "note", 1, { two: [2] }, "three");
    const told = sockets.flatMap((s, i) => (others.includes(s) ? [[noted[i], `n${i + 1}`]] : []));
    for (const [inbox, node] of told) assert.deepEqual(await inbox.first(), { node, args: [1, { two: [2] }, "three"] });
    await fence(me, sockets);
    assert.deepEqual(noted[asker].items, []);
  });

  it("asks the other servers", async (t) => {
    const { me } = await trio(t);
    const { error, answers } = await call(me, "serverEmitAck", "question", "q", { n: 1 });
    assert.equal(error, null);
    const want = [0, 1, 2].filter((i) => i !== asker).map((i) => ({ node: `n${i + 1}`, args: ["q", { n: 1 }] }));
    assert.deepEqual(answers.sort((a, b) => (a.node < b.node ? -1 : 1)), want);
  });

  it("makes sockets join and leave", async (t) => {
    const { sockets, me } = await trio(t);
    await Promise.all(sockets.map((s, i) => call(s, "join", i === 1 ? ["base", "not"] : ["base"])));
    await call(me, "socketsJoin", { to: ["base"], except: ["not"] }, ["x", "y"]);
    await roomsBecome(sockets, (rooms, i) => rooms.includes("x") === (i !== 1) && rooms.includes("y") === (i !== 1));
    await heard(me, { x: [sockets[0], sockets[2]] });
    const got = sockets.map((s) => new Inbox(s, "news"));
    await call(me, "emit", { to: ["x"] }, "news");
    for (const i of [0, 2]) await got[i].next();
    await call(me, "socketsLeave", { to: ["base"] }, "x");
    await roomsBecome(sockets, (rooms, i) => !rooms.includes("x") && rooms.includes("y") === (i !== 1));
  });

  for (const close of [false, true]) {
    it(`disconnects sockets, close ${close}`, async (t) => {
      const { sockets, me, others } = await trio(t);
      await Promise.all(others.map((s) => call(s, "join", ["out"])));
      const spared = await connect(t, cluster.nodes[(asker + 1) % 3].url, { nsp });
      const ends = Promise.all(others.map((s) => event(s, "disconnect")));
      await call(me, "disconnectSockets", { to: ["out"] }, close);
      assert.deepEqual((await ends).map(([reason]) => reason), ["io server disconnect", "io server disconnect"]);
      assert.deepEqual([sockets[asker].connected, await call(spared, "echo", 1)], [true, 1]);
    });
  }

  it("acts on single sockets of other nodes (SIO-K-10)", async (t) => {
    const { me, others } = await trio(t);
    for (const other of others) {
      const target = { to: [other.id] };
      const got = new Inbox(other, "direct");
      await call(me, "remote", target, "emit", "direct", nested());
      assert.deepEqual(await got.first(), nested());
      other.on("sum", (a, b, reply) => reply(a + b));
      assert.deepEqual(await call(me, "remote", target, "ask", 5_000, "sum", 2, 3), { error: null, answers: [5] });
      await call(me, "remote", target, "join", ["far"]);
      await roomsBecome([other], (rooms) => rooms.includes("far"));
      await call(me, "remote", target, "leave", "far");
      await roomsBecome([other], (rooms) => !rooms.includes("far"));
      const end = event(other, "disconnect");
      await call(me, "remote", target, "disconnect", false);
      assert.equal((await end)[0], "io server disconnect");
    }
  });

  it("hears from the others why their clients left", async (t) => {
    const { me, others } = await trio(t);
    await call(me, "join", "watch");
    if (slowJoins) await audible(others[0], [me], "watch");
    const gone = new Inbox(me, "gone");
    for (const other of others) {
      const { id } = other;
      other.disconnect();
      assert.equal(await reasonOf(gone, id), "client namespace disconnect");
    }
    assert.deepEqual(await callAll(me, "echo", "fine"), ["fine"]);
  });
}

// roomsBecome waits until every socket's rooms satisfy the condition: the
// operations on many sockets are not confirmed (SIO-K-03).
function roomsBecome(sockets, condition) {
  return until("the rooms to change", async () => {
    const all = await Promise.all(sockets.map((s) => call(s, "whoami")));
    return all.every((me, i) => condition(me.rooms, i));
  });
}
