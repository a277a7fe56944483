// Plain text as it is; of a long one only the beginning, with a button that shows the rest.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { countText } from "#parts/text.js";

const MOST_LINES = 24;
const MOST_CHARACTERS = 4000;

export function LongText({ text, label, className = "" }) {
  const [isWhole, setWhole] = useState(false);
  const shown = isWhole ? text : beginning(text);
  return html`
    <pre class="long ${className}" tabindex="0" dir="auto" aria-label=${label}>${shown}</pre>
    ${shown.length < text.length && html`<button class="more" onClick=${() => setWhole(true)}>Show all (${countText(text.length)} characters)</button>`}
  `;
}

function beginning(text) {
  let end = -1;
  for (let line = 0; line < MOST_LINES; line += 1) {
    end = text.indexOf("\n", end + 1);
    if (end < 0) break;
  }
  const most = Math.min(end < 0 ? text.length : end, MOST_CHARACTERS);
  return text.length - most < 200 ? text : text.slice(0, most);
}
