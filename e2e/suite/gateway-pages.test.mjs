// Two gateways as `fanwire serve` starts them: the Admin UI's page and the console,
// with the real rules and the real API.

import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { join } from "node:path";

import { Admin, HASH, PASSWORD } from "../lib/admin.mjs";
import { launch } from "../lib/browser.mjs";
import { call, connect, Inbox, open, refused } from "../lib/client.mjs";
import { E2E, OUT, Process } from "../lib/process.mjs";
import { Redis } from "../lib/redis.mjs";
import { until } from "../lib/wait.mjs";

const KEY = "key-of-the-suite-0123456789abcdef";
const MODULES = join(E2E, "node_modules");

// serve starts a gateway and gives its addresses.
async function serve(id, redis) {
  const dir = join(OUT, "gateway-pages");
  mkdirSync(dir, { recursive: true });
  const file = join(dir, `${id}.json`); // JSON is YAML
  writeFileSync(file, JSON.stringify({
    node: { id },
    listen: { address: "127.0.0.1:0" },
    admin: { address: "127.0.0.1:0" },
    redis: { addresses: [redis.url] },
    socketio: { client_dir: join(MODULES, "socket.io", "client-dist") },
    api: { keys: [{ name: "suite", key: KEY }] },
    namespaces: [{
      name: "/",
      routes: [{ events: ["join"], join: { rooms: ["*"] } }, { events: ["leave"], leave: { rooms: ["*"] } }, { events: ["say"], relay: { self: true } }],
    }],
    admin_ui: { enabled: true, password_hash: HASH, dir: join(MODULES, "@socket.io", "admin-ui", "ui", "dist"), public: id === "n1" },
    console: { enabled: true },
  }), { mode: 0o600 });
  const process = new Process(`serve-${id}`, join(OUT, "fanwire"), ["serve", "--json", "--config", file]);
  const address = (role) => process.line(`the address for ${role}`, (line) => {
    try {
      const value = JSON.parse(line);
      return value.role === role && value.url;
    } catch {
      return undefined;
    }
  });
  const [url, admin] = [await address("clients"), await address("admin")];
  await until(`${id} to be ready`, async () => (await fetch(`${admin}/readyz`)).ok);
  return { id, url, admin, process };
}

describe("pages of fanwire serve", () => {
  let redis;
  let nodes;
  let browser;
  before(async () => {
    redis = await Redis.start();
    nodes = await Promise.all(["n1", "n2"].map((id) => serve(id, redis)));
    browser = await launch();
  }, { timeout: 60_000 });
  after(async () => {
    await browser?.close();
    for (const { process } of nodes ?? []) await process.kill();
    await redis?.stop();
  }, { timeout: 60_000 });

  it("admins see the sockets of both gateways, at the admin port or any if it is public, and act on them", async (t) => {
    const socket = await connect(t, nodes[1].url);
    assert.equal((await refused(open(t, nodes[1].url, { nsp: "/admin", auth: { username: "admin", password: PASSWORD } }))).message, "Invalid namespace");
    assert.equal((await refused(open(t, nodes[0].url, { nsp: "/admin", auth: { username: "admin", password: "wrong" } }))).message, "invalid credentials");
    for (const url of [nodes[0].url, nodes[0].admin, nodes[1].admin]) {
      const admin = await Admin.open(t, { url });
      await admin.servers(["n1", "n2"]);
      const [all] = await admin.await("all_sockets");
      assert.equal(all.find(({ id }) => id === socket.id)?.transport, "websocket");
      const inbox = new Inbox(socket, "from the admin");
      admin.socket.emit("emit", "/", socket.id, "from the admin", url);
      assert.deepEqual(await inbox.next(), [url]);
      await call(socket, "join", `room ${url}`);
      await admin.await("room_joined", (nsp, room, id) => room === `room ${url}` && id === socket.id);
      await admin.await("event_received", (nsp, id, [name]) => id === socket.id && name === "join");
    }
  });

  it("the page logs in on its own origin, without an entry for CORS", async (t) => {
    const page = await browser.context.newPage();
    t.after(() => page.close());
    await page.route(/googleapis|gstatic|jsdelivr/, (route) => route.abort()); // fonts
    await page.goto(`${nodes[0].admin}/admin-ui/`, { waitUntil: "domcontentloaded" });
    const field = (label) => page.locator(".v-dialog--active").getByLabel(label, { exact: true });
    await field("Server URL").fill(nodes[0].admin);
    await field("Username").fill("admin");
    await field("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Connect" }).click();
    await until("both servers", async () => /\bhealthy\s+2\b/i.test(await page.locator(".v-main").innerText()));
  });

  it("the console joins rooms by events and through the API, and lists the nodes", async (t) => {
    const page = await browser.context.newPage();
    t.after(() => page.close());
    await page.goto(`${nodes[0].admin}/console/`);
    await page.getByText("The client is from this gateway.").waitFor();
    const field = (id) => page.locator(`#connections [data-id="${id}"]`);
    await field("connect").click();
    await until("the connection", async () => (await field("state-text").textContent()) === "Connected");
    await page.locator("#key").fill(KEY);
    await page.locator("#key-use").click();
    await page.getByText("2 of 2 nodes ready.").waitFor();
    assert.deepEqual((await page.locator("#nodes tr td:first-child").allTextContents()), ["n1", "n2"]);

    await field("rooms-part").locator("summary").click();
    await field("room").fill("blue");
    await field("join").click();
    await until("the first room", async () => (await field("room-list").textContent()) === "In: blue");
    await field("room-way").selectOption("api");
    await field("room").fill("green");
    await field("join").click();
    await until("both rooms", async () => (await field("room-list").textContent()) === "In: blue, green");
    await field("room").fill("blue");
    await field("leave").click();
    await until("one room", async () => (await field("room-list").textContent()) === "In: green");

    const other = await connect(t, nodes[1].url);
    other.emit("say", "hello from the other gateway");
    await until("the event", async () => (await field("log").innerText()).includes("hello from the other gateway"));
  });
});
