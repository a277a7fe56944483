// Makes a checkpoint: a position of the conversation, with the files that belong to it.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { postLong } from "#client/api.js";
import { ActionDialog } from "#parts/action_dialog.js";
import { notify } from "#parts/notices.js";
import { bytesText, countText } from "#parts/text.js";

export function CheckpointDialog({ session, onChange, onClose }) {
  const [name, setName] = useState("");
  const run = async ({ key, onProgress }) => {
    const body = name.trim() ? { name: name.trim() } : {};
    const made = await postLong(`/api/v2/sessions/${encodeURIComponent(session.id)}/checkpoint`, body, { key, onProgress });
    notify(`Made the checkpoint ${made.name}${filesText(made)}.`, { hint: hintOf(made) });
    onChange();
  };
  return html`
    <${ActionDialog} title="Make a checkpoint" submit="Make the checkpoint" run=${run} onClose=${onClose}>
      <label>Name <input autofocus maxlength="200" dir="auto" value=${name} onInput=${({ target }) => setName(target.value)} /></label>
      <p class="muted">It marks this point of the conversation, and keeps the files of its folder if it has one. A checkpoint with a name is never removed.</p>
    <//>
  `;
}

function filesText({ files, folder }) {
  return files === undefined ? "" : ` with ${countText(files)} files of ${folder}`;
}

function hintOf({ left_out: leftOut = [], removed = [] }) {
  const said = leftOut.slice(0, 5).map(({ path, bytes, reason }) => `Left out: ${path} (${bytesText(bytes)}), ${reason}.`);
  if (leftOut.length > 5) said.push(`${leftOut.length - 5} more files were left out.`);
  if (removed.length) said.push(`${removed.length} older checkpoints were removed, because of ${removed[0].limit}.`);
  return said.join(" ") || null;
}
