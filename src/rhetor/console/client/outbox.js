// Messages on their way to the hub. Each keeps its idempotency key until the hub has answered, also when the
// page is loaded again, so that it is accepted once. Those of a session are sent one after the other.
import { signal } from "@preact/signals";
import { newKey, post } from "#client/api.js";
import { state } from "#client/connection.js";
import { putBack } from "#model/drafts.js";

const STORED = "outbox";
const PAUSE_MILLISECONDS = 1000;
const LONGEST_PAUSE = 30;

export const outbox = signal(read()); // [{key, session, message, more, draft, problem}]
export const failures = signal(new Map()); // session id → why its last message was not accepted

const running = new Set(); // sessions whose messages are being sent

// Send a message. `draft`: what is put back if the hub rejects it.
export function send(session, message, more, draft) {
  forgetFailure(session);
  set([...outbox.peek(), { key: newKey(), session, message, more, draft, problem: null }]);
  run(session);
}

export function forgetFailure(session) {
  if (!failures.peek().has(session)) return;
  const next = new Map(failures.peek());
  next.delete(session);
  failures.value = next;
}

async function run(session) {
  if (running.has(session)) return;
  running.add(session);
  for (let item = next(session); item; item = next(session)) await deliver(item);
  running.delete(session);
}

async function deliver(item) {
  const path = `/api/v2/sessions/${encodeURIComponent(item.session)}/message`;
  const body = { message: item.message, execute: true, ...item.more }; // a program runs it, as in its own terminal
  try {
    await post(path, body, { key: item.key, headers: { prefer: "respond-async" } });
    set(outbox.peek().filter(({ key }) => key !== item.key));
  } catch (problem) {
    if (!isTemporary(problem)) return fail(item, problem);
    set(outbox.peek().map((one) => (one.key === item.key ? { ...one, problem } : one)));
    await pause(problem);
  }
}

function fail(item, problem) {
  set(outbox.peek().filter(({ key }) => key !== item.key));
  putBack(item.session, item.draft);
  failures.value = new Map(failures.peek()).set(item.session, problem);
}

function isTemporary({ code, status, retry_after: after }) {
  return code === "unreachable" || status === 503 || (status === 429 && after <= LONGEST_PAUSE);
}

// Until it is time to try again: as the hub says, or when there is a connection again.
function pause({ code, retry_after: after }) {
  return new Promise((resolve) => {
    const timer = setTimeout(done, after ? after * 1000 : PAUSE_MILLISECONDS);
    const wasLost = state.peek() !== "open";
    const end = state.subscribe((now) => code === "unreachable" && wasLost && now === "open" && queueMicrotask(done));
    function done() {
      clearTimeout(timer);
      end();
      resolve();
    }
  });
}

const next = (session) => outbox.peek().find((one) => one.session === session);

function set(items) {
  outbox.value = items;
  try {
    if (items.length) sessionStorage.setItem(STORED, JSON.stringify(items.map(({ problem, ...one }) => one)));
    else sessionStorage.removeItem(STORED);
  } catch {
    // the tab has no more room; the page still sends them
  }
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED)) ?? [];
  } catch {
    return [];
  }
}

for (const session of new Set(outbox.peek().map((one) => one.session))) run(session);
