// A permission request, which is answered in place.
import { html } from "htm/preact";
import { computed, signal } from "@preact/signals";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { newKey, post } from "#client/api.js";
import { answeredHere, answers, keyOf, now } from "#model/hub.js";
import { summaryOf } from "#model/tools.js";
import { Trouble } from "#parts/loaded.js";
import { pauseOf, Questions, RequestDetail } from "#parts/request.js";
import { secondsText, timeText } from "#parts/text.js";

// A permission request: what would happen, and the answers that the peer offers as buttons. It can be answered
// in several places; the first answer counts, and all places show it.

const GUARD_MILLISECONDS = 500; // a key that was meant for something else must not answer what has just appeared
const OVER = new Set([404, 409]); // the request was answered elsewhere, or its turn has ended
const BY = {
  expiry: "Expired without an answer, which counts as a denial",
  reset: "The pause is over",
  policy: "Answered by a rule of the configuration",
};

// the requests on the page whose options have the keys 1 to 9: the one with the focus, or else the first
const shown = signal([]);
const focused = signal(null);
const places = signal([]); // the keys of the requests that a view shows itself
export const inView = computed(() => new Set(places.value));

// `request`: as in `GET /api/v2/permissions`, or the data of its event, with `answer` if it has one. `stream`:
// the id of its session or its plan. `needsFocus`: its keys work only while the focus is in it.
export function Permission({ request, stream = request.session_id, peer = request.peer, needsFocus = false }) {
  const id = useId();
  const title = useId();
  const place = keyOf(stream, request.request_id);
  const answer = request.answer ?? answers.value.get(place) ?? null;
  const answering = useAnswering(request, stream);
  const isOpen = !answer && !answering.isOver;
  useListed(shown, id, isOpen && !needsFocus);
  useListed(places, place, !needsFocus);
  const hasKeys = isOpen && (focused.value ?? shown.value[0]) === id;
  const refused = answer && isRefusal(request, answer);
  const section = useFocusKept(isOpen);
  const leave = () => focused.peek() === id && (focused.value = null);
  useEffect(() => (isOpen ? leave : leave()), [isOpen]);
  return html`
    <section
      ref=${section}
      tabindex="-1"
      class="permission ${isOpen ? "open" : refused ? "refused" : "answered"}"
      aria-labelledby=${title}
      data-request=${request.request_id}
      onFocusIn=${() => isOpen && (focused.value = id)}
      onFocusOut=${leave}
    >
      <header>
        <p class="permission-title" id=${title} dir="auto"><${Title} request=${request} peer=${peer} /></p>
        ${isOpen && request.expires_at && html`<${Expiry} at=${request.expires_at} />`}
      </header>
      <${RequestDetail} request=${request} />
      ${isOpen && html`<${Answers} request=${request} answering=${answering} hasKeys=${hasKeys} />`}
      ${answering.problem && html`<${Trouble} problem=${answering.problem} />`}
      <div role="status">
        ${answer && html`<p class="outcome" dir="auto">${outcomeText(request, answer, answeredHere.has(place))}</p>`}
        ${!answer && answering.isOver && html`<p class="outcome">It was answered elsewhere, or its turn has ended</p>`}
      </div>
    </section>
  `;
}

function Title({ request, peer }) {
  const name = html`<strong>${peer ?? "The peer"}</strong>`;
  if (request.questions?.length) return html`${name} asks`;
  if (pauseOf(request)) return html`${name} is paused`;
  return html`${name} asks to use <code>${request.tool}</code>`;
}

function Expiry({ at }) {
  const left = (Date.parse(at) - now.value) / 1000;
  const text = left > 0 ? `Denied in ${secondsText(Math.max(1, Math.round(left)))} without an answer` : "Expires now";
  return html`<p class="expiry" title=${timeText(at)}><time datetime=${at}>${text}</time></p>`;
}

function Answers({ request, answering, hasKeys }) {
  const isForm = Boolean(request.questions?.length);
  const options = isForm ? request.options.filter(({ kind }) => kind.startsWith("reject")) : request.options;
  if (isForm) return html`<${Questions} request=${request} answering=${answering} refusals=${options} />`;
  return html`<${Options} options=${options} answering=${answering} hasKeys=${hasKeys} />`;
}

function Options({ options, answering, hasKeys }) {
  const since = useRef(0);
  useEffect(() => void (since.current = performance.now()), [hasKeys]);
  const choose = (option) => answering.send({ option_id: option.option_id });
  const byKey = (option) => (event) => {
    if (!event.repeat && performance.now() - since.current > GUARD_MILLISECONDS) choose(option);
  };
  const numbered = options.slice(0, 9).map((option, at) => [at + 1, { name: option.name, run: byKey(option) }]);
  useKeys(hasKeys ? Object.fromEntries(numbered) : {}, [hasKeys, answering.isBusy]);
  return html`
    <div class="options">
      ${options.map(
        (option, at) => html`
          <button
            key=${option.option_id}
            class="option ${option.kind}"
            disabled=${answering.isBusy}
            aria-busy=${answering.body?.option_id === option.option_id}
            aria-keyshortcuts=${hasKeys && at < 9 ? at + 1 : undefined}
            onClick=${() => choose(option)}
          >
            <span dir="auto">${option.name}</span>${hasKeys && at < 9 && html`<kbd aria-hidden="true">${at + 1}</kbd>`}
          </button>
        `,
      )}
    </div>
  `;
}

// What became of a request, in words: "Answered elsewhere by anna: Allow once".
function outcomeText(request, { option_id: chosen, answers: given, by }, isHere = false) {
  if (BY[by]) return BY[by];
  const who = isHere ? "You answered here" : `Answered elsewhere by ${by}`;
  if (given) return `${who}: ${Object.entries(given).map(([id, one]) => `${id}: ${[one].flat().join(", ")}`).join(" · ")}`;
  const option = request.options.find(({ option_id: id }) => id === chosen);
  return option ? `${who}: ${option.name}` : "Withdrawn: the peer no longer waits for an answer";
}

function isRefusal(request, { option_id: chosen, answers: given, by }) {
  if (given) return false;
  const option = request.options.find(({ option_id: id }) => id === chosen);
  return by === "expiry" || !option || option.kind.startsWith("reject");
}

// Sends an answer. One that the hub may have got is repeated with its key, so that it counts once.
function useAnswering(request, stream) {
  const [state, setState] = useState({ body: null, isBusy: false, problem: null, isOver: false });
  const key = useRef(null); // of the last answer: [its text, its idempotency key]
  const isBusy = useRef(false);
  const id = keyOf(stream, request.request_id);
  const send = async (body) => {
    if (isBusy.current) return;
    isBusy.current = true;
    const text = JSON.stringify(body);
    if (key.current?.[0] !== text) key.current = [text, newKey()];
    setState({ body, isBusy: true, problem: null, isOver: false });
    answeredHere.add(id); // before the hub has answered: its event may come first
    try {
      const path = `/api/v2/sessions/${encodeURIComponent(stream)}/permissions/${encodeURIComponent(request.request_id)}`;
      await post(path, body, { key: key.current[1] });
      setState({ body, isBusy: true, problem: null, isOver: false }); // until its event is here
    } catch (problem) {
      if (!problem.retryable) answeredHere.delete(id);
      const isOver = OVER.has(problem.status);
      isBusy.current = isOver;
      setState({ body: null, isBusy: false, problem: isOver ? null : problem, isOver });
    }
  };
  return { ...state, send };
}

// The button that had the focus goes with the answer; the focus stays at the request.
function useFocusKept(isOpen) {
  const section = useRef(null);
  const hadFocus = useRef(false);
  hadFocus.current ||= Boolean(section.current?.contains(document.activeElement));
  useEffect(() => {
    if (!isOpen && hadFocus.current && document.activeElement === document.body) section.current.focus();
    hadFocus.current = false;
  }, [isOpen]);
  return section;
}

// Keep a value in a list while the component is shown.
function useListed(list, value, isListed) {
  useEffect(() => {
    if (!isListed) return undefined;
    list.value = [...list.peek(), value];
    return () => {
      const at = list.peek().indexOf(value);
      list.value = list.peek().toSpliced(at, 1);
    };
  }, [isListed]);
}

// A permission request in a conversation: with its options while it waits, and as one line afterwards.

export function PermissionRow({ row: { request, answer } }) {
  if (!answer) return html`<${Permission} request=${request} stream=${request.session_id} />`;
  return html`<p class="note"><span dir="auto">${answerText(request, answer)}</span> <span class="muted" dir="auto">${summaryOf(request?.detail)}</span></p>`;
}

function answerText(request, { option_id: id, answers, by }) {
  const tool = request?.tool ?? "A permission request";
  if (answers) return `${tool}: ${Object.values(answers).flat().join(", ")}, answered by ${by}`;
  const option = request?.options.find(({ option_id: one }) => one === id);
  if (option) return `${tool}: ${option.name}, by ${by}`;
  return id ? `${tool}: ${id}, by ${by}` : `${tool}: no answer (${by})`;
}
