// The admin namespace as the Admin UI's page uses it.

import { within, until } from "./wait.mjs";
import { connect, open } from "./client.mjs";

export const PASSWORD = "correct horse";
// Of that password, with the least cost.
export const HASH = "$2a$04$/069XxyJqkhqQ3mxNrWT1O/lS7n3i4ZfeKGfTbv4Wn0KkL0yUnrmi";
export const FLAGS = ["--admin-hash", HASH];

// Admin is a connected page: it keeps what it hears.
export class Admin {
  static async open(t, node, auth = { username: "admin", password: PASSWORD }, options = {}) {
    const admin = new Admin();
    admin.heard = [];
    const socket = open(t, node.url, { nsp: "/admin", auth, ...options });
    socket.onAny((name, ...args) => admin.heard.push({ name, args }));
    admin.socket = socket;
    await within("the admin to be let in", new Promise((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("connect_error", reject);
    }));
    return admin;
  }

  // await waits for an event that fits and gives its arguments.
  async await(name, fits = () => true) {
    const found = await until(`${name} for the admin`, () => this.heard.find((e) => e.name === name && fits(...e.args)));
    return found.args;
  }

  // servers waits until these have told of themselves.
  async servers(ids) {
    for (const id of ids) await this.await("server_stats", (stats) => stats.serverId === id);
  }

  names() {
    return this.heard.map((e) => e.name).filter((name) => name !== "server_stats");
  }
}

// adminURL is that of a node's admin port.
export async function adminURL(node) {
  const { url } = await node.process.json("admin");
  return url;
}

export { connect };
