// `fanwire emit` to a mixed cluster: two Fanwire nodes and an official one. And the
// official emitter beside it: the same calls are the same bytes in Redis.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Emitter } from "@socket.io/redis-emitter";

import { call, connect, Inbox } from "../lib/client.mjs";
import { Cluster, useCluster } from "../lib/cluster.mjs";
import { emit } from "../lib/emit.mjs";
import { RedisCluster } from "../lib/redis.mjs";
import { bytes } from "../lib/values.mjs";
import { event, until } from "../lib/wait.mjs";

const dir = mkdtempSync(join(tmpdir(), "fanwire-emit-"));
after(() => rmSync(dir, { recursive: true }));

// file makes one of n bytes.
function file(n) {
  const path = join(dir, String(n));
  writeFileSync(path, bytes(n));
  return path;
}

// CASES are what the nodes run with, and what the command is told of it.
const CASES = {
  classic: { options: {}, args: [] },
  sharded: { options: { adapter: "sharded" }, args: ["--adapter", "sharded"] },
  streams: { options: { adapter: "streams" }, args: ["--adapter", "streams"] },
};

for (const [name, { options, args }] of Object.entries(CASES)) {
  describe(`fanwire emit, ${name}`, () => suite(options, args));
}

describe("fanwire emit, sharded on a Redis Cluster", () => {
  suite({ adapter: "sharded", redis: RedisCluster, kinds: ["fanwire", "fanwire", "fanwire"] }, ["--adapter", "sharded", "--redis-cluster"], true);
});

// suite defines the tests. With looseOrder, order holds for each room only: their
// channels are on several servers.
function suite(options, common, looseOrder = false) {
  const cluster = useCluster({ kinds: ["fanwire", "official", "fanwire"], balancer: false, ...options });

  // run sends, which must succeed in silence.
  const run = async (args, options) => {
    assert.deepEqual(await emit(cluster.redis, [...common, ...args], options), { code: 0, stdout: "", stderr: "" });
  };

  // trio opens a client on each node, in room all and a room of its own.
  const trio = (t, nsp = "/") => Promise.all(cluster.nodes.map(async ({ url, id }) => {
    const socket = await connect(t, url, { nsp });
    await call(socket, "join", ["all", id]);
    return socket;
  }));

  // settle waits until all have a last event.
  const settle = async (sockets, nsp = "/") => {
    const name = `settled-${Math.random()}`;
    const seen = Promise.all(sockets.map((s) => event(s, name)));
    await run(["-n", nsp, name]);
    await seen;
  };

  // inOrder gives what came, in the order in which it was sent.
  const inOrder = (came, sent) => (looseOrder ? came.toSorted((a, b) => sent.indexOf(a) - sent.indexOf(b)) : came);

  it("reaches everybody, a room, several rooms, all but a room, one client", async (t) => {
    const sockets = await trio(t);
    const got = sockets.map((s) => new Inbox(s, "news"));
    await run(["news", "=everybody"]);
    await run(["news", "=room", "--room", "all"]);
    await run(["news", "=n2", "-r", "n2"]);
    await run(["news", "=n1 n3", "-r", "n1", "-r", "n3", "--volatile", "--no-compress"]);
    await run(["news", "=not n1", "--except", "n1"]);
    await run(["news", "=not n2", "-r", "all", "-x", "n2"]);
    await run(["news", "=by id", `--room=${sockets[2].id}`]); // it may begin with a dash
    await settle(sockets);
    const want = [
      ["everybody", "room", "n1 n3", "not n2"],
      ["everybody", "room", "n2", "not n1"],
      ["everybody", "room", "n1 n3", "not n1", "not n2", "by id"],
    ];
    await until("everything", () => got.every((inbox, i) => inbox.items.length >= want[i].length));
    const sent = ["everybody", "room", "n2", "n1 n3", "not n1", "not n2", "by id"];
    assert.deepEqual(got.map((inbox) => inOrder(inbox.items.map(([x]) => x), sent)), want);
  });

  it("carries JSON, strings, files and standard input", async (t) => {
    const sockets = await trio(t);
    const got = sockets.map((s) => new Inbox(s, "news"));
    const value = { a: [1, null, true, "é😀"], n: -5 };
    await run(["news", JSON.stringify(value), `@${file(100_000)}`, "=text", "-"], { input: "[1.5]\n" });
    for (const inbox of got) assert.deepEqual(await inbox.next(), [value, bytes(100_000), "text", [1.5]]);
    await run(["-r", "all", "news", "@-"], { input: bytes(1000, 2) });
    for (const inbox of got) assert.deepEqual(await inbox.next(), [bytes(1000, 2)]);
  });

  it("reaches a namespace and only that", async (t) => {
    const chat = await trio(t, "/chat");
    const root = await trio(t);
    const got = [...chat, ...root].map((s) => new Inbox(s, "news"));
    await run(["-n", "chat", "-r", "all", "news", "1"]);
    await run(["-n", "/chat", "news", "2"]);
    await settle(chat, "/chat");
    await settle(root);
    await until("both", () => got.slice(0, 3).every((inbox) => inbox.items.length >= 2));
    assert.deepEqual(got.map((inbox) => inbox.items.length), [2, 2, 2, 0, 0, 0]);
  });

  it("makes sockets join and leave", async (t) => {
    const sockets = await trio(t);
    const inRoom = (room, expected) => until(`${expected} in ${room}`, async () => {
      const all = await Promise.all(sockets.map((s) => call(s, "whoami")));
      return all.filter((me) => me.rooms.includes(room)).map((me) => me.node).join(" ") === expected;
    });
    await run(["-r", "all", "-x", "n2", "--join", "extra", "--join", "more,or less"]);
    await inRoom("extra", "n1 n3");
    await inRoom("more,or less", "n1 n3");
    await run(["-r", "n3", "--leave", "extra"]);
    await inRoom("extra", "n1");
    await run(["--leave", "extra", "--leave", "more,or less"]);
    await inRoom("extra", "");
    await inRoom("more,or less", "");
  });

  for (const close of [[], ["--close"]]) {
    it(`disconnects sockets ${close}`, async (t) => {
      const sockets = await trio(t);
      for (const i of [0, 1]) {
        const end = event(sockets[i], "disconnect");
        await run(["-r", `n${i + 1}`, "--disconnect", ...close]);
        assert.equal((await end)[0], "io server disconnect");
      }
      await settle([sockets[2]]);
      assert.deepEqual(sockets.map((s) => s.connected), [false, false, true]);
    });
  }

  it("emits to the servers", async (t) => {
    const sockets = await trio(t);
    const noted = sockets.map((s) => new Inbox(s, "noted"));
    await run(["--server", "note", "1", '{"two":2}']);
    for (const [i, inbox] of noted.entries()) assert.deepEqual(await inbox.first(), { node: `n${i + 1}`, args: [1, { two: 2 }] });
  });

  it("says what it did, if asked, and what went wrong", async () => {
    const said = await emit(cluster.redis, [...common, "-v", "-r", "all", "news", "1"]);
    assert.deepEqual(said, { code: 0, stdout: 'sent "news", arguments: 1, to the clients in "all" of /\n', stderr: "" });
    const wrong = await emit(cluster.redis, [...common, "news", "text"]);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /^fanwire: .*argument 1 is not JSON: text/);
    const away = await emit(cluster.redis, [...common, "--redis", "127.0.0.1:1", "--timeout", "1s", "news"]);
    assert.equal(away.code, 1);
    assert.match(away.stderr, /^fanwire: redis: emit: .*connection refused\n$/);
    const secret = await emit(cluster.redis, ["news"], { env: { FANWIRE_REDIS: "redis://:hidden@127.0.0.1:port" } });
    assert.equal(secret.code, 1);
    assert.doesNotMatch(secret.stderr, /hidden/);
  });
}

for (const [name, { options, args }] of Object.entries(CASES)) {
  it(`fanwire emit, ${name}: who was away gets what was sent`, async (t) => {
    const cluster = new Cluster({ ...options, kinds: ["fanwire", "fanwire"], flags: ["--recovery", "60000"], balancer: false });
    await cluster.start();
    t.after(() => cluster.stop());
    const run = async (...more) => assert.equal((await emit(cluster.redis, [...args, ...more])).code, 0);
    const socket = await connect(t, cluster.nodes[0].url, { reconnection: false });
    const other = await connect(t, cluster.nodes[1].url);
    const { id } = socket;
    await call(socket, "join", ["r1"]);
    const got = new Inbox(socket, "news");
    await run("news", "0");
    await got.take();
    await cluster.redis.kept(options.adapter ?? "classic", [socket], "r1");
    for (let round = 1; round <= 3; round++) {
      const gone = event(socket, "disconnect");
      socket.io.engine.close();
      await gone;
      await until("the server to see the loss", async () => (await call(other, "sockets", { from: "io", to: [id] })).length === 0);
      await run("news", String(round), "=all");
      await run("news", String(round), `@${file(300)}`, "-r", "r1");
      await run("news", String(round), "=volatile", "--volatile");
      await run("news", String(round), "=excepted", "-x", "r1");
      await run("news", String(round), "=id", `--room=${id}`); // it may begin with a dash
      socket.io.uri = cluster.nodes[round % 2].url;
      const connected = event(socket, "connect");
      socket.connect();
      await connected;
      assert.deepEqual([socket.recovered, socket.id], [true, id]);
      await run("news", String(round), "=live");
      const items = (await got.take(4)).map((all) => all.slice(0, 2)); // without the offset
      assert.deepEqual(items, [[round, "all"], [round, bytes(300)], [round, "id"], [round, "live"]]);
    }
  });
}

describe("fanwire emit beside the official emitter", () => {
  const cluster = useCluster({ kinds: ["fanwire"], balancer: false });
  let publisher;
  let ear;
  const heard = [];
  before(async () => {
    publisher = cluster.redis.client();
    ear = cluster.redis.client();
    await ear.psubscribe("socket.io*");
    ear.on("pmessageBuffer", (_, channel, message) => heard.push([channel.toString(), message.toString("latin1")]));
  });
  after(() => {
    publisher.disconnect();
    ear.disconnect();
  });

  // CALLS are calls of the official emitter and their command lines.
  const value = { k: [true, null, 1.5, -5, 300, 1e10, "é😀"], n: {} };
  const CALLS = [
    [(e) => e.emit("e"), ["e"]],
    [(e) => e.emit("e", 1, value, "x"), ["e", "1", JSON.stringify(value), "=x"]],
    [(e) => e.to("r1").emit("e", bytes(300), 1), ["-r", "r1", "e", `@${file(300)}`, "1"]],
    [(e) => e.to(["r1", "r2"]).to("r1").except(["x", "röm"]).emit("e"), ["-r", "r1", "-r", "r2", "-r", "r1", "-x", "x", "-x", "röm", "e"]],
    [(e) => e.of("chat").to("röm #*").emit("e"), ["-n", "chat", "-r", "röm #*", "e"]],
    [(e) => e.volatile.compress(false).emit("e"), ["--volatile", "--no-compress", "e"]],
    [(e) => e.in("r1").except("x").socketsJoin(["a", "b"]), ["-r", "r1", "-x", "x", "--join", "a", "--join", "b"]],
    [(e) => e.socketsLeave("a"), ["--leave", "a"]],
    [(e) => e.of("/chat").in("r1").disconnectSockets(true), ["-n", "/chat", "-r", "r1", "--disconnect", "--close"]],
    [(e) => e.disconnectSockets(), ["--disconnect", "--all"]],
    [(e) => e.serverSideEmit("e", 1, value, "</script>\n"), ["--server", "e", "1", JSON.stringify(value), "=</script>\n"]],
  ];

  for (const [official, args] of CALLS) {
    it(`sends the same bytes: ${args.join(" ")}`, async () => {
      heard.length = 0;
      official(new Emitter(publisher));
      await until("the official emitter's message", () => heard.length === 1);
      assert.equal((await emit(cluster.redis, args)).code, 0);
      await until("the command's message", () => heard.length === 2);
      assert.deepEqual(heard[1], heard[0]);
    });
  }
});
