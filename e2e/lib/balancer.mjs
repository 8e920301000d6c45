// Balancers in front of the nodes, with the very files of docs/balancers that
// operators are told to use.

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { OUT, Process, REPO, withFreePort } from "./process.mjs";
import { until } from "./wait.mjs";

const FOLDER = join(REPO, "docs", "balancers");

// PROGRAMS tell by the first part of a recipe's name how its file is called, which
// places of this machine it needs besides (of its text and a folder), and how the
// program is run with it in the foreground.
const PROGRAMS = {
  haproxy: {
    extension: "cfg",
    command: (config) => ["haproxy", "-db", "-f", config],
  },
  nginx: {
    extension: "conf",
    places: (text, dir) => {
      const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${dir}/${name};`);
      return `user root;\npid ${dir}/nginx.pid;\nerror_log stderr warn;\n${text.replace("http {", `http { ${temp.join(" ")}`)}`;
    },
    command: (config) => ["nginx", "-g", "daemon off;", "-c", config],
  },
};

// place puts a recipe on this machine: it changes the addresses of the nodes and of
// the listener, and nothing else. Nodes of tests that are not called node1, node2 and
// node3 have their names put in too.
function place(text, nodes, port) {
  nodes.forEach(({ id, url }, i) => {
    const name = `node${i + 1}`;
    text = text.replaceAll(`${name}:3000`, new URL(url).host);
    if (id !== name) text = text.replaceAll(name, id);
  });
  return text.replaceAll(/(^ *(?:bind|listen)) :?8080/gm, `$1 127.0.0.1:${port}`);
}

export class Balancer {
  static async start(nodes, recipe = "haproxy-cookie") {
    const balancer = new Balancer();
    await withFreePort((port) => balancer.#launch(port, nodes, recipe));
    return balancer;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  async #launch(port, nodes, recipe) {
    this.port = port;
    const { extension, places = (text) => text, command } = PROGRAMS[recipe.split("-")[0]];
    const file = `${recipe}.${extension}`;
    const dir = mkdtempSync(join(OUT, "balancer-"));
    const config = join(dir, file);
    writeFileSync(config, places(place(readFileSync(join(FOLDER, file), "utf8"), nodes, port), dir));
    const [program, ...args] = command(config);
    this.process = new Process(recipe, program, args);
    await until("an answer through the balancer", () => this.#answers());
  }

  async #answers() {
    if (this.process.ended) throw new Error(`${this.process.name} ended; see ${this.process.log}`);
    const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
    return response?.ok;
  }

  async stop() {
    await this.process.stop("SIGTERM");
  }
}
