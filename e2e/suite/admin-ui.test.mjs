// The admin namespace, as the official page talks to it.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Admin, FLAGS, PASSWORD } from "../lib/admin.mjs";
import { call, connect, open, refused } from "../lib/client.mjs";
import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { until } from "../lib/wait.mjs";

const official = SUBJECT === "official";
const COMMANDS = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"];
const isTime = (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text);
const keys = (object) => Object.keys(object).sort();

describe("admin namespace", () => {
  const cluster = useCluster({ kinds: [SUBJECT, SUBJECT], flags: FLAGS, balancer: false });

  it("refuses who does not know the password", async (t) => {
    for (const auth of [undefined, { username: "admin", password: "wrong" }, { username: "root", password: PASSWORD }, { sessionId: "0123456789abcdef" }]) {
      const socket = open(t, cluster.nodes[0].url, { nsp: "/admin", auth });
      const error = await refused(socket);
      assert.equal(error.message, "invalid credentials", JSON.stringify(auth));
    }
  });

  it("greets an admin as officially", async (t) => {
    const admin = await Admin.open(t, cluster.nodes[0]);
    const [session] = await admin.await("session");
    assert.match(session, /^\w{16,}$/);
    const [config] = await admin.await("config");
    assert.deepEqual(config, { supportedFeatures: [...COMMANDS, "AGGREGATED_EVENTS", "ALL_EVENTS"] });
    await admin.await("all_sockets");
    const again = await Admin.open(t, cluster.nodes[0], { sessionId: session });
    await again.await("all_sockets");
    assert.ok(!again.names().includes("session"));
  });

  it("lets a session in at another node", { skip: official && "the official store is one node's" }, async (t) => {
    const admin = await Admin.open(t, cluster.nodes[0]);
    const [sessionId] = await admin.await("session");
    const elsewhere = await Admin.open(t, cluster.nodes[1], { sessionId });
    await elsewhere.await("config");
  });

  it("tells of both servers, in the official form", async (t) => {
    const admin = await Admin.open(t, cluster.nodes[0]);
    await admin.servers(["n1", "n2"]);
    const [stats] = await admin.await("server_stats", (stats) => stats.serverId === "n2" && stats.aggregatedEvents.length > 0 || stats.serverId === "n1");
    assert.deepEqual(keys(stats), ["aggregatedEvents", "clientsCount", "hostname", "namespaces", "pid", "pollingClientsCount", "serverId", "uptime"]);
    for (const key of ["clientsCount", "pollingClientsCount", "pid", "uptime"]) assert.equal(typeof stats[key], "number", key);
    assert.deepEqual(stats.namespaces.map(({ name }) => name).sort(), ["/", "/admin", "/chat", "/guarded"]);
  });

  it("tells of the sockets of both nodes, in the official form", async (t) => {
    const here = await connect(t, cluster.nodes[0].url);
    const there = await connect(t, cluster.nodes[1].url, { query: { a: "b" } });
    await call(there, "join", ["blue"]);
    if (!official) await call(there, "data", { name: "there" }); // where it would take away what the page needs
    const admin = await Admin.open(t, cluster.nodes[0]);
    const [sockets] = await admin.await("all_sockets");
    const find = (id) => sockets.find((socket) => socket.id === id);
    assert.equal(find(here.id).nsp, "/");
    const found = find(there.id);
    assert.deepEqual(keys(found), ["clientId", "data", "handshake", "id", "nsp", "rooms", "transport"]);
    assert.deepEqual(keys(found.handshake), ["address", "headers", "issued", "query", "secure", "time", "url", "xdomain"]);
    assert.equal(found.transport, "websocket");
    assert.equal(found.clientId.length, 12);
    assert.deepEqual(found.data, official ? {} : { name: "there" });
    assert.deepEqual(found.rooms.sort(), [there.id, "blue"].sort());
    assert.equal(found.handshake.query.a, "b");
    assert.equal(typeof found.handshake.issued, "number");
  });

  it("tells what happens at the other node, as officially", async (t) => {
    const admin = await Admin.open(t, cluster.nodes[0]);
    await admin.await("all_sockets");
    await admin.servers(["n1", "n2"]); // n2 knows that somebody listens
    const socket = await connect(t, cluster.nodes[1].url, { mode: "upgrade" });
    const { id } = socket;
    const [description, at] = await admin.await("socket_connected", (s) => s.id === id);
    assert.deepEqual([description.nsp, isTime(at)], ["/", true]);
    await admin.await("socket_updated", (s) => s.id === id && s.transport === "websocket");
    await call(socket, "join", ["green"]);
    assert.ok(isTime((await admin.await("room_joined", (nsp, room, who) => nsp === "/" && room === "green" && who === id))[3]));
    await call(socket, "leave", "green");
    assert.ok(isTime((await admin.await("room_left", (nsp, room, who) => nsp === "/" && room === "green" && who === id))[3]));
    await call(socket, "echo", 1, { two: "three" });
    const [, , args, received] = await admin.await("event_received", (nsp, who, [name]) => nsp === "/" && who === id && name === "echo");
    assert.deepEqual([args, isTime(received)], [["echo", 1, { two: "three" }], true]);
    socket.emit("echo", "back"); // without ack it comes back
    const [, , sent] = await admin.await("event_sent", (nsp, who, [name]) => who === id && name === "echo");
    assert.deepEqual(sent, ["echo", "back"]);
    socket.disconnect();
    const gone = await admin.await("socket_disconnected", (nsp, who) => who === id);
    assert.deepEqual([gone[0], gone[2], isTime(gone[3])], ["/", "client namespace disconnect", true]);
  });

  it("does what the admin wants at the other node", async (t) => {
    const admin = await Admin.open(t, cluster.nodes[0]);
    await admin.await("all_sockets");
    const socket = await connect(t, cluster.nodes[1].url);
    const rooms = async () => (await call(socket, "whoami")).rooms;
    admin.socket.emit("join", "/", "vip", socket.id);
    await until("the room", async () => (await rooms()).includes("vip"));
    const heard = new Promise((resolve) => socket.once("hello", (...args) => resolve(args)));
    admin.socket.emit("emit", "/", "vip", "hello", 1, Buffer.from("two"));
    const [one, two] = await heard;
    assert.deepEqual([one, Buffer.from(two).toString()], [1, "two"]);
    admin.socket.emit("leave", "/", "vip", socket.id);
    await until("no room", async () => !(await rooms()).includes("vip"));
    const ended = new Promise((resolve) => socket.once("disconnect", resolve));
    admin.socket.emit("_disconnect", "/", false, socket.id);
    assert.equal(await ended, "io server disconnect");
  });
});

describe("admin namespace in production, read-only", () => {
  const cluster = useCluster({ kinds: [SUBJECT, SUBJECT], flags: [...FLAGS, "--admin-mode", "production", "--admin-read-only"], balancer: false });

  it("tells of servers only, and obeys nobody", async (t) => {
    const admin = await Admin.open(t, cluster.nodes[0]);
    const [config] = await admin.await("config");
    assert.deepEqual(config, { supportedFeatures: ["AGGREGATED_EVENTS"] });
    const socket = await connect(t, cluster.nodes[1].url);
    admin.socket.emit("_disconnect", "/", true);
    await call(socket, "echo", 1);
    await admin.await("server_stats", (stats) => stats.serverId === "n2" && stats.namespaces.some(({ name, socketsCount }) => name === "/" && socketsCount === 1));
    assert.ok(socket.connected);
    assert.deepEqual(admin.names().filter((name) => name !== "session"), ["config"]);
  });
});

describe("admin namespace, mixed with official nodes", { skip: official }, () => {
  const cluster = useCluster({ kinds: ["fanwire", "official", "fanwire"], flags: FLAGS, balancer: false });

  it("admins anywhere see clients, servers and events everywhere", async (t) => {
    // Nodes look for others that do not say that they have admins, now and then.
    const admins = [];
    for (const node of cluster.nodes) admins.push(await Admin.open(t, node));
    for (const admin of admins) await admin.servers(["n1", "n2", "n3"]);
    const sockets = [];
    for (const node of cluster.nodes) sockets.push(await connect(t, node.url));
    for (const [i, admin] of admins.entries()) {
      for (const [k, socket] of sockets.entries()) {
        const [s] = await admin.await("socket_connected", (s) => s.id === socket.id);
        assert.equal(s.transport, "websocket", `socket of n${k + 1} at the admin of n${i + 1}`);
      }
    }
    for (const socket of sockets) await call(socket, "echo", "mixed");
    for (const admin of admins) {
      for (const socket of sockets) {
        await admin.await("event_received", (nsp, id, [name]) => id === socket.id && name === "echo");
        const times = admin.heard.filter((e) => e.name === "socket_connected" && e.args[0].id === socket.id).length;
        assert.equal(times, 1, "told once");
      }
    }
    const late = await Admin.open(t, cluster.nodes[0]);
    const [all] = await late.await("all_sockets");
    for (const socket of sockets) {
      const found = all.find(({ id }) => id === socket.id);
      assert.equal(found?.transport, "websocket");
      assert.deepEqual(found.data, {}, "without what official nodes keep there");
    }
  });
});
