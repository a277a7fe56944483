// Where the user writes messages to a session, and how they are sent.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { post } from "#client/api.js";
import { change, draftOf, EMPTY, failures, forgetFailure, isEmpty, outbox, send } from "#client/outbox.js";
import { partsOf } from "#model/attachments.js";
import { peerOf } from "#model/hub.js";
import { attach, AttachButton, Attachments, isUploading } from "#parts/attachments.js";
import { ModelChoice } from "#parts/model_choice.js";
import { notifyProblem } from "#parts/notices.js";

// How a message is sent: whether Enter sends it, and which model answers it.

const ENTER = "message.enter"; // "send" or "line"
const isTouched = matchMedia("(pointer: coarse)").matches; // there, Enter is the only way to a new line

const isEnterSending = signal((localStorage.getItem(ENTER) ?? (isTouched ? "line" : "send")) === "send");

function MessageOptions({ session, draft, takesModel }) {
  const setEnter = ({ target }) => {
    isEnterSending.value = target.checked;
    localStorage.setItem(ENTER, target.checked ? "send" : "line");
  };
  return html`
    ${takesModel && html`<${ModelChoice} model=${draft.model} onModel=${(model) => change(session, { model })} />`}
    <label class="enter" title="Shift+Enter always begins a new line">
      <input type="checkbox" checked=${isEnterSending.value} onChange=${setEnter} /> Enter sends
    </label>
  `;
}

// Where the user writes a message to a session. While a turn runs, a message waits for its end or interrupts it.

const ENDED = {
  expired: "This session has ended. Fork it to continue from here.",
  failed: "This session has failed. Fork it to continue from here.",
  stopped: "This session has ended, or its peer is gone. Fork it to continue from here.",
};

// `conversation`: what the session does now, with `running` and `queued`.
export function MessageBox({ session, conversation }) {
  const id = session.id;
  const draft = draftOf(id).value;
  const text = useRef(null);
  const isRunning = Boolean(conversation?.running);
  const why = ENDED[session.state];
  const isReady = !why && isComplete(draft);
  const submit = (ifBusy) => {
    const now = draftOf(id).peek(); // what is drawn may be a key behind
    if (!why && isComplete(now)) sendDraft(id, now, ifBusy);
    text.current?.focus();
  };
  const interrupt = useInterrupt(id);
  const steer = () => submit("interrupt");
  useKeys({
    m: { name: "Write a message", run: () => text.current?.focus() },
    "Control+Enter": { name: isRunning ? "Steer: interrupt the turn and send the message" : "Send the message", run: steer },
    "Control+.": { name: "Interrupt the running turn", run: () => isRunning && interrupt.run() },
  }, [id, isRunning, why]);
  useEffect(() => () => forgetFailure(id), [id]);
  return html`
    <form class="message-box" onSubmit=${(event) => (event.preventDefault(), submit("queue"))} ...${dropping(id, why)}>
      <${Sending} session=${id} />
      <${Failure} session=${id} />
      <${Queued} session=${id} queued=${conversation?.queued ?? []} />
      <${Attachments} session=${id} draft=${draft} />
      <textarea
        ref=${text}
        aria-label="Message"
        rows="1"
        dir="auto"
        disabled=${Boolean(why)}
        placeholder=${why ?? (isRunning ? "Write the next message" : `Message to ${session.specialist_id}`)}
        value=${draft.text}
        onInput=${(event) => change(id, { text: event.target.value })}
        onKeyDown=${(event) => isSending(event) && (event.preventDefault(), submit("queue"))}
        onPaste=${(event) => paste(event, id)}
      ></textarea>
      <div class="message-bar">
        <${AttachButton} session=${id} isDisabled=${Boolean(why)} />
        <${MessageOptions} session=${id} draft=${draft} takesModel=${peerOf(session.specialist_id)?.kind === "specialist"} />
        <span class="message-actions">
          ${isRunning && html`
            <button type="button" class="danger" disabled=${interrupt.isBusy} onClick=${interrupt.run}>Interrupt</button>
            <button type="button" disabled=${!isReady} title="Interrupt the turn, and send the message" onClick=${steer}>Steer</button>
          `}
          <button class="primary" disabled=${!isReady}>${isRunning ? "Queue" : "Send"}</button>
        </span>
      </div>
    </form>
  `;
}

function isComplete(draft) {
  return !isEmpty(draft) && !isUploading(draft) && !draft.files.some((one) => one.problem);
}

function sendDraft(id, draft, ifBusy) {
  const parts = partsOf(draft.files, () => crypto.randomUUID().replaceAll("-", "").slice(0, 16));
  const more = { if_busy: ifBusy };
  if (parts.length) more.parts = parts;
  if (draft.model) more.model = draft.model;
  const files = draft.files.map(({ url, ...one }) => one);
  send(id, draft.text, more, { text: draft.text, files, model: draft.model });
  change(id, EMPTY);
}

// Enter sends unless it belongs to an input method, or the user wants a new line.
function isSending(event) {
  if (event.key !== "Enter" || event.isComposing || event.keyCode === 229) return false;
  return isEnterSending.value && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
}

function useInterrupt(id) {
  const [isBusy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    await post(`/api/v2/sessions/${encodeURIComponent(id)}/interrupt`).catch(notifyProblem);
    setBusy(false);
  };
  return { isBusy, run };
}

// Messages that the hub has not accepted yet, if that takes a moment.
function Sending({ session }) {
  const waiting = outbox.value.filter((one) => one.session === session && one.problem);
  return html`
    <div role="status" class="sending">
      ${waiting.map((one) => html`
        <p key=${one.key}><span class="muted">Not sent yet, will be sent by itself:</span> <span dir="auto">${one.message.slice(0, 200)}</span></p>
        <p class="muted" dir="auto">${one.problem.message}</p>
      `)}
    </div>
  `;
}

function Failure({ session }) {
  const problem = failures.value.get(session);
  return problem && html`
    <div class="problem" role="alert">
      <p dir="auto">The message was not sent: ${problem.message}</p>
      ${problem.hint && html`<p class="hint" dir="auto">${problem.hint}</p>`}
    </div>
  `;
}

function Queued({ session, queued }) {
  const [isBusy, setBusy] = useState(false);
  if (queued.length === 0) return null;
  const last = queued.at(-1);
  const cancel = async () => {
    setBusy(true);
    const path = `/api/v2/sessions/${encodeURIComponent(session)}/turns/${encodeURIComponent(last.id)}/abandon`;
    await post(path).catch(notifyProblem);
    setBusy(false);
  };
  return html`
    <p class="queued">
      ${queued.length === 1 ? "1 message waits" : `${queued.length} messages wait`} for the end of the turn.${" "}
      <button type="button" disabled=${isBusy} onClick=${cancel}>${queued.length === 1 ? "Cancel it" : "Cancel the last one"}</button>
    </p>
  `;
}

function paste(event, session) {
  const files = [...event.clipboardData.files];
  if (files.length === 0) return;
  event.preventDefault();
  attach(session, files);
}

function dropping(session, why) {
  const hasFiles = (event) => !why && event.dataTransfer?.types.includes("Files");
  const mark = (event, isOver) => event.currentTarget.classList.toggle("dropping", isOver);
  return {
    onDragOver: (event) => hasFiles(event) && (event.preventDefault(), mark(event, true)),
    onDragLeave: (event) => mark(event, false),
    onDrop: (event) => {
      mark(event, false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      attach(session, [...event.dataTransfer.files]);
    },
  };
}
