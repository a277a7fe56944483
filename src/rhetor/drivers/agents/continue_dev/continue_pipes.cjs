"use strict";
// Makes `cn serve` a program on pipes: this module is loaded into its process before its own code, and
// replaces the port. Nothing listens. Requests arrive as lines on stdin, {"path", "body"}, and are passed to
// its server over a connection within the process; changes of its state are written as lines to stdout. This
// module knows the routes of `serve`, but no sessions, no turns, and nothing about the process that reads it.
//
// A line on stdout is the response of GET /state, whose history begins at entry number `from`: the entries
// before it have been written already, or existed when the process started. If a request was rejected, it is
// {"path", "status", "refused"}. Needs Node.js 18 or newer; observed with cn 1.5.

const http = require("node:http");
const { Duplex } = require("node:stream");
const { isMainThread } = require("node:worker_threads");

const PORT = 65536; // an invalid port: without this module, `serve` ends instead of listening
const LOOK_MS = 50; // minimum pause between two reads of a state that may change
const SHARE = 10; // the pause is at least this many times as long as the read before it
const SETTLED_MS = 250; // without a change: the turn that was to stop has stopped
const AT_WORK = ["generated", "calling"]; // the states of a tool whose result is still to come

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

/** Sends one request to the server, and returns the status and text of the response. The body is set without
 * the server's own parser, which rejects more than 100 kB; without the headers of a body, it does nothing. */
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

/** Removes the output of tools that are still running: it is complete when they end. */
function entryOf(found) {
  const states = found.toolCallStates;
  if (!Array.isArray(states) || !states.some((state) => AT_WORK.includes(state.status))) return found;
  const shown = states.map((state) => (AT_WORK.includes(state.status) ? { ...state, output: [] } : state));
  return { ...found, toolCallStates: shown };
}

/** Writes the changes of the state, one line for each state that differs from the one before. */
class Telling {
  constructor() {
    this.entries = null; // the entries of the history, as JSON
    this.rest = "";
    this.changed = 0; // the time of the last change
    this.stopping = false;
  }

  /** Writes what is new in the state. Returns whether the state may change without a request. */
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

  /** Returns whether the interrupted turn is still running: `serve` reports its end at once, but work that is
   * still running could end a later turn. */
  _stops(history) {
    if (!this.stopping) return false;
    const last = history[history.length - 1];
    const works = (last?.toolCallStates ?? []).some((state) => AT_WORK.includes(state.status));
    this.stopping = works || performance.now() - this.changed < SETTLED_MS;
    return this.stopping;
  }
}

/** Passes on one request at a time, and between requests reads the state as long as it may change. */
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

/** Returns a function that takes pieces of bytes and calls `take` with each line. Unlike this, readline also
 * splits lines at U+2028. */
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

/** Writes an object on a line of its own, even if other text was written before. */
function tell(said) {
  process.stdout.write(`\n${JSON.stringify(said)}\n`);
}

/** Removes the option that loads this module, so that programs which the agent starts do not load it too. */
function leaveNoTrace() {
  const left = (process.env.NODE_OPTIONS ?? "").replace(/^--require "(?:[^"\\]|\\.)*" ?/, "");
  if (left) process.env.NODE_OPTIONS = left;
  else delete process.env.NODE_OPTIONS;
}

/** Until the returned function is called, drops what `cn` prints, keeps it from reading stdin, and writes to
 * stderr why it ended: by itself, it writes that only to its log, and ends with 0. */
function starting() {
  const { FORCE_NO_TTY } = process.env;
  process.env.FORCE_NO_TTY = "true"; // otherwise it reads all of stdin as its first message
  const print = process.stdout.write;
  process.stdout.write = (piece, encoding, done) => {
    const written = typeof encoding === "function" ? encoding : done;
    if (written) process.nextTick(written);
    return true;
  };
  let why = "see its log in ~/.continue/logs";
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
