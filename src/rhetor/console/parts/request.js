// What a permission request is about: what would change, other details, and questions.
import { html } from "htm/preact";
import { useId, useMemo, useState } from "preact/hooks";
import { compare, countsOf, parsePatch } from "#model/diff.js";
import { describe, REMARKS, revealed } from "#model/tools.js";
import { useSubmit } from "#parts/dialog.js";
import { countText, timeText } from "#parts/text.js";

// The change of a file, with its added and removed lines in color and with signs.

const MOST_LINES = 60;
const NAMES = { "+": "added", "-": "removed", "@": "part", " ": "same" };

export function Diff({ edit: { path, change, lines } }) {
  const [isWhole, setWhole] = useState(lines.length <= MOST_LINES * 1.5);
  const { added, removed } = countsOf(lines);
  const shown = isWhole ? lines : lines.slice(0, MOST_LINES);
  return html`
    <div class="diff">
      <div class="diff-head">
        <span class="path" dir="auto">${path}</span> <span class="muted">${change}</span>
        <span class="diff-counts">
          <span class="diff-plus" aria-label="${added} lines added">+${countText(added)}</span>${" "}
          <span class="diff-minus" aria-label="${removed} lines removed">−${countText(removed)}</span>
        </span>
      </div>
      <pre class="diff-lines" tabindex="0" dir="ltr" aria-label="Changes of ${path}">${shown.map(
        ({ sign, text }, index) => html`<div key=${index} class="diff-${NAMES[sign]}"><span class="diff-sign">${sign === "@" ? " " : sign}</span>${text || " "}</div>`,
      )}</pre>
      ${!isWhole && html`<button class="more" onClick=${() => setWhole(true)}>Show all ${countText(lines.length)} lines</button>`}
    </div>
  `;
}

// What a permission request is about: a command, the changes of files, other arguments, or why a turn is paused.

const LONG = 600; // characters; a longer text scrolls

export function RequestDetail({ request }) {
  const found = useMemo(() => {
    const described = describe(request.detail, request.tool);
    return { ...described, edits: described.changes.map(editOf) };
  }, [request.detail]);
  if (found.pause) return html`<${Pause} pause=${found.pause} />`;
  if (request.questions?.length) return null;
  return html`
    ${found.edits.map((edit, at) => html`<${Diff} key=${at} edit=${edit} />`)}
    ${found.lines.map((line, at) => html`<${Argument} key=${at} line=${line} />`)}
    <details class="sent">
      <summary>Everything that was sent</summary>
      <${Text} text=${JSON.stringify(request.detail, null, 2)} name="Everything that was sent" />
    </details>
  `;
}

// The pause that a request is about; null if it is about a tool.
export function pauseOf(request) {
  return describe(request.detail, request.tool).pause;
}

function Pause({ pause }) {
  const until = pause.resetsAt && html` The limit resets at <time datetime=${pause.resetsAt}>${timeText(pause.resetsAt)}</time>.`;
  return html`
    <p class="pause" dir="auto">${pause.reason}</p>
    <p class="muted">${until} ${pause.then ? "The turn then continues by itself." : "The turn waits for your answer."}</p>
  `;
}

function Argument({ line }) {
  if (!line.name) return html`<${Text} text=${line.text} name="Command" />`;
  const name = revealed(line.name).replaceAll("_", " ");
  const isRemark = REMARKS.has(line.name) && line.text.length < LONG;
  const value = isRemark ? html`<p class="remark" dir="auto">${revealed(line.text)}</p>` : html`<${Text} text=${line.text} name=${name} />`;
  return html`<div class="argument"><span class="argument-name">${name}</span>${value}</div>`;
}

// A text of which nothing can be hidden: marks stand for what cannot be seen, and a long one scrolls.
function Text({ text, name }) {
  const isLong = text.length > LONG || text.split("\n").length > 12;
  const long = isLong ? { tabindex: 0, role: "region", "aria-label": name, class: "text long" } : { class: "text" };
  return html`<pre ...${long} dir="ltr"><code>${revealed(text)}</code></pre>`;
}

// Nothing can be hidden in a change either.
function editOf({ path, before, after, diff }) {
  const lines = diff === null ? compare(before ?? "", after) : parsePatch(diff);
  const change = diff === null && before === null ? "written" : "changed";
  return { path: revealed(path || "a file"), change, lines: lines.map(({ sign, text }) => ({ sign, text: revealed(text) })) };
}

// The questions of a request: one or several options each, or an answer in the user's own words.

const ANSWER = "answer"; // the id of the option that stands for answering the questions

export function Questions({ request, answering, refusals }) {
  const [given, setGiven] = useState({}); // id of a question → {labels, text}
  const answers = Object.fromEntries(request.questions.map((one) => [one.id, answerOf(one, given[one.id])]));
  const isComplete = Object.values(answers).every((one) => one.length > 0);
  const submit = useSubmit(() => isComplete && answering.send({ answers }));
  const name = request.options.find(({ option_id: id }) => id === ANSWER)?.name ?? "Answer";
  return html`
    <form class="questions" onSubmit=${submit}>
      ${request.questions.map(
        (one) => html`
          <${Question}
            key=${one.id}
            question=${one}
            given=${given[one.id] ?? {}}
            onGiven=${(value) => setGiven((all) => ({ ...all, [one.id]: value }))}
          />
        `,
      )}
      <div class="options">
        <button class="option primary" disabled=${!isComplete || answering.isBusy}>${name}</button>
        ${refusals.map(
          (option) => html`
            <button
              key=${option.option_id}
              type="button"
              class="option ${option.kind}"
              disabled=${answering.isBusy}
              onClick=${() => answering.send({ option_id: option.option_id })}
              dir="auto"
            >${option.name}</button>
          `,
        )}
      </div>
    </form>
  `;
}

function Question({ question, given, onGiven }) {
  const name = useId();
  const { labels = [], text = "" } = given;
  if (question.options.length === 0) return html`<${OwnWords} question=${question} text=${text} onText=${(text) => onGiven({ text })} />`;
  const choose = (label, isChosen) => {
    const others = question.multi_select ? labels.filter((one) => one !== label) : [];
    onGiven({ labels: isChosen ? [...others, label] : others, text: "" });
  };
  return html`
    <fieldset class="question">
      <legend dir="auto">${question.question}${question.multi_select && html` <span class="muted">One or more</span>`}</legend>
      ${question.options.map(
        ({ label, description }) => html`
          <label key=${label} class="choice">
            <input
              type=${question.multi_select ? "checkbox" : "radio"}
              name=${name}
              checked=${labels.includes(label)}
              onChange=${(event) => choose(label, event.target.checked)}
            />
            <span dir="auto">${label}${description && html`<span class="description">${description}</span>`}</span>
          </label>
        `,
      )}
      <label class="own">
        <span>Or in your own words</span>
        <input value=${text} dir="auto" onInput=${(event) => onGiven({ labels: [], text: event.target.value })} />
      </label>
    </fieldset>
  `;
}

function OwnWords({ question, text, onText }) {
  const onInput = (event) => onText(event.target.value);
  return html`
    <label class="question own">
      <span dir="auto">${question.question}</span>
      ${question.secret
        ? html`<input type="password" autocomplete="off" value=${text} onInput=${onInput} />`
        : html`<textarea rows="2" dir="auto" value=${text} onInput=${onInput}></textarea>`}
    </label>
  `;
}

// As the hub expects it: a list of labels, or a text; empty if there is no answer yet.
function answerOf(question, { labels = [], text = "" } = {}) {
  if (labels.length === 0) return text.trim();
  return question.options.map(({ label }) => label).filter((label) => labels.includes(label));
}
