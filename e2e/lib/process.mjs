// Child processes. Each one is noted in out/pids while it runs, so that e2e/run
// can end by pid what a crashed test file has left behind.

import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { event, until, within } from "./wait.mjs";

export const E2E = fileURLToPath(new URL("..", import.meta.url));
export const REPO = join(E2E, "..");
export const OUT = process.env.E2E_OUT ?? join(E2E, "out");
const PIDS = join(OUT, "pids");
const LOGS = join(OUT, "logs");

for (const dir of [PIDS, LOGS]) mkdirSync(dir, { recursive: true });

const alive = new Set();
process.on("exit", () => {
  for (const p of alive) p.child.kill("SIGKILL");
});

let serial = 0;

// Process is a started program: its standard output by lines, and its end.
export class Process {
  constructor(name, command, args, options = {}) {
    this.name = name;
    this.lines = [];
    this.log = join(LOGS, `${process.pid}-${++serial}-${name}.log`);
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.exited = new Promise((resolve) => {
      this.child.on("error", (error) => resolve({ error }));
      this.child.on("exit", (code, signal) => resolve({ code, signal }));
    });
    this.exited.then((end) => {
      this.ended = end;
    });
    this.#record();
    if (this.child.pid) this.#note();
  }

  get pid() {
    return this.child.pid;
  }

  #record() {
    const log = createWriteStream(this.log);
    this.child.stdout.pipe(log, { end: false });
    this.child.stderr.pipe(log, { end: false });
    this.reader = createInterface({ input: this.child.stdout });
    this.reader.on("line", (line) => this.lines.push(line));
  }

  #note() {
    const file = join(PIDS, String(this.pid));
    writeFileSync(file, startTime(this.pid));
    alive.add(this);
    this.exited.then(() => {
      alive.delete(this);
      rmSync(file, { force: true });
    });
  }

  // line resolves with what pick returns for the first line where that is truthy.
  async line(what, pick, ms) {
    const found = new Promise((resolve, reject) => {
      const look = (line) => {
        const value = pick(line);
        if (value) resolve(value);
      };
      this.lines.forEach(look);
      this.reader.on("line", look);
      this.exited.then((end) => reject(new Error(`${this.name} ended (${describe(end)}) before ${what}; see ${this.log}`)));
    });
    return within(`${what} from ${this.name}, see ${this.log}`, found, ms);
  }

  // json resolves with the first line that is a JSON object with this event.
  json(name, ms) {
    return this.line(`event ${name}`, (line) => {
      const value = parse(line);
      return value?.event === name && value;
    }, ms);
  }

  // stop asks the process to end and insists after a while. It returns how it ended.
  async stop(signal = "SIGTERM", ms = 60_000) {
    this.child.kill(signal);
    try {
      return await within(`the end of ${this.name}`, this.exited, ms);
    } catch (error) {
      this.child.kill("SIGKILL");
      await this.exited;
      throw error;
    }
  }

  // freeze stops the process, and returns when all its threads stand still: the signal
  // reaches one of them, and the others go on until that one gets a processor.
  async freeze() {
    this.child.kill("SIGSTOP");
    const tasks = `/proc/${this.pid}/task`;
    const stands = (id) => /\) [Tt] /.test(readFileSync(join(tasks, id, "stat"), "utf8"));
    await until(`${this.name} to stand still`, () => {
      try {
        return readdirSync(tasks).every(stands);
      } catch {
        return false; // a thread has just ended
      }
    });
  }

  thaw() {
    this.child.kill("SIGCONT");
  }

  // kill ends the process without a chance to say goodbye.
  async kill() {
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

function describe(end) {
  return end.error?.message ?? end.signal ?? `exit code ${end.code}`;
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

// startTime tells a process from a later one with the same pid.
function startTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return "";
  }
}

// freePort asks the system for a port nobody listens on.
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await event(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// withFreePort starts something on a free port, and again on another one if
// somebody took that in between.
export async function withFreePort(start) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await start(await freePort());
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}
