// A dialog that does one thing: its form, a button that does it, and, if it fails, why and what to do.
import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { newKey } from "#client/api.js";
import { Dialog } from "#parts/dialog.js";
import { useSubmit } from "#parts/submit.js";
import { countText } from "#parts/text.js";
import { Trouble } from "#parts/loaded.js";

// `run({key, onProgress})` does it; the dialog closes when it is done. `key`: an idempotency key, which is the
// same when the user tries again.
export function ActionDialog({ title, submit, run, onClose, children, isReady = true, isDanger = false, className = "" }) {
  const [state, setState] = useState({ isBusy: false, problem: null, progress: null });
  const key = useRef(newKey());
  const onSubmit = useSubmit(async () => {
    if (state.isBusy || !isReady) return;
    setState({ isBusy: true, problem: null, progress: null });
    try {
      await run({ key: key.current, onProgress: (progress) => setState({ isBusy: true, problem: null, progress }) });
      onClose();
    } catch (problem) {
      if (!problem.retryable) key.current = newKey();
      setState({ isBusy: false, problem, progress: null });
    }
  });
  return html`
    <${Dialog} title=${title} onClose=${onClose} className=${className}>
      <form class="action-form" onSubmit=${onSubmit}>
        ${children}
        <div role="status">${state.isBusy && html`<${Progress} progress=${state.progress} />`}</div>
        ${state.problem && html`<${Trouble} problem=${state.problem} />`}
        <p class="form-actions">
          <button type="button" onClick=${onClose}>Cancel</button>
          <button class=${isDanger ? "danger" : "primary"} disabled=${!isReady || state.isBusy}>${submit}</button>
        </p>
      </form>
    <//>
  `;
}

function Progress({ progress }) {
  if (!progress) return html`<p class="muted">Working…</p>`;
  const { done, total, unit } = progress;
  const text = total ? `${countText(done)} of ${countText(total)} ${unit}` : `${countText(done)} ${unit}`;
  return html`<p class="muted">${text} <progress aria-label="Progress" max=${total ?? undefined} value=${total ? done : undefined}></progress></p>`;
}
