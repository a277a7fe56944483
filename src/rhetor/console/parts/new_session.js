// Starts a session with a peer, and sends its first message.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { navigate } from "#app/router.js";
import { newKey, post } from "#client/api.js";
import { send } from "#client/outbox.js";
import { peers } from "#model/hub.js";
import { projects, readProjects } from "#model/sessions.js";
import { Dialog } from "#parts/dialog.js";
import { Trouble } from "#parts/loaded.js";
import { ModelChoice } from "#parts/model_choice.js";
import { useSubmit } from "#parts/submit.js";

const LAST_PEER = "sessions.peer";
const KINDS = new Set(["specialist", "tool", "team"]);

export function NewSession({ peer: asked, onClose }) {
  useEffect(readProjects, []);
  const [form, setForm] = useState({ peer: asked ?? localStorage.getItem(LAST_PEER) ?? "", name: "", project: "", model: null, message: "" });
  const [state, setState] = useState({ isBusy: false, problem: null });
  const key = useRef(newKey());
  const set = (changes) => {
    key.current = newKey(); // another request than the one before
    setForm((all) => ({ ...all, ...changes }));
  };
  const all = peers.value.filter(({ kind, status }) => KINDS.has(kind) && status !== "missing");
  const peer = all.find(({ id }) => id === form.peer) ?? all[0];
  const submit = useSubmit(async () => {
    if (state.isBusy || !peer) return;
    setState({ isBusy: true, problem: null });
    try {
      const session = await begin(peer.id, form, key.current);
      onClose();
      navigate(`/sessions/${encodeURIComponent(session.id)}`);
    } catch (problem) {
      setState({ isBusy: false, problem });
    }
  });
  return html`
    <${Dialog} title="New session" onClose=${onClose}>
      <form class="new-session" onSubmit=${submit}>
        <label>Peer
          <select required value=${peer?.id} onChange=${({ target }) => set({ peer: target.value })}>
            ${all.map(({ id, name, role }) => html`<option key=${id} value=${id}>${role && role !== name ? `${name} – ${role}` : name}</option>`)}
          </select>
        </label>
        <label>Message
          <textarea rows="4" dir="auto" value=${form.message} onInput=${({ target }) => set({ message: target.value })}></textarea>
        </label>
        <label>Name <span class="muted">A session with a name does not expire</span>
          <input dir="auto" maxlength="200" value=${form.name} onInput=${({ target }) => set({ name: target.value })} />
        </label>
        ${projects.value.length > 0 && html`
          <label>Project <span class="muted">An agent works in its folder</span>
            <select value=${form.project} onChange=${({ target }) => set({ project: target.value })}>
              <option value="">None</option>
              ${projects.value.map(({ id, name, path }) => html`<option key=${id} value=${id}>${name} – ${path}</option>`)}
            </select>
          </label>
        `}
        ${peer?.kind === "specialist" && html`<${ModelChoice} model=${form.model} onModel=${(model) => set({ model })} />`}
        ${state.problem && html`<${Trouble} problem=${state.problem} />`}
        <p class="form-actions">
          <button type="button" onClick=${onClose}>Cancel</button>
          <button class="primary" disabled=${!peer || state.isBusy}>${form.message.trim() ? "Start and send" : "Start"}</button>
        </p>
      </form>
    <//>
  `;
}

async function begin(peer, { name, project, model, message }, key) {
  const body = { specialist_id: peer };
  if (name.trim()) body.name = name.trim();
  if (project) body.project_id = project;
  const session = await post("/api/v2/sessions", body, { key });
  localStorage.setItem(LAST_PEER, peer);
  if (message.trim()) send(session.id, message, model ? { model } : {}, { text: message, files: [], model });
  return session;
}
