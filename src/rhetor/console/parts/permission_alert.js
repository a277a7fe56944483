// The oldest request that the current view does not show, at the edge of the page, with its options.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { useKeys } from "#app/keys.js";
import { address, match } from "#app/router.js";
import { alert } from "#model/alerts.js";
import { isOfPlan, keyOfRequest, pathOf, peers, pending } from "#model/hub.js";
import { inView, Permission } from "#parts/permission.js";

const later = signal(new Set()); // keys of the requests that the user will answer later

// Make a sound or a notification for a new request, unless the user looks at it.
export function tell(request) {
  if (document.hidden || !isShown(request)) alert(request);
}

export function PermissionAlert() {
  const waiting = pending.value.filter((one) => !isShown(one) && !later.value.has(keyOfRequest(one)));
  const request = waiting[0];
  useKeys(request ? { w: { name: "Go to the waiting request", run: focusAlert } } : {}, [Boolean(request)]);
  if (!request) return null;
  const putOff = () => (later.value = new Set([...later.value, ...waiting.map(keyOfRequest)]));
  return html`
    <aside class="permission-alert" aria-label="Waiting request">
      <p class="visually-hidden" role="alert" key=${keyOfRequest(request)}>${request.peer} waits for an answer. Press w to go to it.</p>
      <${Permission} key=${keyOfRequest(request)} request=${request} needsFocus />
      <p class="alert-links">
        <a href=${pathOf(request)}>${isOfPlan(request) ? "Show the line" : "Show the session"}</a>
        ${waiting.length > 1 && html`<a href="/permissions">${waiting.length - 1} more</a>`}
        <button class="close" onClick=${putOff}>Later</button>
      </p>
    </aside>
  `;
}

function focusAlert() {
  document.querySelector(".permission-alert .permission")?.focus();
}

// Whether the view shows a request, or the session in which it was made.
function isShown(request) {
  const { path } = address.value;
  if (path === "/permissions" || inView.value.has(keyOfRequest(request))) return true;
  const found = match(address.value);
  return found?.route.name === "Sessions" && [request.session_id, nameOf(request)].includes(found.params.id ?? "");
}

function nameOf({ session_id: id }) {
  for (const peer of peers.value) for (const turn of peer.now ?? []) if (turn.session_id === id) return turn.session_name;
  return undefined;
}
