// The status of a peer or a session, as a word with a mark. The word says it; the color only repeats it.
import { html } from "htm/preact";

export function Status({ status, evidence = null }) {
  return html`<span class="status status-${status}" title=${evidence ?? undefined}>${status}</span>`;
}
