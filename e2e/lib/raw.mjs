// Clients without manners: requests and frames as a test writes them.

import WebSocket from "ws";

import { until, within } from "./wait.mjs";

const RS = "\x1e"; // between the packets of a payload (EIO-P-01)

// endpoint builds an Engine.IO address; undefined parameters are left out.
export function endpoint(url, query) {
  const params = Object.entries({ EIO: "4", transport: "polling", ...query }).filter(([, v]) => v !== undefined);
  return `${url}/socket.io/?${new URLSearchParams(params)}`;
}

// refusal makes a request that must fail and gives its status and body.
export async function refusal(url, query, options) {
  const response = await fetch(endpoint(url, query), options);
  const body = await response.text();
  return { status: response.status, body: body.startsWith("{") ? JSON.parse(body) : body };
}

// Polling is one polling session, one request at a time unless the test wants more.
export class Polling {
  static async open(url, query) {
    const polling = new Polling();
    polling.url = url;
    polling.query = query;
    polling.response = await fetch(endpoint(url, query));
    const body = await polling.response.text();
    polling.handshake = JSON.parse(body.slice(1));
    polling.received = [];
    return polling;
  }

  // member opens a session whose client has joined the main namespace.
  static async member(url, query) {
    const polling = await Polling.open(url, query);
    await polling.send("40");
    const connect = await polling.next();
    polling.id = JSON.parse(connect.slice(2)).sid;
    await polling.next(); // hello
    return polling;
  }

  address(query) {
    return endpoint(this.url, { sid: this.handshake.sid, ...this.query, ...query });
  }

  // get polls once and gives status and body.
  async get(options) {
    const response = await within("a poll", fetch(this.address(), options));
    return { status: response.status, body: await response.text(), headers: response.headers };
  }

  async post(body, options) {
    const response = await within("a post", fetch(this.address(), { method: "POST", body, ...options }));
    return { status: response.status, body: await response.text(), headers: response.headers };
  }

  // send posts packets that must be accepted.
  async send(...packets) {
    const { status, body } = await this.post(packets.join(RS));
    if (status !== 200 || body !== "ok") throw new Error(`post: ${status} ${body}`);
  }

  // next gives the next packet, polling for it if need be.
  async next() {
    while (!this.received.length) {
      const { status, body } = await this.get();
      if (status !== 200) throw new Error(`poll: ${status} ${body}`);
      this.received.push(...body.split(RS));
    }
    return this.received.shift();
  }

  // closed tells whether the server has forgotten the session (EIO-E-01).
  async closed() {
    const { status, body } = await this.post("6");
    return status === 400 && JSON.parse(body).code === 1;
  }
}

// Socket is one WebSocket connection.
export class Socket {
  constructor(t, url, query) {
    this.received = [];
    this.ws = new WebSocket(endpoint(url, { transport: "websocket", ...query }).replace("http", "ws"));
    this.ws.on("message", (data, binary) => this.received.push(binary ? data : data.toString()));
    this.opened = new Promise((resolve, reject) => {
      this.ws.on("open", resolve);
      this.ws.on("error", reject);
    });
    this.closed = new Promise((resolve) => this.ws.on("close", resolve)); // with the code
    t.after(() => this.ws.terminate());
  }

  static async open(t, url, query) {
    const socket = new Socket(t, url, query);
    await within("the WebSocket", socket.opened);
    return socket;
  }

  // session opens a session on WebSocket and reads the handshake.
  static async session(t, url, query) {
    const socket = await Socket.open(t, url, query);
    socket.handshake = JSON.parse((await socket.next()).slice(1));
    return socket;
  }

  // member opens a session whose client has joined the main namespace.
  static async member(t, url, query) {
    const socket = await Socket.session(t, url, query);
    socket.send("40");
    socket.id = JSON.parse((await socket.next()).slice(2)).sid;
    await socket.next(); // hello
    return socket;
  }

  send(...messages) {
    for (const message of messages) this.ws.send(message);
  }

  async next() {
    await until("a WebSocket message", () => this.received.length);
    return this.received.shift();
  }

  // end waits until the server closes and gives the close code.
  end(ms) {
    return within("the end of the WebSocket", this.closed, ms);
  }
}

// upgradeStatus tries a WebSocket handshake that must be refused and gives the HTTP status.
export function upgradeStatus(url, query) {
  const ws = new WebSocket(endpoint(url, { transport: "websocket", ...query }).replace("http", "ws"));
  return within("the refusal", new Promise((resolve, reject) => {
    ws.on("unexpected-response", (request, response) => {
      request.destroy();
      resolve(response.statusCode);
    });
    ws.on("open", () => reject(new Error("the WebSocket opened")));
    ws.on("error", () => {}); // of the destroyed request
  }));
}
