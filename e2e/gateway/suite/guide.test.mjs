// docs/gateway.md, done as it says: its files, its commands, its page in Chromium.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

import { launch } from "../../lib/browser.mjs";
import { call, connect, Inbox, open, refused } from "../../lib/client.mjs";
import { E2E, OUT, Process, REPO } from "../../lib/process.mjs";
import { until } from "../../lib/wait.mjs";

const guide = readFileSync(join(REPO, "docs", "gateway.md"), "utf8");
const run = promisify(execFile);

// block is the code after the first mention of text.
function block(text, language) {
  const from = guide.indexOf(text);
  assert.ok(from >= 0, text);
  const begin = guide.indexOf("```" + language + "\n", from);
  assert.ok(begin >= 0, `${language} after ${text}`);
  const start = guide.indexOf("\n", begin) + 1;
  return guide.slice(start, guide.indexOf("\n```", start) + 1);
}

describe("the guide", () => {
  const dir = mkdtempSync(join(tmpdir(), "fanwire-guide-"));
  let backend;
  let gateway;

  before(async () => {
    symlinkSync(join(OUT, "fanwire"), join(dir, "fanwire"));
    writeFileSync(join(dir, "chat.yaml"), block("Save this as `chat.yaml`", "yaml"));
    writeFileSync(join(dir, "chat.py"), block("Save this as `chat.py`", "python"));
    writeFileSync(join(dir, "chat.html"), block("And this as `chat.html`", "html"));
  });
  after(async () => {
    await gateway?.stop("SIGINT");
    await backend?.stop("SIGTERM");
    rmSync(dir, { recursive: true });
  });

  it("has a configuration without problems", async () => {
    for (const line of block("```sh\n./fanwire config", "sh").trim().split("\n")) {
      const { stdout } = await run("bash", ["-euc", line], { cwd: dir });
      assert.match(stdout, /no problems/);
    }
  });

  it("has a chat that works", async (t) => {
    const [python, serve] = block("In one terminal, then in another:", "").trim().split("\n");
    backend = new Process("guide-backend", "bash", ["-c", `exec ${python}`], { cwd: dir });
    gateway = new Process("guide-gateway", "bash", ["-c", `exec ${serve} --drain.delay=0s --drain.spread=0s`], { cwd: dir });
    await until("the gateway", async () => (await fetch("http://127.0.0.1:3000/readyz").catch(() => undefined))?.ok);
    await until("the backend", async () => (await fetch("http://127.0.0.1:8000/").catch(() => undefined))?.ok);

    assert.equal((await refused(open(t, "http://127.0.0.1:3000"))).message, "Tell me your name");
    const ann = await connect(t, "http://127.0.0.1:3000", { auth: { name: "ann" } });
    assert.deepEqual(await call(ann, "enter", "lobby"), []);

    const { context, close } = await launch();
    t.after(close);
    const page = await context.newPage();
    await page.route("https://cdn.socket.io/**", (route) => route.fulfill({ path: join(E2E, "node_modules/socket.io-client/dist/socket.io.min.js") }));
    await page.goto("http://localhost:8000/?name=bob");
    const said = new Inbox(ann, "said");
    await until("bob to be in the room", async () => {
      await page.fill("input", "hi");
      await page.click("button");
      return (await page.textContent("#messages")).includes("bob: hi");
    });
    assert.deepEqual(await said.first(), { from: "bob", text: "hi" });

    const command = block("reaches any client, room or user at any time:", "");
    await run("bash", ["-euc", command]);
    let hello = await said.first();
    while (hello.from === "bob") hello = await said.first(); // he may have said it several times
    assert.deepEqual(hello, { from: "the backend", text: "Hello, Ann" });
    const { stdout } = await run("bash", ["-euc", block("Who is in the room, across all nodes:", "")]);
    assert.deepEqual(JSON.parse(stdout).users.map((u) => u.user), ["ann", "bob"]);

    await backend.stop("SIGTERM");
    assert.equal((await call(ann, "say", "lobby", "anybody?")).error, "unavailable");
    assert.equal(ann.connected, true);
  });
});
