// Many official clients in few processes.

import { fileURLToPath } from "node:url";

import { MODES } from "./client.mjs";
import { Process } from "./process.mjs";
import { within } from "./wait.mjs";

const WORKER = fileURLToPath(new URL("crowd-worker.mjs", import.meta.url));

// Crowd is a process with clients of one mode.
export class Crowd {
  // start opens n clients and waits until they are connected and settled.
  static async start(t, url, mode, n, ms = 90_000) {
    const crowd = new Crowd();
    crowd.mode = mode;
    crowd.size = n;
    crowd.process = new Process(`crowd-${mode}`, process.execPath, [WORKER, url, MODES[mode].join(), String(n)], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    t.after(() => crowd.end());
    crowd.answers = new Map();
    crowd.process.reader.on("line", (line) => {
      const answer = line.startsWith("{") && JSON.parse(line);
      crowd.answers.get(answer?.id)?.(answer);
    });
    await crowd.#ask("open", ms);
    return crowd;
  }

  async #ask(command, ms, arg) {
    const id = (this.last = (this.last ?? 0) + 1);
    const answered = new Promise((resolve) => this.answers.set(id, resolve));
    this.process.child.stdin.write(`${JSON.stringify({ command, id, arg })}\n`);
    const ended = this.process.exited.then(() => ({ error: `ended; see ${this.process.log}` }));
    const answer = await within(`the answer to ${command} from ${this.process.name}`, Promise.race([answered, ended]), ms);
    this.answers.delete(id);
    if (answer.error) throw new Error(`${this.process.name}: ${answer.error}`);
    return answer.result;
  }

  // echo has every client send n numbered events, one after the other, and gives
  // how many of their acks were right.
  echo(n, ms = 90_000) {
    return this.#ask("echo", ms, n);
  }

  // report is what the clients have seen: counts of errors by text, and of events.
  report() {
    return this.#ask("report", 30_000);
  }

  // ticks waits until every client has the events tick 0 to n-1, each once and in order.
  ticks(n, ms = 60_000) {
    return this.#ask("ticks", ms, n);
  }

  // settled waits until every client is connected.
  settled(ms = 30_000) {
    return this.#ask("settled", ms);
  }

  async end() {
    if (this.process.ended) return;
    this.process.child.stdin.end();
    await within(`the end of ${this.process.name}`, this.process.exited, 20_000);
  }
}
