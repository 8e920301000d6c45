// The command `fanwire emit`.

import { spawn } from "node:child_process";
import { join } from "node:path";

import { OUT } from "./process.mjs";
import { within } from "./wait.mjs";

// emit runs the command and gives {code, stdout, stderr}. It goes to redis by the
// environment, which may hold a password.
export function emit(redis, args, { input = "", env = {} } = {}) {
  const child = spawn(join(OUT, "fanwire"), ["emit", ...args], { env: { ...process.env, FANWIRE_REDIS: redis.url, ...env } });
  const result = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"]) {
    child[stream].setEncoding("utf8").on("data", (text) => (result[stream] += text));
  }
  child.stdin.on("error", () => {}); // it need not read it
  child.stdin.end(input);
  return within(`emit ${args.join(" ")}`, new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...result }));
  }));
}
