// What differs between two checkpoints.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "#client/api.js";
import { ChangedFiles, ChangedMessages } from "#parts/changed.js";
import { Dialog } from "#parts/dialog.js";
import { Trouble } from "#parts/loaded.js";

export function CompareDialog({ chosen: [one, other], onClose }) {
  const [{ found, problem }, setState] = useState({ found: null, problem: null });
  useEffect(() => {
    const path = `/api/v2/checkpoints/${encodeURIComponent(one)}/diff/${encodeURIComponent(other)}`;
    get(path).then((answer) => setState({ found: answer, problem: null }), (error) => setState({ found: null, problem: error }));
  }, [one, other]);
  return html`
    <${Dialog} title="Compare two checkpoints" onClose=${onClose} className="wide">
      ${problem && html`<${Trouble} problem=${problem} />`}
      <div role="status">${!found && !problem && html`<p class="loading">Comparing…</p>`}</div>
      ${found && html`<${Found} found=${found} />`}
    <//>
  `;
}

function Found({ found: { changed, changed_messages: messages } }) {
  return html`
    ${changed === null && html`<p class="muted">One of them has no files, so only the messages are compared.</p>`}
    ${changed?.length === 0 && messages.length === 0 && html`<p>There is no difference.</p>`}
    <${ChangedFiles} files=${changed} title="Files that differ" />
    <${ChangedMessages} messages=${messages} removed="Messages only in the first" added="Messages only in the second" />
  `;
}
