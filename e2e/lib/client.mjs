// Official clients, tied to the test that opens them.

import { io } from "socket.io-client";
import io2 from "socket.io-client-2";

import { until, within } from "./wait.mjs";

// MODES are the ways a client may talk, by the name that test titles use.
export const MODES = {
  polling: ["polling"],
  websocket: ["websocket"],
  upgrade: ["polling", "websocket"],
};

const DEFAULTS = {
  forceNew: true,
  withCredentials: true, // keeps the balancer's cookie (CLU-L-03)
  reconnectionDelay: 50,
  reconnectionDelayMax: 500,
};

// open makes a client of the current version and does not wait for it.
// Options are the client's own, and nsp.
export function open(t, url, { nsp = "/", mode = "websocket", ...options } = {}) {
  const socket = io(url + nsp, { ...DEFAULTS, transports: MODES[mode], ...options });
  t.after(() => close(socket));
  return socket;
}

// connect opens a client and waits until it is connected and settled on its transport.
export async function connect(t, url, options) {
  const socket = open(t, url, options);
  await connected(socket);
  if (options?.mode === "upgrade") await upgraded(socket);
  return socket;
}

// connectOld does the same with a client of version 2, protocol 3 (SIO-L-01).
export async function connectOld(t, url, { nsp = "/", mode = "websocket", ...options } = {}) {
  const socket = io2(url + nsp, { ...DEFAULTS, transports: MODES[mode], ...options });
  t.after(() => close(socket));
  await connected(socket);
  if (mode === "upgrade") await upgraded(socket);
  return socket;
}

// close ends the session with all of its namespaces.
function close(socket) {
  for (const one of Object.values(socket.io.nsps)) one.disconnect();
}

// connected waits for the connection, or throws the error that refused it.
export function connected(socket) {
  if (socket.connected) return Promise.resolve();
  const settled = new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  return within("the connection", settled);
}

// refused waits for the error of a connection that must not come about.
export function refused(socket) {
  const settled = new Promise((resolve, reject) => {
    socket.once("connect_error", resolve);
    socket.once("connect", () => reject(new Error("connected")));
  });
  return within("the refusal", settled);
}

function upgraded(socket) {
  return until("the upgrade to websocket", () => socket.io.engine.transport.name === "websocket" && !socket.io.engine.upgrading);
}

// callAll sends an event and gives all arguments of its acknowledgement.
export function callAll(socket, event, ...args) {
  return within(`the answer to ${event}`, new Promise((resolve) => {
    socket.emit(event, ...args, (...answers) => resolve(answers));
  }));
}

// call is callAll for events that answer with one value.
export async function call(socket, event, ...args) {
  const [answer] = await callAll(socket, event, ...args);
  return answer;
}

// Inbox keeps the arguments of every event of one name, in order.
export class Inbox {
  constructor(socket, event) {
    this.event = event;
    this.items = [];
    socket.on(event, (...args) => this.items.push(args));
  }

  // take waits for the next n events and removes them.
  async take(n = 1) {
    await until(`${n} times ${this.event}`, () => this.items.length >= n);
    return this.items.splice(0, n);
  }

  // next waits for one event and gives its arguments.
  async next() {
    const [args] = await this.take(1);
    return args;
  }

  // first waits for one event and gives its first argument.
  async first() {
    const [value] = await this.next();
    return value;
  }
}

// reasonOf waits until the inbox of "gone" has this client, and gives why it left.
// Clients of the test before may be among those that leave.
export async function reasonOf(gone, id) {
  const [{ reason }] = await until(`the end of ${id}`, () => gone.items.find(([one]) => one.id === id));
  return reason;
}

// onEach opens one client on every node through the balancer, in the order of the
// nodes. Those that are one too many stay until all are there: the balancer turns to
// who has the fewest.
export async function onEach(t, cluster, options) {
  const found = new Map();
  const spare = [];
  for (let i = 0; found.size < cluster.nodes.length; i++) {
    if (i === 30) throw new Error(`30 clients reached only ${[...found.keys()]}`);
    const socket = await connect(t, cluster.url, options);
    const { node } = await call(socket, "whoami");
    if (found.has(node)) spare.push(socket);
    else found.set(node, socket);
  }
  for (const socket of spare) socket.disconnect();
  return cluster.nodes.map((node) => found.get(node.id));
}

// alone waits until these are the only clients of their namespace: those of the test
// before, and those that onEach had one too many, may still be leaving. A broadcast to
// everybody would wait for their acknowledgements.
export async function alone(sockets) {
  await until("the others to be gone", async () => (await call(sockets[0], "sockets", {})).length === sockets.length);
}

// fence proves that what was sent before has arrived wherever it goes: from
// emits a fence to everybody after it, and one emitter's events come in order.
// It returns when each of the sockets has the fence. A target may name a room that
// has all of them, for adapters where order holds for each room only.
export async function fence(from, sockets, target = { from: "io" }) {
  const name = `fence-${Math.random()}`;
  const seen = sockets.map((socket) => within(name, new Promise((resolve) => socket.once(name, resolve))));
  await call(from, "emit", target, name);
  await Promise.all(seen);
}

// audible waits until what from sends to a room arrives at each of the sockets:
// official nodes do not wait for their subscription when a socket joins (CLU-H-10).
export async function audible(from, sockets, room) {
  const name = `probe-${Math.random()}`;
  const heard = new Set();
  for (const socket of sockets) socket.on(name, () => heard.add(socket));
  await until(`${room} to be heard`, async () => {
    await call(from, "emit", { to: [room] }, name);
    return heard.size === sockets.length;
  });
}
