// All permission requests that wait for the caller, from the start of the page on, and how they were answered.
import { computed, signal } from "@preact/signals";
import { watch } from "#client/connection.js";

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
