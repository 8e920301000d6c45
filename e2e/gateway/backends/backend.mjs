// A backend of the gateway in Node.js, with public packages only. README.md beside
// this folder says what it does; backend.py does the same.

import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

import express from "express";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { createClient } from "redis";
import { Webhook } from "standardwebhooks";

const { WEBHOOK_SECRET, JWT_SECRET, API_KEY, API_URLS, REDIS_URL } = process.env;
const apis = () => API_URLS.split(",");
const heard = []; // of connected and disconnected, and how often requests were refused
let refused = 0;

// api calls the gateway's HTTP API.
async function api(method, path, body, headers = {}, node = 0) {
  const response = await fetch(`${apis()[node]}${path}`, {
    method,
    headers: { authorization: `Bearer ${API_KEY}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, body: text === "" ? null : parse(text) };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// connect decides on a client.
function connect({ handshake }) {
  const name = handshake.auth?.name;
  if (!name || name === "mallory") return { refuse: { message: "who are you?", data: { code: 7 } } };
  return { user: name, rooms: ["lobby"], data: { level: 1 }, mayJoin: ["room:*", "lobby"] };
}

// events has an answer for each event.
const events = {
  sum: ({ args: [a, b] }) => ({ ack: [a + b] }),
  echo: ({ args }) => ({ ack: args }),
  size: ({ args: [file] }) => ({ ack: [Buffer.from(file.$binary, "base64").length] }),
  say: ({ user, args: [{ room, text }] }) => ({
    ack: ["ok"],
    actions: [{ type: "emit", to: [room], event: "said", args: [{ from: user, text }] }],
  }),
  picture: () => ({ actions: [{ type: "emit", event: "picture", args: [{ png: { $binary: Buffer.from([1, 2, 3]).toString("base64") } }] }] }),
  promote: ({ user }) => ({
    ack: [true],
    actions: [{ type: "join", rooms: ["vip"] }, { type: "set_data", data: { level: 9, user } }, { type: "emit", to: ["vip"], event: "welcome", args: [user] }],
  }),
  demote: () => ({ ack: [true], actions: [{ type: "leave", rooms: ["vip"] }] }),
  kick: () => ({ actions: [{ type: "disconnect" }] }),
  slow: async () => {
    await sleep(1500);
    return { ack: ["late"] };
  },
};

const app = express();

app.post("/hook", express.raw({ type: "application/json", limit: "4mb" }), async (request, response) => {
  let call;
  try {
    call = new Webhook(WEBHOOK_SECRET).verify(request.body, request.headers);
  } catch {
    refused++;
    return response.status(401).end();
  }
  if (call.type === "connect") return response.json(connect(call));
  if (call.type === "connected" || call.type === "disconnected") {
    heard.push(call);
    return response.status(204).end();
  }
  const handler = events[call.event];
  if (!handler) return response.status(500).end();
  return response.json(await handler(call));
});

const keys = await generateKeyPair("ES256");
const jwk = { ...(await exportJWK(keys.publicKey)), kid: "k1", alg: "ES256", use: "sig" };
app.get("/jwks.json", (_, response) => response.json({ keys: [jwk] }));

// A token for the tests: claims as JSON, signed by the secret or by the key.
app.post("/token", express.json(), async (request, response) => {
  const { alg, expires = 3600, ...claims } = request.body;
  const token = new SignJWT(claims)
    .setProtectedHeader(alg === "ES256" ? { alg, kid: "k1" } : { alg })
    .setExpirationTime(Math.floor(Date.now() / 1000) + expires);
  response.json({ token: await token.sign(alg === "ES256" ? keys.privateKey : new TextEncoder().encode(JWT_SECRET)) });
});

app.get("/heard", (_, response) => response.json({ heard, refused }));

// The tests let this backend use the API, which is what is tested.
app.post("/api", express.json({ limit: "4mb" }), async (request, response) => {
  const { method, path, body, headers, node } = request.body;
  response.json(await api(method, path, body, headers, node));
});

// orders reads the stream with a consumer group and answers each client by the API.
async function orders() {
  const redis = await createClient({ url: REDIS_URL }).connect();
  await redis.xGroupCreate("orders", "backend", "0", { MKSTREAM: true });
  for (;;) {
    const found = await redis.xReadGroup("backend", "node", { key: "orders", id: ">" }, { COUNT: 10, BLOCK: 1000 });
    for (const { id, message } of found?.[0]?.messages ?? []) {
      const args = JSON.parse(message.args);
      await api("POST", "/v1/emit", { namespace: message.namespace, to: [message.socket], event: "ordered", args: [...args, message.user] });
      await redis.xAck("orders", "backend", id);
    }
  }
}

const server = app.listen(0, "127.0.0.1");
await once(server, "listening");
process.on("SIGTERM", () => process.exit(0));
process.on("SIGUSR2", () => void orders()); // the gateways are there
console.log(JSON.stringify({ event: "listening", url: `http://127.0.0.1:${server.address().port}` }));
