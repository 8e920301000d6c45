// The list of events of one connection: the newest first, bounded.

import { format } from "./values.js";

const MAX = 500;
const WAYS = { in: "← in", out: "→ out", ack: "↩ ack", note: "·", bad: "! error" };

export class EventLog {
  constructor({ list, status, filter, pause, clear }) {
    this.list = list;
    this.status = status;
    this.filter = filter;
    this.pause = pause;
    this.waiting = []; // not shown yet
    this.dropped = 0;
    this.frame = 0;
    filter.addEventListener("input", () => this.#apply());
    pause.addEventListener("change", () => this.#schedule());
    clear.addEventListener("click", () => this.clear());
  }

  // add shows an entry: way is a key of WAYS; answer, if there is one, is called when
  // the user wants to answer.
  add({ way, event = "", args = [], note = "", answer }) {
    this.waiting.push({ way, event, text: args.length ? format(args) : "", note, answer, time: new Date() });
    if (this.waiting.length > MAX) {
      this.waiting.shift();
      this.dropped++;
    }
    this.#schedule();
  }

  clear() {
    this.list.replaceChildren();
    this.waiting = [];
    this.dropped = 0;
    this.#tell();
  }

  #schedule() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.#show();
    });
  }

  #show() {
    if (!this.pause.checked) {
      const items = this.waiting.map((entry) => this.#item(entry)).reverse();
      this.waiting = [];
      this.list.prepend(...items);
      while (this.list.children.length > MAX) {
        this.list.lastElementChild.remove();
        this.dropped++;
      }
    }
    this.#tell();
  }

  #tell() {
    const parts = [];
    if (this.pause.checked) parts.push(`Paused, ${this.waiting.length} new.`);
    if (this.dropped) parts.push(`${this.dropped} older ones are gone.`);
    this.status.textContent = parts.join(" ");
  }

  #item({ way, event, text, note, answer, time }) {
    const item = document.createElement("li");
    item.className = way;
    item.dataset.search = `${event} ${text} ${note}`.toLowerCase();
    const at = document.createElement("time");
    at.textContent = `${time.toTimeString().slice(0, 8)}.${String(time.getMilliseconds()).padStart(3, "0")}`;
    const label = document.createElement("span");
    label.className = "way";
    label.textContent = WAYS[way];
    const what = document.createElement("span");
    if (event) what.append(element("b", event), " ");
    if (note) what.append(element("span", note, "note"));
    item.append(at, label, what);
    if (text) item.append(element("pre", text));
    if (answer) item.append(answerButton(answer));
    item.hidden = !this.#matches(item);
    return item;
  }

  #matches(item) {
    return item.dataset.search.includes(this.filter.value.trim().toLowerCase());
  }

  #apply() {
    for (const item of this.list.children) item.hidden = !this.#matches(item);
  }
}

function answerButton(answer) {
  const button = element("button", "Answer with the arguments above", "answer");
  button.type = "button";
  button.addEventListener("click", () => {
    if (answer()) button.remove();
  });
  return button;
}

function element(name, text, className = "") {
  const e = document.createElement(name);
  e.textContent = text;
  e.className = className;
  return e;
}
