// What a view reads from the hub: reading it once or again and again, and showing it, or why it failed.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";

// What a view reads from the hub once, and again after each change.

// Returns {answer, problem, reload}; `read()` returns a promise of the answer.
export function useAnswer(read) {
  const [state, setState] = useState({});
  const reload = () => read().then((answer) => setState({ answer }), (problem) => setState((old) => ({ ...old, problem })));
  useEffect(() => void reload(), []);
  return { ...state, reload };
}

// Returns {run, isBusy, problem}: `run(work)` shows that it works, cannot be started twice, and keeps the problem.
export function useAction() {
  const [state, setState] = useState({ isBusy: false, problem: null });
  const run = async (work) => {
    if (state.isBusy) return false;
    setState({ isBusy: true, problem: null });
    try {
      await work();
      setState({ isBusy: false, problem: null });
      return true;
    } catch (problem) {
      setState({ isBusy: false, problem });
      return false;
    }
  };
  return { ...state, run };
}

export function Waiting({ answer, problem }) {
  if (problem) return html`<${Trouble} problem=${problem} />`;
  return !answer && html`<p class="loading" role="status">Loading…</p>`;
}

// Why something failed, with the hub's hint, beside what failed.
export function Trouble({ problem }) {
  return html`
    <div class="trouble" role="alert">
      <p class="problem" dir="auto">${problem.message}</p>
      ${problem.hint && html`<p class="hint" dir="auto">${problem.hint}</p>`}
    </div>
  `;
}

// Repeats work while the page is visible, and at once when it becomes visible again.

export function useRepeated(seconds, work, inputs = []) {
  useEffect(() => {
    let timer = null;
    let isOver = false;
    const run = async () => {
      clearTimeout(timer);
      await work();
      if (!isOver && document.visibilityState === "visible") timer = setTimeout(run, seconds * 1000);
    };
    const onVisible = () => document.visibilityState === "visible" && run();
    document.addEventListener("visibilitychange", onVisible);
    run();
    return () => {
      isOver = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, inputs);
}

// Names with their values. What is not known is left out.

export function Facts({ list }) {
  const known = list.filter(([, value]) => value != null && value !== false && value !== "");
  if (known.length === 0) return null;
  return html`<dl class="facts">${known.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd dir="auto">${value}</dd></div>`)}</dl>`;
}

// The status of a peer or a session, as a word with a mark. The word says it; the color only repeats it.

export function Status({ status, evidence = null }) {
  return html`<span class="status status-${status}" title=${evidence ?? undefined}>${status}</span>`;
}
