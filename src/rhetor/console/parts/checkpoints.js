// Places of a session: making a checkpoint, forking from a place, going back to one, and comparing two.
import { html } from "htm/preact";
import { useEffect, useState } from "preact/hooks";
import { navigate } from "#app/router.js";
import { get, post, postLong } from "#client/api.js";
import { peerOf } from "#model/hub.js";
import { ActionDialog, Dialog } from "#parts/dialog.js";
import { Trouble } from "#parts/loaded.js";
import { notify } from "#parts/notices.js";
import { bytesText, countText, timeText } from "#parts/text.js";

// A place of a session to go back to or to fork from: now, before the last message, or a checkpoint.

// `now`: the name of the place "now"; null if it cannot be chosen. `onAt(at)`: `at` as the hub takes it, or null.
function PlaceChoice({ session, label, at, onAt, now = null }) {
  const { checkpoints, problem } = useCheckpoints(session);
  const [first] = useState(at); // may be a cursor, which only the opener of the dialog knows
  const isOther = first?.includes(":") ?? false;
  return html`
    <label>${label}
      <select value=${at ?? ""} onChange=${({ target }) => onAt(target.value || null)}>
        ${now ? html`<option value="">${now}</option>` : html`<option value="" disabled>Choose a place</option>`}
        <option value="-1">Before the last message</option>
        ${isOther && html`<option value=${first}>After the chosen turn</option>`}
        ${checkpoints.map((one) => html`<option key=${one.checkpoint_id} value=${one.checkpoint_id}>${nameOf(one)}</option>`)}
      </select>
    </label>
    ${problem && html`<${Trouble} problem=${problem} />`}
  `;
}

// The checkpoints of a session, the newest first.
function useCheckpoints(session) {
  const [found, setFound] = useState({ checkpoints: [], problem: null });
  useEffect(() => {
    get(`/api/v2/sessions/${encodeURIComponent(session.id)}/checkpoints`).then(
      ({ checkpoints }) => setFound({ checkpoints: checkpoints.toReversed(), problem: null }),
      (problem) => setFound({ checkpoints: [], problem }),
    );
  }, [session.id]);
  return found;
}

const nameOf = ({ name, at, files }) => `${name} – ${timeText(at)}${files === undefined ? ", without files" : ""}`;

// What differs between two places of a session: files and messages.

const MOST = 200; // of a list; more would not be read
const SIGNS = { added: "+", changed: "±", removed: "−" };

function ChangedFiles({ files, title }) {
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

function ChangedMessages({ messages, removed, added }) {
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

// Makes a checkpoint: a position of the conversation, with the files that belong to it.

export function CheckpointDialog({ session, onChange, onClose }) {
  const [name, setName] = useState("");
  const run = async ({ key, onProgress }) => {
    const body = name.trim() ? { name: name.trim() } : {};
    const made = await postLong(`/api/v2/sessions/${encodeURIComponent(session.id)}/checkpoint`, body, { key, onProgress });
    notify(`Made the checkpoint ${made.name}${checkpointFiles(made)}.`, { hint: checkpointHint(made) });
    onChange();
  };
  return html`
    <${ActionDialog} title="Make a checkpoint" submit="Make the checkpoint" run=${run} onClose=${onClose}>
      <label>Name <input autofocus maxlength="200" dir="auto" value=${name} onInput=${({ target }) => setName(target.value)} /></label>
      <p class="muted">It marks this point of the conversation, and keeps the files of its folder if it has one. A checkpoint with a name is never removed.</p>
    <//>
  `;
}

function checkpointFiles({ files, folder }) {
  return files === undefined ? "" : ` with ${countText(files)} files of ${folder}`;
}

function checkpointHint({ left_out: leftOut = [], removed = [] }) {
  const said = leftOut.slice(0, 5).map(({ path, bytes, reason }) => `Left out: ${path} (${bytesText(bytes)}), ${reason}.`);
  if (leftOut.length > 5) said.push(`${leftOut.length - 5} more files were left out.`);
  if (removed.length) said.push(`${removed.length} older checkpoints were removed, because of ${removed[0].limit}.`);
  return said.join(" ") || null;
}

// Makes a session that continues from a place of this one, in the same folder or in one of its own.

export function ForkDialog({ session, at: first = null, onClose }) {
  const [form, setForm] = useState({ at: first, name: "", folder: "same", cwd: "" });
  const set = (changes) => setForm((all) => ({ ...all, ...changes }));
  const hasFolder = Boolean(session.project_id || session.metadata.cwd || peerOf(session.specialist_id)?.kind === "tool");
  const run = async ({ key, onProgress }) => {
    const made = await postLong(`/api/v2/sessions/${encodeURIComponent(session.id)}/fork`, bodyOf(form), { key, onProgress });
    notify(`Forked as ${made.name ?? made.id}${forkFiles(made)}.`, { hint: forkHint(made) });
    navigate(`/sessions/${encodeURIComponent(made.id)}`);
  };
  return html`
    <${ActionDialog} title="Fork the session" submit="Fork" isReady=${form.folder !== "copy" || form.cwd.startsWith("/")} run=${run} onClose=${onClose}>
      <${PlaceChoice} session=${session} label="Continue from" at=${form.at} onAt=${(at) => set({ at })} now="Now" />
      <label>Name <input maxlength="200" dir="auto" value=${form.name} onInput=${({ target }) => set({ name: target.value })} /></label>
      ${hasFolder && html`<${Folder} form=${form} set=${set} />`}
      <p class="muted">${effectOf(form, hasFolder)}</p>
    <//>
  `;
}

function Folder({ form, set }) {
  const choice = (value, name) => html`
    <label class="choice"><input type="radio" name="folder" checked=${form.folder === value} onChange=${() => set({ folder: value })} /> ${name}</label>
  `;
  return html`
    <fieldset>
      <legend>Folder</legend>
      ${choice("same", "The same folder")}
      ${choice("worktree", "A git worktree on its own branch")}
      ${choice("copy", "A copy of the files in another folder")}
      ${form.folder !== "same" && html`
        <label>${form.folder === "copy" ? "Path of a new or empty folder" : "Path, if not next to the repository"}
          <input dir="ltr" placeholder="/home/you/site-idea" value=${form.cwd} onInput=${({ target }) => set({ cwd: target.value.trim() })} />
        </label>
        <p class="muted">From the console, the folder must be below one of <code>projects.roots</code>.</p>
      `}
    </fieldset>
  `;
}

function bodyOf({ at, name, folder, cwd }) {
  const body = {};
  if (at) body.at = at;
  if (name.trim()) body.name = name.trim();
  if (folder === "worktree") body.worktree = true;
  if (folder !== "same" && cwd) body.cwd = cwd;
  return body;
}

function effectOf({ at, folder }, hasFolder) {
  const from = fromText(at);
  const where = { same: hasFolder ? " in the same folder" : "", worktree: " in its own git worktree, with the files of that place", copy: " in its own folder, with a copy of the files of that place" };
  return `A new session continues ${from}${where[folder]}. This session does not change.`;
}

function fromText(at) {
  if (at === null) return "from the last message";
  if (at === "-1") return "from before the last message";
  return at.includes(":") ? "from the end of the chosen turn" : "from the checkpoint";
}

const forkFiles = ({ files }) => (files ? `, with ${countText(files.files)} files in ${files.folder}${files.branch ? ` on the branch ${files.branch}` : ""}` : "");

function forkHint({ retold, reason, files }) {
  const said = retold ? [`The agent begins a new conversation, and gets the earlier one with your next message: ${reason}.`] : [];
  if (files?.left_out.length) said.push(`${files.left_out.length} files were left out, such as ${files.left_out[0].path}.`);
  return said.join(" ") || null;
}

// Goes back to an earlier place: first shows what would change, then does it. Nothing is lost by it.

// `at`: the place that is chosen at first.
export function RestoreDialog({ session, at: first = null, onChange, onClose }) {
  const [at, setAt] = useState(first);
  const { found, problem, isLoading } = usePreview(session, at);
  const run = async ({ key, onProgress }) => {
    const done = await postLong(`${pathOf(session)}/restore`, { at }, { key, onProgress });
    notify("The session continues from there.", { hint: restoreHint(done) });
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

function restoreHint({ before, saved, retold, reason }) {
  const said = [];
  if (before) said.push(`The files as they were are in the checkpoint ${before.name}.`);
  if (saved) said.push(`Files that changed meanwhile are in the checkpoint ${saved.name}.`);
  if (retold) said.push(`The agent begins a new conversation, and gets the earlier one with your next message: ${reason}.`);
  return said.join(" ") || null;
}

const pathOf = (session) => `/api/v2/sessions/${encodeURIComponent(session.id)}`;

// What differs between two checkpoints.

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
