// What a permission request is about: a command, the changes of files, other arguments, or why a turn is paused.
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { describe, REMARKS, revealed } from "#model/request_detail.js";
import { timeText } from "#parts/text.js";

const LONG = 600; // characters; a longer text scrolls

export function RequestDetail({ request }) {
  const found = useMemo(() => describe(request.detail, request.tool), [request.detail]);
  if (found.pause) return html`<${Pause} pause=${found.pause} />`;
  if (request.questions?.length) return null;
  return html`
    ${found.changes.map((change, at) => html`<${Change} key=${at} change=${change} />`)}
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

function Change({ change }) {
  const name = change.path || "a file";
  return html`
    <figure class="change">
      <figcaption><code dir="ltr">${revealed(name)}</code></figcaption>
      <${Text} text=${change.diff ?? linesOf(change)} name="Change of ${name}" />
    </figure>
  `;
}

function linesOf({ before, after }) {
  const marked = (text, mark) => (text ? text.replace(/\n$/, "").split("\n").map((line) => `${mark}${line}`) : []);
  return [...marked(before, "-"), ...marked(after, "+")].join("\n");
}
