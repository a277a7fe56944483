// A line as it is typed, and the plan that runs it, as a graph.
import { html } from "htm/preact";
import { signal } from "@preact/signals";
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { get, newKey, post, remove } from "#client/api.js";
import { follow } from "#client/connection.js";
import { now } from "#model/hub.js";
import { charactersBefore, completed, EMPTY, fold, layout, narrowed, withProblems } from "#model/line.js";
import { secondsText } from "#parts/text.js";

// A plan that runs, or has run: its events, and how to start and to stop one.

const place = (id) => `/api/v2/plans/${encodeURIComponent(id)}`;
let attempt = { line: null, key: null };

// Start a line; returns the id of its plan. If the answer is lost, the next attempt starts no second plan.
export async function startPlan(line) {
  if (attempt.line !== line) attempt = { line, key: newKey() };
  try {
    const { plan_id: plan } = await post("/api/v2/plans", { line }, { key: attempt.key, headers: { prefer: "respond-async" } });
    attempt = { line: null, key: null };
    return plan;
  } catch (problem) {
    if (problem.code !== "unreachable") attempt = { line: null, key: null };
    throw problem;
  }
}

export const stopPlan = (id) => remove(place(id));

// The run of a plan: {run, problem} as signals. It continues after a restart of the hub, and after the page was
// loaded again, because all of it is in the log.
export function usePlan(id) {
  const plan = useMemo(() => ({ run: signal(EMPTY), problem: signal(null) }), [id]);
  useEffect(() => (id ? followPlan(id, plan) : undefined), [id]);
  return plan;
}

function followPlan(id, { run, problem }) {
  const onEvents = (events) => (run.value = events.reduce(fold, run.value));
  const onReset = (answer) => (problem.value = { message: answer.detail ?? "The events of this plan are no longer kept.", hint: null });
  const stop = follow(id, { onEvents, onReset });
  get(place(id)).catch((error) => !error.retryable && (problem.value = error)); // says why, if there is no such plan
  return stop;
}

// The steps of a plan as a graph. Each node is a button that shows the answer of its step.

const MARGIN = 6; // for the outline of the focus
const NARROW = "(max-width: 700px)";
export const STATES = {
  waiting: ["○", "waiting"],
  running: ["●", "running"],
  asking: ["?", "asks"],
  done: ["✓", "done"],
  failed: ["✕", "failed"],
  skipped: ["–", "skipped"],
  stopped: ["■", "stopped"],
};

// `chosen`: the id of the step whose answer is shown. `isPlanned`: the line does not run yet.
export function PlanGraph({ steps, chosen = null, isPlanned = false, onChoose = () => {} }) {
  const isUpright = useMedia(NARROW);
  const { width, height, nodes, edges } = layout(steps, isUpright);
  const known = new Map(steps.map((step) => [step.id, step]));
  const box = [-MARGIN, -MARGIN, width + 2 * MARGIN, height + 2 * MARGIN];
  return html`
    <div class="plan-graph" role="group" aria-label=${isPlanned ? "What the line would do" : "Steps"} tabindex=${isPlanned ? 0 : undefined}>
      <svg viewBox=${box.join(" ")} width=${box[2]} height=${box[3]}>
        <defs>
          <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto-start-reverse">
            <path d="M0 0 L8 4 L0 8 z" class="arrow" />
          </marker>
        </defs>
        ${edges.map(({ from, to, path }) => html`<path key="${from} ${to}" class="edge ${known.get(from).state}" d=${path} marker-end="url(#arrow)" />`)}
        ${nodes.map((node) => html`<${Node} key=${node.id} node=${node} step=${known.get(node.id)} ...${{ isChosen: node.id === chosen, isPlanned, onChoose }} />`)}
      </svg>
    </div>
  `;
}

function Node({ node: { x, y, width, height }, step, isChosen, isPlanned, onChoose }) {
  const [mark, word] = STATES[step.state];
  const name = step.capability ? `${step.peer} (@${step.capability})` : (step.peer ?? step.label);
  const text = isPlanned ? planned(step) : `${mark} ${word} ${elapsed(step)}`;
  const label = `${name}: ${isPlanned ? text : `${word} ${elapsed(step)}`}${step.needs.length ? `, after ${step.needs.join(", ")}` : ""}`;
  const choose = () => onChoose(step.id);
  const onKey = (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), choose());
  const button = isPlanned ? { role: "img" } : { role: "button", tabindex: 0, "aria-pressed": isChosen, onClick: choose, onKeyDown: onKey };
  return html`
    <g class="node ${isPlanned ? "planned" : step.state} ${isChosen ? "chosen" : ""}" transform="translate(${x} ${y})" aria-label=${label} ...${button}>
      <title>${name}</title>
      <rect width=${width} height=${height} rx="8" />
      <text class="name" x="12" y="24">${shortened(name, width / 9.5)}</text>
      <text class="state" x="12" y="44">${shortened(text, width / 7.5)}</text>
    </g>
  `;
}

const planned = ({ kind, label, peer }) => (kind === "peer" || label === peer ? "" : label);

function elapsed({ state, startedAt, endedAt }) {
  if (!startedAt || state === "skipped") return "";
  const end = endedAt ? Date.parse(endedAt) : now.value;
  return secondsText(Math.max(0, end - Date.parse(startedAt)) / 1000);
}

function shortened(text, most) {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, Math.floor(most) - 1).join("")}…` : text;
}

function useMedia(query) {
  const [isMatching, setMatching] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const look = () => setMatching(media.matches);
    media.addEventListener("change", look);
    return () => media.removeEventListener("change", look);
  }, [query]);
  return isMatching;
}

// The field for a line of the grammar: completes it while the user types, and underlines mistakes.

const PAUSE_MILLISECONDS = 120;
const CLOSED = { candidates: [], active: -1 };

// `older(by)`: the line that is that much older in the history, or undefined.
export function LineInput({ field, line, problems, onInput, onRun, older }) {
  const id = useId();
  const mirror = useRef(null);
  const [shown, setList] = useNow(CLOSED);
  const look = useCompletion(field, setList);
  useLayoutEffect(() => void (mirror.current.scrollLeft = field.current.scrollLeft), [line]);
  const change = (text, at = text.length) => {
    field.current.value = text; // at once: the next key may come before the drawing
    field.current.setSelectionRange(at, at);
    onInput(text);
  };
  const take = (candidate) => {
    const { text, at } = completed(field.current.value, shown.current, candidate.text);
    setList(CLOSED);
    change(text, at);
    field.current.focus();
  };
  const type = ({ target }) => {
    const at = charactersBefore(target.value, target.selectionStart);
    setList(narrowed(shown.current, target.value, at));
    onInput(target.value);
    look();
  };
  const move = (by) => setList(moved(shown.current, by));
  const onKeyDown = (event) => {
    const close = () => setList(CLOSED);
    const act = keyAction(event, { list: shown.current, take, move, look, onRun, close, recall: (by) => recall(older, by, change) });
    if (act) (event.preventDefault(), act());
  };
  const list = shown.current;
  const active = list.candidates[list.active];
  return html`
    <div class="line-field">
      <div class="line-mirror" ref=${mirror} aria-hidden="true">${withProblems(line, problems).map(({ text, problem }) => (problem ? html`<u>${text}</u>` : text))}</div>
      <input
        ref=${field} role="combobox" aria-label="Line" aria-autocomplete="list" aria-expanded=${list.candidates.length > 0}
        aria-controls=${id} aria-activedescendant=${active ? `${id}-${list.active}` : undefined} aria-invalid=${problems.length > 0}
        autocomplete="off" autocapitalize="off" spellcheck=${false} maxlength="65536" placeholder='apollo "plan it" | athena "review it"'
        value=${line} onKeyDown=${onKeyDown} onBlur=${() => setList(CLOSED)}
        onInput=${type}
        onScroll=${(event) => (mirror.current.scrollLeft = event.target.scrollLeft)}
      />
      <${List} id=${id} list=${list} onTake=${take} />
    </div>
  `;
}

function List({ id, list, onTake }) {
  const chosen = useRef(null);
  useEffect(() => chosen.current?.scrollIntoView({ block: "nearest" }), [list.active]);
  const keep = (event) => event.preventDefault(); // the focus, which stays in the field
  return html`
    <ul id=${id} role="listbox" aria-label="Completions" class="completions" hidden=${list.candidates.length === 0} onMouseDown=${keep}>
      ${list.candidates.map((candidate, index) => {
        const isActive = index === list.active;
        return html`
          <li key=${candidate.kind + candidate.text} id="${id}-${index}" role="option" aria-selected=${isActive} ref=${isActive ? chosen : undefined} onClick=${() => onTake(candidate)}>
            <b>${candidate.text}</b> <span class="muted">${candidate.kind}</span> <span class="muted" dir="auto">${candidate.detail}</span>
          </li>
        `;
      })}
    </ul>
  `;
}

function keyAction({ key, ctrlKey, shiftKey, isComposing }, { list, take, move, look, onRun, close, recall }) {
  if (isComposing) return undefined;
  const isOpen = list.candidates.length > 0;
  const active = list.candidates[list.active];
  if (key === "Enter") return active ? () => take(active) : () => (close(), onRun());
  if (key === " " && ctrlKey) return () => look();
  if (isOpen && key === "Tab" && !shiftKey) return () => take(active ?? list.candidates[0]);
  if (isOpen && key === "Escape") return close;
  if (key === "ArrowDown") return isOpen ? () => move(1) : () => recall(-1);
  if (key === "ArrowUp") return isOpen ? () => move(-1) : () => recall(1);
  return undefined;
}

// The next candidate; after the last one, and before the first one, none is active.
function moved(list, by) {
  const places = list.candidates.length + 1;
  return { ...list, active: ((list.active + 1 + by + places) % places) - 1 };
}

// A state that handlers can read before the next drawing: keys may come faster.
function useNow(first) {
  const current = useRef(first);
  const [, draw] = useState(0);
  return [current, (next) => ((current.current = next), draw((count) => count + 1))];
}

function recall(older, by, change) {
  const line = older(by);
  if (line !== undefined) change(line);
}

// Returns a function that asks what can stand at the cursor. Only the last answer counts.
function useCompletion(field, setList) {
  const timer = useRef(null);
  const stop = useRef(null);
  const end = () => (clearTimeout(timer.current), stop.current?.abort());
  useEffect(() => end, []);
  const ask = async () => {
    const { value: line, selectionStart, selectionEnd } = field.current;
    if (selectionStart !== selectionEnd || document.activeElement !== field.current) return;
    stop.current = new AbortController();
    const body = { line, at: charactersBefore(line, selectionStart) };
    const { signal } = stop.current;
    const found = await post("/api/v2/plans/complete", body, { signal }).catch(() => CLOSED); // it helps, but is not needed
    if (!signal.aborted && document.activeElement === field.current) setList({ ...found, active: -1 });
  };
  return () => {
    end();
    timer.current = setTimeout(ask, PAUSE_MILLISECONDS);
  };
}
