// Connection state recovery: a client that lost its connection comes back as the
// one it was, with everything it has missed, once and in order (socketio.md,
// section 14).

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import msgpack from "socket.io-msgpack-parser";

import { call, connect, connected, fence, Inbox, MODES } from "../lib/client.mjs";
import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { event, until } from "../lib/wait.mjs";

const FLAGS = ["--recovery", "60000"];

// cut ends the client's connection. It stays away until it is told to connect.
async function cut(socket) {
  const gone = event(socket, "disconnect");
  socket.io.engine.close();
  await gone;
}

// unseen waits until the server knows that a client has gone.
async function unseen(other, id) {
  await until("the server to see the loss", async () => {
    const found = await call(other, "sockets", { from: "io", to: [id] });
    return found.length === 0;
  });
}

// isSettled tells whether a client is done with its upgrade.
function isSettled(socket) {
  const { transports } = socket.io.opts;
  return socket.connected && socket.io.engine.transport.name === transports.at(-1);
}

async function back(socket) {
  socket.connect();
  await connected(socket);
}

describe("recovery on one node", () => {
  const cluster = useCluster({ kinds: [SUBJECT], redis: false, balancer: false, flags: FLAGS });
  const both = (t, mode) => Promise.all([
    connect(t, cluster.nodes[0].url, { reconnection: false, mode }),
    connect(t, cluster.nodes[0].url),
  ]);

  for (const mode of Object.keys(MODES)) {
    it(`brings what was missed, ten times, over ${mode}`, async (t) => {
      const [socket, other] = await both(t, mode);
      const { id } = socket;
      await call(socket, "join", ["r1"]);
      await call(socket, "data", { name: "bob" });
      await fence(other, [socket]); // it has an offset
      const got = new Inbox(socket, "news");
      for (let round = 1; round <= 10; round++) {
        await cut(socket);
        await unseen(other, id);
        await call(other, "emit", { from: "io" }, "news", round, "all");
        await call(other, "emit", { from: "io", to: ["r1"] }, "news", round, Buffer.from("room"));
        await call(other, "emit", { from: "socket", to: [id] }, "news", round, "id");
        await call(other, "emit", { from: "io", to: ["r2"] }, "news", round, "another room");
        await call(other, "emit", { from: "io", except: ["r1"] }, "news", round, "excepted");
        await call(other, "emit", { from: "io", volatile: true }, "news", round, "volatile");
        await call(other, "emitAck", { from: "io", to: ["r1"], timeout: 50 }, "news", round, "with ack");
        await back(socket);
        assert.equal(socket.recovered, true);
        assert.equal(socket.id, id);
        const { rooms } = await call(socket, "whoami");
        assert.deepEqual(rooms, [id, "r1"].sort());
        const [self] = await call(other, "sockets", { from: "io", to: [id] });
        assert.deepEqual(self.data, { name: "bob" });
        await fence(other, [socket]);
        const items = got.items.splice(0).map((args) => args.slice(0, 2)); // without the offset
        assert.deepEqual(items, [[round, "all"], [round, Buffer.from("room")], [round, "id"]]);
      }
    });
  }

  it("is not for a client that has left", async (t) => {
    const [socket, other] = await both(t);
    const { id } = socket;
    await fence(other, [socket]);
    socket.disconnect();
    await unseen(other, id);
    await back(socket);
    assert.equal(socket.recovered, false);
    assert.notEqual(socket.id, id);
  });

  for (const close of [false, true]) {
    it(`is not for a client that was sent away (close ${close})`, async (t) => {
      const [socket, other] = await both(t);
      const { id } = socket;
      await fence(other, [socket]);
      const gone = event(socket, "disconnect");
      socket.emit("bye", close, () => {});
      await gone;
      await unseen(other, id);
      await back(socket);
      assert.equal(socket.recovered, false);
      assert.notEqual(socket.id, id);
    });
  }

  it("keeps acknowledged events apart", async (t) => {
    const [socket, other] = await both(t);
    await fence(other, [socket]);
    socket.on("question", (text, reply) => reply(text));
    assert.deepEqual(await call(socket, "ask", 5_000, "question", "a string"), { error: null, answers: ["a string"] });
    const { id } = socket;
    await cut(socket);
    await unseen(other, id);
    await back(socket);
    assert.equal(socket.recovered, true);
  });

  // What the official server does not do.
  const ours = { skip: SUBJECT === "official" };

  it("works for a client that is back before the server has seen the loss", ours, async (t) => {
    const [socket, other] = await both(t);
    await fence(other, [socket]);
    const { id } = socket;
    await cut(socket);
    await back(socket);
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
  });

  it("works for a client that has got nothing yet", ours, async (t) => {
    const socket = await connect(t, cluster.nodes[0].url, { nsp: "/chat", reconnection: false });
    await cut(socket);
    await back(socket);
    assert.equal(socket.recovered, true);
  });

  it("is not spoilt by a volatile event that ends with a string", ours, async (t) => {
    const [socket, other] = await both(t);
    await fence(other, [socket]);
    const got = event(socket, "v");
    await call(other, "emit", { from: "io", volatile: true }, "v", "not an offset");
    await got;
    await cut(socket);
    await back(socket);
    assert.equal(socket.recovered, true);
  });
});

describe("recovery with the msgpack parser", () => {
  const cluster = useCluster({ kinds: [SUBJECT], redis: false, balancer: false, flags: [...FLAGS, "--parser", "msgpack"] });

  it("brings what was missed", async (t) => {
    const url = cluster.nodes[0].url;
    const socket = await connect(t, url, { reconnection: false, parser: msgpack });
    const other = await connect(t, url, { parser: msgpack });
    await fence(other, [socket]);
    const got = new Inbox(socket, "news");
    const { id } = socket;
    await cut(socket);
    await unseen(other, id);
    await call(other, "emit", { from: "io" }, "news", { text: "x", bytes: Buffer.from([1, 2]) });
    await back(socket);
    assert.equal(socket.recovered, true);
    await fence(other, [socket]);
    assert.equal(got.items.length, 1);
    assert.equal(got.items[0][0].text, "x");
    assert.deepEqual(Buffer.from(got.items[0][0].bytes), Buffer.from([1, 2]));
  });
});

// Load is publishers on two nodes that number what they send.
class Load {
  constructor(publishers) {
    this.sent = publishers.map(() => 0);
    this.running = publishers.map(async (socket, i) => {
      while (!this.over) {
        await call(socket, "emit", { from: "io", to: i % 2 ? ["listeners"] : [] }, "n", i, ++this.sent[i]);
      }
      await call(socket, "emit", { from: "io" }, "n", i, ++this.sent[i], "last");
    });
  }

  async stop() {
    this.over = true;
    await Promise.all(this.running);
  }
}

// Witness checks that what a client gets has no hole and nothing twice.
class Witness {
  constructor(socket, publishers) {
    this.last = Array(publishers).fill(0);
    this.errors = [];
    this.recoveries = 0;
    this.ended = 0;
    this.ids = new Set([socket.id]);
    socket.on("n", (i, n, mark) => {
      if (n !== this.last[i] + 1) this.errors.push([i, this.last[i], n, this.recoveries, socket.io.opts.transports.join()]);
      this.last[i] = n;
      if (mark === "last") this.ended++;
    });
    socket.on("connect", () => {
      this.ids.add(socket.id);
      if (socket.recovered) this.recoveries++;
      else this.errors.push("a new session");
    });
  }
}

for (const adapter of ["classic", "sharded", "streams"]) {
  describe(`recovery on another node (${adapter})`, { skip: SUBJECT === "official" }, () => {
    const cluster = useCluster({ adapter, flags: [...FLAGS, "--quiet"] });

    it("brings everything after a node was killed, and after ten cuts, under load", { timeout: 120_000 }, async (t) => {
      const clients = await Promise.all([...Array(12).keys()].map((i) => connect(t, cluster.url, {
        mode: Object.keys(MODES)[i % 3], reconnectionDelay: 20, reconnectionDelayMax: 100,
      })));
      await Promise.all(clients.map((socket) => call(socket, "join", ["listeners"])));
      const publishers = await Promise.all([0, 2, 2].map((i) => connect(t, cluster.nodes[i].url)));
      await fence(publishers[0], clients);
      await cluster.redis.kept(adapter, clients, "listeners");
      const witnesses = clients.map((socket) => new Witness(socket, publishers.length));
      const load = new Load(publishers);
      await until("some traffic", () => witnesses.every((w) => w.last.every((n) => n > 50)));
      for (let round = 0; round < 10; round++) {
        const before = witnesses.map((w) => w.recoveries);
        const isBack = (i) => witnesses[i].recoveries > before[i] || witnesses[i].errors.length > 0;
        if (round === 3 || round === 7) {
          const nodes = await Promise.all(clients.map((socket) => call(socket, "whoami").then(({ node }) => node)));
          await cluster.nodes[1].kill();
          await until("its clients to be back", () => nodes.every((node, i) => node !== "n2" || isBack(i)));
          await cluster.nodes[1].restart();
          continue;
        }
        // A close during the upgrade delivers events to a client that is not connected any
        // more: it keeps them and takes them twice, whatever the server does.
        await until("all to be on their transports", () => clients.every(isSettled));
        clients.forEach((socket) => socket.io.engine.close());
        await until("all to be back", () => clients.every((_, i) => isBack(i)));
      }
      await load.stop();
      await until("the last events", () => witnesses.every((w) => w.ended === publishers.length || w.errors.length));
      witnesses.forEach((w) => {
        assert.deepEqual(w.errors, []);
        assert.equal(w.ids.size, 1);
        assert.deepEqual(w.last, load.sent);
      });
      assert.ok(witnesses.every((w) => w.recoveries >= 8), `${witnesses.map((w) => w.recoveries)}`);
    });
  });
}
