// Why something failed, with the hub's hint, beside what failed.
import { html } from "htm/preact";

export function Trouble({ problem }) {
  return html`
    <div class="trouble" role="alert">
      <p class="problem" dir="auto">${problem.message}</p>
      ${problem.hint && html`<p class="hint" dir="auto">${problem.hint}</p>`}
    </div>
  `;
}
