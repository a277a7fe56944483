// Dialogs, and how a form is submitted.
import { html } from "htm/preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { newKey } from "#client/api.js";
import { Trouble } from "#parts/loaded.js";
import { countText } from "#parts/text.js";

// Submits a form with what was typed last. The page is drawn once per frame, so that a function of the last
// drawing may not know a key that was pressed just before Enter.

// Return a handler of the event that calls the newest `work()` when the page shows what was typed.
export function useSubmit(work) {
  const latest = useRef(work);
  latest.current = work;
  return async (event) => {
    event.preventDefault();
    await drawn();
    return latest.current();
  };
}

function drawn() {
  return new Promise((resolve) => (document.hidden ? setTimeout(resolve, 150) : requestAnimationFrame(resolve)));
}

// A modal dialog. The browser keeps the focus inside, and Escape closes it.

export function Dialog({ title, onClose, children, className = "" }) {
  const dialog = useRef(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current.showModal();
    return () => queueMicrotask(() => before?.isConnected && before.focus()); // nothing below an open dialog takes the focus
  }, []);
  const onClick = (event) => event.target === dialog.current && onClose(); // on the backdrop
  return html`
    <dialog ref=${dialog} class=${className} aria-labelledby=${id} onClose=${onClose} onClick=${onClick}>
      <header><h2 id=${id}>${title}</h2><button class="close" aria-label="Close" onClick=${onClose}>✕</button></header>
      <div class="dialog-body">${children}</div>
    </dialog>
  `;
}

// A dialog that does one thing: its form, a button that does it, and, if it fails, why and what to do.

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
