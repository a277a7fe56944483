// What a permission request is about: a command, the changes of files, other arguments, or why a turn is paused.
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { compare, parsePatch } from "#model/diff.js";
import { describe, REMARKS, revealed } from "#model/tools.js";
import { Diff } from "#parts/diff.js";
import { timeText } from "#parts/text.js";

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
