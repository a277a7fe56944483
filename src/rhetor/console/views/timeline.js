// The timeline of a session: its checkpoints as a tree, to compare them, to go back to one, or to fork from one.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { get } from "#client/api.js";
import { follow } from "#client/connection.js";
import { isMine } from "#model/hub.js";
import { chainOf } from "#model/timeline.js";
import { CompareDialog, ForkDialog, RestoreDialog } from "#parts/checkpoints.js";
import { Trouble } from "#parts/loaded.js";
import { SessionActions } from "#parts/session_actions.js";
import { bytesText, countText, timeText } from "#parts/text.js";

const OPEN = new Set(["active", "waiting", "paused"]);
const CHANGES = ["checkpoint.made", "checkpoint.removed", "session.state"];

export default function Timeline({ params }) {
  const { found, problem, read } = useTimeline(params.id);
  const [chosen, setChosen] = useState([]); // ids of up to two checkpoints
  const [shown, setShown] = useState(null); // {Dialog, at}
  if (problem) return html`<h1>Timeline</h1><${Trouble} problem=${problem} />`;
  if (!found) return html`<h1>Timeline</h1><p class="loading" role="status">Loading…</p>`;
  const { session, checkpoints, current, origin } = found;
  const choose = (id, isOn) => setChosen([...chosen.filter((one) => one !== id), ...(isOn ? [id] : [])].slice(-2));
  const acts = { chosen, choose, can: isMine(session) && OPEN.has(session.state), show: (Dialog, at) => setShown({ Dialog, at }) };
  const nameOf = (id) => checkpoints.find(({ checkpoint_id: one }) => one === id)?.name;
  return html`
    <header class="timeline-head">
      <h1 dir="auto">Timeline of ${session.name ?? session.id}</h1>
      <a href="/sessions/${encodeURIComponent(session.id)}">Back to the session</a>
      <${SessionActions} session=${session} onChange=${read} />
    </header>
    ${origin && html`<p class="muted">Forked from <a href="/sessions/${encodeURIComponent(origin)}/timeline">${origin}</a></p>`}
    ${checkpoints.length === 0 && html`
      <p>There are no checkpoints yet. A checkpoint marks a point of the conversation, and keeps the files that belong to it.</p>
    `}
    <p class="compare-bar">
      <button disabled=${chosen.length !== 2} onClick=${() => setShown({ Dialog: CompareDialog, at: null })}>Compare</button>
      <span class="muted" role="status">${chosen.length === 2 ? `${nameOf(chosen[0])} with ${nameOf(chosen[1])}` : "Choose two checkpoints to compare them."}</span>
    </p>
    <${Chain} chain=${chainOf(checkpoints, current)} acts=${acts} label="Checkpoints" />
    ${shown && html`<${shown.Dialog} session=${session} at=${shown.at} chosen=${chosen} onChange=${read} onClose=${() => setShown(null)} />`}
  `;
}

function Chain({ chain, acts, label }) {
  return html`
    <ol class="chain" aria-label=${label}>
      ${chain.map((node) => html`<${Node} key=${node.checkpoint?.checkpoint_id ?? "begin"} node=${node} acts=${acts} />`)}
    </ol>
  `;
}

function Node({ node: { checkpoint, isCurrent, branches }, acts }) {
  return html`
    <li class="node ${isCurrent ? "current" : ""}" aria-current=${isCurrent ? "step" : undefined}>
      ${checkpoint ? html`<${Checkpoint} checkpoint=${checkpoint} acts=${acts} />` : html`<p class="muted">Beginning of the session</p>`}
      ${isCurrent && html`<p class="here">The session continues from here</p>`}
      ${branches.map((chain, at) => html`<${Chain} key=${chain[0].checkpoint.checkpoint_id} chain=${chain} acts=${acts} label="Branch ${at + 1}" />`)}
    </li>
  `;
}

function Checkpoint({ checkpoint, acts }) {
  const { checkpoint_id: id, name, at, automatic, files, bytes, folder, left_out: leftOut } = checkpoint;
  return html`
    <div class="checkpoint">
      <label>
        <input type="checkbox" checked=${acts.chosen.includes(id)} onChange=${({ target }) => acts.choose(id, target.checked)} />
        <strong dir="auto">${name}</strong>
      </label>
      <time class="muted" datetime=${at}>${timeText(at)}</time>
      <span class="muted" title=${folder}>${files === undefined ? "without files" : `${countText(files)} ${files === 1 ? "file" : "files"}, ${bytesText(bytes)}`}</span>
      ${automatic && html`<span class="muted">automatic</span>`}
      ${leftOut?.length > 0 && html`<span class="muted" title=${leftOut.map(({ path }) => path).join("\n")}>${leftOut.length} left out</span>`}
      ${acts.can && html`
        <span class="node-actions">
          <button aria-label="Restore ${name}" onClick=${() => acts.show(RestoreDialog, id)}>Restore…</button>
          <button aria-label="Fork from ${name}" onClick=${() => acts.show(ForkDialog, id)}>Fork…</button>
        </span>
      `}
    </div>
  `;
}

// The session and its timeline, read again when a checkpoint is made or removed.
function useTimeline(id) {
  const [state, setState] = useState({ found: null, problem: null });
  const path = `/api/v2/sessions/${encodeURIComponent(id)}`;
  const read = async () => {
    try {
      const [session, timeline] = await Promise.all([get(`${path}?messages=0`), get(`${path}/timeline`)]);
      const origin = await originOf(path, session.id);
      setState({ found: { session, ...timeline, origin }, problem: null });
    } catch (problem) {
      setState((last) => ({ found: last.found, problem: last.found ? null : problem }));
    }
  };
  useEffect(() => void read(), [id]);
  const session = state.found?.session;
  useEffect(() => {
    if (!session) return undefined;
    return follow(session.id, { cursor: session.cursor, events: CHANGES, onEvents: read });
  }, [session?.id]);
  return { ...state, read };
}

// The session from which this one was forked; null if it was not.
async function originOf(path, id) {
  const { events } = await get(`${path}/events?events=checkpoint.made&limit=1`);
  const parent = events[0]?.data.parent.split("@")[0];
  return parent && parent !== id ? parent : null;
}
