// The one WebSocket of the page (`/ws`, JSON-RPC). It carries all events, and connects again by itself.
//
// After a lost connection, each subscription continues at its cursor, so nothing is lost and nothing is shown
// twice. A watch is read anew, because it has no history.
import { signal } from "@preact/signals";
import { get, isLoggedOut, Problem } from "#client/api.js";

const FIRST_PAUSE = 250; // milliseconds until the first new attempt; doubled for each one that follows
const LONGEST_PAUSE = 5000;
const ECHO_SECONDS = 4; // a connection that does not answer within this time after a sleep is lost
const LOGIN_SECONDS = 5; // a hub that does not say within this time whether the login holds is tried anew
const LOGIN_ENDED = new Set([4001, 4500]);

// "connecting" before the first connection, then "open" or "lost"
export const state = signal("connecting");

let socket = null;
let attempts = 0;
let retry = null;
let lastId = 0;
const calls = new Map(); // id → {resolve, reject}
const subscriptions = new Map(); // name → Followed or Watched

export function start() {
  connect();
  addEventListener("online", hurry);
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && check());
}

// Call a method; the connection must be open.
export function call(method, params = {}) {
  if (state.value !== "open") {
    const detail = "The connection to the hub is lost.";
    return Promise.reject(new Problem({ code: "unreachable", detail, retryable: true }));
  }
  return ask(method, params);
}

// Follow the events of a session, of a plan or of `hub`, in order and each once. `cursor`: after which event
// to begin; null for the first one. `events`: the types, all if null. `onEvents(list)` gets what arrived
// together. `onReset(answer)`: the position is no longer known or the stream is gone; the subscription has
// ended. `onLive()`: the subscription is in force. Returns a function that ends it.
export function follow(stream, { cursor = null, events = null, onEvents, onReset, onLive = () => {} }) {
  return add(new Followed(stream, cursor, events, onEvents, onReset ?? (() => {}), onLive));
}

// Watch something without history. `onStart(result)` is called after every new connection, `onChange(name,
// params)` for each notification. Returns a function that ends it.
export function watch(method, params, { onStart, onChange, onProblem = () => {} }) {
  return add(new Watched(method, params, onStart, onChange, onProblem));
}

function add(subscription) {
  subscriptions.set(subscription.name, subscription);
  if (state.value === "open") subscription.begin();
  return () => {
    subscriptions.delete(subscription.name);
    subscription.end();
    if (state.value === "open") ask("unsubscribe", { subscription: subscription.name }).catch(() => {});
  };
}

class Followed {
  constructor(stream, cursor, events, onEvents, onReset, onLive) {
    Object.assign(this, { name: newName(), stream, cursor, events, onEvents, onReset, onLive });
    this.isOver = false;
    this.isAsking = false;
    this.last = 0;
  }

  async begin() {
    const params = { stream: this.stream, subscription: this.name };
    if (this.cursor) params.cursor = this.cursor;
    if (this.events) params.events = this.events;
    this.isAsking = true;
    try {
      const answer = await ask("subscribe", params);
      this.isAsking = false;
      if (this.isOver) return;
      if (answer.outcome !== "ok") return this.lose(answer);
      this.cursor = answer.cursor;
      this.last = seqOf(answer.cursor);
      this.onLive();
    } catch (problem) {
      this.isAsking = false;
      if (!this.isOver && !problem.retryable) this.lose({ outcome: problem.code, detail: problem.message });
    }
  }

  // An event that is out of order means that some were missed; they are asked for again.
  receive(name, event) {
    if (name === "subscription.lost") return this.lose(event);
    if (event.seq <= this.last || this.isAsking) return;
    if (event.prev !== this.last) return this.again();
    this.last = event.seq;
    this.cursor = event.cursor;
    this.onEvents([event]);
  }

  again() {
    if (!this.isAsking) {
      this.isAsking = true;
      ask("unsubscribe", { subscription: this.name }).then(() => this.begin(), () => {});
    }
  }

  lose(answer) {
    this.isOver = true;
    subscriptions.delete(this.name);
    this.onReset(answer);
  }

  end() {
    this.isOver = true;
  }
}

class Watched {
  constructor(method, params, onStart, onChange, onProblem) {
    Object.assign(this, { name: newName(), method, params, onStart, onChange, onProblem, isOver: false });
  }

  async begin() {
    try {
      const result = await ask(this.method, { ...this.params, subscription: this.name });
      if (!this.isOver) this.onStart(result);
    } catch (problem) {
      if (!this.isOver && problem.code !== "unreachable") this.onProblem(problem);
    }
  }

  receive(name, params) {
    this.onChange(name, params);
  }

  end() {
    this.isOver = true;
  }
}

function connect() {
  retry = null;
  socket = takeEarly() ?? new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.onopen = opened;
  socket.onmessage = (message) => receive(message.data);
  socket.onclose = (event) => closed(event.code);
  if (socket.readyState === WebSocket.OPEN) opened();
}

// The connection that the page began before its modules were there; null if it is taken or lost. The hub says
// nothing on it before it is asked.
function takeEarly() {
  const { socket } = globalThis.early ?? {};
  delete globalThis.early;
  return socket?.readyState <= WebSocket.OPEN ? socket : null;
}

function opened() {
  attempts = 0;
  isLoggedOut.value = false;
  state.value = "open";
  for (const subscription of subscriptions.values()) subscription.begin();
}

async function closed(code) {
  socket = null;
  state.value = "lost";
  const lost = new Problem({ code: "unreachable", detail: "The connection was lost.", retryable: true });
  for (const { reject } of calls.values()) reject(lost);
  calls.clear();
  if (LOGIN_ENDED.has(code)) isLoggedOut.value = true;
  else await get("/api/v2/whoami", { signal: AbortSignal.timeout(LOGIN_SECONDS * 1000) }).catch(() => {}); // a browser does not say that it was rejected
  if (!retry) retry = setTimeout(connect, pause());
}

function pause() {
  const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempts);
  attempts += 1;
  return longest * (0.5 + Math.random() / 2);
}

// Connect now, because there may be a network again.
export function hurry() {
  if (!retry) return;
  clearTimeout(retry);
  attempts = 0;
  connect();
}

// A machine that was asleep has connections that look open; find out.
async function check() {
  if (state.value !== "open") return hurry();
  const waiting = socket;
  const timer = setTimeout(() => waiting === socket && waiting?.close(), ECHO_SECONDS * 1000);
  await ask("echo", {}).catch(() => {});
  clearTimeout(timer);
}

function ask(method, params) {
  const id = ++lastId;
  return new Promise((resolve, reject) => {
    calls.set(id, { resolve, reject });
    socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
  });
}

function receive(text) {
  const frame = JSON.parse(text);
  for (const one of Array.isArray(frame) ? frame : [frame]) take(one);
}

function take(frame) {
  if (frame.method) {
    subscriptions.get(frame.params?.subscription)?.receive(frame.method, frame.params);
    return;
  }
  const waiting = calls.get(frame.id);
  if (!waiting) return;
  calls.delete(frame.id);
  if (frame.error) waiting.reject(new Problem({ detail: frame.error.message, ...frame.error.data }));
  else waiting.resolve(frame.result);
}

const newName = () => crypto.randomUUID();
const seqOf = (cursor) => Number(cursor.slice(cursor.indexOf(":") + 1));
