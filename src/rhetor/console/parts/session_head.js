// The head of a session: its name, its peer and its state, and the ways to its other views.
import { html } from "htm/preact";
import { SessionActions } from "#parts/session_actions.js";
import { Status } from "#parts/status.js";

export function SessionHead({ session, feed }) {
  const path = `/sessions/${encodeURIComponent(session.id)}`;
  return html`
    <header class="session-head">
      <h1 dir="auto">${session.name ?? session.title ?? session.id}</h1>
      <a href="/peers/${encodeURIComponent(session.specialist_id)}" dir="auto">${session.specialist_id}</a>
      ${session.state !== "active" && html`<${Status} status=${session.state} />`}
      <nav class="session-links" aria-label="Views of the session">
        <a href="${path}/timeline">Timeline</a> <a href="${path}/log">Log</a>
      </nav>
      <${SessionActions} session=${session} onChange=${feed.refresh} />
    </header>
  `;
}
