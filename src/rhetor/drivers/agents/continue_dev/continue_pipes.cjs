"use strict";
// What makes `cn serve` a program on pipes: loaded into its process before its own code, this stands in the
// place of the port. Nothing listens. Requests come as lines on stdin, {"path", "body"}, and are given to its
// server over a connection within the process; what is new in its state goes out as lines on stdout. It knows
// the routes of `serve`, and nothing of sessions, turns, or who is at the other end.
//
// A line out is the answer of GET /state, whose history begins at entry number `from`: what came before has
// been told already, or was there when the process started. One whose request was refused is
// {"path", "status", "refused"}. Node.js 18 or newer; seen with cn 1.5.

const http = require("node:http");
const { Duplex } = require("node:stream");
const { isMainThread } = require("node:worker_threads");

const PORT = 65536; // there is none of that number: without this module, `serve` ends instead of listening
const LOOK_MS = 50; // between two looks at a state that may change
const SHARE = 10; // of the time at most one part in so many is spent on looking
const SETTLED_MS = 250; // without a change, after which what was told to stop has stopped
const AT_WORK = ["generated", "calling"]; // of a tool's states, those in which its result is still to come

/** One end of a connection within the process; node:stream has `duplexPair` since 22.6. */
class End extends Duplex {
  _read() {
    const taken = this.taken;
    this.taken = null;
    if (taken) taken();
  }

  _write(piece, encoding, done) {
    this.other.taken = done;
    this.other.push(piece);
  }

  _final(done) {
    this.other.push(null);
    done();
  }
}

function connection() {
  const [ours, theirs] = [new End(), new End()];
  ours.other = theirs;
  theirs.other = ours;
  return [ours, theirs];
}

/** Status and text of what the server answers to one request. The body is there before it is looked for: the
 * server's own reader of bodies refuses what is longer than 100 kB, and leaves be what has no header of one. */
function ask(server, method, path, body) {
  return new Promise((resolve, reject) => {
    const [ours, theirs] = connection();
    server.prependOnceListener("request", (asked) => {
      asked.body = body;
      delete asked.headers["content-length"];
      delete asked.headers["transfer-encoding"];
    });
    server.emit("connection", theirs);
    const request = http.request({ method, path, createConnection: () => ours }, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => resolve([answer.statusCode, Buffer.concat(pieces).toString()]));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
}

/** The output of a tool that still runs comes whole with its end. */
function entryOf(found) {
  const states = found.toolCallStates;
  if (!Array.isArray(states) || !states.some((state) => AT_WORK.includes(state.status))) return found;
  const shown = states.map((state) => (AT_WORK.includes(state.status) ? { ...state, output: [] } : state));
  return { ...found, toolCallStates: shown };
}

/** What of the states was told: each line out has what is new in one. */
class Telling {
  constructor() {
    this.entries = null; // of the history, as JSON
    this.rest = "";
    this.changed = 0; // when there was something new last
    this.stopping = false;
  }

  /** Whether it may change by itself. */
  take(state) {
    const history = state.session.history.map(entryOf);
    const entries = history.map((entry) => JSON.stringify(entry));
    const before = this.entries ?? entries;
    let from = 0;
    while (from < before.length && from < entries.length && before[from] === entries[from]) from += 1;
    const news = from < entries.length || from < before.length;
    if (news) this.changed = performance.now();
    const busy = state.isProcessing || this._stops(history);
    const { messageQueueLength, pendingPermission } = state;
    const { sessionId } = state.session;
    const rest = JSON.stringify({ isProcessing: busy, messageQueueLength, pendingPermission, sessionId });
    if (news || rest !== this.rest) {
      const session = { sessionId, history: history.slice(from) };
      tell({ session, from, isProcessing: busy, messageQueueLength, pendingPermission });
    }
    this.entries = entries;
    this.rest = rest;
    return busy || messageQueueLength > 0;
  }

  /** `serve` says at once that nothing runs when it is told to stop; what ran may then end a later turn. */
  _stops(history) {
    if (!this.stopping) return false;
    const last = history[history.length - 1];
    const works = (last?.toolCallStates ?? []).some((state) => AT_WORK.includes(state.status));
    this.stopping = works || performance.now() - this.changed < SETTLED_MS;
    return this.stopping;
  }
}

/** One request at a time, and between them looks at the state, for as long as it may change. */
class Pipes {
  constructor(server) {
    this.server = server;
    this.telling = new Telling();
    this.last = Promise.resolve();
    this.timer = null;
  }

  start() {
    this._then(() => this._look());
    const lines = linesOf((line) => this._then(() => this._take(line)));
    process.stdin.on("data", lines);
    process.stdin.on("end", () => this._then(() => ask(this.server, "POST", "/exit")));
  }

  async _take(line) {
    const { path, body } = JSON.parse(line);
    if (path === "/pause") {
      this.telling.stopping = true;
      this.telling.changed = performance.now();
    }
    const [status, said] = await ask(this.server, "POST", path, body);
    if (status !== 200) tell({ path, status, refused: said });
    await this._look();
  }

  async _look() {
    clearTimeout(this.timer);
    const began = performance.now();
    const [, said] = await ask(this.server, "GET", "/state");
    const changes = this.telling.take(JSON.parse(said));
    const pause = Math.max(LOOK_MS, SHARE * (performance.now() - began));
    if (changes) this.timer = setTimeout(() => this._then(() => this._look()), pause);
  }

  _then(next) {
    this.last = this.last.then(next).catch((error) => tell({ refused: String(error) }));
  }
}

/** Whoever calls what this gives with pieces of bytes is told their lines: readline would cut at U+2028. */
function linesOf(take) {
  let held = Buffer.alloc(0);
  return (piece) => {
    held = Buffer.concat([held, piece]);
    for (let end = held.indexOf(10); end >= 0; end = held.indexOf(10)) {
      take(held.subarray(0, end).toString());
      held = held.subarray(end + 1);
    }
  };
}

/** On a line of its own, whatever else was written. */
function tell(said) {
  process.stdout.write(`\n${JSON.stringify(said)}\n`);
}

/** What the agent starts is not to load this, nor to see that it was loaded. */
function leaveNoTrace() {
  const left = (process.env.NODE_OPTIONS ?? "").replace(/^--require "(?:[^"\\]|\\.)*" ?/, "");
  if (left) process.env.NODE_OPTIONS = left;
  else delete process.env.NODE_OPTIONS;
}

/** Until what this gives is called: what it prints for people goes nowhere, it does not read stdin, and why
 * it cannot go on is said, which it writes to its log alone before it ends with 0. */
function starting() {
  const { FORCE_NO_TTY } = process.env;
  process.env.FORCE_NO_TTY = "true"; // else all of stdin is its first message
  const print = process.stdout.write;
  process.stdout.write = (piece, encoding, done) => {
    const written = typeof encoding === "function" ? encoding : done;
    if (written) process.nextTick(written);
    return true;
  };
  let why = "its log, in ~/.continue/logs, says more";
  const note = (error) => (why = String(error?.message ?? error).replace(/\s+/g, " "));
  const ending = () => {
    process.stderr.write(`cn did not start: ${why}\n`);
    process.exitCode ||= 1;
  };
  process.on("unhandledRejection", note).on("uncaughtExceptionMonitor", note).on("exit", ending);
  return () => {
    process.off("unhandledRejection", note).off("uncaughtExceptionMonitor", note).off("exit", ending);
    process.stdout.write = print;
    if (FORCE_NO_TTY === undefined) delete process.env.FORCE_NO_TTY;
    else process.env.FORCE_NO_TTY = FORCE_NO_TTY;
  };
}

function takeThePlaceOfThePort() {
  const started = starting();
  http.Server.prototype.listen = function listen(...given) {
    if (given[0] !== PORT) return Object.getPrototypeOf(http.Server.prototype).listen.apply(this, given);
    delete http.Server.prototype.listen;
    const ready = given.find((one) => typeof one === "function");
    if (ready) this.once("listening", ready);
    setImmediate(() => {
      this.emit("listening");
      started();
      new Pipes(this).start();
    });
    return this;
  };
}

if (isMainThread) {
  leaveNoTrace();
  if (process.argv.includes("serve")) takeThePlaceOfThePort();
}
