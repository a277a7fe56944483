// One setting: what it means, its value, and where the value comes from. It is checked before it is sent, and
// what the hub says of it is shown beside it.
import { html } from "htm/preact";
import { useId, useState } from "preact/hooks";
import { editable, parsed } from "#model/settings.js";
import { useAction } from "#parts/loaded.js";

export function Setting({ setting, path, onChange }) {
  const { key, value, origin, about } = setting;
  const before = about ? editable(value, about) : "";
  const [text, setText] = useState(before);
  const { run, isBusy, problem } = useAction();
  const id = useId();
  if (!about || !setting.path) {
    return html`<div class="setting"><p><code>${key}</code> <span dir="auto">${JSON.stringify(value)}</span></p><p class="muted">${origin}. It is changed in the file.</p></div>`;
  }
  const typed = text === before ? {} : parsed(text, about);
  const fault = typed.problem ?? faultOf(problem, key);
  const isOfFile = origin.startsWith(`${path}:`);
  const save = (event) => {
    event.preventDefault();
    if (text !== before && !typed.problem) run(() => onChange(setting, typed.value));
  };
  return html`
    <form class="setting" onSubmit=${save}>
      <label for=${id}><code>${key}</code></label>
      <p class="muted" id="${id}-about" dir="auto">${sentence(about.description)}${about.needs_restart && " Takes effect when the hub starts again."}</p>
      <div class="setting-value">
        <${Field} id=${id} about=${about} text=${text} onText=${setText} isWrong=${Boolean(fault)} />
        ${about.unit && html`<span class="muted">${about.unit}</span>`}
        ${text !== before && html`<button class="primary" disabled=${isBusy || Boolean(typed.problem)}>Save</button><button type="button" onClick=${() => setText(before)}>Cancel</button>`}
        ${text === before && isOfFile && html`<button type="button" disabled=${isBusy} onClick=${() => run(() => onChange(setting, null))}>Use the built-in value</button>`}
      </div>
      ${fault && html`<p class="problem" role="alert" id="${id}-fault" dir="auto">${fault}</p>`}
      ${problem?.hint && html`<p class="hint" dir="auto">${problem.hint}</p>`}
      <p class="origin">${originText(origin, path)}${!isOfFile || about.default == null ? "" : `; built in: ${JSON.stringify(about.default)}`}</p>
    </form>
  `;
}

function Field({ id, about, text, onText, isWrong }) {
  const { type, choices, items, or_else: other } = about;
  const shared = {
    id, value: text, dir: "auto", "aria-describedby": isWrong ? `${id}-fault` : `${id}-about`, "aria-invalid": isWrong ? "true" : undefined,
    onInput: (event) => onText(event.target.value),
  };
  const list = type === "boolean" ? ["true", "false"] : other ? null : choices;
  if (list) return html`<select ...${shared}>${[...new Set([text, ...list])].map((one) => html`<option key=${one} value=${one}>${one || "built in"}</option>`)}</select>`;
  if (type === "object" || type === "array") {
    const rows = Math.min(8, Math.max(2, text.split("\n").length));
    return html`<textarea ...${shared} rows=${rows} spellcheck="false" placeholder=${items?.type === "string" ? "one per line" : "JSON"}></textarea>`;
  }
  if (type === "integer" || type === "number") return html`<input ...${shared} inputmode="decimal" autocomplete="off" />`;
  return html`<input ...${shared} type=${about.secret ? "password" : "text"} autocomplete="off" spellcheck="false" />`;
}

// The hub names each wrong value. What is not about this key is shown as a whole.
function faultOf(problem, key) {
  if (!problem) return null;
  const own = problem.problems?.find((one) => one.key === key);
  return own ? `${own.key}: ${own.detail}` : problem.message;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

function originText(origin, path) {
  if (origin === "built in") return "Built in";
  if (origin.startsWith(`${path}:`)) return `Set in line ${origin.slice(path.length + 1)} of the file`;
  return `Set by ${origin}`;
}
