// Models, specialists and MCP servers.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, patch, post, postLong, remove } from "#client/api.js";
import { Dialog } from "#parts/dialog.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { bytesText, secondsText } from "#parts/text.js";

// Which models answer, what they take and cost, and the small models that the hub itself can run.

export function Models({ mayChange }) {
  const { answer, problem } = useAnswer(() => get("/api/v2/models"));
  return html`
    <${Waiting} answer=${answer} problem=${problem} />
    ${answer?.silent.map((one) => html`<p key=${one.provider} class="warning" dir="auto">${one.provider}: ${one.detail} ${one.hint}</p>`)}
    ${answer?.models.length === 0 && html`<p>No provider lists a model. Set an <a href="/settings?section=keys">API key</a>, or use a model on this machine.</p>`}
    ${answer?.models.length > 0 && html`<${List} models=${answer.models} />`}
    <h3>On this machine</h3>
    <${Local} mayChange=${mayChange} />
  `;
}

function List({ models }) {
  return html`
    <div class="settings-table" tabindex="0" role="region" aria-label="List of models">
      <table>
        <thead><tr><th scope="col">Model</th><th scope="col">Takes</th><th scope="col">USD per million tokens</th><th scope="col">Used by</th></tr></thead>
        <tbody>
          ${models.map(
            (one) => html`
              <tr key=${one.model}>
                <th scope="row" dir="auto">${one.model}${one.is_default && " (default)"}${one.error && html`<p class="problem">${one.error}</p>`}</th>
                <td>${one.takes?.join(", ") ?? "said by the agent"}</td>
                <td>${one.price ? `${one.price.input_per_1m} in, ${one.price.output_per_1m} out` : "unknown"}</td>
                <td>${one.peers.join(", ")}</td>
              </tr>
            `,
          )}
        </tbody>
      </table>
    </div>
  `;
}

function Local({ mayChange }) {
  const { answer, problem, reload } = useAnswer(() => get("/api/v2/models/local"));
  const { run, isBusy, problem: failed } = useAction();
  const [progress, setProgress] = useState(null);
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  const pull = (model) =>
    run(async () => {
      await postLong("/api/v2/models/local", { model }, { onProgress: (found) => setProgress({ model, ...found }) });
      await reload();
    }).then(() => setProgress(null));
  const path = (name) => `/api/v2/models/local/${encodeURIComponent(name)}`;
  const isHere = (name) => answer.models.some((one) => one.name === name);
  return html`
    ${!answer.installed && html`<p class="warning">Small models need the package xllamacpp, which is not installed.</p>`}
    ${failed && html`<${Trouble} problem=${failed} />`}
    ${progress && html`<p role="status">Fetching ${progress.model}: ${bytesText(progress.done)}${progress.total && ` of ${bytesText(progress.total)}`} <progress max=${progress.total ?? undefined} value=${progress.total ? progress.done : undefined} aria-label="Progress"></progress></p>`}
    <ul class="cards">
      ${answer.models.map(
        (one) => html`
          <li key=${one.name} class="card">
            <h4 dir="auto">${one.name}</h4>
            <p class="muted">${bytesText(one.bytes)}${one.in_use ? ", used if nothing better answers" : ""}${one.pid ? `, process ${one.pid}` : ""}</p>
            ${mayChange && html`<p class="buttons">
              ${!one.in_use && html`<button disabled=${isBusy} onClick=${() => run(() => post(`${path(one.name)}/use`).then(reload))}>Use ${one.name}</button>`}
              <button class="danger" disabled=${isBusy} onClick=${() => run(() => remove(path(one.name)).then(reload))}>Remove ${one.name}</button>
            </p>`}
          </li>
        `,
      )}
      ${answer.known.filter(({ name }) => !isHere(name)).map(
        (one) => html`
          <li key=${one.name} class="card">
            <h4 dir="auto">${one.name}</h4>
            <p class="muted">${bytesText(one.bytes)}, from ${one.source}</p>
            ${mayChange && html`<button disabled=${isBusy} onClick=${() => pull(one.name)}>Fetch ${one.name}</button>`}
          </li>
        `,
      )}
    </ul>
  `;
}

// The specialists: list, add, change and remove them.

const EMPTY = { name: "", role: "", description: "", prompt: "", model: null, capabilities: {} };

export function Specialists({ mayChange }) {
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

// MCP servers: list, test, add and remove them.

export function Servers({ mayChange }) {
  const { answer, problem, reload } = useAnswer(() => get("/api/mcp-servers"));
  if (!answer) return html`<${Waiting} answer=${answer} problem=${problem} />`;
  return html`
    ${answer.mcp_servers.length === 0 && html`<p class="muted">No MCP server is set up.</p>`}
    <ul class="cards">${answer.mcp_servers.map((one) => html`<${Server} key=${one.name} server=${one} mayChange=${mayChange} onDone=${reload} />`)}</ul>
    ${mayChange ? html`<${NewServer} onDone=${reload} />` : html`<p class="muted">To change them, a login needs the scope <code>admin</code>.</p>`}
  `;
}

function Server({ server, mayChange, onDone }) {
  const [tested, setTested] = useState(null);
  const { run, isBusy, problem } = useAction();
  const path = `/api/mcp-servers/${encodeURIComponent(server.name)}`;
  return html`
    <li class="card">
      <h3 dir="auto">${server.name}</h3>
      <p><code class="url" dir="auto">${server.url ?? server.command.join(" ")}</code></p>
      ${mayChange && html`<p class="buttons">
        <button disabled=${isBusy} aria-label="Test ${server.name}" onClick=${() => run(async () => setTested(await post(`${path}/test`)))}>${isBusy ? "Testing…" : "Test"}</button>
        ${server.source === "api" ? html`<button class="danger" disabled=${isBusy} aria-label="Remove ${server.name}" onClick=${() => run(() => remove(path).then(onDone))}>Remove</button>` : html`<span class="muted">Defined in the configuration</span>`}
      </p>`}
      <div role="status">${tested && html`<${Tested} ...${tested} />`}</div>
      ${problem && html`<${Trouble} problem=${problem} />`}
    </li>
  `;
}

function Tested({ ok, tools, seconds, error, hint }) {
  if (ok) return html`<p dir="auto">Works, ${secondsText(seconds)}: ${tools.length} tools: ${tools.join(", ")}</p>`;
  return html`<p class="problem" dir="auto">${error}</p>${hint && html`<p class="hint" dir="auto">${hint}</p>`}`;
}

function NewServer({ onDone }) {
  const [form, setForm] = useState({ name: "", place: "" });
  const { run, isBusy, problem } = useAction();
  const add = (event) => {
    event.preventDefault();
    const isUrl = /^https?:\/\//.test(form.place);
    const place = isUrl ? { url: form.place.trim() } : { command: form.place.split("\n").map((word) => word.trim()).filter(Boolean) };
    run(async () => {
      await post("/api/mcp-servers", { name: form.name.trim(), ...place });
      setForm({ name: "", place: "" });
      await onDone();
    });
  };
  return html`
    <h3>New server</h3>
    <form class="setting" aria-label="New MCP server" onSubmit=${add}>
      <label>Name <input required autocomplete="off" value=${form.name} onInput=${(event) => setForm({ ...form, name: event.target.value })} /></label>
      <label>URL, or the program and its arguments, one per line <textarea rows="3" required spellcheck="false" value=${form.place} onInput=${(event) => setForm({ ...form, place: event.target.value })}></textarea></label>
      <p><button class="primary" disabled=${isBusy}>Add</button></p>
      ${problem && html`<${Trouble} problem=${problem} />`}
    </form>
  `;
}
