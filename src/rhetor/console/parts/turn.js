// The rows of a conversation, and what its running turn does.
import { html } from "htm/preact";
import { useEffect, useErrorBoundary, useState } from "preact/hooks";
import { firstLine, summaryOf } from "#model/tools.js";
import { Attachment } from "#parts/attachments.js";
import { Copy, LongText } from "#parts/long_text.js";
import { Markdown } from "#parts/markdown.js";
import { PermissionRow } from "#parts/permission.js";
import { countText, moneyText, secondsText, timeText } from "#parts/text.js";
import { ToolCall } from "#parts/tool_call.js";

// The rows of a conversation: messages, answers, reasoning, notes, and how a turn ended.

const ROWS = {
  message: Message, answer: Answer, reasoning: Reasoning, stderr: Output, unsolicited: Output, tool: ToolCall, permission: PermissionRow,
  plan: Plan, context: Context, forwarded: Forwarded, note: Note, checkpoint: Checkpoint, blob: Blob, records: Records, raw: Raw, end: End,
};

// `onToggle(row)`: open or close it. `onFork(row)`: make a session that continues from there; null if the user may not.
// A row that cannot be drawn, whatever a peer has sent, leaves the others alone.
export function Row({ row, onToggle, onFork = null }) {
  const [fault] = useErrorBoundary((error) => console.error(error));
  if (fault) return html`<div class="row"><p class="note note-bad">This part cannot be shown here. The log of the session has it.</p></div>`;
  const Kind = ROWS[row.kind];
  return html`<div class="row row-${row.kind}"><${Kind} row=${row} onToggle=${onToggle} onFork=${onFork} /></div>`;
}

// A line that opens and closes what is below it.
function Fold({ row, onToggle, name, summary, children }) {
  return html`
    <button class="fold" aria-expanded=${row.isOpen === true} onClick=${() => onToggle(row)}>
      <span class="fold-name">${name}</span> <span class="fold-summary" dir="auto">${!row.isOpen && summary}</span>
    </button>
    ${row.isOpen && html`<div class="fold-body">${children}</div>`}
  `;
}

function Message({ row: { from, via, content, parts, at, turn, api, execute, system } }) {
  const isWaiting = turn && (turn.state === "queued" || turn.state === "accepted");
  return html`
    <article class="message" aria-label="Message from ${from || "you"}">
      <header>
        <span class="from" dir="auto">${from || "You"}</span>
        ${via?.length > 0 && html`<span class="muted" dir="auto">through ${via.join(", ")}</span>`}
        ${execute && html`<span class="tag">runs as input</span>`}
        ${api && html`<span class="tag">${api}</span>`}
        ${system && html`<span class="tag" title=${system}>own system prompt</span>`}
        ${isWaiting && html`<span class="tag tag-wait">waits${turn.position > 1 ? `, place ${turn.position}` : ""}</span>`}
        <time class="muted" datetime=${at}>${timeText(at)}</time>
      </header>
      ${content && html`<div class="message-text" dir="auto">${content}</div>`}
      ${(parts ?? []).map((part, index) => html`<${Attachment} key=${index} part=${part} />`)}
    </article>
  `;
}

function Answer({ row }) {
  if (!row.text) return null;
  return html`<article class="answer" aria-label="Answer of ${row.turn?.peer ?? "the peer"}"><${Markdown} text=${row.text} isGrowing=${isGrowing(row)} /></article>`;
}

function Reasoning({ row, onToggle }) {
  const seconds = (Date.parse(row.endedAt) - Date.parse(row.at)) / 1000;
  const name = isGrowing(row) ? "Thinking…" : seconds >= 1 ? `Thought for ${secondsText(seconds)}` : "Reasoning";
  const summary = isGrowing(row) ? lastLine(row.text) : firstLine(row.text);
  return html`<${Fold} row=${row} onToggle=${onToggle} name=${name} summary=${summary}><${Markdown} text=${row.text} isGrowing=${isGrowing(row)} /><//>`;
}

function Output({ row }) {
  const name = row.kind === "stderr" ? "Error output" : "Output that no message asked for";
  return html`<p class="label">${name}</p><${LongText} text=${row.text} label=${name} />`;
}

function Plan({ row: { entries } }) {
  const done = entries.filter(({ status }) => status === "completed").length;
  return html`
    <section class="plan" aria-label="Plan of the agent">
      <p class="label">Plan <span class="muted">${done} of ${entries.length} done</span></p>
      <ol>${entries.map(({ text, status }, index) => html`<li key=${index} class="entry-${status}"><span class="visually-hidden">${status.replace("_", " ")}: </span><span dir="auto">${text}</span></li>`)}</ol>
    </section>
  `;
}

function Context({ row, onToggle }) {
  const { prompts, metadata } = row;
  const source = metadata?.source ? ` from ${typeof metadata.source === "string" ? metadata.source : JSON.stringify(metadata.source)}` : "";
  const name = `Context${source}`;
  return html`
    <${Fold} row=${row} onToggle=${onToggle} name=${name} summary=${firstLine(prompts[0] ?? "")}>
      ${prompts.map((text, index) => html`<${LongText} key=${index} text=${text} label=${name} />`)}
    <//>
  `;
}

function Forwarded({ row: { from, to, via, content, purpose, time } }) {
  return html`
    <article class="message forwarded" aria-label="Forwarded from ${from}">
      <header>
        <span class="from" dir="auto">${from}</span> <span class="muted">forwarded to</span> <span dir="auto">${to}</span>
        ${via?.length > 1 && html`<span class="muted" dir="auto">through ${via.join(", ")}</span>`}
        <time class="muted" datetime=${time}>${timeText(time)}</time>
      </header>
      ${purpose && html`<p class="muted" dir="auto">${purpose}</p>`}
      <${Markdown} text=${content} />
    </article>
  `;
}

function Note({ row: { text, tone, hint, code, until, at } }) {
  return html`
    <p class="note ${tone ? `note-${tone}` : ""}">
      <span dir="auto">${text}</span>${code && html` <code>${code}</code>`}${until && html` until ${timeText(until)}`}
      ${" "}<time class="muted" datetime=${at}>${timeText(at)}</time>
      ${hint && html`<span class="hint" dir="auto">${hint}</span>`}
    </p>
  `;
}

function Checkpoint({ row: { name, checkpoint_id: id, left_out: leftOut, at } }) {
  return html`
    <p class="note note-checkpoint">
      <span>Checkpoint</span> <span dir="auto">${name || id}</span> <time class="muted" datetime=${at}>${timeText(at)}</time>
      ${leftOut?.length > 0 && html`<span class="hint">Without ${leftOut.map(({ path, reason }) => `${path} (${reason})`).join(", ")}</span>`}
    </p>
  `;
}

function Blob({ row: { blob_id: id, media_type: mediaType, bytes, from } }) {
  return html`<${Attachment} part=${{ type: "file", media_type: mediaType, blob_id: id, bytes, name: from ? `from ${from}` : "" }} />`;
}

function Records({ row, onToggle }) {
  const name = row.events.length === 1 ? "1 record of the agent" : `${countText(row.events.length)} records of the agent`;
  return html`
    <${Fold} row=${row} onToggle=${onToggle} name=${name} summary="">
      ${row.events.map((event) => html`<${LongText} key=${event.seq} text=${JSON.stringify(event.data, null, 2)} label="Record ${event.seq}" />`)}
    <//>
  `;
}

function Raw({ row, onToggle }) {
  return html`
    <${Fold} row=${row} onToggle=${onToggle} name=${row.event.type} summary=${JSON.stringify(row.event.data)}>
      <${LongText} text=${JSON.stringify(row.event, null, 2)} label="Event ${row.event.seq}" />
    <//>
  `;
}

function End({ row, onFork }) {
  const { state, turn } = row;
  if (state === "failed") return html`<${Failure} row=${row} onFork=${onFork} />`;
  const how = { cancelled: `Cancelled by ${row.by}`, interrupted: `Interrupted: ${row.reason}` }[state] ?? finishText(row.finish);
  return html`
    <footer class="end end-${state}">
      ${how && html`<strong dir="auto">${how}</strong>`}<${Figures} row=${row} />
      ${turn?.answers.some(({ text }) => text) && html`<${Copy} text=${() => turn.answers.map(({ text }) => text).join("\n\n")} label="Copy answer" />`}
      <${Fork} row=${row} onFork=${onFork} />
    </footer>
  `;
}

function Fork({ row, onFork }) {
  return onFork && html`<button type="button" class="copy" aria-haspopup="dialog" onClick=${() => onFork(row)}>Fork from here</button>`;
}

function Failure({ row, onFork }) {
  const { code, detail, hint, retryable, turn, usage } = row;
  const hasPartial = turn?.answers.some(({ text }) => text);
  return html`
    <section class="failure" role="group" aria-label="The turn failed">
      <p><strong>Failed:</strong> <span dir="auto">${detail}</span> <code>${code}</code></p>
      ${hint && html`<p class="hint" dir="auto">${hint}</p>`}
      <p class="muted">
        ${hasPartial && "The answer above is incomplete. "}${retryable ? "The same message may work later." : ""}
        ${usage?.calls > 0 && html` <${Figures} row=${{ usage }} />`}
      </p>
      <${Fork} row=${row} onFork=${onFork} />
    </section>
  `;
}

// Tokens, cost and time of a turn. An unknown price is not shown as 0.
function Figures({ row: { seconds, usage, cost, total, model } }) {
  const input = total?.input_tokens ?? total?.prompt_tokens ?? usage?.input;
  const output = total?.output_tokens ?? total?.completion_tokens ?? usage?.output;
  const price = cost ?? (usage?.isPriced ? usage.cost : null);
  const parts = [
    seconds > 0 && secondsText(seconds),
    (input > 0 || output > 0) && `${countText(input)} tokens in, ${countText(output)} out`,
    price != null && moneyText(price),
    model,
  ].filter(Boolean);
  return html`<span class="figures" dir="auto">${parts.join(" · ")}</span>`;
}

const FINISHES = { length: "The answer was cut off, because the limit of tokens was reached", content_filter: "A content filter withheld a part of the answer", refusal: "The model refused to answer", tool_calls: "The client runs the tools now", typed: "The message was typed, but not run" };
const finishText = (finish) => (finish === "stop" || !finish ? null : (Object.hasOwn(FINISHES, finish) ? FINISHES[finish] : `Ended: ${finish}`));

function isGrowing(row) {
  return row.turn?.channels[row.kind] === row && row.turn.endedAt === null;
}

function lastLine(text) {
  return text.trimEnd().split("\n").at(-1).slice(-200);
}

// What the session does now, for how long, and what it has used.

export function TurnBar({ feed }) {
  feed.revision.value;
  const { running, queued } = feed.conversation;
  return html`
    <div class="turn-bar" role="group" aria-label="What the session does now">
      ${running ? html`<${Running} turn=${running} />` : html`<span class="muted">${queued.length ? "Waiting to start" : "Idle"}</span>`}
    </div>
  `;
}

function Running({ turn }) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const seconds = Math.max(0, (now - Date.parse(turn.startedAt ?? turn.acceptedAt)) / 1000);
  return html`
    <span class="status status-${turn.state === "waiting" ? "waiting" : "busy"}" dir="auto">${doingText(turn)}</span>
    <span class="turn-time">${seconds < 10 ? `${Math.floor(seconds)} s` : secondsText(seconds)}</span>
    <${Figures} row=${turn} />
  `;
}

function doingText({ state, peer, doing }) {
  if (state === "waiting") return `${peer} waits for an answer`;
  if (doing?.kind === "tool") return `${peer}: ${doing.name} ${summaryOf(doing.arguments).slice(0, 80)}`;
  if (doing?.kind === "reasoning") return `${peer} is thinking`;
  if (doing?.kind === "answer") return `${peer} is writing`;
  return `${peer} is working`;
}
