// All permission requests that wait for the caller, from the start of the page on.
import { computed, signal } from "@preact/signals";
import { watch } from "#client/connection.js";

const requests = signal(new Map()); // request id → request
const listeners = new Set();

export const pending = computed(() => [...requests.value.values()]);

// Call `listener(request)` for each new request, while the page is open. Returns a function that ends it.
export function onAsked(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

watch("watchPermissions", {}, {
  onStart: ({ permissions }) => {
    const known = requests.value;
    requests.value = new Map(permissions.map((one) => [one.request_id, one]));
    for (const one of permissions) if (known.size && !known.has(one.request_id)) tell(one);
  },
  onChange: (name, { subscription, ...request }) => {
    const next = new Map(requests.value);
    if (name === "permission.asked") next.set(request.request_id, request);
    else next.delete(request.request_id);
    requests.value = next;
    if (name === "permission.asked") tell(request);
  },
});

function tell(request) {
  for (const listener of listeners) listener(request);
}
