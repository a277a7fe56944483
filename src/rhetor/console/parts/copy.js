// A button that copies a text, and says that it has.
import { html } from "htm/preact";
import { useEffect, useRef } from "preact/hooks";
import { notifyProblem } from "#parts/notices.js";

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
