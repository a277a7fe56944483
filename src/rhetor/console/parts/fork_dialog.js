// Makes a session that continues from a place of this one, in the same folder or in one of its own.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { navigate } from "#app/router.js";
import { postLong } from "#client/api.js";
import { peerOf } from "#model/hub.js";
import { ActionDialog } from "#parts/action_dialog.js";
import { notify } from "#parts/notices.js";
import { PlaceChoice } from "#parts/place_choice.js";
import { countText } from "#parts/text.js";

export function ForkDialog({ session, at: first = null, onClose }) {
  const [form, setForm] = useState({ at: first, name: "", folder: "same", cwd: "" });
  const set = (changes) => setForm((all) => ({ ...all, ...changes }));
  const hasFolder = Boolean(session.project_id || session.metadata.cwd || peerOf(session.specialist_id)?.kind === "tool");
  const run = async ({ key, onProgress }) => {
    const made = await postLong(`/api/v2/sessions/${encodeURIComponent(session.id)}/fork`, bodyOf(form), { key, onProgress });
    notify(`Forked as ${made.name ?? made.id}${filesText(made)}.`, { hint: hintOf(made) });
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

const filesText = ({ files }) => (files ? `, with ${countText(files.files)} files in ${files.folder}${files.branch ? ` on the branch ${files.branch}` : ""}` : "");

function hintOf({ retold, reason, files }) {
  const said = retold ? [`The agent begins a new conversation, and gets the earlier one with your next message: ${reason}.`] : [];
  if (files?.left_out.length) said.push(`${files.left_out.length} files were left out, such as ${files.left_out[0].path}.`);
  return said.join(" ") || null;
}
