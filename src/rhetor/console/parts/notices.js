// Short messages above the view, where they cover nothing: what an action did, or why it failed. Errors stay until closed.
import { html } from "htm/preact";
import { signal } from "@preact/signals";

const SECONDS = 6;
const MOST = 4;
const notices = signal([]);
let lastId = 0;

export function notify(text, { hint = null, kind = "done" } = {}) {
  const id = ++lastId;
  notices.value = [...notices.value, { id, text, hint, kind }].slice(-MOST);
  if (kind === "done") setTimeout(() => close(id), SECONDS * 1000);
}

// Show why a request failed, with the hub's hint.
export function notifyProblem(problem) {
  if (problem?.name !== "AbortError") notify(problem.message, { hint: problem.hint, kind: "problem" });
}

export function Notices() {
  return html`
    <div class="notices" aria-live="polite">
      ${notices.value.map(
        ({ id, text, hint, kind }) => html`
          <div key=${id} class="notice ${kind}" role=${kind === "problem" ? "alert" : undefined}>
            <p dir="auto">${text}</p>
            ${hint && html`<p class="hint" dir="auto">${hint}</p>`}
            <button class="close" aria-label="Close" onClick=${() => close(id)}>✕</button>
          </div>
        `,
      )}
    </div>
  `;
}

function close(id) {
  notices.value = notices.value.filter((one) => one.id !== id);
}
