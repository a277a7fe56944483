// Names with their values. What is not known is left out.
import { html } from "htm/preact";

export function Facts({ list }) {
  const known = list.filter(([, value]) => value != null && value !== false && value !== "");
  if (known.length === 0) return null;
  return html`<dl class="facts">${known.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd dir="auto">${value}</dd></div>`)}</dl>`;
}
