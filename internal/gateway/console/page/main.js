// The page: the client's bundle, the connections, the cluster.

import { Cluster } from "./cluster.js";
import { Connection } from "./connection.js";

const byId = (id) => document.getElementById(id);
const BUNDLE = "socket.io.min.js";
const MAX_BUNDLE = 2 << 20;

const config = await fetch("config.json", { cache: "no-store" }).then((response) => response.json());
const cluster = new Cluster(config.api);
const connections = new Set();

function add(settings) {
  const connection = new Connection(settings, { cluster, copy: add, removed: (one) => connections.delete(one) });
  connections.add(connection);
  byId("connections").append(connection.element);
  return connection;
}

function defaults() {
  return { url: config.url || location.origin, path: config.path };
}

// run runs the bundle at an address of this origin, or of a blob.
function run(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", () => (globalThis.io ? resolve() : reject(new Error("That is not the Socket.IO client."))));
    script.addEventListener("error", () => reject(new Error("It cannot be loaded.")));
    document.head.append(script);
  });
}

async function runText(text) {
  if (text.length > MAX_BUNDLE) throw new Error("That is too large for the client.");
  const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    await run(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

function ready(from) {
  byId("bundle").hidden = true;
  byId("bundle-status").textContent = `The client is from ${from}.`;
}

async function load(from, f) {
  byId("bundle-error").textContent = "";
  try {
    await f();
    ready(from);
  } catch (error) {
    byId("bundle-error").textContent = error.message;
  }
}

byId("bundle-form").addEventListener("submit", (e) => {
  e.preventDefault();
  const address = byId("bundle-url").value;
  load(address, async () => {
    const response = await fetch(address, { credentials: "omit", referrerPolicy: "no-referrer" });
    if (!response.ok) throw new Error(`It answered with ${response.status}.`);
    await runText(await response.text());
  });
});

byId("bundle-file").addEventListener("change", () => {
  const file = byId("bundle-file").files[0];
  if (file) load(file.name, async () => runText(await file.text()));
});

byId("add").addEventListener("click", () => add(defaults()).$.url.focus());

const THEMES = { system: "light", light: "dark", dark: "system" };
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const next = THEMES[root.dataset.theme ?? "system"];
  root.dataset.theme = next;
  byId("theme").textContent = `Theme: ${next}`;
});

add(defaults());
try {
  await run(config.path + BUNDLE);
  ready("this gateway");
} catch {
  byId("bundle").hidden = false;
  byId("bundle-status").textContent = "The client is missing.";
}
