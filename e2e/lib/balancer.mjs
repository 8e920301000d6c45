// Balancers in front of the nodes, with the very files of docs/balancers that
// operators are told to use.

import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { OUT, Process, REPO, withFreePort } from "./process.mjs";
import { until } from "./wait.mjs";

const FOLDER = join(REPO, "docs", "balancers");

// PROGRAMS tell, by the first part of a recipe's name, how its file is called and how
// the program runs with it in the foreground: the command for the file, and what must
// stand around it or in it for the folders of this machine, of its text and a folder
// for what the program writes.
const PROGRAMS = {
  haproxy: {
    extension: "cfg",
    command: (file) => ["haproxy", "-db", "-f", file],
  },
  nginx: {
    extension: "conf",
    folders: (text, dir) => {
      const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${dir}/${name};`);
      return `user root;\npid ${dir}/nginx.pid;\nerror_log stderr warn;\n${text.replace("http {", `http { ${temp.join(" ")}`)}`;
    },
    command: (file) => ["nginx", "-g", "daemon off;", "-c", file],
  },
  caddy: {
    extension: "Caddyfile",
    folders: (text, dir) => text.replace("admin localhost:2019", `admin unix/${dir}/admin`),
    command: (file) => ["caddy", "run", "--adapter", "caddyfile", "--config", file],
    env: (dir) => ({ XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir }),
  },
  apache: {
    extension: "conf",
    folders: (text, dir) => {
      const [, names] = text.match(/a2enmod (.*)/);
      const modules = ["mpm_event", "authz_core", ...names.split(" ")].map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`);
      const place = `ServerRoot ${dir}\nServerName localhost\nDefaultRuntimeDir ${dir}\nPidFile ${dir}/pid\nErrorLog error.log\n`;
      return modules.join("") + place + text;
    },
    command: (file) => ["apache2", "-DFOREGROUND", "-f", file],
    env: () => ({ APACHE_RUN_DIR: "." }),
  },
  traefik: {
    extension: "yaml",
    beside: "traefik-static.yaml",
    folders: (text, dir) => text.replaceAll("/etc/traefik/dynamic.yaml", `${dir}/recipe.yaml`),
    command: (_, beside) => [process.env.E2E_TRAEFIK ?? "traefik", `--configFile=${beside}`],
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
  return text.replace(/^( *(?:bind|listen|Listen|address:)) ("?):?8080/m, `$1 $2127.0.0.1:${port}`)
    .replace("<VirtualHost *:8080>", `<VirtualHost *:${port}>`)
    .replace(/^:8080 {/m, `:${port} {\n\tbind 127.0.0.1`);
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
    this.dir = mkdtempSync(join(OUT, "balancer-"));
    const { extension, beside, folders = (text) => text, command, env } = PROGRAMS[recipe.split("-")[0]];
    const put = (file, name) => {
      const path = join(this.dir, name);
      writeFileSync(path, folders(place(readFileSync(join(FOLDER, file), "utf8"), nodes, port), this.dir));
      return path;
    };
    const [program, ...args] = command(put(`${recipe}.${extension}`, `recipe.${extension}`), beside && put(beside, beside));
    this.process = new Process(recipe, program, args, { env: { ...process.env, ...env?.(this.dir) } });
    await until("an answer through the balancer", () => this.#answers()).catch(async (error) => {
      await this.process.kill();
      throw error;
    });
  }

  async #answers() {
    if (this.process.ended) throw new Error(`${this.process.name} ended; see ${this.process.log}`);
    const response = await fetch(`${this.url}/readyz`).catch(() => undefined);
    return response?.ok;
  }

  async stop(ms) {
    await this.process.stop("SIGTERM", ms);
  }
}
