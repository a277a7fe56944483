// The configuration file, and each of its settings.
import { html } from "htm/preact";
import { useId, useState } from "preact/hooks";
import { get, patch } from "#client/api.js";
import { editable, matches, namedSections, parsed, patchOf, settingsOf } from "#model/settings.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { notify } from "#parts/notices.js";

// The settings of the configuration file: what is in force, where each value comes from, and how to change it.

export function Configuration({ find }) {
  const [text, setText] = useState(find);
  const [last, setLast] = useState(null); // the last change: {key, path, before, outcome}
  const { answer, problem, reload } = useAnswer(read);
  const undoing = useAction();
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  const { config, schema } = answer;
  const all = settingsOf(config.config, schema).filter(({ about, value }) => about || typeof value !== "object" || value === null);
  const found = all.filter((one) => matches(one, text));
  const groups = [...new Set(found.map(({ group }) => group))];
  const change = async (setting, value) => {
    const outcome = await patch("/api/v2/config", patchOf(setting.path, value));
    const isOfFile = setting.origin.startsWith(`${config.path}:`);
    setLast({ key: setting.key, path: setting.path, before: isOfFile ? setting.value : null, outcome });
    await reload();
  };
  const undo = () =>
    undoing.run(async () => {
      await patch("/api/v2/config", patchOf(last.path, last.before));
      setLast(null);
      await reload();
    });
  return html`
    <p class="muted">The file is <code>${config.path}</code>. Comments in it are kept.</p>
    <p><label>Find <input type="search" value=${text} onInput=${(event) => setText(event.target.value)} /></label></p>
    ${last && html`<${Changed} last=${last} onUndo=${undo} isBusy=${undoing.isBusy} />`}
    ${undoing.problem && html`<${Trouble} problem=${undoing.problem} />`}
    ${found.length === 0 && html`<p>No setting has these words.</p>`}
    ${groups.map(
      (group) => html`
        <details key=${`${group} ${text !== ""}`} class="settings-group" open=${text !== ""}>
          <summary><h3>${group}</h3></summary>
          ${found.filter((one) => one.group === group).map((one) => html`<${Setting} key=${`${one.key} ${JSON.stringify(one.value)}`} setting=${one} path=${config.path} onChange=${change} />`)}
        </details>
      `,
    )}
    ${text === "" && html`<h3>New entries</h3>${namedSections(schema).map((one) => html`<${NewEntry} key=${one.prefix} ...${one} onDone=${reload} />`)}`}
  `;
}

async function read() {
  const [config, { settings }] = await Promise.all([get("/api/v2/config"), get("/api/v2/config/schema")]);
  return { config, schema: settings };
}

function Changed({ last: { key, outcome }, onUndo, isBusy }) {
  const overridden = outcome.overridden.find((one) => one.key === key);
  return html`
    <div class="changed-setting" role="status">
      <p>${key} was changed. <button onClick=${onUndo} disabled=${isBusy}>Undo</button></p>
      ${overridden && html`<p>It has no effect while the hub's variable <code>${overridden.variable}</code> is set, which takes precedence.</p>`}
      ${outcome.needs_restart.length > 0 && html`<p>Takes effect when the hub starts again: ${outcome.needs_restart.join(", ")}</p>`}
    </div>
  `;
}

// Adds an entry with a name, such as a provider or a budget, as JSON.
function NewEntry({ prefix, members, onDone }) {
  const [form, setForm] = useState({ name: "", text: "{\n  \n}" });
  const { run, isBusy, problem } = useAction();
  const typed = parsed(form.text, { type: members.some(({ member }) => member) ? "object" : members[0].type, items: members[0].items });
  const add = (event) => {
    event.preventDefault();
    run(async () => {
      await patch("/api/v2/config", patchOf([...prefix.split("."), form.name], typed.value));
      notify(`${prefix}.${form.name} was added.`);
      setForm({ name: "", text: "{\n  \n}" });
      await onDone();
    });
  };
  return html`
    <details>
      <summary>${prefix}</summary>
      <form class="setting" aria-label="New entry of ${prefix}" onSubmit=${add}>
        <label>Name <input required value=${form.name} autocomplete="off" spellcheck="false" onInput=${(event) => setForm({ ...form, name: event.target.value.trim() })} /></label>
        <label>Value (JSON) <textarea rows="5" spellcheck="false" value=${form.text} onInput=${(event) => setForm({ ...form, text: event.target.value })}></textarea></label>
        <ul class="members">${members.map(({ member, description, required }) => member && html`<li key=${member}><code>${member}</code>${required && " (required)"}: <span dir="auto">${description}</span></li>`)}</ul>
        ${typed.problem && html`<p class="problem">${typed.problem}</p>`}
        <p><button class="primary" disabled=${isBusy || Boolean(typed.problem) || !form.name}>Add</button></p>
        ${problem && html`<${Trouble} problem=${problem} />`}
      </form>
    </details>
  `;
}

// One setting: what it means, its value, and where the value comes from. It is checked before it is sent, and
// what the hub says of it is shown beside it.

function Setting({ setting, path, onChange }) {
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
