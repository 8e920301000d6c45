// Engine.IO 4 rules that no official client exercises, over real connections.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { Polling, refusal, Socket, upgradeStatus } from "../lib/raw.mjs";
import { until } from "../lib/wait.mjs";

const ONE = { kinds: [SUBJECT], redis: false, balancer: false };

describe("engine: handshake", () => {
  const cluster = useCluster(ONE);
  const url = () => cluster.nodes[0].url;

  it("over polling (EIO-H-06)", async () => {
    const { handshake, response } = await Polling.open(url());
    assert.deepEqual(Object.keys(handshake), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.deepEqual({ ...handshake, sid: "" }, {
      sid: "", upgrades: ["websocket"], pingInterval: 25_000, pingTimeout: 20_000, maxPayload: 1_000_000,
    });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "text/plain; charset=UTF-8");
    assert.equal(response.headers.get("cache-control"), "no-store");
  });

  it("over websocket (EIO-H-08, EIO-H-10)", async (t) => {
    const { handshake } = await Socket.session(t, url());
    assert.deepEqual(handshake.upgrades, []);
  });

  it("gives every session a secret of its own", async () => {
    const sids = await Promise.all(Array.from({ length: 20 }, async () => (await Polling.open(url())).handshake.sid));
    assert.equal(new Set(sids).size, 20);
    for (const sid of sids) assert.match(sid, /^[\w.-]{20,}$/);
  });

  const unknownTransport = { code: 0, message: "Transport unknown" };
  const refusals = [
    ["no transport", { transport: undefined }, {}, unknownTransport],
    ["an unknown transport", { transport: "abc" }, {}, unknownTransport],
    ["another letter case", { transport: "Polling" }, {}, unknownTransport],
    ["an unknown session", { sid: "abc" }, {}, { code: 1, message: "Session ID unknown" }],
    ["a prototype's name for a session", { sid: "__proto__" }, {}, { code: 1, message: "Session ID unknown" }],
    ["POST without a session", {}, { method: "POST", body: "40" }, { code: 2, message: "Bad handshake method" }],
    ["PUT without a session", {}, { method: "PUT", body: "40" }, { code: 2, message: "Bad handshake method" }],
    ["websocket without an upgrade", { transport: "websocket" }, {}, { code: 3, message: "Bad request" }],
    ["no version", { EIO: undefined }, {}, { code: 5, message: "Unsupported protocol version" }],
    ["version 3", { EIO: "3" }, {}, { code: 5, message: "Unsupported protocol version" }],
    ["version 5", { EIO: "5" }, {}, { code: 5, message: "Unsupported protocol version" }],
  ];
  for (const [title, query, options, body] of refusals) {
    it(`refuses ${title} (EIO-E)`, async () => {
      assert.deepEqual(await refusal(url(), query, options), { status: 400, body });
    });
  }

  for (const query of [{ transport: "abc" }, { sid: "abc" }, { transport: undefined }]) {
    it(`refuses the upgrade with ${JSON.stringify(query)} (EIO-E-06)`, async () => {
      assert.equal(await upgradeStatus(url(), query), 400);
    });
  }
});

describe("engine: polling", () => {
  const cluster = useCluster({ ...ONE, flags: ["--max-payload", "100000"] });
  const url = () => cluster.nodes[0].url;

  it("takes several packets in one body and keeps their order", async () => {
    const client = await Polling.member(url());
    await client.send('421["echo","a"]', '422["echo","b"]', '423["echo","c"]');
    assert.deepEqual([await client.next(), await client.next(), await client.next()], ['431["a"]', '432["b"]', '433["c"]']);
  });

  it("holds a poll until there is something (EIO-P-03)", async () => {
    const client = await Polling.member(url());
    const poll = client.get();
    await client.send('427["echo","now"]');
    const { status, body, headers } = await poll;
    assert.deepEqual([status, body], [200, '437["now"]']);
    assert.equal(headers.get("cache-control"), "no-store");
  });

  it("carries binary as base64 (EIO-K-10)", async () => {
    const client = await Polling.member(url());
    await client.send('451-1["echo",{"_placeholder":true,"num":0}]', "bAQIDBA==");
    assert.equal(await client.next(), '461-1[{"_placeholder":true,"num":0}]');
    assert.equal(await client.next(), "bAQIDBA==");
  });

  it("does not mind the content type of text (EIO-P-08)", async () => {
    const client = await Polling.member(url());
    for (const type of ["text/plain;charset=UTF-8", "application/json", "text/html"]) {
      const { status } = await client.post('421["echo","€"]', { headers: { "content-type": type } });
      assert.equal(status, 200);
      assert.equal(await client.next(), '431["€"]');
    }
  });

  it("answers a body that is too large with 413 and goes on (EIO-P-10)", async () => {
    const client = await Polling.member(url());
    const { status } = await client.post(`42["echo","${"x".repeat(100_001)}"]`);
    assert.equal(status, 413);
    const fits = `421["echo","${"x".repeat(100_000 - 14)}"]`;
    assert.equal(fits.length, 100_000);
    await client.send(fits);
    assert.equal((await client.next()).length, fits.length - 7);
  });

  it("closes on a second poll at the same time (EIO-P-12)", async () => {
    const client = await Polling.member(url());
    const answers = (await Promise.all([client.get(), client.get()])).map(({ status, body }) => `${status} ${body}`);
    assert.deepEqual(answers.sort(), ["200 1", "400 "]);
    await until("the end of the session", () => client.closed());
  });

  it("closes when a pending poll is aborted (EIO-P-14)", async () => {
    const client = await Polling.member(url());
    await until("the end of the session", async () => {
      const abort = new AbortController();
      const poll = client.get({ signal: abort.signal }).catch((error) => error.name);
      await client.post("6"); // meanwhile the poll arrives, or else it does the next time
      abort.abort();
      await poll;
      return client.closed();
    });
  });

  it("closes when the client says so (EIO-P-16)", async () => {
    await until("a poll that arrives before the end", async () => {
      const client = await Polling.member(url());
      const poll = client.get();
      await client.send("1");
      const { status, body } = await poll;
      assert.ok(await client.closed());
      if (status === 400 && JSON.parse(body).code === 1) return false; // the poll came after it
      assert.deepEqual([status, body], [200, "6"]);
      return true;
    });
  });

  for (const [title, body] of [["an unknown type", "x"], ["digits out of range", "9abc"], ["an empty body", ""]]) {
    it(`closes on ${title} (EIO-C-04)`, async () => {
      const client = await Polling.member(url());
      await client.post(body);
      await until("the end of the session", () => client.closed());
    });
  }

  it("refuses other methods and leaves the session alone (EIO-E-08)", async () => {
    const client = await Polling.member(url());
    const { status } = await client.post("41", { method: "PUT" });
    assert.ok(status >= 400, `status ${status}`);
    await client.send('421["echo",1]');
    assert.equal(await client.next(), "431[1]");
  });
});

describe("engine: websocket", () => {
  const cluster = useCluster({ ...ONE, flags: ["--max-payload", "100000"] });
  const url = () => cluster.nodes[0].url;

  it("carries binary in frames of its own", async (t) => {
    const client = await Socket.member(t, url());
    client.send('452-1["echo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', Buffer.from([1]), Buffer.from([2, 3]));
    const [header, ...rest] = [await client.next(), await client.next(), await client.next()];
    assert.match(header, /^462-1\[/);
    const list = JSON.parse(header.slice(header.indexOf("[")));
    assert.deepEqual(list.map(({ num }) => [...rest[num]]), [[2, 3], [1]]);
  });

  it("answers a WebSocket ping (EIO-W-09)", async (t) => {
    const client = await Socket.member(t, url());
    const pong = new Promise((resolve) => client.ws.once("pong", resolve));
    client.ws.ping("payload");
    assert.equal(String(await pong), "payload");
  });

  it("echoes the close code (EIO-W-10)", async (t) => {
    const client = await Socket.member(t, url());
    client.ws.close(1001);
    assert.equal(await client.end(), 1001);
  });

  it("closes with 1009 on a message that is too large (EIO-W-07)", async (t) => {
    const client = await Socket.member(t, url());
    const fits = `421["echo","${"x".repeat(100_000 - 14)}"]`;
    client.send(fits);
    assert.equal((await client.next()).length, fits.length - 7);
    client.send(`${fits} `);
    assert.equal(await client.end(), 1009);
  });

  for (const [title, message] of [["an unknown type", "x"], ["a ping of the client", "2"], ["an empty message", ""]]) {
    it(`closes on ${title} (EIO-C-02, EIO-C-04)`, async (t) => {
      const client = await Socket.member(t, url());
      client.send(message);
      await client.end();
    });
  }
});

describe("engine: upgrade", () => {
  const cluster = useCluster(ONE);
  const url = () => cluster.nodes[0].url;

  // probing opens a second transport for the client and probes it.
  const probing = async (t, client) => {
    const socket = await Socket.open(t, url(), { sid: client.handshake.sid });
    socket.send("2probe");
    assert.equal(await socket.next(), "3probe");
    return socket;
  };

  it("releases the pending poll, then moves everything (EIO-U-05, EIO-U-06)", async (t) => {
    const client = await Polling.member(url());
    const poll = client.get();
    const socket = await probing(t, client);
    assert.equal((await poll).body, "6");
    await client.send('421["echo","buffered"]');
    socket.send("5");
    assert.equal(await socket.next(), '431["buffered"]');
    socket.send('422["echo","live"]');
    assert.equal(await socket.next(), '432["live"]');
    const late = await client.get();
    assert.deepEqual([late.status, JSON.parse(late.body).code], [400, 3]); // EIO-P-18
    socket.send('423["echo","unaffected"]');
    assert.equal(await socket.next(), '433["unaffected"]');
  });

  it("goes on with polling when the probe is wrong (EIO-U-08)", async (t) => {
    const client = await Polling.member(url());
    for (const wrong of ["2", "xyz", '42["echo",1]']) {
      const socket = await Socket.open(t, url(), { sid: client.handshake.sid });
      socket.send(wrong);
      await socket.end();
    }
    await client.send('421["echo",1]');
    assert.equal(await client.next(), "431[1]");
  });

  it("goes on with polling when the probe's connection is lost (EIO-U-10)", async (t) => {
    const client = await Polling.member(url());
    const lost = await probing(t, client);
    lost.ws.terminate();
    await client.send('421["echo",1]');
    let packet = await client.next();
    while (packet === "6") packet = await client.next();
    assert.equal(packet, "431[1]");
    await until("another probe to be taken", async () => {
      const again = await Socket.open(t, url(), { sid: client.handshake.sid });
      again.send("2probe");
      return Promise.race([again.next().catch(() => false), again.closed.then(() => false)]);
    });
  });

  it("refuses a second connection (EIO-U-12, EIO-U-13)", async (t) => {
    const client = await Polling.member(url());
    const first = await probing(t, client);
    const second = await Socket.open(t, url(), { sid: client.handshake.sid });
    await second.end();
    const poll = client.get();
    assert.equal((await poll).body, "6");
    first.send("5", '421["echo",1]');
    assert.equal(await first.next(), "431[1]");
    const third = await Socket.open(t, url(), { sid: client.handshake.sid });
    await third.end();
    first.send('422["echo",2]');
    assert.equal(await first.next(), "432[2]");
  });
});

describe("engine: heartbeat", () => {
  const INTERVAL = 300; // ms
  const TIMEOUT = 2_000; // more than this process or the server may stand still
  const cluster = useCluster({ ...ONE, flags: ["--ping-interval", `${INTERVAL}`, "--ping-timeout", `${TIMEOUT}`] });
  const url = () => cluster.nodes[0].url;
  const PINGS = Math.ceil(TIMEOUT / INTERVAL) + 2; // they take longer than both times

  it("pings and lives on pongs, websocket (EIO-B-01)", async (t) => {
    const client = await Socket.session(t, url());
    for (let i = 0; i < PINGS; i++) {
      assert.equal(await client.next(), "2");
      client.send("3");
    }
  });

  it("pings and lives on pongs, polling", async () => {
    const client = await Polling.open(url());
    for (let i = 0; i < PINGS; i++) {
      assert.equal(await client.next(), "2");
      await client.send("3");
    }
  });

  it("ends without a pong, websocket (EIO-B-03)", async (t) => {
    const begin = Date.now(); // the server's time begins later
    const client = await Socket.session(t, url());
    await client.end();
    assert.ok(Date.now() - begin >= INTERVAL + TIMEOUT - 50, "too early");
    assert.deepEqual(client.received, ["2"]);
  });

  it("ends without a pong, polling", async () => {
    const client = await Polling.open(url());
    assert.equal(await client.next(), "2");
    const { status, body } = await client.get();
    assert.deepEqual([status, body], [200, "1"]);
    assert.ok(await client.closed());
  });

  it("ends when nobody polls (EIO-B-02)", async () => {
    const client = await Polling.open(url());
    await until("the end of the session", () => client.closed());
  });
});
