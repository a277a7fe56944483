// The field for a line of the grammar: completes it while the user types, and underlines mistakes.
import { html } from "htm/preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { post } from "#client/api.js";
import { charactersBefore, completed, narrowed, withProblems } from "#model/line.js";

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
