// The actions of a session, and the dialogs that do them.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { navigate } from "#app/router.js";
import { get, post, put, remove } from "#client/api.js";
import { isMine, peers, self } from "#model/hub.js";
import { CheckpointDialog, ForkDialog, RestoreDialog } from "#parts/checkpoints.js";
import { ActionDialog, Dialog, useSubmit } from "#parts/dialog.js";
import { Trouble } from "#parts/loaded.js";
import { notify, notifyProblem } from "#parts/notices.js";
import { timeText } from "#parts/text.js";

// What can be done with a session, in a list behind one button. Only its owner may do most of it.

const ENDED = new Set(["stopped", "failed", "expired"]);

// `onChange()` is called when an action has changed the session.
export function SessionActions({ session, onChange = () => {} }) {
  const [isOpen, setOpen] = useState(false);
  const [Shown, setShown] = useState(null); // the dialog of an action
  const box = useRef(null);
  const button = useRef(null);
  const close = () => (setOpen(false), button.current?.focus());
  useKeys({ a: { name: "Actions of the session", run: () => setOpen(true) } });
  useOutside(box, isOpen, () => setOpen(false));
  useEffect(() => void (isOpen && box.current.querySelector("li button, li a").focus()), [isOpen]);
  const open = (dialog) => (close(), setShown(() => dialog)); // the dialog gives the focus back to the button
  return html`
    <div class="session-actions" ref=${box} onKeyDown=${(event) => isOpen && onKey(event, box.current, close)}>
      <button ref=${button} aria-expanded=${isOpen} onClick=${() => setOpen(!isOpen)}>Actions</button>
      ${isOpen && html`<ul class="action-list"><${Actions} session=${session} open=${open} onChange=${onChange} close=${close} /></ul>`}
      ${Shown && html`<${Shown} session=${session} onChange=${onChange} onClose=${() => setShown(null)} />`}
    </div>
  `;
}

function Actions({ session, open, onChange, close }) {
  const path = `/sessions/${encodeURIComponent(session.id)}`;
  const isOver = ENDED.has(session.state);
  const can = isMine(session) && !isOver;
  return html`
    ${can && html`
      <${Action} name=${session.name ? "Rename…" : "Save with a name…"} run=${() => open(NameDialog)} />
      <${PauseAction} session=${session} onChange=${onChange} close=${close} />
      <${Action} name="Make a checkpoint…" run=${() => open(CheckpointDialog)} />
      <${Action} name="Restore…" run=${() => open(RestoreDialog)} />
    `}
    ${isMine(session) && html`<${Action} name="Fork…" run=${() => open(ForkDialog)} />`}
    ${can && html`
      <${Action} name="Forward the answers…" run=${() => open(ForwardDialog)} />
      <${Action} name="Share…" run=${() => open(ShareDialog)} />
    `}
    ${!isMine(session) && html`<${Action} name="Leave the shared session…" run=${() => open(LeaveDialog)} />`}
    <li><a href="${path}/timeline">Timeline</a></li>
    <li><a href="${path}/log">Log</a></li>
    <li><a href="/api/v2/sessions/${encodeURIComponent(session.id)}?messages=100000" download="${session.name ?? session.id}.json">Download the messages</a></li>
    ${can && html`<${Action} name="End the session…" run=${() => open(EndDialog)} isDanger />`}
  `;
}

function Action({ name, run, isDanger = false, isDisabled = false }) {
  return html`<li><button class=${isDanger ? "danger" : ""} disabled=${isDisabled} onClick=${run}>${name}</button></li>`;
}

function PauseAction({ session, onChange, close }) {
  const [isBusy, setBusy] = useState(false);
  const isPaused = session.state === "paused";
  const run = async () => {
    setBusy(true);
    try {
      await post(`/api/v2/sessions/${encodeURIComponent(session.id)}/${isPaused ? "resume" : "pause"}`);
      notify(isPaused ? "The session starts turns again." : "The session is paused. Messages wait until you resume it.");
      onChange();
    } catch (problem) {
      notifyProblem(problem);
    }
    close();
  };
  return html`<${Action} name=${isPaused ? "Resume" : "Pause"} run=${run} isDisabled=${isBusy} />`;
}

function onKey(event, box, close) {
  if (event.key === "Escape") return close();
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return undefined;
  event.preventDefault();
  const all = [...box.querySelectorAll(".action-list button:enabled, .action-list a")];
  return all.at((all.indexOf(document.activeElement) + step) % all.length)?.focus();
}

// Close what is open when the user presses elsewhere.
function useOutside(box, isOpen, close) {
  useEffect(() => {
    if (!isOpen) return undefined;
    const onPress = (event) => !box.current?.contains(event.target) && close();
    addEventListener("pointerdown", onPress);
    return () => removeEventListener("pointerdown", onPress);
  }, [isOpen]);
}

// Dialogs that name a session and that end it.

function NameDialog({ session, onChange, onClose }) {
  const [name, setName] = useState(session.name ?? "");
  const run = async ({ key }) => {
    await post(`/api/v2/sessions/${encodeURIComponent(session.id)}/save`, { name: name.trim() }, { key });
    notify(`The session is saved as ${name.trim()}.`);
    onChange();
  };
  return html`
    <${ActionDialog}
      title=${session.name ? "Rename the session" : "Save the session"}
      submit="Save" isReady=${name.trim() !== "" && name.trim() !== session.name} run=${run} onClose=${onClose}
    >
      <label>Name <input autofocus required maxlength="200" dir="auto" value=${name} onInput=${({ target }) => setName(target.value)} /></label>
      <p class="muted">A session with a name does not expire. You can use the name in the shell: <code>-s=${name.trim() || "NAME"}</code></p>
    <//>
  `;
}

function EndDialog({ session, onChange, onClose }) {
  const run = async ({ key }) => {
    await post(`/api/v2/sessions/${encodeURIComponent(session.id)}/stop`, {}, { key });
    notify("The session has ended.");
    onChange();
  };
  return html`
    <${ActionDialog} title="End the session" submit="End the session" isDanger run=${run} onClose=${onClose}>
      <p>The session takes no more messages, its running turn is interrupted, and a process that runs only for it ends.</p>
      <p>Its messages stay in the log. You can read and fork it, and its name can be used again.</p>
    <//>
  `;
}

// Forwards the answers of a session's peer to another peer or to a shell with a name.

function ForwardDialog({ session, onClose }) {
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

// Shares a session with other people, lists with whom it is shared, and takes shares back.

const SCOPES = [
  ["send", "Send messages, and interrupt the running turn"],
  ["approve", "Answer permission requests"],
];

function ShareDialog({ session, onClose }) {
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

function LeaveDialog({ session, onClose }) {
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
