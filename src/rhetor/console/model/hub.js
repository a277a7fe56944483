// What the hub tells every view while the page is open: the peers, the requests for permission, the caller; and
// the time.
import { computed, signal } from "@preact/signals";
import { get } from "#client/api.js";
import { watch } from "#client/connection.js";

// All peers and what they do now, kept up to date while the page is open.

const known = signal(null); // null before the first answer; then id → peer
export const peersProblem = signal(null);

export const arePeersKnown = computed(() => known.value !== null);
export const peers = computed(() => [...(known.value?.values() ?? [])]);

export function peerOf(id) {
  return known.value?.get(id);
}

// What a peer is called wherever it is shown: as it is addressed. The id of a project is not typed anywhere.
export const nameOf = ({ id, kind, name }) => (kind === "project" ? name : id);

// The name that the user has given to a peer beside the one with which it is addressed; null if there is none.
export const titleOf = ({ id, kind, name }) => (kind === "project" || name.toLowerCase() === id.toLowerCase() ? null : name);

watch("watchPeers", {}, {
  onStart: (result) => {
    known.value = new Map(result.peers.map((peer) => [peer.id, peer]));
    peersProblem.value = null;
  },
  onChange: (name, { changed, removed }) => {
    const next = new Map(known.value);
    for (const peer of changed) next.set(peer.id, peer);
    for (const id of removed) next.delete(id);
    known.value = next;
  },
  onProblem: (error) => (peersProblem.value = error),
});

// All permission requests that wait for the caller, from the start of the page on, and how they were answered.

const MOST_ANSWERS = 200;
const requests = signal(new Map()); // key → request
const listeners = new Set();
let isKnown = false;

export const pending = computed(() => [...requests.value.values()]);
export const answers = signal(new Map()); // key → {option_id, answers, by} of those answered meanwhile
export const answeredHere = new Set(); // keys of the requests that this page answered

// Agents number their requests, so an id is unique only in its session or plan.
export const keyOf = (stream, id) => `${stream}/${id}`;
export const keyOfRequest = (request) => keyOf(request.session_id, request.request_id);

// Where a request was made. A step of a plan asks in the stream of its plan.
export const isOfPlan = ({ session_id: stream }) => stream.startsWith("p_");
export const pathOf = (request) => `${isOfPlan(request) ? "/line?plan=" : "/sessions/"}${encodeURIComponent(request.session_id)}`;

// Call `listener(request)` for each new request, while the page is open. Returns a function that ends it.
export function onAsked(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

watch("watchPermissions", {}, {
  onStart: ({ permissions }) => {
    const before = requests.value;
    requests.value = new Map(permissions.map((one) => [keyOfRequest(one), one]));
    for (const one of permissions) if (isKnown && !before.has(keyOfRequest(one))) tell(one);
    isKnown = true;
  },
  onChange: (name, { subscription, ...data }) => {
    const next = new Map(requests.value);
    if (name === "permission.asked") next.set(keyOfRequest(data), data);
    else next.delete(keyOfRequest(data));
    if (name !== "permission.asked") keep(data);
    requests.value = next;
    if (name === "permission.asked") tell(data);
  },
});

function keep(answer) {
  const next = new Map(answers.value).set(keyOfRequest(answer), answer);
  for (const oldest of next.keys()) if (next.size > MOST_ANSWERS) next.delete(oldest);
  answers.value = next;
}

function tell(request) {
  for (const listener of listeners) listener(request);
}

// The caller as which the hub knows this page, with its rights: {subject, scopes, …}; null before its answer, and
// before a view asks.

let asked = null;

export const self = signal(null, {
  watched() {
    asked ??= get("/api/v2/whoami").then((found) => (self.value = found), () => (asked = null)); // without it, the hub still says no
  },
});

export const isMine = (session) => self.value === null || session.owner === self.value.subject;

// The time, once a second, for parts that count. It stands still while no part looks at it.

let timer = null;

export const now = signal(Date.now(), {
  watched() {
    now.value = Date.now();
    timer = setInterval(() => (now.value = Date.now()), 1000);
  },
  unwatched() {
    clearInterval(timer);
  },
});
