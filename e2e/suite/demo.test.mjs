// The demo as a person sees it: two tabs on two nodes.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { launch, shoot } from "../lib/browser.mjs";
import { connect, Inbox } from "../lib/client.mjs";
import { Demo } from "../lib/demo.mjs";
import { Redis } from "../lib/redis.mjs";
import { until } from "../lib/wait.mjs";

for (const kind of ["embedded", "real"]) {
  describe(`demo with ${kind} Redis`, () => {
    let redis;
    let demo;
    let browser;
    before(async () => {
      if (kind === "real") redis = await Redis.start();
      demo = await Demo.start(...(redis ? ["--redis", redis.url] : []));
      browser = await launch();
    }, { timeout: 60_000 });
    after(async () => {
      await browser?.close();
      if (!demo?.process.ended) await demo?.process.kill();
      await redis?.stop();
    }, { timeout: 60_000 });

    // open shows the page, pinned to a node if one is given, and waits until it is connected.
    const open = async (t, node = "") => {
      const page = await browser.context.newPage();
      t.after(() => page.close());
      const faults = [];
      page.on("pageerror", (error) => faults.push(error.message));
      page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
      await page.goto(node ? `${demo.url}/?node=${node}` : demo.url);
      await until(`the page to be on ${node || "a node"}`, async () => {
        const shown = await text(page, "#node");
        return node ? shown === node : demo.nodes.some(({ id }) => id === shown);
      });
      return { page, faults };
    };

    it("prints three nodes and a balancer", async () => {
      assert.deepEqual(demo.nodes.map(({ id }) => id), ["n1", "n2", "n3"]);
      for (const url of [demo.url, ...demo.nodes.map((node) => node.url)]) assert.match(url, /^http:\/\/127\.0\.0\.1:\d+$/);
    });

    it("two tabs land on different nodes", async (t) => {
      const one = await open(t);
      const two = await open(t);
      assert.notEqual(await text(one.page, "#node"), await text(two.page, "#node"));
    });

    it("two tabs on two nodes see each other's messages", async (t) => {
      const one = await open(t, "n1");
      const two = await open(t, "n2");
      await say(one.page, "hello from <b>one</b> & 😀");
      await say(two.page, "hello from two");
      for (const { page } of [one, two]) {
        await until("both messages", async () => (await messages(page)).length === 2);
        const shown = (await messages(page)).join("\n");
        assert.ok(shown.includes("hello from <b>one</b> & 😀") && shown.includes("hello from two"), shown);
        await until("websocket", async () => (await text(page, "#transport")).includes("websocket"));
      }
      await shoot(one.page, `${kind}-n1`);
      await shoot(two.page, `${kind}-n2`);
      assert.deepEqual([...one.faults, ...two.faults], []);
    });

    it("one tab sends through any node", async (t) => {
      const { page } = await open(t, "n1");
      const other = await open(t, "n3");
      const offered = () => page.locator("#via option").evaluateAll((options) => options.map((o) => o.value));
      const choices = await until("all nodes to choose from", async () => {
        const values = await offered(); // the page asks for them once it is connected
        return demo.nodes.every(({ id }) => values.includes(id)) && values;
      });
      for (const [i, choice] of choices.entries()) {
        await page.selectOption("#via", choice);
        await say(page, `through ${choice} ${i}`);
        for (const one of [page, other.page]) {
          await until(`the message through ${choice}`, async () => (await messages(one)).some((m) => m.includes(`through ${choice} ${i}`)));
        }
      }
      assert.equal((await messages(page)).length, choices.length);
      await shoot(page, `${kind}-via`);
    });

    it("clients without a browser take part, through the balancer and at the nodes", async (t) => {
      const { page } = await open(t, "n2");
      const clients = await Promise.all([demo.url, ...demo.nodes.map(({ url }) => url)].map((url) => connect(t, url, { mode: "upgrade" })));
      const heard = clients.map((client) => new Inbox(client, "chat message"));
      clients[0].emit("chat message", "from a program");
      for (const inbox of heard) assert.deepEqual(await inbox.next(), ["from a program"]);
      await until("the message on the page", async () => (await messages(page)).some((m) => m.includes("from a program")));
    });

    it("ends well when told to", async () => {
      assert.deepEqual(await demo.stop(), { code: 0, signal: null });
    });
  });
}

const text = async (page, selector) => (await page.locator(selector).textContent()) ?? "";
const messages = (page) => page.locator("#messages li").allTextContents();

async function say(page, message) {
  await page.fill("#input", message);
  await page.locator("#form button").click();
}
