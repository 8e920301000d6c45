// node --test verify.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { verify } from "./verify.mjs";

const { cases } = JSON.parse(readFileSync(new URL("vectors.json", import.meta.url), "utf8"));

for (const c of cases) {
  test(c.name, () => {
    const check = () => verify(c.secrets, c.headers, Buffer.from(c.body), c.now);
    if (c.valid) assert.deepEqual(check(), JSON.parse(c.body));
    else assert.throws(check);
  });
}

test("one secret, the body as text, the clock of this machine", () => {
  const c = cases.find((c) => c.valid);
  assert.throws(() => verify(c.secrets[0], c.headers, c.body), /too old/);
  assert.deepEqual(verify(c.secrets[0], c.headers, c.body, c.now), JSON.parse(c.body));
});
