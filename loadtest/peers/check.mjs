// Holds a result against what every server must do, however slow the machine is: all
// that was sent is there, once and in order, and nothing went wrong. Latency and rates
// do not count, so that a generator that was too slow is no failure.

import { readFileSync } from "node:fs";

const d = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { messages: m, connections: c } = d;
const wrong = [];
const none = (name, n) => n === 0 || wrong.push(`${name}: ${n}`);

for (const name of ["lost", "unanswered", "duplicated", "outOfOrder", "unexpected"]) none(name, m[name]);
none("connects that failed", c.failed);
none("connections that ended", c.disconnected);
for (const [kind, n] of Object.entries(d.errors ?? {})) none(kind, n);
if (d.interrupted) wrong.push("interrupted");
if (c.connected < c.asked) wrong.push(`${c.connected} of ${c.asked} connected`);
if (["echo", "fanout", "churn"].includes(d.scenario) && m.delivered + m.answered === 0) wrong.push("nothing was sent");
if (d.scenario === "storm" && c.reconnected === 0) wrong.push("nobody came back");

if (wrong.length) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
