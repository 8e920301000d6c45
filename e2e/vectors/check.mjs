// Checks every vector of protocol/testdata against the official parsers, so that
// the vectors are true and not merely ours. See the README there for their form.
//
//   npm ci && node check.mjs
//
// A vector agrees when the official parser decodes it to the same packet (and,
// unless it is marked "oneway", encodes that packet to the same bytes), or
// refuses it with an error of the same family. Where we are stricter on purpose,
// the vector names the rule, and the official parser must accept it.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
import * as engine4 from "engine.io-parser";
import * as socketio from "socket.io-parser";

const require = createRequire(import.meta.url);
const engine3 = require("engine.io-parser-v3");
const msgpackParser = require("socket.io-msgpack-parser");
const notepack = require("notepack.io");

const testdata = new URL("../../protocol/testdata/", import.meta.url);

// Refused is an official parser's refusal, with the family of its error.
class Refused extends Error {
  constructor(family, text) {
    super(text);
    this.family = family;
  }
}

// ---- Reading vectors

function read(file) {
  return JSON.parse(readFileSync(new URL(file, testdata), "utf8"));
}

function text(t) {
  if (typeof t === "string") return t;
  return t.map((p) => (typeof p === "string" ? p : p.repeat.repeat(p.times))).join("");
}

function bytes(hex) {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

// A message is a string or a Buffer, as a transport hands it over.
function message(m) {
  return m.hex === undefined ? text(m.text) : bytes(m.hex);
}

// ---- Engine.IO

const types = ["open", "close", "ping", "pong", "message", "upgrade", "noop"];

function fromEngine(packet) {
  if (packet.type === "error" || packet.type === undefined) throw new Refused(null, "parser error");
  return { type: types.indexOf(packet.type), data: packet.data ?? "" };
}

function toEngine(packet) {
  const data = packet.data === "" ? undefined : packet.data;
  return { type: types[packet.type], data };
}

function expectedEngine(packets) {
  return packets.map((p) => ({ type: p.type, data: message(p) }));
}

// Packets before a refusal are kept, as a session would have handled them.
function collect(packets) {
  const all = [];
  for (const p of packets) {
    try {
      all.push(fromEngine(p));
    } catch (refused) {
      refused.packets = all;
      throw refused;
    }
  }
  return all;
}

function engineFile(decode, encode) {
  return {
    decode: (v) => collect(decode(message(v))),
    expected: (v) => expectedEngine(v.packets),
    encode: (v, packets) => encode(packets.map(toEngine), Buffer.isBuffer(message(v))),
    encoded: message,
    before: (v, refused) =>
      v.packets === undefined || isDeepStrictEqual(refused.packets, expectedEngine(v.packets)),
  };
}

function callback(f) {
  let result;
  f((r) => (result = r));
  return result;
}

function decodePayload3(body) {
  const packets = [];
  engine3.decodePayload(body, (p) => void packets.push(p));
  return packets;
}

// ---- Handshake: the client calls JSON.parse and believes the rest

const handshake = {
  decode(v) {
    let h;
    try {
      h = JSON.parse(text(v.text));
    } catch (e) {
      throw new Refused("handshake", e.message);
    }
    return {
      sid: h?.sid,
      upgrades: h?.upgrades ?? [],
      pingInterval: h?.pingInterval,
      pingTimeout: h?.pingTimeout,
      maxPayload: h?.maxPayload ?? 0,
    };
  },
  expected: (v) => v.handshake,
  encode: (v, h) => JSON.stringify(h),
  encoded: (v) => text(v.text),
};

// ---- Socket.IO

const families = [
  [/^unknown packet type|^invalid packet type/, "type"],
  [/^Cannot read properties of (undefined|null)/, "type"], // no packet at all
  [/attachments$/i, "attachments"],
  [/^got (plaintext|binary) data/, "order"],
  [/^invalid namespace/, "namespace"],
  [/^invalid packet id/, "id"],
  [/^invalid payload/, "payload"],
  [/^Could not parse|trailing bytes|out of (range|bounds)|outside buffer bounds/i, "msgpack"],
];

function refuse(error) {
  const found = families.find(([pattern]) => pattern.test(error.message));
  return new Refused(found?.[1] ?? `unknown: ${error.message}`, error.message);
}

function decodeSocket(parser, messages) {
  const decoder = new parser.Decoder();
  let packet;
  decoder.on("decoded", (p) => {
    if (packet) throw new Error("more than one packet");
    packet = p;
  });
  for (const m of messages) {
    try {
      // engine.io-parser turns a message without data into undefined (EIO-K-09).
      decoder.add(m === "" ? undefined : m);
    } catch (e) {
      throw refuse(e);
    }
  }
  if (!packet) throw new Refused("incomplete", "no packet");
  return packet;
}

// plain makes values of different parsers comparable: as JSON would have them,
// but with Buffers.
function plain(value) {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer) return Buffer.from(value);
  if (value instanceof Date) return value.toJSON();
  if (value === undefined) return null;
  if (typeof value === "number") return Number.isFinite(value) ? value + 0 : null;
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  const members = Object.entries(value).filter(([, v]) => v !== undefined);
  return Object.fromEntries(members.map(([k, v]) => [k, plain(v)]));
}

function common(packet) {
  const { type, nsp, id, data } = packet;
  const p = { type, nsp, id, data: data === undefined ? undefined : plain(data) };
  if (type !== 2 && type !== 3) return p;
  const items = data ?? [];
  if (type === 2) p.event = String(items[0]).toWellFormed();
  p.args = plain(type === 2 ? items.slice(1) : items);
  return p;
}

// fill puts attachments in the place of placeholders: written here anew, not
// taken from the parser under test.
function fill(json, attachments) {
  const value = JSON.parse(json);
  if (!attachments?.length) return value;
  const walk = (v) => {
    if (v === null || typeof v !== "object") return v;
    if (Array.isArray(v)) return v.map(walk);
    if (v._placeholder === true) return bytes(attachments[v.num]);
    return Object.fromEntries(Object.entries(v).map(([k, m]) => [k, walk(m)]));
  };
  return walk(value);
}

function expectedSocket({ packet: p }) {
  const e = { type: p.type, nsp: text(p.nsp), id: p.id, data: undefined };
  if (p.data !== undefined) e.data = plain(fill(text(p.data), p.attachments));
  if (p.event !== undefined) e.event = text(p.event);
  if (p.args !== undefined) e.args = p.args.map((a) => plain(fill(text(a), p.attachments)));
  return e;
}

// toSocket is a packet as the official server hands it to its encoder, which
// matters to MessagePack: an ack begins with its id.
function toSocket({ packet: p }) {
  const packet = p.type === 3 && p.id !== undefined ? { id: p.id, type: p.type } : { type: p.type };
  if (p.data !== undefined) packet.data = fill(text(p.data), p.attachments);
  if (p.id !== undefined) packet.id = p.id;
  packet.nsp = text(p.nsp);
  return packet;
}

function socketFile(parser) {
  return {
    decode(v) {
      const packet = decodeSocket(parser, v.messages.map(message));
      return v.stricter ? packet : common(packet);
    },
    expected: expectedSocket,
    encode: (v) => new parser.Encoder().encode(toSocket(v)),
    encoded: (v) => v.messages.map(message),
  };
}

// ---- MessagePack values

const values = {
  decode(v) {
    try {
      return plain(notepack.decode(message(v)));
    } catch (e) {
      throw refuse(e);
    }
  },
  expected: (v) => plain(fill(text(v.json), v.attachments)),
  encode: (v) => notepack.encode(fill(text(v.json), v.attachments)),
  encoded: message,
};

// ---- Checking

const files = {
  "engineio4.json": engineFile(
    (m) => [engine4.decodePacket(m)],
    ([p]) => callback((done) => engine4.encodePacket(p, false, done)),
  ),
  "engineio4-payload.json": engineFile(
    (m) => engine4.decodePayload(m),
    (packets) => callback((done) => engine4.encodePayload(packets, done)),
  ),
  "handshake.json": handshake,
  "engineio3.json": engineFile(
    (m) => [engine3.decodePacket(m)],
    ([p]) => callback((done) => engine3.encodePacket(p, true, done)),
  ),
  "engineio3-payload.json": engineFile(decodePayload3, (packets, binary) =>
    callback((done) => engine3.encodePayload(packets, binary, done)),
  ),
  "socketio5.json": socketFile(socketio),
  "msgpack.json": socketFile(msgpackParser),
  "msgpack-values.json": values,
};

// disagreement says how a vector and the official parser differ.
function disagreement(file, v) {
  let got;
  try {
    got = file.decode(v);
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    return refusal(file, v, refused);
  }
  if (v.stricter) return v.error ? null : "is marked stricter, but has no error";
  if (v.error) return `is invalid, but officially ${show(got)}`;
  const want = file.expected(v);
  if (!isDeepStrictEqual(got, want)) return `should be ${show(want)}, is officially ${show(got)}`;
  const same = isDeepStrictEqual(file.encode(v, got), file.encoded(v));
  if (same && v.oneway) return "is marked oneway, but officially encoded like that";
  if (!same && !v.oneway) return `is officially encoded as ${show(file.encode(v, got))}`;
  return null;
}

function refusal(file, v, refused) {
  if (v.stricter) return `is marked stricter, but officially refused: ${refused.message}`;
  if (!v.error) return `is valid, but officially refused: ${refused.message}`;
  const family = v.official ?? v.error;
  if (refused.family !== null && refused.family !== family) {
    return `has the error ${family}, officially ${refused.family}: ${refused.message}`;
  }
  if (file.before && !file.before(v, refused)) return `has officially ${show(refused.packets)} before the error`;
  return null;
}

function show(value) {
  return (JSON.stringify(value) ?? "nothing").slice(0, 300);
}

let total = 0;
let agree = 0;
for (const [name, file] of Object.entries(files)) {
  for (const v of read(name)) {
    total++;
    const problem = disagreement(file, v);
    if (problem === null) agree++;
    else console.log(`${name}: ${v.name}: ${problem}`);
  }
}
console.log(`${total} vectors, ${agree} agree`);
process.exitCode = agree === total ? 0 : 1;
