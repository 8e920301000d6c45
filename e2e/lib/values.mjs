// Values to send: every kind of JSON, and binary at many places.

export const TEXTS = ["", "plain", "héé €uro 😀 \u2028\u2029", 'quotes " and \\ and / and \n\t\u0000\u001f', "<b>&amp;</b>"];

export const JSON_VALUES = [
  null, true, false, 0, -1, 1.5, 1e21, 5e-324, Number.MAX_SAFE_INTEGER,
  ...TEXTS,
  [], {}, [[], [[]], {}], { a: { b: [1, { c: null }] }, "": "empty key", "ключ": "☃" },
];

// PORTABLE_VALUES come through official MessagePack encoders unchanged: they
// write whole numbers of more than 64 bits wrongly (CLU-M-03).
export const PORTABLE_VALUES = JSON_VALUES.filter((value) => value !== 1e21);

// bytes makes a buffer of n bytes that depends on seed.
export function bytes(n, seed = 1) {
  return Buffer.from(Uint8Array.from({ length: n }, (_, i) => (i * 31 + seed * 17) & 255));
}

// nested has several attachments, at several depths, an empty one among them,
// and an object that only looks like a placeholder.
export function nested() {
  return {
    top: bytes(3),
    list: [bytes(1, 2), "text", [bytes(0), { deep: { deeper: bytes(2_000, 3) } }]],
    looksLike: { _placeholder: "true", num: 0 },
    n: 1,
  };
}
