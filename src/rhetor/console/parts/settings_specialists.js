// The specialists: list, add, change and remove them.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, patch, post, remove } from "#client/api.js";
import { Dialog } from "#parts/dialog.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";

const EMPTY = { name: "", role: "", description: "", prompt: "", model: null, capabilities: {} };

export default function Specialists({ mayChange }) {
  const { answer, problem, reload } = useAnswer(() => get("/api/v2/specialists"));
  const [edited, setEdited] = useState(null);
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  return html`
    ${mayChange ? html`<p><button onClick=${() => setEdited(EMPTY)}>Add a specialist</button></p>` : html`<p class="muted">To change them, a login needs the scope <code>admin</code>.</p>`}
    <ul class="cards">
      ${answer.specialists.map(
        (one) => html`
          <li key=${one.name} class="card">
            <h3><a href="/peers/${encodeURIComponent(one.name)}" dir="auto">${one.name}</a> <span class="muted">${one.origin}</span></h3>
            <p dir="auto">${one.description || one.role}</p>
            <p class="muted">${one.model ?? "default model"}</p>
            ${mayChange && html`<button aria-label="Change ${one.name}" onClick=${() => setEdited(one)}>Change</button>`}
          </li>
        `,
      )}
    </ul>
    ${edited && html`<${Editor} found=${edited} onClose=${() => setEdited(null)} onDone=${() => (setEdited(null), reload())} />`}
  `;
}

function Editor({ found, onClose, onDone }) {
  const isNew = found === EMPTY;
  const [form, setForm] = useState({ ...found, model: found.model ?? "", scores: scoresText(found.capabilities) });
  const { run, isBusy, problem } = useAction();
  const typed = capabilitiesOf(form.scores);
  const path = `/api/v2/specialists/${encodeURIComponent(found.name)}`;
  const field = (name) => ({ value: form[name], dir: "auto", onInput: (event) => setForm({ ...form, [name]: event.target.value }) });
  const save = (event) => {
    event.preventDefault();
    const { name, role, description, prompt, model } = form;
    const values = { role: role || null, description: description || null, prompt, model: model || null, capabilities: typed.value };
    run(() => (isNew ? post("/api/v2/specialists", { name, ...values }) : patch(path, values)).then(onDone));
  };
  return html`
    <${Dialog} title=${isNew ? "New specialist" : found.name} onClose=${onClose}>
      <form class="setting" onSubmit=${save}>
        ${isNew && html`<label>Name <input required autocomplete="off" ...${field("name")} /></label>`}
        <label>Role <input ...${field("role")} /></label>
        <label>Description <input ...${field("description")} /></label>
        <label>Prompt <textarea rows="6" required ...${field("prompt")}></textarea></label>
        <label>Model <input placeholder="default" autocomplete="off" ...${field("model")} /></label>
        <label>Capabilities, one per line, with a score from 0 to 1 <textarea rows="4" placeholder="code-analysis 0.9" ...${field("scores")}></textarea></label>
        ${typed.problem && html`<p class="problem" role="alert">${typed.problem}</p>`}
        ${problem && html`<${Trouble} problem=${problem} />`}
        <p class="buttons">
          <button class="primary" disabled=${isBusy || Boolean(typed.problem)}>Save</button>
          ${found.origin === "own" && html`<button type="button" class="danger" disabled=${isBusy} onClick=${() => run(() => remove(path).then(onDone))}>Remove</button>`}
          ${found.origin === "changed" && html`<button type="button" disabled=${isBusy} onClick=${() => run(() => remove(path).then(onDone))}>Use the built-in one</button>`}
        </p>
      </form>
    <//>
  `;
}

const scoresText = (capabilities) => Object.entries(capabilities).map(([name, score]) => `${name} ${score}`).join("\n");

function capabilitiesOf(text) {
  const value = {};
  for (const line of text.split("\n").map((one) => one.trim()).filter(Boolean)) {
    const [, name, score] = /^(\S+)\s+([\d.]+)$/.exec(line) ?? [];
    if (!(Number(score) >= 0 && Number(score) <= 1)) return { problem: `${line}: write a name and a score from 0 to 1.` };
    value[name] = Number(score);
  }
  return { value };
}
