// The change of a file, with its added and removed lines in color and with signs.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { loadStyles } from "#app/styles.js";
import { countsOf } from "#model/diff.js";
import { countText } from "#parts/text.js";

await loadStyles("#styles/diff.css");

const MOST_LINES = 60;
const NAMES = { "+": "added", "-": "removed", "@": "part", " ": "same" };

export function Diff({ edit: { path, change, lines } }) {
  const [isWhole, setWhole] = useState(lines.length <= MOST_LINES * 1.5);
  const { added, removed } = countsOf(lines);
  const shown = isWhole ? lines : lines.slice(0, MOST_LINES);
  return html`
    <div class="diff">
      <div class="diff-head">
        <span class="path" dir="auto">${path}</span> <span class="muted">${change}</span>
        <span class="diff-counts">
          <span class="diff-plus" aria-label="${added} lines added">+${countText(added)}</span>${" "}
          <span class="diff-minus" aria-label="${removed} lines removed">−${countText(removed)}</span>
        </span>
      </div>
      <pre class="diff-lines" tabindex="0" dir="ltr" aria-label="Changes of ${path}">${shown.map(
        ({ sign, text }, index) => html`<div key=${index} class="diff-${NAMES[sign]}"><span class="diff-sign">${sign === "@" ? " " : sign}</span>${text || " "}</div>`,
      )}</pre>
      ${!isWhole && html`<button class="more" onClick=${() => setWhole(true)}>Show all ${countText(lines.length)} lines</button>`}
    </div>
  `;
}
