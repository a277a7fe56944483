// Shares a session with other people, lists with whom it is shared, and takes shares back.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { navigate } from "#app/router.js";
import { get, post, remove } from "#client/api.js";
import { self } from "#model/hub.js";
import { ActionDialog } from "#parts/action_dialog.js";
import { Dialog } from "#parts/dialog.js";
import { Trouble } from "#parts/loaded.js";
import { notify } from "#parts/notices.js";
import { useSubmit } from "#parts/submit.js";
import { timeText } from "#parts/text.js";

const SCOPES = [
  ["send", "Send messages, and interrupt the running turn"],
  ["approve", "Answer permission requests"],
];

export function ShareDialog({ session, onClose }) {
  const [shares, setShares] = useState([]);
  const [form, setForm] = useState({ subject: "", scopes: [] });
  const [state, setState] = useState({ isBusy: false, problem: null });
  const path = `/api/v2/sessions/${encodeURIComponent(session.id)}/shares`;
  const read = async () => setShares((await get(path)).shares);
  const act = async (work) => {
    setState({ isBusy: true, problem: null });
    let problem = null;
    await work().then(read).catch((error) => (problem = error));
    setState({ isBusy: false, problem });
    return !problem;
  };
  useEffect(() => void act(async () => {}), []);
  const submit = useSubmit(async () => {
    const subject = form.subject.trim();
    if (await act(() => post(path, { subject, scopes: ["read", ...form.scopes] }))) setForm({ subject: "", scopes: [] });
  });
  const toggle = (scope, isOn) => setForm({ ...form, scopes: SCOPES.map(([one]) => one).filter((one) => (one === scope ? isOn : form.scopes.includes(one))) });
  return html`
    <${Dialog} title="Share the session" onClose=${onClose}>
      <${Shares} shares=${shares} isBusy=${state.isBusy} onRemove=${(subject) => act(() => remove(`${path}/${encodeURIComponent(subject)}`))} />
      <form class="action-form" onSubmit=${submit}>
        <label>Person, as in the token <input required maxlength="320" dir="auto" value=${form.subject} onInput=${({ target }) => setForm({ ...form, subject: target.value })} /></label>
        <fieldset>
          <legend>May read the session, and also</legend>
          ${SCOPES.map(([scope, text]) => html`
            <label key=${scope} class="choice"><input type="checkbox" checked=${form.scopes.includes(scope)} onChange=${({ target }) => toggle(scope, target.checked)} /> ${text}</label>
          `)}
        </fieldset>
        ${state.problem && html`<${Trouble} problem=${state.problem} />`}
        <p class="form-actions"><button type="button" onClick=${onClose}>Close</button><button class="primary" disabled=${state.isBusy || !form.subject.trim()}>Share</button></p>
      </form>
    <//>
  `;
}

function Shares({ shares, isBusy, onRemove }) {
  if (shares.length === 0) return html`<p class="muted">The session is not shared with anybody.</p>`;
  return html`
    <ul class="shares" aria-label="Shared with">
      ${shares.map(({ subject, scopes, at }) => html`
        <li key=${subject}>
          <strong dir="auto">${subject}</strong> <span class="muted">${scopes.join(", ")}, since ${timeText(at)}</span>
          <button disabled=${isBusy} aria-label="Take the share of ${subject} back" onClick=${() => onRemove(subject)}>Take back</button>
        </li>
      `)}
    </ul>
  `;
}

export function LeaveDialog({ session, onClose }) {
  const run = async () => {
    await remove(`/api/v2/sessions/${encodeURIComponent(session.id)}/shares/${encodeURIComponent(self.value.subject)}`);
    notify("The session is no longer shared with you.");
    navigate("/sessions");
  };
  return html`
    <${ActionDialog} title="Leave the shared session" submit="Leave" isDanger isReady=${self.value !== null} run=${run} onClose=${onClose}>
      <p>The session of ${session.owner} is then no longer in your list. Only its owner can share it with you again.</p>
    <//>
  `;
}
