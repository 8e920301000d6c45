// One connection: its settings, what it sends, and what comes.

import { EventLog } from "./log.js";
import { parseArgs, parseHex, parseObject, parseQuery } from "./values.js";

const SETTINGS = ["url", "nsp", "auth", "query", "path", "transports", "reconnection", "credentials", "event", "args", "join-event", "leave-event", "room-way"];
const ROOM_TIMEOUT = 5000;
const MAX_FILE = 10 << 20;

let serial = 0;

export class Connection {
  #socket;
  #rooms = new Set();

  // hooks: copy(settings), removed(this), cluster.
  constructor(settings, hooks) {
    this.hooks = hooks;
    this.element = document.getElementById("connection").content.firstElementChild.cloneNode(true);
    this.$ = Object.fromEntries([...this.element.querySelectorAll("[data-id]")].map((e) => [e.dataset.id, e]));
    this.$.title.textContent = `Connection ${++serial}`;
    this.element.setAttribute("aria-label", this.$.title.textContent);
    this.settings = settings;
    this.log = new EventLog({
      list: this.$.log, status: this.$["log-status"], filter: this.$.filter, pause: this.$.pause, clear: this.$.clear,
    });
    this.#listen();
  }

  get settings() {
    return Object.fromEntries(SETTINGS.map((name) => {
      const field = this.$[name];
      return [name, field.type === "checkbox" ? field.checked : field.value];
    }));
  }

  set settings(values) {
    for (const [name, value] of Object.entries(values)) {
      const field = this.$[name];
      if (field?.type === "checkbox") field.checked = value;
      else if (field) field.value = value;
    }
  }

  close() {
    this.#end();
    this.element.remove();
  }

  #listen() {
    const on = (id, event, f) => this.$[id].addEventListener(event, (e) => {
      if (event === "submit") e.preventDefault();
      f();
    });
    on("connect-form", "submit", () => this.#attempt("connect-error", () => this.#connect()));
    on("emit-form", "submit", () => this.#attempt("emit-error", () => this.#emit()));
    on("room-form", "submit", () => this.#attempt("room-error", () => this.#room("join")));
    on("disconnect", "click", () => this.#disconnect());
    on("join", "click", () => this.#attempt("room-error", () => this.#room("join")));
    on("leave", "click", () => this.#attempt("room-error", () => this.#room("leave")));
    on("copy", "click", () => this.hooks.copy(this.settings));
    on("remove", "click", () => {
      this.close();
      this.hooks.removed(this);
    });
  }

  // attempt runs what a form is for and shows what is wrong with it.
  async #attempt(place, f) {
    this.$[place].textContent = "";
    try {
      await f();
    } catch (error) {
      this.$[place].textContent = error.message;
    }
  }

  #connect() {
    if (!globalThis.io) throw new Error("The client is not loaded yet.");
    const { url, nsp, path, transports, reconnection, credentials } = this.settings;
    const auth = named("Auth", () => parseObject(this.$.auth.value));
    const base = named("Server", () => new URL(url).origin);
    this.#end();
    const socket = globalThis.io(base + (nsp.startsWith("/") ? nsp : `/${nsp}`), {
      forceNew: true, autoConnect: false, path, auth, query: parseQuery(this.$.query.value),
      transports: transports.split(","), reconnection, withCredentials: credentials,
    });
    this.#socket = socket;
    this.#follow(socket);
    this.#state("wait", "Connecting …");
    this.$.disconnect.hidden = false;
    socket.connect();
  }

  #follow(socket) {
    const mine = (f) => (...args) => this.#socket === socket && f(...args);
    socket.on("connect", mine(() => this.#connected(socket)));
    socket.on("disconnect", mine((reason, details) => this.#disconnected(socket, reason, details)));
    socket.on("connect_error", mine((error) => {
      this.#state(socket.active ? "wait" : "bad", `Refused: ${error.message}${socket.active ? ", trying again" : ""}`);
      this.log.add({ way: "bad", event: "connect_error", args: [error.message, error.data].filter((v) => v !== undefined) });
    }));
    socket.onAny(mine((event, ...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : undefined;
      this.log.add({ way: "in", event, args, note: ack ? "wants an ack" : "", answer: ack && (() => this.#answer(event, ack)) });
    }));
    const manager = socket.io;
    manager.on("reconnect_attempt", mine((n) => this.#state("wait", `Connecting again, attempt ${n} …`)));
    manager.on("reconnect_failed", mine(() => this.#state("bad", "Not connected: gave up")));
    manager.on("open", mine(() => {
      this.#transport(manager);
      manager.engine.on("upgrade", mine(() => this.#transport(manager)));
    }));
  }

  #transport(manager) {
    this.$.transport.textContent = manager.engine?.transport?.name ?? "";
  }

  #connected(socket) {
    this.#state("on", socket.recovered ? "Connected, recovered" : "Connected");
    this.$.sid.textContent = socket.id;
    this.$.facts.hidden = false;
    this.$.settings.open = false;
    this.#enable(true);
    this.#transport(socket.io);
    this.log.add({ way: "note", event: "connect", note: socket.recovered ? `${socket.id}, recovered` : socket.id });
    if (!socket.recovered) this.#rooms.clear();
    this.#showRooms();
  }

  #disconnected(socket, reason, details) {
    this.#state(socket.active ? "wait" : "off", `Disconnected: ${reason}${socket.active ? ", connecting again …" : ""}`);
    this.$.facts.hidden = true;
    this.#enable(false);
    const args = [details?.description ?? details?.message].filter(Boolean).map(String);
    this.log.add({ way: "note", event: "disconnect", note: reason, args });
  }

  #disconnect() {
    this.#end();
    this.#state("off", "Not connected");
    this.$.settings.open = true;
    this.$.connect.focus();
  }

  // end lets the socket go; it says nothing any more.
  #end() {
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.disconnect();
    if (socket) this.log.add({ way: "note", event: "disconnect", note: "by this page" });
    this.$.facts.hidden = true;
    this.$.disconnect.hidden = true;
    this.#enable(false);
  }

  #enable(on) {
    for (const id of ["emit", "join", "leave"]) this.$[id].disabled = !on;
  }

  #state(state, text) {
    this.$.state.dataset.state = state;
    this.$["state-text"].textContent = text;
  }

  // arguments are what the form says: JSON, then bytes, then the file.
  async #arguments() {
    const args = named("Arguments", () => parseArgs(this.$.args.value));
    const bytes = named("Bytes", () => parseHex(this.$.hex.value));
    if (bytes) args.push(bytes);
    const file = this.$.file.files[0];
    if (file?.size > MAX_FILE) throw new Error(`The file has more than ${MAX_FILE >> 20} MiB.`);
    if (file) args.push(await file.arrayBuffer());
    return args;
  }

  async #emit() {
    const socket = this.#socket;
    const event = this.$.event.value;
    const args = await this.#arguments();
    if (!socket?.connected) throw new Error("Not connected.");
    const asks = this.$.ack.checked;
    const isVolatile = this.$.volatile.checked;
    const note = [asks && "wants an ack", isVolatile && "volatile"].filter(Boolean).join(", ");
    this.log.add({ way: "out", event, args, note });
    const emitter = isVolatile ? socket.volatile : socket;
    if (!asks) {
      emitter.emit(event, ...args);
      return;
    }
    const began = performance.now();
    emitter.timeout(this.#timeout()).emit(event, ...args, (error, ...answer) => {
      const note = `${(performance.now() - began).toFixed(1)} ms`;
      if (error) this.log.add({ way: "bad", event, note: `no ack: ${error.message}, ${note}` });
      else this.log.add({ way: "ack", event, args: answer, note });
    });
  }

  #timeout() {
    const ms = this.$.timeout.valueAsNumber;
    if (!(ms >= 1)) throw new Error("The time for the ack is not a number of milliseconds.");
    return ms;
  }

  // answer sends an ack; true if it did.
  #answer(event, ack) {
    let sent = false;
    this.#attempt("emit-error", () => {
      const args = named("Arguments", () => parseArgs(this.$.args.value));
      ack(...args);
      this.log.add({ way: "out", event, args, note: "ack" });
      sent = true;
    });
    return sent;
  }

  // room joins or leaves, by the event that the server has for it or through the API.
  async #room(what) {
    const socket = this.#socket;
    const room = this.$.room.value;
    if (!room) throw new Error("Which room?");
    if (!socket?.connected) throw new Error("Not connected.");
    if (this.$["room-way"].value === "api") {
      await this.hooks.cluster[what](socket.nsp, socket.id, room);
      this.log.add({ way: "note", event: `${what} ${room}`, note: "through the API" });
      const known = await this.hooks.cluster.socket(socket.nsp, socket.id).catch(() => undefined);
      if (known?.rooms) this.#rooms = new Set(known.rooms.filter((name) => name !== socket.id));
    } else {
      const event = this.$[`${what}-event`].value;
      this.log.add({ way: "out", event, args: [room] });
      const answer = await new Promise((resolve, reject) => {
        socket.timeout(ROOM_TIMEOUT).emit(event, room, (error, ...args) => (error ? reject(new Error("The server has not answered.")) : resolve(args)));
      });
      this.log.add({ way: "ack", event, args: answer });
      if (answer[0]?.error) throw new Error(`${answer[0].error}${answer[0].message ? `: ${answer[0].message}` : ""}`);
    }
    if (what === "join") this.#rooms.add(room);
    else this.#rooms.delete(room);
    this.#showRooms();
  }

  #showRooms() {
    this.$["room-list"].textContent = this.#rooms.size ? `In: ${[...this.#rooms].join(", ")}` : "";
  }
}

// named says which field is wrong.
function named(field, parse) {
  try {
    return parse();
  } catch (error) {
    throw new Error(`${field}: ${error.message}`);
  }
}
