// Text of a peer as it is, and a button that copies it.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { notifyProblem } from "#parts/notices.js";
import { countText } from "#parts/text.js";

// Plain text as it is; of a long one only the beginning, with a button that shows the rest.

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

// A button that copies a text, and says that it has.

const SHOWN_MILLISECONDS = 1500;

// `text()` returns what is copied. Returns an element, for places that are not drawn by Preact.
export function copyButton(text, label = "Copy") {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = label;
  button.addEventListener("click", () => copy(button, text(), label));
  return button;
}

export function Copy({ text, label = "Copy" }) {
  const button = useRef(null);
  useEffect(() => () => clearTimeout(button.current?.timer), []);
  return html`<button type="button" class="copy" ref=${button} onClick=${() => copy(button.current, text(), label)}>${label}</button>`;
}

async function copy(button, text, label) {
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) {
    return notifyProblem({ message: "The browser does not allow copying.", hint: "Select the text, and press Control+C." });
  }
  button.textContent = "Copied";
  button.timer = setTimeout(() => (button.textContent = label), SHOWN_MILLISECONDS);
}
