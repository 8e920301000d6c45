"use strict";

// The chat of the official tutorial: one event, "chat message", one string. The
// rest shows where in the cluster this page is.
(() => {
  const $ = (id) => document.getElementById(id);
  const [node, transport, nodes, status, messages, form, input, via] =
    ["node", "transport", "nodes", "status", "messages", "form", "input", "via"].map($);
  const keep = 500; // messages on the page

  function say(text, bad) {
    status.textContent = text;
    status.toggleAttribute("data-bad", Boolean(bad));
  }

  if (typeof io === "undefined") {
    say("The Socket.IO client could not be loaded. Without the Internet, start the demo with --client-dir.", true);
    return;
  }

  const pin = new URLSearchParams(location.search).get("node");
  const socket = io({ query: pin ? { node: pin } : {} });

  function where() {
    const engine = socket.connected ? socket.io.engine : null;
    // A session id ends in a dot and the name of its node.
    node.textContent = engine ? engine.id.slice(engine.id.lastIndexOf(".") + 1) : "–";
    transport.textContent = engine ? engine.transport.name : "–";
    for (const link of nodes.children) {
      if (link.dataset.node === node.textContent) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  socket.on("connect", () => {
    socket.io.engine.on("upgrade", where);
    where();
    say(pin && pin !== node.textContent ? `${pin} does not answer, connected to ${node.textContent}` : "connected");
    refresh();
  });
  socket.on("disconnect", (reason) => {
    where();
    say(`disconnected (${reason}), connecting again …`, true);
  });
  socket.on("connect_error", (err) => say(`no connection (${err.message}), trying again …`, true));

  socket.on("chat message", (text) => {
    const box = messages.parentElement;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
    const item = document.createElement("li");
    item.textContent = text;
    messages.append(item);
    if (messages.children.length > keep) messages.firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value;
    if (!text.trim()) return;
    input.value = "";
    input.focus();
    if (!via.value) socket.emit("chat message", text);
    else sendThrough(via.value, text);
  });

  // sendThrough hands the message to another node, which sends it to everyone.
  async function sendThrough(name, text) {
    try {
      const answer = await fetch(`/send?node=${encodeURIComponent(name)}`, { method: "POST", body: text });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      say(`sent through ${await answer.text()}`);
    } catch (err) {
      say(`not sent through ${name} (${err.message})`, true);
      input.value = input.value || text;
    }
  }

  // refresh shows the nodes and how many clients each has.
  async function refresh() {
    let list;
    try {
      list = await (await fetch("/nodes")).json();
    } catch {
      return; // the next one may work
    }
    if (nodes.children.length !== list.length) {
      nodes.replaceChildren(...list.map(link));
      via.append(...list.map((n) => new Option(n.node, n.node)));
    }
    list.forEach((n, i) => {
      nodes.children[i].dataset.up = n.up;
      nodes.children[i].lastElementChild.textContent = n.online;
      nodes.children[i].title = `${n.node}: ${n.online} online${n.up ? "" : ", does not answer"}`;
    });
    where();
  }

  function link(n) {
    const a = document.createElement("a");
    a.href = `/?node=${encodeURIComponent(n.node)}`;
    a.dataset.node = n.node;
    a.append(n.node, " ", document.createElement("small"));
    return a;
  }

  refresh();
  setInterval(() => document.hidden || refresh(), 3000);
})();
