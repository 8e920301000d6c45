// Arguments as people type them and as they are shown.

// parseArgs reads what one would write between the brackets of emit: JSON values with
// commas between. {"$binary": "BASE64"} anywhere stands for bytes.
export function parseArgs(text) {
  return JSON.parse(`[${text}]`).map(withBinary);
}

function withBinary(value) {
  if (Array.isArray(value)) return value.map(withBinary);
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "$binary" && typeof value.$binary === "string") {
    return Uint8Array.from(atob(value.$binary), (c) => c.charCodeAt(0)).buffer;
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withBinary(inner)]));
}

// parseObject reads a JSON object, undefined if there is nothing.
export function parseObject(text) {
  if (text.trim() === "") return undefined;
  const value = JSON.parse(text);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("not a JSON object");
  return value;
}

// parseQuery reads a=1&b=2.
export function parseQuery(text) {
  return Object.fromEntries(new URLSearchParams(text.trim()));
}

// parseHex reads bytes, undefined if there are none.
export function parseHex(text) {
  const digits = text.replace(/0x|[\s,:]/gi, "");
  if (digits === "") return undefined;
  if (digits.length % 2 || /[^0-9a-f]/i.test(digits)) throw new Error("not pairs of hex digits");
  return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16)).buffer;
}

const SHOWN_BYTES = 32;
const SHOWN_LINE = 120;
const SHOWN_TEXT = 20_000;

// format shows arguments: JSON, with sizes and the first bytes of what is binary.
export function format(args) {
  const values = args.map(shown);
  const line = values.map((value) => JSON.stringify(value) ?? String(value)).join(", ");
  if (line.length <= SHOWN_LINE) return line;
  const text = values.map((value) => JSON.stringify(value, null, 2) ?? String(value)).join(",\n");
  return text.length > SHOWN_TEXT ? `${text.slice(0, SHOWN_TEXT)} … ${text.length} characters` : text;
}

function shown(value) {
  const bytes = bytesOf(value);
  if (bytes) return hex(bytes);
  if (Array.isArray(value)) return value.map(shown);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shown(inner)]));
}

function bytesOf(value) {
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  return undefined;
}

// hex shows the size and the first bytes.
export function hex(bytes) {
  const first = Array.from(bytes.subarray(0, SHOWN_BYTES), (b) => b.toString(16).padStart(2, "0")).join(" ");
  const more = bytes.length > SHOWN_BYTES ? " …" : "";
  return `<${bytes.length} bytes${first && ": "}${first}${more}>`;
}

// duration shows seconds.
export function duration(seconds) {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}
