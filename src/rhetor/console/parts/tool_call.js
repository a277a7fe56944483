// A tool call: folded with its name and one line of what it does; opened with its input and its result.
import { html } from "htm/preact";
import { useMemo } from "preact/hooks";
import { countsOf, editsOf } from "#model/diff.js";
import { commandOf, exitCodeOf, imagesOf, summaryOf, textOf } from "#model/tools.js";
import { Copy, LongText } from "#parts/long_text.js";
import { Diff } from "#parts/request.js";
import { countText, secondsText } from "#parts/text.js";

const STATES = { running: "running", done: "done", failed: "failed", over: "without a result" };

export function ToolCall({ row, onToggle }) {
  const state = row.isDone ? (row.isError ? "failed" : "done") : row.isOver ? "over" : "running";
  const took = row.isDone && row.endedAt ? (Date.parse(row.endedAt) - Date.parse(row.at)) / 1000 : 0;
  return html`
    <div class="tool tool-${state}">
      <button class="fold" aria-expanded=${row.isOpen === true} onClick=${() => onToggle(row)}>
        <span class="tool-state" role="img" aria-label=${STATES[state]}></span>
        <span class="tool-name" dir="auto">${row.name ?? "Result of a tool"}</span>
        <span class="tool-summary" dir="auto">${summaryOf(row.arguments)}</span>
        <${Change} row=${row} />
        ${took >= 0.1 && html`<span class="tool-took">${secondsText(took)}</span>`}
      </button>
      ${row.isOpen && html`<${Details} row=${row} />`}
    </div>
  `;
}

function Change({ row }) {
  const edits = useMemo(() => editsOf(row.name, row.arguments, row.result), [row.arguments, row.result]);
  if (!edits.length) return null;
  const counts = edits.map(({ lines }) => countsOf(lines));
  const sum = (name) => countText(counts.reduce((total, one) => total + one[name], 0));
  return html`<span class="diff-counts"><span class="diff-plus">+${sum("added")}</span> <span class="diff-minus">−${sum("removed")}</span></span>`;
}

function Details({ row }) {
  const edits = useMemo(() => editsOf(row.name, row.arguments, row.result), [row.arguments, row.result]);
  return html`
    <div class="tool-details">
      ${edits.length ? edits.map((edit, index) => html`<${Diff} key=${index} edit=${edit} />`) : html`<${Input} row=${row} />`}
      <${Result} row=${row} isShort=${edits.length > 0} />
    </div>
  `;
}

function Input({ row: { arguments: given, runsAt } }) {
  if (given === undefined) return html`<p class="muted">The call itself is in an earlier part of the session.</p>`;
  const command = commandOf(given);
  const text = command || (typeof given === "string" ? given : JSON.stringify(given, null, 2));
  return html`
    <p class="label">${command ? "Command" : "Input"} <span class="muted">${runsAt !== "agent" && `runs at the ${runsAt}`}</span> <${Copy} text=${() => text} /></p>
    <${LongText} text=${text} label="Input" className=${command ? "command" : ""} />
  `;
}

function Result({ row: { isDone, isOver, isError, result, runsAt }, isShort }) {
  if (!isDone && isOver) return html`<p class="muted">The turn ended before there was a result.</p>`;
  if (!isDone) return html`<p class="muted">${runsAt === "client" || runsAt === "caller" ? "Waiting for the client's result." : "Running…"}</p>`;
  const images = imagesOf(result);
  const text = images.length ? textOf(result?.content?.filter?.((one) => one.type !== "image") ?? "") : textOf(result);
  const shown = text ?? JSON.stringify(result, null, 2);
  if (isShort && !isError) return null;
  const code = exitCodeOf(result);
  return html`
    <p class="label">${isError ? "Error" : "Result"} ${code !== null && html`<span class="muted">exit code ${code}</span>`} ${shown && html`<${Copy} text=${() => shown} />`}</p>
    ${images.map(({ mimeType, data }, index) => html`<img key=${index} class="picture" alt="Image of the result" src="data:${mimeType};base64,${data}" />`)}
    ${shown ? html`<${LongText} text=${shown} label="Result" className=${isError ? "problem" : ""} />` : !images.length && html`<p class="muted">No output</p>`}
  `;
}
