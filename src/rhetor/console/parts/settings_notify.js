// The recipients of notifications, and a test of each. They are defined in the configuration file.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, post } from "#client/api.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { secondsText } from "#parts/text.js";

export default function Recipients() {
  const { answer, problem } = useAnswer(() => get("/api/v2/notify"));
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  return html`
    ${answer.notify.length === 0 && html`<p class="muted">Nobody is notified. Add entries to <code>notify:</code> in the configuration file.</p>`}
    <ul class="cards">${answer.notify.map((one) => html`<${Recipient} key=${one.name} one=${one} />`)}</ul>
  `;
}

function Recipient({ one }) {
  const [results, setResults] = useState([]);
  const { run, isBusy, problem } = useAction();
  const test = () => run(async () => setResults((await post("/api/v2/notify/test", { name: one.name })).notify));
  return html`
    <li class="card">
      <h3 dir="auto">${one.name} <span class="muted">${one.kind}</span></h3>
      <p>${one.on.join(", ")}${one.after > 0 && `, after ${secondsText(one.after)}`}</p>
      ${!one.ok && html`<p class="problem" dir="auto">${one.detail}</p><p class="hint" dir="auto">${one.hint}</p>`}
      ${one.waiting > 0 && html`<p>${one.waiting} waiting</p>`}
      <button disabled=${isBusy} aria-label="Send a test to ${one.name}" onClick=${test}>${isBusy ? "Sending…" : "Send a test"}</button>
      <div role="status">${results.map(({ ok, seconds, error, hint }) => html`<p class=${ok ? "" : "problem"} dir="auto">${ok ? `Sent in ${secondsText(seconds)}` : `${error} ${hint ?? ""}`}</p>`)}</div>
      ${problem && html`<${Trouble} problem=${problem} />`}
    </li>
  `;
}
