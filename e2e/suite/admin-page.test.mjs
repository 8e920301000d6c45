// The official Admin UI's page in a browser, against two nodes.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { join } from "node:path";

import { adminURL, FLAGS, PASSWORD } from "../lib/admin.mjs";
import { launch, shoot } from "../lib/browser.mjs";
import { call, connect } from "../lib/client.mjs";
import { useCluster } from "../lib/cluster.mjs";
import { E2E } from "../lib/process.mjs";
import { until } from "../lib/wait.mjs";

const PAGE = join(E2E, "node_modules", "@socket.io", "admin-ui", "ui", "dist");

describe("admin UI in a browser", () => {
  const cluster = useCluster({ kinds: ["fanwire", "fanwire"], flags: [...FLAGS, "--admin-dir", PAGE], balancer: false });
  let browser;
  before(async () => { browser = await launch(); }, { timeout: 60_000 });
  after(() => browser?.close());

  // login opens the page of n1 and logs in.
  const login = async (t, password = PASSWORD) => {
    const url = await adminURL(cluster.nodes[0]);
    const page = await browser.context.newPage();
    t.after(() => page.close());
    page.faults = [];
    page.on("pageerror", (error) => page.faults.push(error.message));
    await page.route(/googleapis|gstatic|jsdelivr/, (route) => route.abort()); // fonts
    await page.setViewportSize({ width: 1280, height: 860 });
    await page.goto(`${url}/admin-ui/favicon.png`);
    await page.evaluate(() => localStorage.clear()); // of other tests
    await page.goto(`${url}/admin-ui/`, { waitUntil: "domcontentloaded" });
    const field = (label) => page.locator(".v-dialog--active").getByLabel(label, { exact: true });
    await field("Server URL").fill(url);
    await field("Username").fill("admin");
    await field("Password").fill(password);
    await page.getByRole("button", { name: "Connect" }).click();
    return page;
  };
  const text = (page) => page.locator(".v-main").innerText();
  const go = (page, hash) => page.evaluate((to) => { location.hash = to; }, hash);
  const shows = (page, what) => until(`the page to show ${what}`, async () => (await text(page)).includes(what));

  it("says when the password is wrong", async (t) => {
    const page = await login(t, "wrong");
    await page.getByText("Invalid credentials").waitFor();
  });

  it("shows servers, sockets, rooms and events of both nodes, and acts on them", async (t) => {
    const here = await connect(t, cluster.nodes[0].url);
    const there = await connect(t, cluster.nodes[1].url, { nsp: "/" });
    const page = await login(t);
    await page.locator(".v-dialog--active").waitFor({ state: "detached" });
    await until("both servers", async () => /\bhealthy\s+2\b/i.test(await text(page)));
    await call(there, "echo", "seen by the admin");
    await shoot(page, "admin-ui-dashboard");

    await go(page, "#/servers/");
    for (const id of ["n1", "n2"]) await shows(page, id);
    await go(page, "#/sockets/");
    for (const socket of [here, there]) await shows(page, socket.id);
    await shoot(page, "admin-ui-sockets");

    await go(page, `#/n/%2F/sockets/${there.id}`);
    await shows(page, there.id);
    await page.getByLabel("Join a room").fill("from-the-page");
    await page.locator(".v-main form button[type=submit]").click();
    await until("the room", async () => (await call(there, "whoami")).rooms.includes("from-the-page"));
    await shows(page, "from-the-page");

    await go(page, "#/rooms/");
    await shows(page, "from-the-page");
    await go(page, "#/events/");
    await shows(page, "echo");
    await shoot(page, "admin-ui-events");

    await go(page, "#/rooms/");
    const row = page.locator("tr", { hasText: "from-the-page" });
    const ended = new Promise((resolve) => there.once("disconnect", resolve));
    await row.getByRole("button").first().click(); // makes all leave
    await until("no room", async () => !(await call(there, "whoami")).rooms.includes("from-the-page"));
    await go(page, "#/sockets/");
    await page.locator("tr", { hasText: there.id }).getByRole("button").last().click();
    assert.equal(await ended, "io server disconnect");
    await until("the socket to be gone", async () => !(await text(page)).includes(there.id));
    assert.ok(here.connected);
    assert.deepEqual(page.faults, []);
  });

  it("comes back with its session, at the other node as well", async (t) => {
    const page = await login(t);
    await page.locator(".v-dialog--active").waitFor({ state: "detached" });
    await until("the session", () => page.evaluate(() => localStorage.getItem("session_id"))); // it comes after the connection
    await page.reload({ waitUntil: "domcontentloaded" });
    await until("both servers", async () => /\bhealthy\s+2\b/i.test(await text(page)));
  });
});
