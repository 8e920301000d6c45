// `fanwire serve` as it comes: without a configuration, and over TLS, where browsers
// poll by HTTP/2 and open WebSockets by HTTP/1.1.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";

import { io } from "socket.io-client";

import { launch } from "../lib/browser.mjs";
import { E2E, OUT, Process } from "../lib/process.mjs";
import { event, until, within } from "../lib/wait.mjs";

const WAYS = [["polling"], ["websocket"], ["polling", "websocket"]];
const CONFIG = `
namespaces:
  - name: /
    routes:
      - events: [say]
        relay: {self: true}
`;

async function serve(...flags) {
  const process = new Process("serve", join(OUT, "fanwire"), [
    "serve", "--json", "--listen.address=127.0.0.1:0", "--admin.address=127.0.0.1:0", "--drain.spread=0s", ...flags,
  ]);
  const endpoint = async (role) => {
    const line = await process.line(role, (text) => text.includes(`"role":"${role}"`) && JSON.parse(text), 30_000);
    return line.url;
  };
  return { process, url: await endpoint("clients"), admin: await endpoint("admin") };
}

function open(t, url, options) {
  const socket = io(url, { forceNew: true, reconnection: false, ...options });
  t.after(() => socket.disconnect());
  return socket;
}

describe("serve without a configuration", () => {
  let gateway;
  before(async () => {
    gateway = await serve();
  });
  after(() => gateway?.process.ended || gateway?.process.kill());

  for (const transports of WAYS) {
    it(`takes clients by ${transports.join(" and ")}`, async (t) => {
      const socket = open(t, gateway.url, { transports });
      await event(socket, "connect");
      await until("the transport", () => socket.io.engine.transport.name === transports.at(-1));
    });
  }

  it("is ready, and says on the admin listener what there is", async () => {
    await until("readiness", async () => (await fetch(`${gateway.url}/readyz`)).status === 200);
    const page = await (await fetch(gateway.admin)).text();
    for (const path of ["/healthz", "/readyz", "/metrics", "/v1/"]) assert.ok(page.includes(`href="${path}"`), path);
  });

  it("lets its clients go and ends by itself on SIGTERM", async (t) => {
    const socket = open(t, gateway.url, { transports: ["websocket"] });
    await event(socket, "connect");
    const gone = event(socket, "disconnect");
    const end = await gateway.process.stop("SIGTERM", 20_000);
    assert.deepEqual(end, { code: 0, signal: null });
    const [reason] = await gone;
    assert.equal(reason, "transport close"); // not "io server disconnect": it would connect again
  });
});

describe("serve over TLS", () => {
  let gateway;
  let browser;
  let dir;
  let ca;
  before(async () => {
    dir = mkdtempSync(join(OUT, "serve-"));
    const [cert, key] = [join(dir, "cert.pem"), join(dir, "key.pem")];
    execFileSync("openssl", [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
      "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert,
    ], { stdio: "ignore" });
    ca = readFileSync(cert);
    writeFileSync(join(dir, "gateway.yaml"), CONFIG);
    gateway = await serve(
      `--config=${join(dir, "gateway.yaml")}`, `--listen.tls.cert_file=${cert}`, `--listen.tls.key_file=${key}`,
      `--socketio.client_dir=${join(E2E, "node_modules", "socket.io", "client-dist")}`,
    );
    browser = await launch({ ignoreHTTPSErrors: true });
  }, { timeout: 60_000 });
  after(async () => {
    await browser?.close();
    if (!gateway?.process.ended) await gateway?.process.kill();
    if (dir) rmSync(dir, { recursive: true });
  }, { timeout: 60_000 });

  for (const transports of WAYS) {
    it(`takes clients by ${transports.join(" and ")}`, async (t) => {
      const socket = open(t, gateway.url, { transports, ca });
      await event(socket, "connect");
      await until("the transport", () => socket.io.engine.transport.name === transports.at(-1));
      for (const text of ["hello", "x".repeat(200_000), Buffer.from([0, 1, 255])]) {
        const said = event(socket, "say");
        socket.emit("say", text);
        assert.deepEqual(await said, [text]);
      }
    });
  }

  it("takes browsers, whose polls are HTTP/2", async (t) => {
    const page = await browser.context.newPage();
    t.after(() => page.close());
    await page.goto(`${gateway.url}/healthz`);
    await page.addScriptTag({ url: `${gateway.url}/socket.io/socket.io.js` });
    const seen = await within("the browser", page.evaluate(async () => {
      const socket = window.io({ transports: ["polling", "websocket"] });
      const next = (emitter, name) => new Promise((resolve) => emitter.once(name, resolve));
      const upgraded = next(socket.io, "open").then(() => next(socket.io.engine, "upgrade"));
      await next(socket, "connect");
      await upgraded;
      const said = next(socket, "say");
      socket.emit("say", "from a browser");
      const text = await said;
      const polls = performance.getEntriesByType("resource").filter(({ name }) => name.includes("transport=polling"));
      return { text, transport: socket.io.engine.transport.name, protocols: [...new Set(polls.map((poll) => poll.nextHopProtocol))] };
    }), 30_000);
    assert.deepEqual(seen, { text: "from a browser", transport: "websocket", protocols: ["h2"] });
  });
});
