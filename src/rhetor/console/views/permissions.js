// All permission requests that wait for an answer, of all peers, the newest last. Those that are answered while
// the view is open stay in it, with the answer.
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { answers, isOfPlan, keyOfRequest, now, pathOf, peers, pending } from "#model/hub.js";
import { AlertSettings } from "#parts/alerts.js";
import { Permission } from "#parts/permission.js";
import { agoText } from "#parts/text.js";

export default function Permissions() {
  const seen = useSeen();
  const waiting = pending.value.length;
  return html`
    <h1>Permissions</h1>
    <p class="muted" role="status">${waitingText(waiting)}</p>
    ${seen.length > 0 && html`
      <ol class="requests">
        ${seen.map((request) => html`<li key=${keyOfRequest(request)}><${Request} request=${request} /></li>`)}
      </ol>
    `}
    <${AlertSettings} />
  `;
}

function Request({ request }) {
  return html`
    <p class="from">
      <a href=${pathOf(request)} dir="auto">${nameOf(request)}</a>
      <span class="muted">${agoText(request.asked_at, now.value)} ago</span>
    </p>
    <${Permission} request=${request} />
  `;
}

function waitingText(count) {
  if (count === 0) return "No request waits for an answer. New ones appear here by themselves.";
  return count === 1 ? "1 request waits for an answer." : `${count} requests wait for an answer.`;
}

// The requests that were pending at some time since the view was opened. One that is no longer pending stays if
// its answer is known.
function useSeen() {
  const seen = useRef(new Map());
  const waiting = new Set(pending.value.map(keyOfRequest));
  for (const request of pending.value) seen.current.set(keyOfRequest(request), request);
  for (const id of seen.current.keys()) if (!waiting.has(id) && !answers.value.has(id)) seen.current.delete(id);
  useEffect(() => () => seen.current.clear(), []);
  return [...seen.current.values()].sort((a, b) => Date.parse(a.asked_at) - Date.parse(b.asked_at));
}

function nameOf(request) {
  if (isOfPlan(request)) return "A line";
  for (const peer of peers.value) {
    const found = peer.now?.find(({ session_id: id }) => id === request.session_id);
    if (found?.session_name) return found.session_name;
  }
  return `Session with ${request.peer}`;
}
