// MCP servers: list, test, add and remove them.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { get, post, remove } from "#client/api.js";
import { Trouble, useAction, useAnswer, Waiting } from "#parts/loaded.js";
import { secondsText } from "#parts/text.js";

export default function Servers({ mayChange }) {
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
