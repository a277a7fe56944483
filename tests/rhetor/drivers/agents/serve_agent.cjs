// A program that imitates `cn serve` without a model: its answers depend on the message, and it keeps its
// conversations in the home. For a client, its `--port` and its state work like those of the real program.
"use strict";
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");

const given = (name) => {
  const found = process.argv.find((word) => word.startsWith(`--${name}=`));
  return found ? found.slice(name.length + 3) : process.argv[process.argv.indexOf(`--${name}`) + 1];
};
const known = process.argv.some((word) => word.startsWith("--id="));
const sessionId = known ? given("id") : `s-${process.pid}`;
const file = path.join(process.env.HOME, "sessions", `${sessionId}.json`);
const state = {
  session: { sessionId, title: "Untitled", history: fs.existsSync(file) ? JSON.parse(fs.readFileSync(file)) : [] },
  isProcessing: false,
  messageQueueLength: 0,
  pendingPermission: null,
};
let going = null; // lets the running turn go on
let stopped = { yet: false }; // of the running turn
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const gate = () => new Promise((resolve) => (going = resolve));

function say(entry) {
  state.session.history = [...state.session.history, entry];
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, JSON.stringify(state.session.history));
}

function answer(content, more = {}) {
  say({ message: { role: "assistant", content, usage: { prompt_tokens: 1, completion_tokens: 1 }, ...more } });
}

/** A tool call whose output grows while it runs. */
async function tool() {
  const call = { id: "c1", type: "function", function: { name: "Bash", arguments: "{}" } };
  const message = { role: "assistant", content: "", toolCalls: [call] };
  const show = (status, output) => {
    const toolCallStates = [{ toolCallId: "c1", status, parsedArgs: {}, output: [{ content: output }] }];
    state.session.history = [...before, { message, toolCallStates }];
  };
  const before = state.session.history;
  for (let pieces = 0; pieces < 10; pieces += 1) {
    show("calling", "x".repeat(100_000 * pieces));
    await later(60);
  }
  show("done", "all");
}

async function ask() {
  state.pendingPermission = { toolName: "Bash", toolArgs: { command: "ls" }, requestId: "tool-request-1" };
  answer((await gate()) ? "made" : "left");
}

async function turn(message) {
  const own = (stopped = { yet: false });
  if (message === "tool") await tool();
  else if (message === "ask") return ask();
  else if (message === "wait") await gate();
  else if (message === "slow") await later(200);
  else if (message === "env") {
    const { NODE_OPTIONS = null, FORCE_NO_TTY = null } = process.env;
    return answer(JSON.stringify({ NODE_OPTIONS, FORCE_NO_TTY }));
  }
  if (!own.yet) answer(`heard ${message.length > 100 ? message.length : message}`);
}

const routes = {
  "GET /state": async () => state,
  "POST /message": async ({ message }) => {
    if (!message) return null;
    say({ message: { role: "user", content: message } });
    state.isProcessing = true;
    // at its end, a turn reports that nothing runs, even if another one runs by then
    turn(message).finally(() => (state.isProcessing = false));
    return { queued: true };
  },
  "POST /permission": async ({ requestId, approved }) => {
    if (state.pendingPermission?.requestId !== requestId) return null;
    state.pendingPermission = null;
    going(approved);
    return { success: true };
  },
  "POST /pause": async () => {
    state.isProcessing = false;
    stopped.yet = true;
    const ends = going; // what runs takes its time to stop
    later(100).then(() => ends?.());
    return { success: true };
  },
  "POST /go": async () => {
    going();
    return {};
  },
  "POST /exit": async () => {
    setTimeout(() => process.exit(0), 50);
    return {};
  },
};

async function bodyOf(request) {
  const length = Number(request.headers["content-length"] ?? 0);
  if (request.body !== undefined && !length) return request.body;
  if (length > 100_000) return undefined;
  let said = "";
  for await (const piece of request) said += piece;
  return said ? JSON.parse(said) : {};
}

async function serve(request, response) {
  const body = await bodyOf(request);
  const said = body === undefined && request.method === "POST" ? null : await routes[`${request.method} ${request.url}`](body);
  response.statusCode = said === null ? 400 : 200;
  response.end(JSON.stringify(said ?? { error: "refused" }));
}

async function main() {
  if (fs.existsSync(path.join(process.env.HOME, "broken"))) throw new Error("the configuration\nis broken");
  if (process.stdin.isTTY === undefined && process.env.FORCE_NO_TTY !== "true") fs.readFileSync(0);
  process.on("unhandledRejection", () => {});
  const port = Number(given("port"));
  const server = http.createServer(serve).listen(port, () => console.log(`Server started on port ${port}`));
  http.createServer().listen(0, "127.0.0.1", function other() {
    console.log(`another one on ${this.address().port}`);
    this.close();
  });
  process.stdout.write("no whole line");
  return server;
}

process.on("uncaughtException", () => {}); // told to its log alone
main().catch((error) => Promise.reject(error));
