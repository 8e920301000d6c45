// What every recipe of docs/balancers must do, in front of three gateways as users
// run them: clients of every kind come in and talk, a node dies, and all nodes are
// replaced. The suite has a file for each program.

import assert from "node:assert/strict";
import { Agent } from "node:http";
import { describe, it } from "node:test";

import { Balancer } from "./balancer.mjs";
import { connected, Inbox, MODES, open } from "./client.mjs";
import { Gateways } from "./gateways.mjs";
import { Polling } from "./raw.mjs";
import { until } from "./wait.mjs";

const PER_MODE = 4; // clients
const WAIT = 60_000; // ms; a bound for what takes a second or two

// Client is an official client with an address of its own, and what happened to it.
class Client {
  constructor(t, url, mode, number, withCredentials) {
    this.mode = mode;
    this.address = `127.2.0.${number + 1}`;
    const agent = new Agent({ localAddress: this.address, keepAlive: false }); // else some would hang: docs/balancing.md, Apache
    t.after(() => agent.destroy());
    this.socket = open(t, url, { mode, withCredentials, agent });
    this.said = new Inbox(this.socket, "say");
    this.ends = new Inbox(this.socket, "disconnect");
    this.refusals = new Inbox(this.socket, "connect_error");
    this.anew = 0; // times it came in as a new one
    this.socket.on("connect", () => (this.anew += this.socket.recovered ? 0 : 1));
    this.told = []; // for the failure
    this.socket.on("connect", () => this.told.push(`+ ${this.node}, recovered ${this.socket.recovered}, had ${this.said.items.length}`));
    this.socket.on("disconnect", (reason) => this.told.push(`- ${reason}, had ${this.said.items.length}`));
    this.socket.on("connect_error", (error) => this.told.push(`! ${error.message}`));
  }

  get node() {
    return this.socket.io.engine.id?.split(".").at(-1);
  }

  // settled tells whether the client is connected and not about to change its transport.
  // One whose upgrade met a node that was just ending stays on polling.
  get settled() {
    return this.socket.connected && !this.socket.io.engine.upgrading;
  }

  get arrived() {
    return this.settled && this.socket.io.engine.transport.name === MODES[this.mode].at(-1);
  }
}

let talks = 0;

// Talk has clients say words that everybody must hear.
class Talk {
  constructor(clients) {
    this.clients = clients;
    this.name = ++talks;
    this.sent = 0;
    this.taken = []; // by a node, which has said so: they must arrive
  }

  // round lets each client say something. It does not wait for the answers: one on
  // its way to another node sends later.
  round() {
    for (const { socket } of this.clients) {
      const n = `${this.name}.${this.sent++}`;
      socket.emit("say", n, () => this.taken.push(n));
    }
  }

  // during goes on, twice a second, until what it is given has ended.
  async during(promise) {
    this.round();
    const timer = setInterval(() => this.round(), 500);
    try {
      return await promise;
    } finally {
      clearInterval(timer);
    }
  }

  // whole tells whether there was a round that was taken and that everybody heard.
  whole() {
    const heard = this.clients.map(({ said }) => new Set(said.items.map(([n]) => n)));
    const all = (n) => this.taken.includes(n) && heard.every((one) => one.has(n));
    const { length } = this.clients;
    for (let first = 0; first + length <= this.sent; first += length) {
      if (this.clients.every((_, i) => all(`${this.name}.${first + i}`))) return true;
    }
    return false;
  }

  // heard waits until everybody has heard everything that was taken, once; but for
  // those who could not be continued.
  async heard() {
    const lacks = ({ said }) => {
      const heard = new Set(said.items.map(([n]) => n));
      return this.taken.filter((n) => !heard.has(n));
    };
    const poor = () => this.clients.filter((client) => client.anew === 1 && lacks(client).length > 0);
    await until("everybody to hear everything", () => poor().length === 0, WAIT)
      .catch((error) => assert.fail(`${error.message}: ${JSON.stringify(poor().map((client) => [client.mode, lacks(client), client.told]))}`));
    for (const { mode, said } of this.clients) assert.equal(new Set(said.items.map(([n]) => n)).size, said.items.length, `${mode}: some words came twice`);
  }
}

// story is what happened, for the diagnosis: how many ended how, and were refused.
function story(clients) {
  const counts = {};
  for (const { mode, ends, refusals } of clients) {
    for (const what of [...ends.items.map(([reason]) => reason), ...refusals.items.map(([error]) => error.message)]) {
      counts[`${mode}: ${what}`] = (counts[`${mode}: ${what}`] ?? 0) + 1;
    }
  }
  return JSON.stringify(counts);
}

function forget(clients) {
  for (const { ends, refusals } of clients) ends.items.length = refusals.items.length = 0;
}

// uses waits until new sessions that come through the balancer get to a node.
function uses(url, id) {
  return until(`new sessions on ${id}`, async () => {
    const session = await Polling.open(url).catch(() => undefined);
    await session?.post("1").catch(() => {});
    return session?.handshake.sid.endsWith(`.${id}`);
  }, WAIT);
}

// recipes tests those of one program, all at once. number keeps the programs' nodes
// apart from each other.
export function recipes(program, number) {
  describe(`${program} in front of three nodes`, { concurrency: 3 }, () => {
    ["cookie", "sid", "roundrobin"].forEach((way, i) => {
      it(way, { timeout: 10 * WAIT }, (t) => new Recipe(program, way, 3 * number + i).run(t));
    });
  });
}

class Recipe {
  constructor(program, way, number) {
    this.program = program;
    this.way = way;
    this.gateways = new Gateways(number, {
      socketio: { recovery: "2m", ...(program === "nginx" && way === "cookie" && { cookie: "io" }) },
      // The delay is longer than the checks of any recipe need to see it.
      drain: { delay: "3s", spread: "1s", timeout: "30s", ...(program === "haproxy" && { not_ready_status: 404 }) },
    });
  }

  async run(t) {
    t.after(async () => {
      for (const { socket } of this.clients ?? []) socket.disconnect();
      await this.gateways.kill();
      await this.balancer?.stop();
    });
    await this.gateways.start();
    this.balancer = await Balancer.start(this.gateways.nodes, `${this.program}-${this.way}`);
    await this.comeIn(t);
    await this.talk();
    await this.loseNode(t);
    await this.replaceNodes(t);
  }

  async comeIn(t) {
    const modes = Object.keys(MODES).flatMap((mode) => Array(PER_MODE).fill(mode));
    this.clients = modes.map((mode, i) => new Client(t, this.balancer.url, mode, i, this.way === "cookie"));
    await Promise.all(this.clients.map(({ socket }) => connected(socket)));
    await until("all clients on their transports", () => this.clients.every((client) => client.arrived), WAIT);
    this.healed();
    for (const { mode, refusals } of this.clients) assert.deepEqual(refusals.items, [], mode);
    await this.known();
    const nodes = new Set(this.clients.map((client) => client.node));
    assert.ok(nodes.size > 1, `all on ${[...nodes]}`);
  }

  // known waits until the nodes tell of each client what it is: where, by what
  // transport, and from its own address.
  async known() {
    const seen = async () => {
      const sockets = new Map((await this.gateways.sockets()).map((socket) => [socket.id, socket]));
      return this.clients.map(({ socket }) => sockets.get(socket.id)).map((s) => `${s?.node} ${s?.transport} ${s?.handshake.address}`);
    };
    const expected = this.clients.map(({ node, mode, address }) => `${node} ${MODES[mode].at(-1)} ${address}`);
    await until("the nodes to know who is where", async () => (await seen()).join() === expected.join(), WAIT)
      .catch(async () => assert.deepEqual(await seen(), expected));
  }

  async talk() {
    this.words = new Talk(this.clients);
    this.words.round();
    await until("all answers", () => this.words.taken.length === this.words.sent, WAIT);
    await this.words.heard();
  }

  // talkOn goes on until everybody hears everybody again.
  async talkOn() {
    const words = new Talk(this.clients);
    await words.during(until("a round that everybody hears", () => words.whole(), WAIT));
    this.words = new Talk(this.clients);
  }

  async loseNode(t) {
    const { clients, words } = this;
    const nodes = clients.map((client) => client.node);
    const victim = this.gateways.nodes.find(({ id }) => id === nodes[0]);
    await words.during((async () => {
      await victim.kill();
      await this.without(victim);
    })());
    // Without stickiness an answer to a poll may have been on its way through the
    // dead node: that is lost, and what was said then is not asked for.
    if (this.way === "roundrobin") await this.talkOn();
    else await words.heard();
    await this.back();
    const others = clients.filter((_, i) => nodes[i] !== victim.id);
    t.diagnostic(`killed: ${story(clients.filter((_, i) => nodes[i] === victim.id))}; others: ${story(others)}`);
    this.healed();
    // On a machine that is too busy to answer a check in time a client's cookie may have
    // been moved to another node, which then handed its requests on: few, if at all.
    const disturbed = others.filter(({ ends }) => ends.items.length > 0);
    if (this.way !== "roundrobin") assert.ok(disturbed.length <= others.length / 4, story(disturbed));
    forget(clients);
    await victim.start();
    await uses(this.balancer.url, victim.id);
  }

  async replaceNodes(t) {
    const { clients, words } = this;
    const ids = clients.map(({ socket }) => socket.id);
    for (const node of this.gateways.nodes) {
      await words.during((async () => {
        assert.deepEqual(await node.stop(), { code: 0, signal: null });
        await this.without(node);
        await node.start();
        await uses(this.balancer.url, node.id);
      })());
    }
    await words.heard();
    await this.back();
    t.diagnostic(`replaced: ${story(clients)}`);
    this.healed();
    // A node that believes to have missed events has its clients come in anew, which
    // may happen to one on a busy machine. Recovery itself has tests of its own.
    const same = clients.filter(({ socket }, i) => socket.id === ids[i]);
    assert.ok(same.length > 0, "nobody recovered");
    if (same.length < clients.length) t.diagnostic(`${clients.length - same.length} came in anew`);
  }

  // without waits until all clients are settled on other nodes.
  without(node) {
    return until(`everybody to be elsewhere than on ${node.id}`, () => this.clients.every((client) => client.settled && client.node !== node.id), WAIT);
  }

  // back waits until all clients are settled.
  back() {
    return until("everybody to be back", () => this.clients.every((client) => client.settled), WAIT);
  }

  // healed asserts that whatever happened is something that the official client gets
  // over by itself, with not a word to the application but these.
  healed() {
    for (const { mode, ends, refusals, socket } of this.clients) {
      for (const [reason] of ends.items) assert.match(reason, /^transport (close|error)$/, mode);
      for (const [error] of refusals.items) assert.match(error.message, /^(xhr poll error|xhr post error|websocket error|timeout)$/, mode);
      assert.ok(socket.connected, mode);
    }
  }
}
