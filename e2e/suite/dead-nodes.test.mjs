// Calls across a mixed cluster while a node dies or hangs: they end as soon as
// nobody is left to answer, with what came and the names of those who did not.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Emitter } from "@socket.io/redis-emitter";

import { call, connect, Inbox } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { until } from "../lib/wait.mjs";

const ALIVE = 4_000; // ms; far above what living nodes take, and below any deadline
const DEADLINE = 5_000; // of the nodes under test, when a call has none
const LEASE = 5_000; // of a node that hangs

const GONE = "node: a node has gone";
const LATE = "node: operation has timed out";

describe("calls while a node of a mixed cluster is dead", () => {
  const cluster = useCluster({ kinds: ["fanwire", "fanwire", "official"], balancer: false });
  const spies = [];
  let requests, responses; // those of all nodes, in the main namespace

  // spy hears what nodes publish; patterns do not count as nodes (CLU-R-41).
  const spy = async (pattern) => {
    const client = cluster.redis.client();
    spies.push(client);
    const inbox = new Inbox(client, "pmessageBuffer");
    await client.psubscribe(pattern);
    return inbox;
  };
  before(async () => {
    requests = await spy("socket.io-request#/#*");
    responses = await spy("socket.io-response#/#*");
  });
  after(() => spies.forEach((client) => client.disconnect()));

  // clients opens one on each node, and on the first those that ask: the handlers of
  // one client run one after the other.
  const clients = async (t) => {
    const open = (node) => connect(t, node.url);
    const sockets = await Promise.all(cluster.nodes.map(open));
    await Promise.all(sockets.map((s) => call(s, "join", ["all"])));
    sockets.forEach((s, i) => s.on("poll", (reply) => reply(`n${i + 1}`)));
    const [fetch, emit, server] = await Promise.all([0, 0, 0].map((i) => open(cluster.nodes[i])));
    return { sockets, fetch, emit, server };
  };

  // ask makes every kind of call at once. It gives each call's outcome, the answers
  // by who they are from, and when it came.
  const ask = async ({ sockets, fetch, emit, server }, timeout = DEADLINE) => {
    const target = { to: ["all"], timeout };
    const nodes = new Map(sockets.map((s, i) => [s.id, `n${i + 1}`]));
    const outcome = async (from, socket, ...args) => {
      const { error, answers } = await call(socket, ...args);
      return { error, answers: answers.map(from).sort(), at: Date.now() };
    };
    const [fetched, acked, told] = await Promise.all([
      outcome(({ id }) => nodes.get(id), fetch, "fetch", target),
      outcome((id) => id, emit, "emitAck", target, "poll"),
      outcome(({ node }) => node, server, "serverEmitAck", "question"),
    ]);
    return { fetch: fetched, emit: acked, server: told };
  };

  // stopped runs f while a node hangs. A node that f has killed stays dead.
  const stopped = async ({ process }, f) => {
    await process.freeze();
    try {
      return await f();
    } finally {
      process.thaw();
    }
  };

  // whole waits until everybody answers everything, and the first node knows the
  // second by name: one that has just started has none yet.
  const whole = (all) => until("a whole cluster", async () => {
    const { fetch, emit, server } = await ask(all, ALIVE);
    const answered = [fetch, emit, server].every(({ error }) => error === null);
    if (!answered || fetch.answers.length !== 3 || emit.answers.length !== 3 || server.answers.length !== 2) return false;
    const { error } = await stopped(cluster.nodes[1], () => call(all.fetch, "fetch", { timeout: 200 }));
    return error?.includes("(not n2)");
  });

  // mortal brings a node back, should the test kill it.
  const mortal = (t, node) => t.after(async () => {
    if (!node.process.ended) return;
    await node.restart();
    await cluster.joined();
  });

  // between tells that every call ended between two times after start.
  const between = (outcomes, start, min, max) => {
    for (const [name, { at }] of Object.entries(outcomes)) {
      assert.ok(at - start >= min && at - start < max, `${name} took ${at - start} ms, not ${min} to ${max}`);
    }
  };

  const results = (outcomes) => Object.fromEntries(Object.entries(outcomes).map(([name, { error, answers }]) => [name, { error, answers }]));

  // partial is what the calls give when the one node does not answer.
  const partial = (node, missing, reason) => {
    const others = ["n1", "n2", "n3"].filter((id) => id !== node);
    return {
      fetch: { error: `node: fetch sockets: 1 of 2 answered (not ${missing}): ${reason}`, answers: others },
      emit: { error: `node: call: 2 of ? answered (not ${missing}): ${reason}`, answers: others },
      server: { error: `node: server event: 1 of 2 answered (not ${missing}): ${reason}`, answers: others.slice(1) },
    };
  };

  const UNNAMED = "1 without a known id";

  it("an emitter is no node", async (t) => {
    const all = await clients(t);
    await whole(all);
    const client = cluster.redis.client();
    t.after(() => client.disconnect());
    const got = all.sockets.map((s) => new Inbox(s, "news"));
    new Emitter(client).emit("news", 1);
    for (const inbox of got) await inbox.next();
    const start = Date.now();
    const outcomes = await ask(all);
    between(outcomes, start, 0, ALIVE);
    assert.deepEqual(results(outcomes), {
      fetch: { error: null, answers: ["n1", "n2", "n3"] },
      emit: { error: null, answers: ["n1", "n2", "n3"] },
      server: { error: null, answers: ["n2", "n3"] },
    });
  });

  it("an official node that hangs is awaited until the deadline", async (t) => {
    const all = await clients(t);
    await whole(all);
    const start = Date.now();
    const outcomes = await stopped(cluster.nodes[2], () => ask(all));
    between(outcomes, start, DEADLINE - 200, DEADLINE + ALIVE);
    assert.deepEqual(results(outcomes), partial("n3", UNNAMED, LATE));
  });

  it("a node under test that hangs is awaited until its lease ends", async (t) => {
    const all = await clients(t);
    await whole(all);
    const start = Date.now();
    const { server, ...bounded } = await stopped(cluster.nodes[1], () => ask(all, 3 * LEASE));
    between(bounded, start, LEASE / 2, LEASE + ALIVE);
    const { server: late, ...gone } = partial("n2", "n2", GONE);
    assert.deepEqual(results(bounded), gone);
    between({ server }, start, LEASE / 2, DEADLINE + ALIVE); // the lease and its deadline end together
    assert.deepEqual({ ...results({ server }).server, error: server.error.replace(LATE, GONE) }, late);
  });

  // VICTIMS are nodes by index and what they are called.
  const VICTIMS = [[1, "a node under test", "n2"], [2, "an official node", UNNAMED]];

  for (const [index, title, missing] of VICTIMS) {
    it(`${title} that is killed is not awaited`, async (t) => {
      const all = await clients(t);
      await whole(all);
      const node = cluster.nodes[index];
      mortal(t, node);
      const { start, outcomes } = await stopped(node, async () => {
        requests.items.length = 0;
        const pending = ask(all);
        await requests.take(3); // so it is one of those that are awaited
        const start = Date.now();
        await node.kill();
        return { start, outcomes: await pending };
      });
      assert.deepEqual(results(outcomes), partial(node.id, missing, GONE));
      between(outcomes, start, 0, ALIVE);
    });

    it(`clients of ${title} that is killed are not awaited`, async (t) => {
      const all = await clients(t);
      await whole(all);
      const node = cluster.nodes[index];
      mortal(t, node);
      all.sockets[index].off("poll");
      const got = new Inbox(all.sockets[index], "poll");
      responses.items.length = 0;
      const pending = call(all.emit, "emitAck", { to: ["all"], timeout: DEADLINE }, "poll");
      await got.next();
      const counts = () => responses.items.filter(([, , message]) => message.includes('"clientCount"'));
      await until("both nodes to tell how many clients they ask", () => counts().length === 2);
      const start = Date.now();
      await node.kill();
      const { error, answers } = await pending;
      between({ emit: { at: Date.now() } }, start, 0, ALIVE);
      assert.deepEqual([error, answers.sort()], [`node: call: 2 of 3 answered (not ${missing}): ${GONE}`, ["n1", "n2", "n3"].toSpliced(index, 1)]);
    });
  }
});
