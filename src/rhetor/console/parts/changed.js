// What differs between two places of a session: files and messages.
import { html } from "htm/preact";
import { bytesText, timeText } from "#parts/text.js";

const MOST = 200; // of a list; more would not be read
const SIGNS = { added: "+", changed: "±", removed: "−" };

export function ChangedFiles({ files, title }) {
  if (!files || files.length === 0) return null;
  return html`
    <section>
      <h3>${title} (${files.length})</h3>
      <ul class="changed-files">
        ${files.slice(0, MOST).map((file) => html`
          <li key=${file.path} class="change-${file.change}">
            <span class="sign" aria-hidden="true">${SIGNS[file.change]}</span>
            <code dir="ltr">${file.path}</code>
            <span class="muted">${file.change}${sizes(file)}</span>
          </li>
        `)}
      </ul>
      ${files.length > MOST && html`<p class="muted">and ${files.length - MOST} more</p>`}
    </section>
  `;
}

export function ChangedMessages({ messages, removed, added }) {
  const of = (change) => messages.filter((one) => one.change === change);
  return html`
    <${Messages} title=${removed} messages=${of("removed")} />
    <${Messages} title=${added} messages=${of("added")} />
  `;
}

function Messages({ title, messages }) {
  if (messages.length === 0) return null;
  return html`
    <section>
      <h3>${title} (${messages.length})</h3>
      <ol class="changed-messages">
        ${messages.slice(0, MOST).map((one, at) => html`
          <li key=${at}>
            <span class="muted">${one.role === "user" ? "You" : "Answer"}, ${timeText(one.timestamp)}</span>
            <span class="said" dir="auto">${one.content.slice(0, 300)}${one.content.length > 300 ? "…" : ""}</span>
          </li>
        `)}
      </ol>
      ${messages.length > MOST && html`<p class="muted">and ${messages.length - MOST} more</p>`}
    </section>
  `;
}

function sizes({ change, kind, old_bytes: old, new_bytes: now }) {
  if (kind !== "file") return `, ${kind}`;
  if (change === "changed") return `, ${bytesText(old)} → ${bytesText(now)}`;
  return `, ${bytesText(change === "added" ? now : old)}`;
}
