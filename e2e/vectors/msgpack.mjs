// Compares protocol/msgpack with the official encoders and decoders on many
// generated values, beyond the vectors that check.mjs checks:
//
//   npm ci && node msgpack.mjs [values] [seed]
//
// Writes what the official packages make of each value to a file and lets the
// test TestOfficial of protocol/msgpack hold it against ours.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const require = createRequire(import.meta.url);
const notepack3 = require("notepack.io"); // the Redis adapters
const msgpackParser = require("socket.io-msgpack-parser"); // clients: notepack.io 2

const count = Number(process.argv[2] ?? 20_000);
const seed = Number(process.argv[3] ?? Date.now() % 1e9);

// ---- Values

let state = seed;
function random(n) {
  // mulberry32
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
}

const pick = (list) => list[random(list.length)];

function integer() {
  const edge = 2 ** pick([0, 4, 5, 7, 8, 15, 16, 31, 32, 52]) + random(5) - 2;
  return pick([edge, -edge, random(1000), random(2 ** 32) * random(2 ** 20)]) || 0;
}

// Integral floats from 2^53 on are ours to write as floats (CLU-G-08).
function float() {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setUint32(0, random(2 ** 32));
  bits.setUint32(4, random(2 ** 32));
  const any = bits.getFloat64(0);
  const f = pick([any, random(1e6) / 1000, random(1e9) / 2 ** random(40), random(100) * 10 ** -random(30)]);
  return Number.isFinite(f) && !(Number.isInteger(f) && Math.abs(f) >= 2 ** 53) ? f || 0 : 0.5;
}

const alphabet = ["a", "Z", " ", '"', "\\", "/", "\0", "\n", "\x1f", "\x7f", "é", "ß", "\u2028", "中", "\uffff", "😀", "\u{10ffff}", "<"];

function string() {
  const length = pick([0, 3, 7, 8, 9, 15, 31, 32, 33, 100, 255, 256, 300]);
  if (random(2)) return "x".repeat(length);
  return Array.from({ length }, () => (random(3) ? "b" : pick(alphabet))).join("");
}

function value(depth) {
  switch (random(depth > 3 ? 7 : 11)) {
    case 0: return null;
    case 1: return random(2) === 1;
    case 2: return integer();
    case 3: return float();
    case 4: case 5: return string();
    case 6: return Buffer.from(Array.from({ length: pick([0, 1, 5, 255, 256]) }, () => random(256)));
    case 7: case 8: return Array.from({ length: pick([0, 1, 2, 3, 15, 16, 17]) }, () => value(depth + 1));
    default: return Object.fromEntries(Array.from({ length: pick([0, 1, 2, 4, 16]) }, (_, i) => [string() + i, value(depth + 1)]));
  }
}

// ---- Their forms

// split writes a value as JSON with placeholders.
function split(value) {
  const attachments = [];
  const json = JSON.stringify(value, function (key, converted) {
    const v = this[key];
    if (!Buffer.isBuffer(v) && !(v instanceof ArrayBuffer)) return converted;
    return { _placeholder: true, num: attachments.push(Buffer.from(v).toString("hex")) - 1 };
  });
  return { json, attachments };
}

function decoded(decode, bytes) {
  try {
    return split(decode(bytes)).json ?? "null";
  } catch {
    return undefined;
  }
}

function parsed(bytes) {
  const decoder = new msgpackParser.Decoder();
  let packet;
  decoder.on("decoded", (p) => (packet = p));
  decoder.add(bytes);
  return packet.data;
}

function mutate(bytes) {
  const b = Buffer.from(bytes);
  for (let i = random(3); i >= 0 && b.length > 0; i--) {
    b[random(b.length)] = pick([random(256), 0xc0 + random(32), 0x80 + random(32)]);
  }
  return random(8) ? b : b.subarray(0, random(b.length + 1));
}

const lines = [];
for (let i = 0; i < count; i++) {
  const v = value(0);
  const bytes = notepack3.encode(v);
  lines.push({ kind: "value", hex: bytes.toString("hex"), ...split(v) });

  const broken = mutate(bytes);
  lines.push({ kind: "mutant", hex: broken.toString("hex"), json: decoded(notepack3.decode, broken) });

  const data = ["e", v, pick([1, undefined, new Date(random(2 ** 32) * random(2 ** 10))])];
  const [packet] = new msgpackParser.Encoder().encode({ type: 2, data, id: random(2 ** 31), nsp: "/" });
  if (split(data).attachments.length <= 10) {
    lines.push({ kind: "packet", hex: packet.toString("hex"), ...split(parsed(packet)) });
  }
}

const dir = mkdtempSync(join(tmpdir(), "fanwire-msgpack-"));
const file = join(dir, "values.json");
writeFileSync(file, lines.map((l) => JSON.stringify(l)).join("\n"));
console.log(`${lines.length} values, seed ${seed}`);
const go = spawnSync("go", ["test", "-count=1", "-run=^TestOfficial$", "-v", "./protocol/msgpack"], {
  cwd: new URL("../../", import.meta.url),
  env: { ...process.env, FANWIRE_TEST_MSGPACK: file },
  stdio: "inherit",
});
rmSync(dir, { recursive: true });
process.exit(go.status ?? 1);
