// What a backend does with the gateway, in Node.js and in Python: webhooks, the HTTP
// API and a stream, and what strangers get from them. Official clients, three nodes.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";

import { call, connect, Inbox, open, refused } from "../../lib/client.mjs";
import { event, until } from "../../lib/wait.mjs";
import { useWorld } from "./lib.mjs";

for (const language of ["node", "python"]) {
  describe(`a backend in ${language}`, () => {
    const world = useWorld(language);
    let serial = 0;

    // user connects one, to a node in turn.
    const user = async (t, options = {}) => {
      const name = `${language}${++serial}`;
      const { url } = world.gateways[serial % 3];
      const socket = await connect(t, url, { auth: { name }, ...options });
      return { name, socket };
    };

    it("decides who gets in", async (t) => {
      for (const auth of [{}, { name: "mallory" }]) {
        const error = await refused(open(t, world.gateways[0].url, { auth }));
        assert.equal(error.message, "who are you?");
        assert.deepEqual(error.data, { code: 7 });
      }
      const { name, socket } = await user(t);
      const { body } = await world.api("GET", `/v1/namespaces/%2F/sockets/${socket.id}`);
      assert.equal(body.user, name);
      assert.deepEqual(body.data, { level: 1 });
      assert.deepEqual(new Set(body.rooms), new Set(["lobby", `user:${name}`]));
    });

    it("hears of who has come and gone", async (t) => {
      const { name, socket } = await user(t);
      const of = async (type) => (await world.ask("/heard")).heard.find((h) => h.type === type && h.user === name);
      const connected = await until("the notification", () => of("connected"));
      assert.equal(connected.socket, socket.id);
      socket.disconnect();
      const gone = await until("the notification", () => of("disconnected"));
      assert.equal(gone.reason, "client namespace disconnect");
    });

    for (const mode of ["polling", "websocket"]) {
      it(`answers events, binary ones too, on ${mode}`, async (t) => {
        const { socket } = await user(t, { mode });
        assert.equal(await call(socket, "sum", 2, 3), 5);
        const bytes = randomBytes(40_000); // an answer may have 64 KiB
        assert.equal(await call(socket, "size", bytes), bytes.length);
        const echoed = await call(socket, "echo", { deep: [{ file: bytes }], text: "ü\u2028" });
        assert.deepEqual(echoed, { deep: [{ file: bytes }], text: "ü\u2028" });
        const picture = event(socket, "picture");
        socket.emit("picture");
        assert.deepEqual((await picture)[0], { png: Buffer.from([1, 2, 3]) });
      });
    }

    it("emits, lets join and leave, sets data and disconnects by its answers", async (t) => {
      const [a, b, c] = [await user(t), await user(t), await user(t)];
      for (const { socket } of [a, b]) assert.deepEqual(await call(socket, "join", "room:1"), { rooms: ["room:1"] });
      const outside = new Inbox(c.socket, "said");
      const said = [a, b].map(({ socket }) => event(socket, "said"));
      assert.equal(await call(a.socket, "say", { room: "room:1", text: "hi" }), "ok");
      for (const args of await Promise.all(said)) assert.deepEqual(args, [{ from: a.name, text: "hi" }]);

      const welcome = event(b.socket, "welcome");
      assert.equal(await call(b.socket, "promote"), true);
      assert.deepEqual(await welcome, [b.name]);
      const look = async () => (await world.api("GET", `/v1/namespaces/%2F/sockets/${b.socket.id}`)).body;
      assert.deepEqual((await look()).data, { level: 9, user: b.name });
      assert.ok((await look()).rooms.includes("vip"));
      assert.equal(await call(b.socket, "demote"), true);
      assert.ok(!(await look()).rooms.includes("vip"));

      const gone = event(a.socket, "disconnect");
      a.socket.emit("kick");
      assert.equal((await gone)[0], "io server disconnect");
      await call(c.socket, "sum", 1, 1);
      assert.deepEqual(outside.items, []);
    });

    it("is not asked about what the gateway does alone", async (t) => {
      const [a, b] = [await user(t), await user(t)];
      const shared = [a, b].map(({ socket }) => event(socket, `shared:${a.name}`));
      a.socket.emit("share", { x: 1 }, Buffer.from("bytes"));
      for (const args of await Promise.all(shared)) assert.deepEqual(args, [{ x: 1 }, Buffer.from("bytes")]);
      assert.deepEqual((await call(a.socket, "join", "secret")).error, "forbidden");
      assert.deepEqual((await call(a.socket, "join", b.socket.id)).error, "forbidden");
      assert.deepEqual((await call(a.socket, "join", { not: "a room" })).error, "bad request");
      assert.deepEqual((await call(a.socket, "typing", "room:9")).error, "forbidden"); // not in it
      for (let i = 0; i < 3; i++) a.socket.emit("burst");
      assert.deepEqual((await call(a.socket, "burst")).error, "rate");
      assert.deepEqual((await call(a.socket, "small", "x".repeat(200))).error, "too large");
    });

    it("reads a stream and answers by the API", async (t) => {
      const { name, socket } = await user(t);
      const answered = event(socket, "ordered");
      const ack = await call(socket, "order", { item: "tea", n: 2 }, Buffer.from([9, 8]));
      assert.equal(ack.ok, true);
      assert.match(ack.id, /^\d+-\d+$/);
      assert.deepEqual(await answered, [{ item: "tea", n: 2 }, Buffer.from([9, 8]), name]);
    });

    it("uses the API, from any node with the same result", async (t) => {
      const users = [await user(t), await user(t), await user(t)];
      for (const { socket } of users) await call(socket, "join", "room:api");
      for (const node of [0, 1, 2]) {
        const at = { node };
        const got = users.map(({ socket }) => event(socket, "news"));
        assert.equal((await world.api("POST", "/v1/emit", { to: ["room:api"], event: "news", args: [node, { $binary: "AAE=" }] }, at)).status, 204);
        for (const args of await Promise.all(got)) assert.deepEqual(args, [node, Buffer.from([0, 1])]);

        for (const { socket } of users) socket.once("ready?", (ack) => ack("yes"));
        const asked = await world.api("POST", "/v1/emit", { to: ["room:api"], event: "ready?", ack: true, timeout: 5000 }, at);
        assert.equal(asked.status, 200);
        assert.equal(asked.body.answers.length, 3);

        const { body: presence } = await world.api("GET", "/v1/namespaces/%2F/rooms/room:api", undefined, at);
        assert.deepEqual(new Set(presence.users.map((u) => u.user)), new Set(users.map((u) => u.name)));
        const { body: rooms } = await world.api("GET", "/v1/namespaces/%2F/rooms?limit=1000", undefined, at);
        assert.equal(rooms.rooms.find((r) => r.name === "room:api").sockets, 3);
        const { body: nodes } = await world.api("GET", "/v1/nodes", undefined, at);
        assert.deepEqual(nodes.nodes.map((n) => n.id), ["g1", "g2", "g3"]);
        const { body: spaces } = await world.api("GET", "/v1/namespaces", undefined, at);
        assert.ok(spaces.namespaces.find((n) => n.name === "/").sockets >= 3);
        assert.equal((await world.api("POST", "/v1/server-emit", { event: "reload", args: [node] }, at)).status, 204);

        const seen = [];
        for (let cursor = ""; ;) {
          const { body } = await world.api("GET", `/v1/namespaces/%2F/sockets?room=room:api&limit=2${cursor && `&cursor=${encodeURIComponent(cursor)}`}`, undefined, at);
          seen.push(...body.sockets.map((s) => s.id));
          if (!body.next) break;
          cursor = body.next;
        }
        assert.deepEqual(seen, users.map(({ socket }) => socket.id).toSorted());
      }
      const [{ socket, name }] = users;
      const path = `/v1/namespaces/%2F/sockets/${socket.id}`;
      assert.equal((await world.api("POST", `${path}/join`, { rooms: ["by-api"] }, { node: 1 })).status, 204);
      assert.equal((await world.api("PUT", `${path}/data`, { from: "api" }, { node: 2 })).status, 204);
      await until("room and data", async () => {
        const { body } = await world.api("GET", path);
        return body.rooms.includes("by-api") && body.data?.from === "api";
      });
      const batch = await world.api("POST", "/v1/batch", {
        commands: [
          { type: "leave", to: [`user:${name}`], rooms: ["by-api"] },
          { type: "emit", to: [`user:${name}`], event: "bye" },
          { type: "disconnect", to: [`user:${name}`] },
        ],
      });
      assert.equal(batch.status, 200);
      await until("the end", () => !socket.connected);
    });

    it("sends something twice that is done once", async (t) => {
      const { name, socket } = await user(t);
      const got = new Inbox(socket, "once");
      const send = (node, event = "once") => world.api("POST", "/v1/emit", { to: [`user:${name}`], event, args: [1] }, { node, headers: { "idempotency-key": `k-${name}` } });
      const answers = [await send(0), await send(1), await send(2)];
      assert.deepEqual(answers.map((a) => a.status), [204, 204, 204]);
      assert.equal((await send(0, "other")).status, 422);
      const last = event(socket, "last");
      await world.api("POST", "/v1/emit", { to: [`user:${name}`], event: "last" });
      await last;
      assert.deepEqual(got.items, [[1]]);
    });

    it("signs tokens that let in, by a secret and by a key, and run out", async (t) => {
      const { url } = world.gateways[0];
      for (const alg of ["HS256", "ES256"]) {
        const token = await world.token({ alg, sub: "ann", team: "red", rooms: ["extra"], may_join: ["room:a*"], namespaces: ["/members"] });
        const socket = await connect(t, url, { nsp: "/members", auth: { token } });
        assert.deepEqual((await call(socket, "join", "room:a1")), { rooms: ["room:a1"] });
        assert.equal((await call(socket, "join", "room:b")).error, "forbidden");
        const { body } = await world.api("GET", `/v1/namespaces/%2Fmembers/sockets/${socket.id}`);
        assert.deepEqual(new Set(body.rooms), new Set(["extra", "user:ann", "team:red", "room:a1"]));
      }
      for (const [auth, code] of [
        [{}, "token missing"],
        [{ token: "x.y.z" }, "token invalid"],
        [{ token: await world.token({ alg: "HS256", sub: "ann", expires: -10 }) }, "token expired"],
        [{ token: await world.token({ alg: "HS256", sub: "ann", namespaces: ["/other"] }) }, "forbidden"],
      ]) {
        const error = await refused(open(t, url, { nsp: "/members", auth }));
        assert.equal(error.data.code, code);
      }
    });

    it("ends clients with their token, unless they bring a new one", async (t) => {
      const { url } = world.gateways[1];
      const short = () => world.token({ alg: "HS256", sub: "ann", team: "blue", expires: 5 });
      const [stays, goes] = await Promise.all([0, 1].map(async () => connect(t, url, { nsp: "/members", auth: { token: await short() }, reconnection: false })));
      const ended = event(goes, "disconnect");
      const long = await world.token({ alg: "HS256", sub: "ann", team: "blue" });
      const answer = await call(stays, "fanwire:auth", long);
      assert.equal(answer.error, undefined);
      await ended;
      assert.equal(stays.connected, true);
    });

    it("revokes", async (t) => {
      const { url } = world.gateways[2];
      const socket = await connect(t, url, { nsp: "/members", auth: { token: await world.token({ alg: "HS256", sub: `bob-${language}`, team: "red" }) } });
      const ended = event(socket, "disconnect");
      const refusal = refused(socket); // it tries again at once, perhaps before the API has answered
      const { status } = await world.api("POST", "/v1/revocations", { user: `bob-${language}` }, { node: 0 });
      assert.ok(status < 300, `status ${status}`);
      await ended;
      const error = await refusal;
      assert.equal(error.data.code, "token revoked");
      await until("the third node to know", async () => {
        const { body } = await world.api("GET", "/v1/revocations", undefined, { node: 1 });
        return JSON.stringify(body).includes(`bob-${language}`);
      });
    });

    it("is slow or dead at nobody's cost but its clients'", async (t) => {
      const [a, b] = [await user(t), await user(t)];
      let late = false;
      const slow = call(a.socket, "slow").finally(() => { late = true; });
      assert.equal(await call(b.socket, "sum", 0, 1), 1);
      assert.ok(!late, "others waited");
      for (let i = 1; i < 20; i++) assert.equal(await call(b.socket, "sum", i, 1), i + 1);
      assert.equal(await slow, "late");
      for (let i = 0; i < 5; i++) assert.equal((await call(a.socket, "dead")).error, "unavailable");
      assert.equal((await call(a.socket, "unknown event")).error, "unavailable"); // the backend answers 500
      assert.equal(await call(a.socket, "sum", 1, 1), 2);
      const sums = await Promise.all(world.gateways.map((g) => g.metric("fanwire_webhook_circuit_open", 'webhook="dead"')));
      assert.equal(Math.max(...sums), 1);
    });

    it("refuses strangers", async () => {
      const { admin } = world.gateways[0];
      const post = (path, body, headers = {}) => fetch(admin + path, { method: "POST", body, headers: { authorization: `Bearer ${world.secrets.key}`, "content-type": "application/json", ...headers } });
      const emit = JSON.stringify({ to: ["x"], event: "e" });
      assert.equal((await post("/v1/emit", emit, { authorization: "" })).status, 401);
      assert.equal((await post("/v1/emit", emit, { authorization: `Bearer ${world.secrets.key}x` })).status, 401);
      assert.equal((await post("/v1/emit", emit, { authorization: `Bearer ${world.secrets.reader}` })).status, 403);
      for (const [body, status] of [
        ["", 400], ["{", 400], ['{"to":["x"],"event":"e"}x', 400], ['{"to":["x"],"event":"e","nope":1}', 400], ['{"to":["x"]}', 400],
        ['{"event":"e"}', 400], ['{"to":["x"],"event":7}', 400], ["[".repeat(100_000), 400], ['{"to":["x"],"event":"connect"}', 400],
        [JSON.stringify({ to: ["x"], event: "e", args: ["x".repeat(3_000_000)] }), 413],
        [JSON.stringify({ namespace: "/nowhere", to: ["x"], event: "e" }), 404],
      ]) {
        const response = await post("/v1/emit", body);
        assert.equal(response.status, status, body.slice(0, 80));
        const problem = await response.json();
        assert.ok(problem.title || problem.detail, "no explanation");
      }
      assert.equal((await post("/v1/emit", emit, { "content-type": "text/plain" })).status, 415);

      const { refused: before } = await world.ask("/heard");
      for (const headers of [
        {},
        { "webhook-id": "x", "webhook-timestamp": String(Math.floor(Date.now() / 1000)), "webhook-signature": "v1,AAAA" },
      ]) {
        const response = await fetch(`${world.backendURL}/hook`, { method: "POST", body: '{"type":"connect"}', headers: { "content-type": "application/json", ...headers } });
        assert.equal(response.status, 401);
      }
      assert.equal((await world.ask("/heard")).refused, before + 2);
    });
  });
}
