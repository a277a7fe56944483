// Goes back to an earlier place: first shows what would change, then does it. Nothing is lost by it.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { post } from "#client/api.js";
import { postLong } from "#client/api.js";
import { ActionDialog } from "#parts/action_dialog.js";
import { ChangedFiles, ChangedMessages } from "#parts/changed.js";
import { notify } from "#parts/notices.js";
import { PlaceChoice } from "#parts/place_choice.js";
import { Trouble } from "#parts/loaded.js";

// `at`: the place that is chosen at first.
export function RestoreDialog({ session, at: first = null, onChange, onClose }) {
  const [at, setAt] = useState(first);
  const { found, problem, isLoading } = usePreview(session, at);
  const run = async ({ key, onProgress }) => {
    const done = await postLong(`${pathOf(session)}/restore`, { at }, { key, onProgress });
    notify("The session continues from there.", { hint: hintOf(done) });
    onChange();
  };
  return html`
    <${ActionDialog} title="Restore the session" submit="Restore" isReady=${found !== null} run=${run} onClose=${onClose} className="wide">
      <${PlaceChoice} session=${session} label="Go back to" at=${at} onAt=${setAt} />
      <div role="status">${isLoading && html`<p class="muted">Comparing…</p>`}</div>
      ${problem && html`<${Trouble} problem=${problem} />`}
      ${found && html`<${Preview} found=${found} />`}
    <//>
  `;
}

function Preview({ found }) {
  const { changed, changed_messages: messages } = found;
  if (changed.length + messages.length === 0) return html`<p>Nothing has changed since. The session would continue as it is.</p>`;
  return html`
    <${ChangedMessages} messages=${messages} removed="Messages that the conversation will not have any more" added="Messages that it will have again" />
    <${ChangedFiles} files=${changed} title="Files that will change" />
    <p class="muted">The messages stay in the log, and the files as they are now are kept in a checkpoint.</p>
  `;
}

function usePreview(session, at) {
  const [state, setState] = useState({ found: null, problem: null, isLoading: false });
  useEffect(() => {
    if (!at) return setState({ found: null, problem: null, isLoading: false });
    let isCurrent = true;
    const set = (value) => isCurrent && setState({ found: null, problem: null, isLoading: false, ...value });
    setState({ found: null, problem: null, isLoading: true });
    post(`${pathOf(session)}/restore`, { at, dry_run: true }).then((found) => set({ found }), (problem) => set({ problem }));
    return () => (isCurrent = false);
  }, [session.id, at]);
  return state;
}

function hintOf({ before, saved, retold, reason }) {
  const said = [];
  if (before) said.push(`The files as they were are in the checkpoint ${before.name}.`);
  if (saved) said.push(`Files that changed meanwhile are in the checkpoint ${saved.name}.`);
  if (retold) said.push(`The agent begins a new conversation, and gets the earlier one with your next message: ${reason}.`);
  return said.join(" ") || null;
}

const pathOf = (session) => `/api/v2/sessions/${encodeURIComponent(session.id)}`;
