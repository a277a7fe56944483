// What can be done with a session, in a list behind one button. Only its owner may do most of it.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { loadStyles } from "#app/styles.js";
import { post } from "#client/api.js";
import { isMine } from "#model/hub.js";
import { CheckpointDialog } from "#parts/checkpoint_dialog.js";
import { ForkDialog } from "#parts/fork_dialog.js";
import { ForwardDialog } from "#parts/forward_dialog.js";
import { notify, notifyProblem } from "#parts/notices.js";
import { RestoreDialog } from "#parts/restore_dialog.js";
import { EndDialog, NameDialog } from "#parts/session_dialogs.js";
import { LeaveDialog, ShareDialog } from "#parts/share_dialog.js";

await loadStyles("#styles/session_actions.css");

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
