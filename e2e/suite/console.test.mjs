// The console in a browser, against two nodes.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { join } from "node:path";

import { adminURL, FLAGS } from "../lib/admin.mjs";
import { launch, shoot } from "../lib/browser.mjs";
import { call, connect } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { E2E } from "../lib/process.mjs";
import { until } from "../lib/wait.mjs";

const CLIENT_DIR = join(E2E, "node_modules", "socket.io", "client-dist");
const KEY = "key-of-the-suite";

let browser;
before(async () => { browser = await launch(); }, { timeout: 60_000 });
after(() => browser?.close());

// openConsole opens the page of n1.
async function openConsole(t, cluster, size = { width: 1280, height: 900 }) {
  const page = await browser.context.newPage();
  t.after(() => page.close());
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  // Chromium tells of each request that fails, as those of sessions that are given up do.
  const usual = (text) => /^(WebSocket connection to|Failed to load resource)/.test(text);
  page.on("console", (message) => message.type() === "error" && !usual(message.text()) && page.faults.push(message.text()));
  await page.setViewportSize(size);
  page.admin = await adminURL(cluster.nodes[0]);
  await page.goto(`${page.admin}/console/`);
  return page;
}

const panel = (page, n = 0) => page.locator("#connections > article").nth(n);
const field = (one, id) => one.locator(`[data-id="${id}"]`);
const state = (one, want) => until(`the state ${want}`, async () => (await field(one, "state-text").textContent()).startsWith(want));
const entries = (one) => field(one, "log").locator("li:not([hidden])").allInnerTexts();
const shows = (one, ...parts) => until(`an entry with ${parts}`, async () => (await entries(one)).find((e) => parts.every((part) => e.includes(part))));

async function connectPanel(one) {
  await field(one, "connect").click();
  await state(one, "Connected");
}

async function emit(one, event, args = "") {
  await field(one, "event").fill(event);
  await field(one, "args").fill(args);
  await field(one, "emit").click();
}

describe("console", () => {
  const cluster = useCluster({ kinds: ["fanwire", "fanwire"], flags: [...FLAGS, "--client-dir", CLIENT_DIR], balancer: false });

  it("connects, emits with ack and binary data, and shows what comes", async (t) => {
    const page = await openConsole(t, cluster);
    await page.getByText("The client is from this gateway.").waitFor();
    const one = panel(page);
    await field(one, "auth").fill('{"token": "t"}');
    await field(one, "query").fill("a=1&b=2");
    await connectPanel(one);
    await until("websocket", async () => (await field(one, "transport").textContent()) === "websocket");

    await field(one, "ack").check();
    await emit(one, "whoami");
    await shows(one, "ack", "whoami", '"token": "t"', '"a": "1"', " ms");
    await field(one, "hex").fill("00 ff 10");
    await emit(one, "echo", '1, {"two": {"$binary": "AQI="}}');
    await shows(one, "out", "echo", "<2 bytes: 01 02>", "<3 bytes: 00 ff 10>");
    await shows(one, "ack", "echo", "<2 bytes: 01 02>", "<3 bytes: 00 ff 10>");
    await field(one, "hex").fill("");
    await field(one, "file").setInputFiles({ name: "f", mimeType: "x/y", buffer: Buffer.alloc(1000, 7) });
    await emit(one, "echo");
    await shows(one, "ack", "<1000 bytes: 07 07");
    await field(one, "file").setInputFiles([]);

    await field(one, "timeout").fill("50");
    await emit(one, "nobody listens to this");
    await shows(one, "error", "no ack: operation has timed out");
    await field(one, "ack").uncheck();
    await field(one, "volatile").check();
    await emit(one, "echo", '"back"');
    await shows(one, "in", "echo", '"back"');
    assert.deepEqual(page.faults, []);
  });

  it("says what is wrong with what one types", async (t) => {
    const page = await openConsole(t, cluster);
    const one = panel(page);
    await field(one, "auth").fill("[1]");
    await field(one, "connect").click();
    await until("a complaint", async () => (await field(one, "connect-error").textContent()) === "Auth: not a JSON object");
    await field(one, "auth").fill("");
    await field(one, "nsp").fill("/nowhere");
    await field(one, "connect").click();
    await state(one, "Refused: Invalid namespace");
    await field(one, "nsp").fill("/");
    await connectPanel(one);
    for (const [id, text, what] of [["args", "{", "Arguments"], ["hex", "0", "Bytes"]]) {
      await field(one, id).fill(text);
      await field(one, "emit").click();
      await until("a complaint", async () => (await field(one, "emit-error").textContent()).startsWith(`${what}:`));
      await field(one, id).fill("");
    }
    assert.deepEqual(page.faults, []);
  });

  it("has several connections, rooms, acks to the server, pause and filter", async (t) => {
    const page = await openConsole(t, cluster);
    await connectPanel(panel(page));
    await field(panel(page), "copy").click();
    const [one, two] = [panel(page, 0), panel(page, 1)];
    await field(two, "nsp").fill("/");
    await connectPanel(two);
    await field(two, "rooms-part").locator("summary").click();
    await field(two, "room").fill("blue");
    await field(two, "join").click();
    await until("to be in the room", async () => (await field(two, "room-list").textContent()) === "In: blue");
    await emit(one, "emit", '{"from": "io", "to": ["blue"]}, "talk", "<b>room</b>"');
    await shows(two, "in", "talk", "<b>room</b>");
    assert.deepEqual((await entries(one)).filter((e) => /← in\s+talk/.test(e)), [], "only who is in the room");

    await field(two, "pause").check();
    for (let i = 0; i < 3; i++) await emit(one, "emit", `{"from": "io", "to": ["blue"]}, "paused", ${i}`);
    await until("three to wait", async () => (await field(two, "log-status").textContent()) === "Paused, 3 new.");
    await field(two, "pause").uncheck();
    await shows(two, "paused", "2");
    await field(two, "filter").fill("TALK");
    await until("the filter", async () => (await entries(two)).length === 1);
    await field(two, "filter").fill("");

    const asker = await connect(t, cluster.nodes[1].url);
    const target = { from: "io", to: ["blue"], timeout: 10_000 };
    const answered = call(asker, "emitAck", target, "question");
    await shows(two, "question", "wants an ack");
    await field(two, "args").fill('"the answer"');
    await field(two, "log").getByRole("button", { name: /Answer/ }).click();
    assert.deepEqual((await answered).answers, ["the answer"]);
    assert.deepEqual(page.faults, []);
  });

  it("keeps its list within bounds", async (t) => {
    const page = await openConsole(t, cluster);
    const one = panel(page);
    await connectPanel(one);
    const sender = await connect(t, cluster.nodes[1].url);
    for (let i = 0; i < 700; i++) sender.emit("emit", { from: "io" }, "flood", i);
    // The newest stands first. Any entry may have "699" in its time.
    await until("the last one", async () => (await field(one, "log").locator("li pre").first().textContent()) === "699");
    assert.equal(await field(one, "log").locator("li").count(), 500);
    assert.match(await field(one, "log-status").textContent(), /older ones are gone/);
  });

  it("shows who has ended the connection", async (t) => {
    const page = await openConsole(t, cluster);
    const one = panel(page);
    await field(one, "transports").selectOption("websocket");
    await connectPanel(one);
    await field(one, "event").fill("bye");
    await field(one, "disconnect").click();
    await state(one, "Not connected");
    await connectPanel(one);
    await emit(one, "bye", "false");
    await state(one, "Disconnected: io server disconnect");
    await shows(one, "disconnect", "io server disconnect");
  });

  it("shows the nodes to who has a key, and keeps the key nowhere", async (t) => {
    const page = await openConsole(t, cluster);
    await connectPanel(panel(page));
    await page.locator("#key").fill("wrong");
    await page.locator("#key-use").click();
    await page.getByText("no such key").waitFor();
    await page.locator("#key").fill(KEY);
    await page.locator("#key-use").click();
    await page.getByText("2 of 2 nodes ready.").waitFor();
    const rows = await page.locator("#nodes tr").allInnerTexts();
    assert.deepEqual(rows.map((row) => row.split("\t")[0]), ["n1", "n2"]);
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML]));
    assert.ok(!kept.includes(KEY));
    await page.locator("#key-forget").click();
    await page.getByText("The key is forgotten.").waitFor();
    assert.equal(await page.locator("#nodes tr").count(), 0);
  });

  it("fits a narrow screen and a dark one", async (t) => {
    const page = await openConsole(t, cluster, { width: 360, height: 740 });
    await page.emulateMedia({ colorScheme: "dark" });
    await connectPanel(panel(page));
    await emit(panel(page), "echo", '"x"');
    await shows(panel(page), "in", "echo");
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${width} px wide`);
    const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(dark, "rgb(21, 25, 27)");
    await shoot(page, "console-narrow");
  });

  it("looks like this", async (t) => {
    const page = await openConsole(t, cluster);
    const one = panel(page);
    await connectPanel(one);
    await field(one, "copy").click();
    await connectPanel(panel(page, 1));
    for (const p of [one, panel(page, 1)]) await field(p, "rooms-part").evaluate((e) => { e.open = false; });
    await field(one, "ack").check();
    await field(one, "hex").fill("00 ff 10");
    await emit(one, "echo", '"hello", {"n": 1}');
    await shows(one, "ack", "hello");
    await emit(one, "emit", '{"from": "io"}, "said", {"by": "me", "text": "to all"}');
    await shows(panel(page, 1), "said");
    await page.locator("#key").fill(KEY);
    await page.locator("#key-use").click();
    await page.getByText("2 of 2 nodes ready.").waitFor();
    await page.evaluate(() => document.activeElement.blur());
    await page.setViewportSize({ width: 1200, height: 1300 });
    await page.evaluate(() => scrollTo(0, 0));
    await shoot(page, "console");
  });
});

describe("console without the gateway's client", () => {
  const cluster = useCluster({ kinds: ["fanwire"], flags: FLAGS, redis: false, balancer: false });

  it("takes the client from an address or a file", async (t) => {
    const page = await openConsole(t, cluster);
    await page.getByText("The client is missing.").waitFor();
    await page.route("https://elsewhere.example/socket.io.min.js", (route) => route.fulfill({
      headers: { "Access-Control-Allow-Origin": "*" }, contentType: "text/javascript", body: readFileSync(join(CLIENT_DIR, "socket.io.min.js")),
    }));
    await page.route("https://elsewhere.example/page.html", (route) => route.fulfill({ headers: { "Access-Control-Allow-Origin": "*" }, body: "<p>" }));
    await page.locator("#bundle-url").fill("https://elsewhere.example/page.html");
    await page.locator("#bundle-form button").click();
    await until("a complaint", async () => (await page.locator("#bundle-error").textContent()) !== "");
    await page.locator("#bundle-url").fill("https://elsewhere.example/socket.io.min.js");
    await page.locator("#bundle-form button").click();
    await page.getByText("The client is from https://elsewhere.example/socket.io.min.js.").waitFor();
    await connectPanel(panel(page));

    const other = await openConsole(t, cluster);
    await other.getByText("The client is missing.").waitFor();
    await other.locator("#bundle-file").setInputFiles(join(CLIENT_DIR, "socket.io.min.js"));
    await other.getByText("The client is from socket.io.min.js.").waitFor();
    await connectPanel(panel(other));
  });

  it("shows that it tries again when the server is gone", async (t) => {
    const page = await openConsole(t, cluster);
    await page.locator("#bundle-file").setInputFiles(join(CLIENT_DIR, "socket.io.min.js"));
    await page.getByText("The client is from socket.io.min.js.").waitFor();
    const one = panel(page);
    await field(one, "transports").selectOption("websocket");
    await connectPanel(one);
    await cluster.nodes[0].kill();
    await shows(one, "disconnect", "transport");
    await until("another attempt", async () => /again/.test(await field(one, "state-text").textContent()));
    assert.equal(await field(one, "state").getAttribute("data-state"), "wait");
    assert.ok(await field(one, "emit").isDisabled());
  });
});
