// The sessions: what each is about, what it does now and what it has cost. New ones are started here.
import { html } from "htm/preact";
import { useRef, useState } from "preact/hooks";
import { useKeys } from "#app/keys.js";
import { navigate } from "#app/router.js";
import { loadStyles } from "#app/styles.js";
import { isMine, now } from "#model/hub.js";
import { fromQuery, hasMore, isLoaded, matching, problem, sessions, stateOf, statesOf, toQuery, useSessions } from "#model/sessions.js";
import { Trouble } from "#parts/loaded.js";
import { NewSession } from "#parts/new_session.js";
import { SessionFilter } from "#parts/session_filter.js";
import { Status } from "#parts/status.js";
import { agoText, moneyText } from "#parts/text.js";

await loadStyles("#styles/sessions.css");

const PAGE = 100; // rows that are shown at first, and added by each press of the button

export default function Sessions({ query }) {
  const filter = fromQuery(query);
  useSessions(statesOf(filter));
  const [count, setCount] = useState(PAGE);
  const [isNew, setNew] = useState(query.has("new"));
  const list = useRef(null);
  const all = sessions.value;
  const found = matching(all, filter);
  const setFilter = (changes) => navigate(`/sessions${toQuery({ ...filter, ...changes })}`, { replace: true });
  useKeys({
    j: { name: "Next session", run: () => move(list.current, 1) },
    k: { name: "Session before", run: () => move(list.current, -1) },
    n: { name: "New session", run: () => setNew(true) },
    "/": { name: "Filter the sessions", run: () => document.getElementById("filter-text").focus() },
  });
  return html`
    <div class="sessions-head">
      <h1>Sessions</h1>
      <button class="primary" onClick=${() => setNew(true)}>New session</button>
    </div>
    <${SessionFilter} filter=${filter} sessions=${all} onFilter=${setFilter} />
    ${problem.value && html`<${Trouble} problem=${problem.value} />`}
    ${!isLoaded.value && !problem.value && html`<p class="loading" role="status">Loading…</p>`}
    ${isLoaded.value && html`<p class="muted" role="status">${countOf(found, all, filter)}</p>`}
    <ol class="session-list" ref=${list}>
      ${found.slice(0, count).map((session) => html`<${Row} key=${session.id} session=${session} />`)}
    </ol>
    ${found.length > count && html`<button onClick=${() => setCount(count + PAGE)}>Show more</button>`}
    ${hasMore.value && html`<p class="muted">Older sessions are in the <a href="/search">search</a>.</p>`}
    ${isNew && html`<${NewSession} peer=${query.get("peer")} onClose=${() => setNew(false)} />`}
  `;
}

function Row({ session }) {
  const { summary, metadata } = session;
  return html`
    <li class="session-row">
      <a class="session-title" href="/sessions/${encodeURIComponent(session.id)}" dir="auto">${session.shown ?? "No message yet"}</a>
      <span class="session-facts">
        <span dir="auto">${session.specialist_id}</span>
        <${Status} status=${stateOf(session)} />
        ${session.name && session.title && html`<span class="muted last" dir="auto">${session.title}</span>`}
        ${!isMine(session) && html`<span class="shared">shared by ${session.owner}</span>`}
        ${metadata?.cwd && html`<span class="muted folder" dir="ltr">${metadata.cwd}</span>`}
      </span>
      ${session.turn && html`<span class="session-now" dir="auto">${session.turn.doing ?? session.turn.state}</span>`}
      <span class="session-cost muted">${summary?.cost != null && `${moneyText(summary.cost)}${summary.cost_is_complete ? "" : " or more"}`}</span>
      <time class="session-time muted" datetime=${session.used_at}>${agoText(session.used_at, now.value)} ago</time>
    </li>
  `;
}

function countOf(found, all, filter) {
  if (all.length === 0) return filter.state === "ended" ? "No session has ended." : "No session is open.";
  if (found.length === all.length) return all.length === 1 ? "1 session" : `${all.length} sessions`;
  return found.length === 0 ? "No session matches the filter." : `${found.length} of ${all.length} sessions`;
}

// Move the focus from one session to the next; Enter then opens it.
function move(list, step) {
  const links = [...list.querySelectorAll(".session-title")];
  const at = links.indexOf(document.activeElement);
  links[at < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
}
