// Socket.IO 5 rules that no official client exercises, over WebSocket and, for
// older clients, protocol 3.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { SUBJECT, useCluster } from "../lib/cluster.mjs";
import { Polling, Socket } from "../lib/raw.mjs";

const ONE = { kinds: [SUBJECT], redis: false, balancer: false };

describe("socket: packets", () => {
  const cluster = useCluster(ONE);
  const url = () => cluster.nodes[0].url;

  it("nothing comes before CONNECT (SIO-C-01)", async (t) => {
    const client = await Socket.session(t, url());
    client.send("40");
    assert.match(await client.next(), /^40\{"sid":"[\w-]{20}"\}$/);
  });

  it("CONNECT is answered per namespace (SIO-F)", async (t) => {
    const client = await Socket.session(t, url());
    client.send("40/chat,");
    assert.match(await client.next(), /^40\/chat,\{"sid":"[\w-]{20}"\}$/);
    assert.match(await client.next(), /^42\/chat,\["hello",/);
    client.send('40/guarded,{"token":"secret"}');
    assert.match(await client.next(), /^40\/guarded,\{"sid":/);
    client.send("40/unknown,");
    assert.equal(await client.next().then((p) => (p.includes("hello") ? client.next() : p)), '44/unknown,{"message":"Invalid namespace"}');
  });

  it("CONNECT_ERROR has message and data, in this order (SIO-C-05)", async (t) => {
    const client = await Socket.session(t, url());
    client.send("40/guarded,{}");
    assert.equal(await client.next(), '44/guarded,{"message":"unauthorized","data":{"code":"E_TOKEN","given":null}}');
  });

  it("acknowledgements carry the namespace and the id", async (t) => {
    const client = await Socket.session(t, url());
    client.send("40/chat,");
    await client.next();
    await client.next();
    client.send('42/chat,456["echo","a",{"b":[1]}]');
    assert.equal(await client.next(), '43/chat,456["a",{"b":[1]}]');
    client.send('42/chat,9007199254740991["echo"]');
    assert.equal(await client.next(), "43/chat,9007199254740991[]");
  });

  it("DISCONNECT leaves one namespace, which may be joined again (SIO-X-19)", async (t) => {
    const client = await Socket.member(t, url());
    client.send("40/chat,");
    await client.next();
    await client.next();
    client.send("41");
    client.send('42/chat,1["echo"]');
    assert.equal(await client.next(), "43/chat,1[]");
    client.send("40");
    assert.match(await client.next(), /^40\{"sid":/);
  });

  it("an acknowledgement nobody asked for is ignored (SIO-M-18)", async (t) => {
    const client = await Socket.member(t, url());
    client.send('4399["x"]', '43["x"]', '421["echo"]');
    assert.equal(await client.next(), "431[]");
  });

  it("an event nobody listens to is ignored, also when it wants an answer", async (t) => {
    const client = await Socket.member(t, url());
    client.send('42["nobody-listens",1]', '428["nobody-listens",1]', '421["echo"]');
    assert.equal(await client.next(), "431[]");
  });

  it("what only looks like a placeholder stays (SIO-M-22)", async (t) => {
    const client = await Socket.member(t, url());
    client.send('421["echo",{"_placeholder":true,"num":0},{"_placeholder":"true","num":0}]');
    assert.equal(await client.next(), '431[{"_placeholder":true,"num":0},{"_placeholder":"true","num":0}]');
  });

  // BAD: what closes the session, and nothing but the session (SIO-M).
  const BAD = {
    "an unknown type": ["47"],
    "no packet at all": ["4"],
    "an event without a list": ["42{}"],
    "an event without a name": ["42[]"],
    "an event named null": ["42[null]"],
    "an unfinished list": ['42["a"'],
    "something after the list": ['42["a"]x'],
    "letters before the list": ['42abc["e"]'],
    "a reserved name": ['42["disconnect"]'],
    "a reserved binary name": ['451-["connect",{"_placeholder":true,"num":0}]', Buffer.from([1])],
    "DISCONNECT with a payload": ['41{"a":1}'],
    "a list of acknowledgements that is none": ["430{}"],
    "no attachments where some are announced": ["450-[1]"],
    "attachments without a number": ['45["e"]'],
    "more than ten attachments": ['4511-["e"]'],
    "binary out of nothing": [Buffer.from([1, 2])],
    "text between attachments": ['451-["echo",{"_placeholder":true,"num":0}]', '42["echo"]'],
    "a placeholder out of range": ['451-["echo",{"_placeholder":true,"num":7}]', Buffer.from([1])],
    "an event for a namespace not joined": ['42/chat,["echo"]'],
    "CONNECT twice": ["40"],
    "CONNECT_ERROR of a client": ["44"],
    "DISCONNECT from a namespace not joined": ["41/chat,"],
  };
  for (const [title, messages] of Object.entries(BAD)) {
    it(`${title}: closed, others undisturbed`, async (t) => {
      const other = await Socket.member(t, url());
      const client = await Socket.member(t, url());
      client.send(...messages);
      await client.end();
      other.send('421["echo","fine"]');
      assert.equal(await other.next(), '431["fine"]');
    });
  }
});

describe("socket: protocol 3", () => {
  const cluster = useCluster({ ...ONE, flags: ["--allow-eio3"] });
  const url = () => cluster.nodes[0].url;

  // open reads the handshake payload with its lengths in UTF-16 units (EIO-3-03).
  const open = async () => {
    const response = await fetch(`${url()}/socket.io/?EIO=3&transport=polling`);
    const [handshake] = packets3(await response.text());
    const address = `${url()}/socket.io/?EIO=3&transport=polling&sid=${JSON.parse(handshake.slice(1)).sid}`;
    const get = async () => {
      const answer = await fetch(address);
      const bytes = Buffer.from(await answer.arrayBuffer());
      return { type: answer.headers.get("content-type"), bytes, text: bytes.toString() };
    };
    const post = (body, type = "text/plain;charset=UTF-8") => fetch(address, { method: "POST", body, headers: { "content-type": type } });
    assert.deepEqual(packets3((await get()).text)[0], "40"); // EIO-3-02
    return { get, post };
  };

  it("lengths count UTF-16 units", async () => {
    const { get, post } = await open();
    assert.equal(await (await post('18:421["echo","€é😀"]')).text(), "ok");
    const all = [];
    while (!all.some((p) => p.startsWith("431"))) all.push(...packets3((await get()).text));
    assert.equal(all.at(-1), '431["€é😀"]');
  });

  it("binary payloads count bytes (EIO-3-05, EIO-3-06)", async () => {
    const { get, post } = await open();
    const header = '451-1["echo",{"_placeholder":true,"num":0}]';
    const body = Buffer.concat([frame3(0, Buffer.from(header)), frame3(1, Buffer.from([4, 1, 2, 3, 4]))]);
    assert.equal((await post(body, "application/octet-stream")).status, 200);
    const want = Buffer.concat([
      frame3(0, Buffer.from('461-1[{"_placeholder":true,"num":0}]')), frame3(1, Buffer.from([4, 1, 2, 3, 4])),
    ]);
    let answer = await get();
    while (!answer.bytes.includes(want)) answer = await get();
    assert.equal(answer.type, "application/octet-stream");
  });

  it("the client pings and the server answers (EIO-3-08)", async (t) => {
    const client = await Socket.session(t, url(), { EIO: "3" });
    assert.equal(await client.next(), "40");
    client.send("2");
    let packet = await client.next();
    while (packet.startsWith("42")) packet = await client.next(); // hello
    assert.equal(packet, "3");
  });

  it("current clients are served as before", async () => {
    const client = await Polling.member(url());
    await client.send('421["echo"]');
    assert.equal(await client.next(), "431[]");
  });
});

// packets3 splits a text payload of protocol 3.
function packets3(text) {
  const packets = [];
  for (let rest = text; rest; ) {
    const [, length] = rest.match(/^(\d+):/) ?? assert.fail(`no payload of protocol 3: ${text}`);
    const colon = length.length;
    const end = colon + 1 + Number(length);
    packets.push(rest.slice(colon + 1, end));
    rest = rest.slice(end);
  }
  return packets;
}

// frame3 frames one packet of a binary payload of protocol 3.
function frame3(kind, packet) {
  const digits = [...String(packet.length)].map(Number);
  return Buffer.concat([Buffer.from([kind, ...digits, 255]), packet]);
}
