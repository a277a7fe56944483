// Sends a message to a peer over Socket.IO, and prints the answer. It survives lost connections: nothing is printed
// twice, and nothing is left out.
//
//   npm install socket.io-client
//   RHETOR_TOKEN=$(rhetor token) node socketio_client.mjs apollo "Hello"
import { randomUUID } from "node:crypto";
import { io } from "socket.io-client";

const url = process.env.RHETOR_URL ?? "http://127.0.0.1:8300";
const token = process.env.RHETOR_TOKEN;
const [peer, content] = process.argv.slice(2);

const created = await fetch(`${url}/api/sessions/create`, {
  method: "POST",
  headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
  body: JSON.stringify({ specialist_id: peer }),
});
const session = await created.json();
if (!created.ok) throw new Error(session.detail);

// with `retries`, a request is sent again until the hub has acknowledged it
const socket = io(url, { auth: { token }, ackTimeout: 10_000, retries: Infinity });
const position = { cursor: null, last: 0, names: new Set() };

async function request(name, body) {
  const answer = await socket.emitWithAck(name, { session_id: session.id, ...body });
  if (answer.status >= 400) throw new Error(answer.detail);
  return answer;
}

socket.on("connect", async () => {
  const answer = await request("subscribe", { cursor: position.cursor });
  if (answer.outcome !== "ok") throw new Error(`the position is lost: ${answer.outcome}`);
});
socket.on("connect_error", (error) => {
  if (error.data) throw new Error(error.message); // the hub refused the token; other errors are lost connections
});
socket.onAny((name, event) => {
  const [kind] = name.split(":");
  if (event.seq === undefined) throw new Error(event.message);
  if (event.seq < position.last || (event.seq === position.last && position.names.has(kind))) return; // known
  if (event.seq !== position.last) position.names.clear();
  position.names.add(kind);
  position.last = event.seq;
  position.cursor = `${event.epoch}:${event.prev}`; // events of the same number may follow
  show(kind, event);
});

function show(kind, event) {
  if (kind === "claude-output" && event.type === "assistant") {
    for (const block of event.message.content) if (block.type === "text") console.log(block.text);
  } else if (kind === "tool-execution") {
    console.error(`[${event.name}: ${event.status}]`);
  } else if (kind === "session-status" && event.permission) {
    console.error(`[${event.permission.tool} needs permission: aish approve ${event.permission.request_id}]`);
  } else if (kind === "claude-error") {
    console.error(event.message);
  } else if (kind === "claude-complete") {
    process.exitCode = event.success ? 0 : 1;
    socket.disconnect();
  }
}

// the hub runs the message once, even if it is sent again with the same command_id
await request("send", { content, command_id: randomUUID() });
