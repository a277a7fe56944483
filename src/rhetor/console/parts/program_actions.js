// Buttons that start and stop a program.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { startProgram, stopProgram } from "#model/programs.js";
import { Dialog } from "#parts/dialog.js";
import { notifyProblem } from "#parts/notices.js";

export function StartButton({ name, label = "Start", onStarted }) {
  const [isBusy, run] = useWork(() => startProgram(name), onStarted);
  return html`<button type="button" class="primary" disabled=${isBusy} aria-label="${label} ${name}" onClick=${run}>${isBusy ? "Starting…" : label}</button>`;
}

// Stopping may lose work in the program, so it is confirmed.
export function StopButton({ name, onStopped }) {
  const [isAsked, setAsked] = useState(false);
  const [isBusy, run] = useWork(() => stopProgram(name), onStopped);
  const confirm = () => (setAsked(false), run());
  return html`
    <button type="button" class="danger" disabled=${isBusy} aria-label="Stop ${name}" onClick=${() => setAsked(true)}>${isBusy ? "Stopping…" : "Stop"}</button>
    ${isAsked &&
    html`
      <${Dialog} title="Stop ${name}?" onClose=${() => setAsked(false)}>
        <p>The program ends, and unsaved work is lost.</p>
        <p class="actions"><button type="button" class="danger" onClick=${confirm}>Stop the program</button></p>
      <//>
    `}
  `;
}

function useWork(work, onDone) {
  const [isBusy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      await work();
      onDone?.();
    } catch (problem) {
      notifyProblem(problem);
    } finally {
      setBusy(false);
    }
  };
  return [isBusy, run];
}
