// A table of the results that `run` has left in a folder, in Markdown on standard output.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const [folder] = process.argv.slice(2);
const rows = new Map(); // scenario to rows

for (const server of readdirSync(folder).sort()) {
  const dir = join(folder, server);
  if (!statSync(dir).isDirectory()) continue;
  for (const file of readdirSync(dir).filter((name) => name.endsWith(".json")).sort()) {
    const text = readFileSync(join(dir, file), "utf8");
    if (!text) continue; // the test has not come so far
    const scenario = file.slice(0, -".json".length);
    rows.set(scenario, [...(rows.get(scenario) ?? []), row(server, JSON.parse(text))]);
  }
}

function row(server, d) {
  const main = ["delivery", "echo", "reconnect", "join", "connect"].map((name) => d.latencies[name]).find((l) => l?.count > 0);
  const ms = (us) => (us === undefined ? "" : (us / 1000).toFixed(us < 10_000 ? 2 : 1));
  const perSecond = (n) => (n > 0 && d.measured > 0 ? Math.round(n / d.measured).toLocaleString("en") : "");
  const used = (d.nodes ?? []).map(({ samples }) => samples ?? []).filter((samples) => samples.length > 1);
  const sum = (f) => used.reduce((total, samples) => total + f(samples), 0);
  const cores = sum((s) => (s.at(-1).cpu - s[0].cpu) / (s.at(-1).at - s[0].at));
  const memory = sum((s) => Math.max(...s.map(({ resident }) => resident))) / 1e6;
  const m = d.messages;
  return [
    server, d.connections.connected, d.connections.failed, perSecond(m.delivered || m.answered), m.lost + m.unanswered, m.duplicated, m.outOfOrder,
    ms(main?.p50), ms(main?.p99), ms(main?.max), used.length ? cores.toFixed(2) : "", used.length ? Math.round(memory) : "", d.invalid ? "no" : "yes",
  ];
}

const HEAD = [
  "server", "connected", "failed", "deliveries or answers/s", "lost", "duplicated", "out of order", "p50 ms", "p99 ms", "max ms", "cores of all nodes", "memory MB", "valid",
];

for (const [scenario, list] of [...rows].sort(([a], [b]) => a.localeCompare(b))) {
  console.log(`\n## ${scenario}\n\n| ${HEAD.join(" | ")} |\n|---|${"---:|".repeat(HEAD.length - 1)}`);
  for (const cells of list) console.log(`| ${cells.join(" | ")} |`);
}
