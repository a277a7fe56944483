// Forwards the answers of a session's peer to another peer or to a shell with a name.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get, put, remove } from "#client/api.js";
import { peers } from "#model/hub.js";
import { ActionDialog } from "#parts/action_dialog.js";
import { Trouble } from "#parts/loaded.js";
import { notify } from "#parts/notices.js";

export function ForwardDialog({ session, onClose }) {
  const source = session.specialist_id;
  const path = `/api/v2/forwards/${encodeURIComponent(source)}`;
  const [now, setNow] = useState(null); // where the answers go at present
  const [to, setTo] = useState("");
  const [problem, setProblem] = useState(null);
  useEffect(() => void get(path).then(setNow, (error) => error.status !== 404 && setProblem(error)), []);
  const targets = peers.value.filter(({ id, kind }) => id !== source && kind !== "project");
  const run = async ({ key }) => {
    await put(path, { to }, { key });
    notify(`The answers of ${source} are forwarded to ${to}.`);
  };
  const end = async () => {
    await remove(path).then(() => (setNow(null), notify(`The answers of ${source} are no longer forwarded.`)), setProblem);
  };
  return html`
    <${ActionDialog} title="Forward the answers" submit="Forward" isReady=${to !== ""} run=${run} onClose=${onClose}>
      ${now && html`<p>At present they go to <strong>${now.to}</strong>. <button type="button" onClick=${end}>Stop forwarding</button></p>`}
      ${now?.failed && html`<p class="problem">The last answer was not forwarded: ${now.failed.detail ?? now.failed}</p>`}
      <label>Forward to
        <select value=${to} onChange=${({ target }) => setTo(target.value)}>
          <option value="" disabled>Choose a peer or a shell</option>
          ${targets.map(({ id, name }) => html`<option key=${id} value=${id}>${name}</option>`)}
        </select>
      </label>
      ${problem && html`<${Trouble} problem=${problem} />`}
      <p class="muted">All answers of ${source} to you are forwarded, in every session. A peer has one forward.</p>
    <//>
  `;
}
