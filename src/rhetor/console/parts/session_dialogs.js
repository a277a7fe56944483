// Dialogs that name a session and that end it.
import { html } from "htm/preact";
import { useState } from "preact/hooks";
import { post } from "#client/api.js";
import { ActionDialog } from "#parts/action_dialog.js";
import { notify } from "#parts/notices.js";

export function NameDialog({ session, onChange, onClose }) {
  const [name, setName] = useState(session.name ?? "");
  const run = async ({ key }) => {
    await post(`/api/v2/sessions/${encodeURIComponent(session.id)}/save`, { name: name.trim() }, { key });
    notify(`The session is saved as ${name.trim()}.`);
    onChange();
  };
  return html`
    <${ActionDialog}
      title=${session.name ? "Rename the session" : "Save the session"}
      submit="Save" isReady=${name.trim() !== "" && name.trim() !== session.name} run=${run} onClose=${onClose}
    >
      <label>Name <input autofocus required maxlength="200" dir="auto" value=${name} onInput=${({ target }) => setName(target.value)} /></label>
      <p class="muted">A session with a name does not expire. You can use the name in the shell: <code>-s=${name.trim() || "NAME"}</code></p>
    <//>
  `;
}

export function EndDialog({ session, onChange, onClose }) {
  const run = async ({ key }) => {
    await post(`/api/v2/sessions/${encodeURIComponent(session.id)}/stop`, {}, { key });
    notify("The session has ended.");
    onChange();
  };
  return html`
    <${ActionDialog} title="End the session" submit="End the session" isDanger run=${run} onClose=${onClose}>
      <p>The session takes no more messages, its running turn is interrupted, and a process that runs only for it ends.</p>
      <p>Its messages stay in the log. You can read and fork it, and its name can be used again.</p>
    <//>
  `;
}
