// Where the API keys of providers are. A key is never shown; it can be set and removed.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, put, remove } from "#client/api.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { timeText } from "#parts/text.js";

export default function Keys() {
  const { answer, problem, reload } = useAnswer(() => get("/api/v2/keys"));
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  return html`<ul class="cards">${answer.keys.map((key) => html`<${Key} key=${key.name} found=${key} onDone=${reload} />`)}</ul>`;
}

function Key({ found, onDone }) {
  const [text, setText] = useState("");
  const { run, isBusy, problem } = useAction();
  const path = `/api/v2/keys/${encodeURIComponent(found.name)}`;
  const store = (event) => {
    event.preventDefault();
    run(async () => {
      await put(path, { key: text.trim() });
      setText("");
      await onDone();
    });
  };
  return html`
    <li class="card">
      <h3 dir="auto">${found.name}</h3>
      <p>${placeOf(found)}</p>
      <form class="setting-value" onSubmit=${store}>
        <label>New key of ${found.name} <input type="password" required autocomplete="off" value=${text} onInput=${(event) => setText(event.target.value)} /></label>
        <button class="primary" disabled=${isBusy || !text.trim()}>Store</button>
        ${found.stored && html`<button type="button" class="danger" disabled=${isBusy} aria-label="Remove the key of ${found.name}" onClick=${() => run(() => remove(path).then(onDone))}>Remove</button>`}
      </form>
      ${problem && html`<${Trouble} problem=${problem} />`}
    </li>
  `;
}

function placeOf({ stored, set_at: at, variable }) {
  const kept = stored ? `Stored in the ${stored === "keyring" ? "keyring" : "hub's file"} since ${timeText(at)}` : "Not stored";
  return variable ? `${kept}. The hub's variable ${variable} has a key, which takes precedence.` : `${kept}.`;
}
