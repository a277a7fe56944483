// Messages until the hub has accepted them: first as a draft, then on their way.
import { signal } from "@preact/signals";
import { newKey, post } from "#client/api.js";
import { state } from "#client/connection.js";

// What the user has typed and attached, for each session, until the hub has accepted it. It is kept in the tab
// when the page is loaded again.

const PREFIX = "draft:";
const drafts = new Map(); // session id → signal of a draft

export const EMPTY = { text: "", files: [], model: null, refused: [] };

// The signal of a session's draft. `refused`: why files were not added. `files`: [{id, name, media_type, bytes, blob_id, text, progress, problem, url}].
export function draftOf(session) {
  if (!drafts.has(session)) drafts.set(session, signal(stored(session)));
  return drafts.get(session);
}

export function change(session, changes) {
  const draft = draftOf(session);
  draft.value = { ...draft.peek(), ...changes };
  store(session, draft.peek());
}

// Put a message that was not accepted before what was typed meanwhile.
function putBack(session, { text, files, model }) {
  const now = draftOf(session).peek();
  change(session, { text: [text, now.text].filter(Boolean).join("\n\n"), files: [...files, ...now.files], model: now.model ?? model });
}

export const isEmpty = ({ text, files }) => text.trim() === "" && files.length === 0;

function stored(session) {
  try {
    return { ...EMPTY, ...JSON.parse(sessionStorage.getItem(PREFIX + session)), refused: [] };
  } catch {
    return EMPTY;
  }
}

// An upload that is not complete cannot be continued, and a preview is gone with the page.
function store(session, draft) {
  const files = draft.files.filter((one) => one.blob_id || one.text != null).map(({ url, ...one }) => one);
  const text = isEmpty({ ...draft, files }) ? null : JSON.stringify({ ...draft, files });
  try {
    if (text) sessionStorage.setItem(PREFIX + session, text);
    else sessionStorage.removeItem(PREFIX + session);
  } catch {
    // the tab has no more room; the draft is still in the page
  }
}

// Messages on their way to the hub. Each keeps its idempotency key until the hub has answered, also when the
// page is loaded again, so that it is accepted once. Those of a session are sent one after the other.

const STORED = "outbox";
const PAUSE_MILLISECONDS = 1000;
const LONGEST_PAUSE = 30;

export const outbox = signal(unsent()); // [{key, session, message, more, draft, problem}]
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

function unsent() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED)) ?? [];
  } catch {
    return [];
  }
}

for (const session of new Set(outbox.peek().map((one) => one.session))) run(session);

// another tab has logged out
addEventListener("storage", ({ key }) => key === null && sessionStorage.clear());
