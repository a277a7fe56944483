// A line of the grammar: what it would do, what it does, and the answers of its steps.
import { html } from "htm/preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { navigate } from "#app/router.js";
import { post } from "#client/api.js";
import { pending } from "#model/hub.js";
import { addLine, lastSteps, linesIn, previewed } from "#model/line.js";
import { LineInput, PlanGraph, startPlan, STATES, stopPlan, usePlan } from "#parts/line.js";
import { Markdown } from "#parts/markdown.js";
import { notifyProblem } from "#parts/notices.js";
import { Permission } from "#parts/permission.js";
import { agoText } from "#parts/text.js";

const PAUSE_MILLISECONDS = 250;
const MOST_SHOWN = 12; // lines of the history

export default function Line({ query }) {
  const plan = query.get("plan");
  const [history, setHistory] = useState(() => linesIn(localStorage));
  const [line, setLine] = useState(() => query.get("line") ?? lineOf(history, plan) ?? "");
  const field = useRef(null);
  useEffect(() => field.current.focus(), []);
  useEffect(() => void (plan && lineOf(history, plan) && setLine(lineOf(history, plan))), [plan]);
  useKeys({ i: { name: "Go to the line", run: () => field.current.focus() } });
  const onStarted = (id, started) => {
    setHistory(addLine(localStorage, { line: started, plan: id, at: new Date().toISOString() }));
    navigate(`/line?plan=${encodeURIComponent(id)}`);
  };
  return html`
    <h1>Line</h1>
    <${Editor} ...${{ field, line, setLine, history, onStarted }} isNew=${line !== lineOf(history, plan)} />
    ${plan && html`<${Run} key=${plan} id=${plan} />`}
    <${History} lines=${history} current=${plan} />
  `;
}

const lineOf = (history, plan) => (plan ? history.find((one) => one.plan === plan)?.line : undefined);

function Editor({ field, line, setLine, history, onStarted, isNew }) {
  const preview = usePreview(line);
  const [isStarting, setStarting] = useState(false);
  const [problem, setProblem] = useState(null);
  const older = useOlder(history);
  const change = (text) => (setProblem(null), setLine(text));
  const run = async () => {
    const text = field.current.value; // what was typed last may not be drawn yet
    if (!text.trim() || isStarting) return;
    setStarting(true);
    setProblem(null);
    await startPlan(text).then((id) => onStarted(id, text), setProblem);
    setStarting(false);
  };
  return html`
    <form class="line" onSubmit=${(event) => (event.preventDefault(), run())}>
      <${LineInput} field=${field} line=${line} problems=${preview.problems} onInput=${change} onRun=${run} older=${older} />
      <button class="primary" disabled=${isStarting || !line.trim()}>${isStarting ? "Starting…" : "Run"}</button>
    </form>
    <${Problems} problems=${preview.problems} />
    ${problem && html`<p class=${preview.problems.length ? "visually-hidden" : "problem"} role="alert" dir="auto">${problem.message} ${problem.hint}</p>`}
    ${isNew && preview.steps.length > 0 && html`<${PlanGraph} steps=${preview.steps} isPlanned />`}
  `;
}

function Problems({ problems }) {
  return html`
    <ul class="line-problems" aria-live="polite">
      ${problems.map(({ start, detail, hint }) => html`<li key=${start + detail}><b>Character ${start + 1}:</b> <span dir="auto">${detail}</span> <span class="hint" dir="auto">${hint}</span></li>`)}
    </ul>
  `;
}

function Run({ id }) {
  const { run, problem } = usePlan(id);
  const [chosen, setChosen] = useState(null);
  const { steps, status } = run.value;
  const requests = pending.value.filter((request) => belongs(request, id, steps));
  const asking = new Set(requests.map(({ turn_id: turn }) => turn));
  const shown = steps.map((step) => (step.state === "running" && asking.has(step.turn) ? { ...step, state: "asking" } : step));
  const choose = (step) => {
    setChosen(step);
    requestAnimationFrame(() => document.getElementById(`answer-${step}`)?.scrollIntoView({ block: "nearest" }));
  };
  if (problem.value && steps.length === 0) return html`<p class="problem" role="alert">${problem.value.message} ${problem.value.hint}</p>`;
  if (steps.length === 0) return html`<p class="loading" role="status">Loading…</p>`;
  return html`
    <section class="plan" aria-label="Plan">
      <p class="plan-state"><span role="status">${stateText(status, shown)}</span> ${status === "running" && html`<${Stop} id=${id} />`}</p>
      <${PlanGraph} steps=${shown} chosen=${chosen} onChoose=${choose} />
      ${requests.map((request) => html`<${Permission} key=${request.request_id} request=${request} stream=${request.session_id} />`)}
      <${Answers} steps=${shown} chosen=${chosen} />
    </section>
  `;
}

const belongs = (request, plan, steps) =>
  request.session_id === plan || steps.some(({ turn, session }) => turn === request.turn_id && session === request.session_id);

function stateText(status, steps) {
  const asks = steps.filter(({ state }) => state === "asking").length;
  if (status !== "running") return { completed: "The line is done.", failed: "The line has failed.", cancelled: "The line was stopped." }[status] ?? `The line is ${status}.`;
  if (asks) return asks === 1 ? "A step asks for permission." : `${asks} steps ask for permission.`;
  return `${steps.filter(({ state }) => state === "done").length} of ${steps.length} steps are done.`;
}

function Stop({ id }) {
  const [isStopping, setStopping] = useState(false);
  const stop = () => (setStopping(true), stopPlan(id).catch(notifyProblem).finally(() => setStopping(false)));
  return html`<button type="button" class="danger" disabled=${isStopping} onClick=${stop}>${isStopping ? "Stopping…" : "Stop"}</button>`;
}

// The answers of the last steps, and of those that failed or were chosen, are open.
function Answers({ steps, chosen }) {
  const last = new Set(lastSteps(steps).map(({ id }) => id));
  return steps
    .filter(({ state }) => state !== "waiting")
    .map((step) => html`<${Answer} key=${step.id} step=${step} because=${nameOf(steps, step.because)} isOpen=${last.has(step.id) || step.state === "failed" || step.id === chosen} isChosen=${step.id === chosen} />`);
}

const nameOf = (steps, id) => steps.find((step) => step.id === id)?.peer;

function Answer({ step, because, isOpen, isChosen }) {
  const [mark, word] = STATES[step.state];
  return html`
    <details class="answer ${isChosen ? "chosen" : ""}" id="answer-${step.id}" open=${isOpen}>
      <summary><b dir="auto">${step.peer ?? step.label}</b> <span class="muted">${mark} ${word}</span></summary>
      ${step.session && html`<p><a href="/sessions/${encodeURIComponent(step.session)}${step.turn ? `?turn=${encodeURIComponent(step.turn)}` : ""}">Open its session</a></p>`}
      ${step.asked && html`<details class="asked"><summary>What it received</summary><pre dir="auto">${step.asked}</pre></details>`}
      ${step.text && html`<div class="said"><${Markdown} text=${step.text} isGrowing=${step.state === "running"} /></div>`}
      ${step.detail && html`<p class="problem" dir="auto">${step.detail}</p>`}
      ${step.hint && html`<p class="hint" dir="auto">${step.hint}</p>`}
      ${step.because && html`<p class="muted">Not run, because ${because ?? "an earlier step"} did not complete.</p>`}
    </details>
  `;
}

function History({ lines, current }) {
  if (lines.length === 0) return null;
  return html`
    <section aria-label="Last lines">
      <h2>Last lines</h2>
      <ul class="line-history">
        ${lines.slice(0, MOST_SHOWN).map(
          ({ line, plan, at }) => html`
            <li key=${plan}>
              <a href="/line?plan=${encodeURIComponent(plan)}" aria-current=${plan === current ? "true" : undefined} dir="auto">${line}</a>
              <span class="muted">${agoText(at)} ago</span>
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

// What the line would do, asked a moment after each change. The last preview stays until the next one is there.
function usePreview(line) {
  const [preview, setPreview] = useState({ steps: [], problems: [] });
  useEffect(() => {
    if (!line.trim()) return void setPreview({ steps: [], problems: [] });
    const stop = new AbortController();
    const ask = () => post("/api/v2/plans/preview", { line }, { signal: stop.signal }).then(
      ({ steps, problems }) => setPreview({ steps: previewed(steps).steps, problems }),
      () => {}, // a preview helps, but is not needed to run the line
    );
    const timer = setTimeout(ask, PAUSE_MILLISECONDS);
    return () => (clearTimeout(timer), stop.abort());
  }, [line]);
  return preview;
}

// Returns a function that goes through the history: 1 for the line before, -1 for the one after it.
function useOlder(history) {
  const at = useRef(-1);
  return (by) => {
    const next = Math.max(-1, Math.min(history.length - 1, at.current + by));
    if (next === at.current) return undefined;
    at.current = next;
    return history[next]?.line ?? "";
  };
}
