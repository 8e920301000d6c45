// The HTTP API of this gateway, with a key that stays in memory, and the view of the
// nodes that it gives.

import { duration } from "./values.js";

const INTERVAL = 2000;
const PATIENCE = 5000;

export class Cluster {
  #key = "";
  #timer = 0;

  constructor(api) {
    this.api = api; // path
    this.status = document.getElementById("cluster-status");
    this.region = document.getElementById("nodes-region");
    this.body = document.getElementById("nodes");
    this.input = document.getElementById("key");
    this.forgetButton = document.getElementById("key-forget");
    document.getElementById("key-form").addEventListener("submit", (e) => {
      e.preventDefault();
      this.#use(this.input.value.trim());
    });
    this.forgetButton.addEventListener("click", () => this.#forget("The key is forgotten."));
  }

  get hasKey() {
    return this.#key !== "";
  }

  // join and leave change the rooms of a socket anywhere in the cluster.
  join(nsp, id, room) {
    return this.#rooms(nsp, id, "join", room);
  }

  leave(nsp, id, room) {
    return this.#rooms(nsp, id, "leave", room);
  }

  // socket tells what the cluster knows of a socket.
  socket(nsp, id) {
    return this.#request(`namespaces/${encodeURIComponent(nsp)}/sockets/${encodeURIComponent(id)}`);
  }

  #rooms(nsp, id, what, room) {
    const path = `namespaces/${encodeURIComponent(nsp)}/sockets/${encodeURIComponent(id)}/${what}`;
    return this.#request(path, { rooms: [room] });
  }

  async #request(path, body) {
    if (!this.#key) throw new Error("The API needs a key: see Cluster.");
    const response = await fetch(this.api + path, {
      method: body ? "POST" : "GET",
      headers: { Authorization: `Bearer ${this.#key}`, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE),
    });
    const answer = await response.json().catch(() => undefined);
    if (!response.ok) {
      const error = new Error(answer?.detail ?? answer?.title ?? `The API answered with ${response.status}.`);
      error.status = response.status;
      throw error;
    }
    return answer;
  }

  #use(key) {
    clearTimeout(this.#timer);
    this.#key = key;
    this.input.value = "";
    if (!key) {
      this.#forget("Type a key first.");
      return;
    }
    this.forgetButton.hidden = false;
    this.#look();
  }

  #forget(why) {
    clearTimeout(this.#timer);
    this.#key = "";
    this.forgetButton.hidden = true;
    this.region.hidden = true;
    this.body.replaceChildren();
    this.status.textContent = why;
  }

  async #look() {
    const key = this.#key;
    let answer;
    let failure;
    try {
      answer = await this.#request("nodes");
    } catch (error) {
      failure = error;
    }
    if (key !== this.#key) return; // another one is used, or none
    if (failure?.status === 401 || failure?.status === 403) {
      this.#forget(failure.message);
      return;
    }
    if (failure) this.status.textContent = `No news: ${failure.message}`;
    else this.#show(answer);
    this.#timer = setTimeout(() => this.#look(), INTERVAL);
  }

  #show({ nodes, unnamed = 0 }) {
    const ready = nodes.filter((node) => node.ready).length;
    const others = unnamed ? `, and ${unnamed} without an id, such as official ones` : "";
    const text = `${ready} of ${nodes.length} nodes ready${others}.`;
    if (this.status.textContent !== text) this.status.textContent = text; // or it is read out again
    this.region.hidden = false;
    this.body.replaceChildren(...nodes.map(row));
  }
}

function row(node) {
  const tr = document.createElement("tr");
  const state = !node.answered ? "no answer" : node.ready ? "ready" : `not ready: ${node.reason ?? ""}`;
  const cells = [
    [node.id], [state], [node.sessions, true], [node.sockets, true], [node.namespaces, true],
    [node.answered ? duration(node.uptime ?? 0) : "", true], [node.version], [node.address],
  ];
  for (const [text, number] of cells) {
    const td = document.createElement("td");
    td.textContent = text ?? "";
    if (number) td.className = "number";
    tr.append(td);
  }
  return tr;
}
