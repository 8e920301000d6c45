// Tables of the results that `run` has left in a folder, in Markdown: one for each test, the median of its turns. A column without a
// figure, or with zeros only, is left out.
//
//   node table.mjs DIR           on standard output
//   node table.mjs DIR PAGE      into a page, between <!-- tables: PREFIX --> and <!-- end of tables -->: those whose names begin so

import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, page] = process.argv.slice(2);
const tables = new Map(); // by test
const HEAD = ["server", "a second", "CPU µs each", "Redis µs each", "cores", "p50 ms", "p99 ms", "max ms", "lost", "twice", "late", "memory MB", "KB each", "valid"];
const WHAT = {
  connect: "connection", storm: "client that comes back", echo: "ack", fanout: "delivery", churn: "delivery",
};
const LATENCY = { connect: "connect", storm: "reconnect", echo: "echo", fanout: "delivery", churn: "delivery" };

for (const test of readdirSync(folder).sort()) {
  const dir = join(folder, test);
  if (!statSync(dir).isDirectory()) continue;
  const servers = new Map(); // to documents
  for (const file of readdirSync(dir).sort()) {
    const [, server] = /^(.+)\.\d+\.json$/.exec(file) ?? [];
    const text = server && readFileSync(join(dir, file), "utf8");
    if (text) servers.set(server, [...(servers.get(server) ?? []), JSON.parse(text)]); // without text the test has not come so far
  }
  if (!servers.size) continue;
  const [first] = [...servers.values()][0];
  const key = (server) => server.replace(/^(\w+)-(.*)$/, "$2-$1"); // both servers with the same adapter stand together
  const rows = [...servers].sort(([a], [b]) => key(a).localeCompare(key(b))).map(([server, documents]) => [server, ...median(documents.map(row))]);
  const shown = HEAD.map((_, column) => column).filter((column) => rows.some((cells) => cells[column] !== "" && cells[column] !== "0"));
  const line = (cells) => `| ${shown.map((column) => cells[column]).join(" | ")} |`;
  tables.set(test, [`#### ${test}\n\n\`${command(first)}\`; each ${WHAT[first.scenario]}\n\n${line(HEAD)}\n|---|${"---:|".repeat(shown.length - 1)}`, ...rows.map(line)].join("\n"));
}

const begin = (prefix) => [...tables].filter(([test]) => test.startsWith(prefix)).map(([, table]) => table).join("\n\n");
if (page) {
  const text = readFileSync(page, "utf8");
  writeFileSync(page, text.replace(/(<!-- tables: (\S+) -->\n)[^]*?(<!-- end of tables -->)/g, (_, head, prefix, tail) => `${head}\n${begin(prefix)}\n\n${tail}`));
} else {
  console.log(begin(""));
}

// command is what was asked for, without the servers and the files.
function command(d) {
  const words = d.commandLine.filter((word) => !/^--(url|pid|out|live|timeout|cooldown)=|loadtest$/.test(word));
  const last = new Map(words.map((word) => [word.split("=")[0], word])); // a flag that is given twice counts the last time
  return [...last.values()].join(" ");
}

// row has a number, or nothing, for each column but the first.
function row(d) {
  const m = d.messages;
  const [stage] = d.stages?.length ? d.stages : [{ start: 0, seconds: d.measured }];
  const ramp = d.scenario === "connect"; // is measured while the clients connect
  const end = stage.start + stage.seconds;
  const [from, to] = ramp ? [0, stage.start] : [stage.start, end];
  const count = { connect: d.connections.connected, storm: d.connections.reconnected, echo: m.answered }[d.scenario] ?? m.delivered;
  const seen = (d.nodes ?? []).filter(({ samples }) => samples?.length > 1);
  const isRedis = ({ name }) => name?.startsWith("redis-server");
  const nodes = seen.filter((node) => !isRedis(node)), redis = seen.filter(isRedis);
  const cpu = (list) => list.reduce((sum, { samples }) => sum + at(samples, "cpu", to) - at(samples, "cpu", from), 0);
  const memory = (t) => nodes.reduce((sum, { samples }) => sum + at(samples, "resident", t), 0);
  const each = (seconds) => (count > 0 ? (seconds / count) * 1e6 : undefined);
  const closed = d.commandLine.some((word) => word.startsWith("--in-flight")); // says little about latency
  const latency = closed ? undefined : d.latencies[LATENCY[d.scenario]];
  const ms = (us) => (us === undefined ? undefined : us / 1000);
  return [
    ramp || d.scenario === "storm" ? undefined : count / d.measured, each(cpu(nodes)), redis.length ? each(cpu(redis)) : undefined,
    cpu([...nodes, ...redis]) / (to - from), ms(latency?.p50), ms(latency?.p99), ms(latency?.max), m.lost + m.unanswered, m.duplicated, m.outOfOrder,
    memory(end) / 1e6, (memory(end) - memory(0)) / 1e3 / d.connections.peak, d.invalid?.length ? 0 : 1,
  ];
}

// at is a value of samples at a time: between two of them it is interpolated.
function at(samples, key, t) {
  const i = samples.findIndex((sample) => sample.at >= t);
  if (i <= 0) return samples.at(i)[key];
  const [a, b] = [samples[i - 1], samples[i]];
  return a[key] + ((b[key] - a[key]) * (t - a.at)) / (b.at - a.at);
}

function median(rows) {
  return rows[0].map((_, column) => {
    const values = rows.map((cells) => cells[column]).filter((v) => v !== undefined && Number.isFinite(v)).sort((a, b) => a - b);
    if (!values.length) return "";
    if (HEAD[column + 1] === "valid") return values.every(Boolean) ? "yes" : "no";
    const v = (values[(values.length - 1) >> 1] + values[values.length >> 1]) / 2;
    return v >= 100 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(3)));
  });
}
