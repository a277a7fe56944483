// What a view reads from the hub once, and again after each change.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";

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
